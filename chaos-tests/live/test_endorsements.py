"""Hosts that hand out no certificates: the cluster gets them from AMD's key service, as one.

Three simulated machines, each with a chip and a root of its own (Milan, Genoa, Turin), none of
which gives a certificate to its guests, and a key service that counts (kds.py).

SPDX-License-Identifier: Apache-2.0
"""

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import unittest

import harness
import kds
from harness import Cluster, LiveTest, Process, Site, program, read, wait_until, write

PRODUCTS = ("Milan", "Genoa", "Turin")


class BareSite(Site):
    """Three machines without certificates, one application for all of them."""

    def _set_up(self):
        self.machines, self.sockets, self.others = {}, {}, []
        self.service = kds.Service(self.addresses.of(250))
        for product in PRODUCTS:
            self._start_machine(product)
        self.socket = self.sockets["Milan"]
        values = [json.loads(read(os.path.join(f, "reference-values.json")))[0]
                  for f in self.machines.values()]
        write(os.path.join(self.dir, "values.json"), json.dumps(values))
        self.app = os.path.join(self.dir, "app")
        os.mkdir(self.app)
        examples = os.path.join(harness.ROOT, "deployments", "examples")
        for name in os.listdir(examples):
            shutil.copy(os.path.join(examples, name), self.app)
        self.must(self.run([program("contrast"), "generate", "--skip-images", "--workspace",
                            self.app, "--reference-values", os.path.join(self.dir, "values.json"),
                            self.app]))
        self.certificate = self.make_certificate("peer")

    def _start_machine(self, product):
        folder = os.path.join(self.dir, product)
        socket = os.path.join(self.dir, f"{product}.sock")
        simulator = program("contrast-snp-simulator")
        self.must(self.run([simulator, "init", folder, "--product", product]))
        self.others.append(Process([simulator, "serve", folder, "--socket", socket,
                                    "--certificates", "none"],
                                   os.path.join(self.logs, f"simulator-{product}.log")))
        wait_until(lambda: os.path.exists(socket), 10, f"the {product} machine listens")
        self.machines[product], self.sockets[product] = folder, socket
        self.service.add(folder)

    @contextlib.contextmanager
    def on(self, product):
        """What is started inside runs on this machine."""
        before, self.socket = self.socket, self.sockets[product]
        try:
            yield
        finally:
            self.socket = before

    def close(self):
        for process in self.others:
            process.end()
        self.service.down()
        super().close()


class BareCluster(Cluster):
    """Replicas on the machines that `places` names, Milan else."""

    places = {2: "Genoa"}

    def __init__(self, site, label, peers=4):
        super().__init__(site, label, peers)
        sets = json.loads(self.manifest())["ReferenceValues"]["snp"]
        self.trust["CONTRAST_PERMITTED_ROOTS"] = ",".join(
            root for values in sets for root in values["SimulatedRoots"])
        self.trust["CONTRAST_KDS_URL"] = site.service.url()

    def start(self, number, name=None, at=None):
        with self.site.on(self.places.get(number, "Milan")):
            return super().start(number, name, at)

    def pod_on(self, product, name, coordinator, yaml="web.yaml", timeout=60):
        with self.site.on(product):
            return self.initializer(name, self.path(yaml), coordinator, timeout)

    def start_pod_on(self, product, name, coordinator, yaml="web.yaml"):
        with self.site.on(product):
            return self.start_initializer(name, self.path(yaml), coordinator)

    def set_lists(self, policy):
        """The manifest demands revocation lists of every machine."""
        manifest = json.loads(self.manifest())
        for values in manifest["ReferenceValues"]["snp"]:
            values["CRL"] = policy
        write(self.path("manifest.json"), json.dumps(manifest, indent=2))


class Endorsements(LiveTest):
    @classmethod
    def setUpClass(cls):
        cls.site = BareSite()

    def setUp(self):
        super().setUp()
        self.service = self.site.service
        self.service.mode = "good"
        self.service.lists.clear()
        self.service.asked.clear()

    def cluster(self, *numbers, peers=4):
        label = f"{self._testMethodName}-{len(self.clusters)}"
        cluster = BareCluster(self.site, label, peers)
        self.clusters.append(cluster)
        cluster.start_all(*numbers)
        return cluster

    def lone(self):
        c = self.cluster(1, peers=1)
        self.expect(0, c.set(1, options=["--replicas", "1"]))
        return c

    def wait_text(self, process, *words, seconds=30):
        def says():
            text = process.text().lower()
            return all(word.lower() in text for word in words)
        wait_until(says, seconds, f"{words} in:\n{process.text()}")

    def test_one_replica_asks_for_all_and_the_cluster_lives_on_without_the_service(self):
        c = self.founded(1, 2, 3)
        self.assertLessEqual(self.service.count("Milan"), 2, "two replicas, before there is a log")
        self.assertEqual(1, self.service.count("Genoa"))
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))
        self.service.asked.clear()
        self.seen_chips(c, "up", 1, 2, 3)
        self.assertEqual([], self.service.asked, "what founders are known by needs no request")
        self.unseen_chip_is_asked_for_once(c)
        self.service.down()
        try:
            self.without_service(c)
        finally:
            self.service.up()

    def seen_chips(self, c, label, *numbers, products=("Milan", "Genoa")):
        for number in numbers:
            for product in products:
                self.expect(0, c.pod_on(product, f"{label}-{product}-{number}", number))

    def unseen_chip_is_asked_for_once(self, c):
        """Three replicas are asked at once, one of them asks the service."""
        pods = [c.start_pod_on("Turin", f"new-{n}", n) for n in (1, 2, 3)]
        for pod in pods:
            self.assertEqual(0, pod.wait(60), pod.text())
        self.assertEqual(1, self.service.count("Turin"))

    def without_service(self, c):
        leader = c.wait_leader(1, 2, 3)
        self.seen_chips(c, "down", 1, 2, 3, products=PRODUCTS)
        c.replicas[leader].signal(signal.SIGKILL)
        c.replicas[leader].wait(5)
        rest = [n for n in (1, 2, 3) if n != leader]
        c.wait_leader(*rest)
        self.seen_chips(c, "later", *rest, products=PRODUCTS)
        c.start(4)  # a new replica, on a chip that the cluster has seen
        wait_until(lambda: c.members(rest[0], "standby", "voter") and any(
            m["name"] == "coordinator-4" for m in c.members(rest[0], *harness.VOTING)), 40,
            "a new replica votes")
        self.expect(0, c.verify(4))

    def test_a_chip_that_nobody_knows_waits_for_the_service_and_is_told_so(self):
        c = self.lone()
        self.service.down()
        try:
            pod = c.start_pod_on("Turin", "waiting", 1)
            self.wait_text(pod, "UNVERIFIABLE", "SNP-VEK-MISSING", "trying again", "next try in")
            self.assertTrue(pod.is_alive())
            stopped = c.start_pod_on("Turin", "stopped", 1)
            self.wait_text(stopped, "trying again")
            stopped.signal(signal.SIGTERM)
            self.assertEqual(1, stopped.wait(20), stopped.text())
        finally:
            self.service.up()
        self.assertEqual(0, pod.wait(90), pod.text())
        self.assertEqual(1, self.service.count("Turin"))

    def test_a_pod_that_no_policy_names_causes_no_request(self):
        c = self.lone()
        self.service.asked.clear()
        text = read(c.path("web.yaml"), "r")
        policy = bytearray(harness.policy_of(c.path("web.yaml")))
        policy[100] ^= 1
        write(c.path("changed"), re.sub(
            r"(agent\.policy: *)\"?[A-Za-z0-9+/=]+\"?",
            lambda m: m.group(1) + base64.b64encode(bytes(policy)).decode(), text))
        self.expect(3, c.pod_on("Turin", "changed", 1, "changed"), "POLICY-UNKNOWN")
        self.assertEqual([], self.service.asked)

    def test_a_throttling_service_is_left_alone_for_as_long_as_it_asks(self):
        c = self.lone()
        self.service.mode, self.service.retry_after = "throttle", 4
        pod = c.start_pod_on("Turin", "patient", 1)
        wait_until(lambda: self.service.count("Turin") == 1, 30, "the service is asked")
        self.service.mode = "good"
        self.assertEqual(0, pod.wait(60), pod.text())
        times = self.service.times("Turin")
        self.assertEqual(2, len(times))
        self.assertGreaterEqual(times[1] - times[0], 4)

    def test_files_serve_where_no_service_is(self):
        c = self.cluster(peers=1)
        folder = os.path.join(self.site.dir, "files")
        os.mkdir(folder)
        for product, machine in self.site.machines.items():
            for name in ("vcek.der", "cert_chain.pem"):
                shutil.copy(os.path.join(machine, name), os.path.join(folder, f"{product}-{name}"))
        write(os.path.join(folder, "notes.txt"), "not a certificate\n")
        c.trust.update({"CONTRAST_KDS_URL": "off", "CONTRAST_ENDORSEMENTS": folder})
        c.start_all(1)
        self.expect(0, c.set(1, options=["--replicas", "1"]))
        self.seen_chips(c, "file", 1, products=PRODUCTS)
        self.assertEqual([], self.service.asked)
        self.assertIn("notes.txt", c.replicas[1].text())

    def test_a_manifest_that_demands_lists(self):
        lists = {p: kds.Lists(self.site, f) for p, f in self.site.machines.items()}
        c = self.cluster(1, 2, 3)
        c.set_lists("require")
        self.expect(1, c.set(1, timeout=120), "SNP-CRL-MISSING")
        for product in PRODUCTS:
            self.service.lists[product] = lists[product].make(5)
        wait_until(lambda: c.set(1).code == 0, 90, "founded with lists")
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))
        self.seen_chips(c, "listed", 1, 2, 3, products=PRODUCTS)
        self.revoked(c, lists["Turin"])

    def revoked(self, c, lists):
        """A newcomer brings a newer list in a file; every replica refuses that machine then."""
        lists.revoke_ask()
        folder = os.path.join(self.site.dir, "newer")
        os.mkdir(folder)
        write(os.path.join(folder, "turin.crl"), lists.make(6))
        shutil.copy(os.path.join(self.site.machines["Turin"], "cert_chain.pem"), folder)
        c.trust["CONTRAST_ENDORSEMENTS"] = folder
        c.start(4)
        wait_until(lambda: c.pod_on("Turin", "revoked", 1).code == 3, 60, "the list is the log's")
        for number in (1, 2, 3):
            self.expect(3, c.pod_on("Turin", f"revoked-{number}", number), "SNP-REVOKED")
        self.seen_chips(c, "not-revoked", 1, 2, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
