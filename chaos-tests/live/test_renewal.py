"""A sidecar that renews: new manifests, a dead leader, a pause, no Coordinator, an old Coordinator.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import shutil
import signal
import unittest

import harness
from harness import LiveTest, openssl, read, wait_until, write


class Sidecar:
    """contrast-initializer with CONTRAST_RENEW=true, and what it keeps in its folder."""

    def __init__(self, cluster, name, yaml, coordinator, socket=None):
        self.cluster, self.name = cluster, name
        self.socket = socket or cluster.site.socket
        self.yaml, self.coordinator = yaml, coordinator
        self.process = None
        self.start()

    def start(self):
        c = self.cluster
        argv, env = c.initializer_call(self.name, self.yaml, self.coordinator)
        argv = [self.socket if word == c.site.socket else word for word in argv]
        env.update(CONTRAST_RENEW="true", CONTRAST_RENEW_CHECK_S="1")
        self.log = os.path.join(c.site.logs, f"{c.label}-{self.name}-{len(c.others)}.log")
        self.process = harness.Process(argv, self.log, env, c.site.dir)
        c.others.append(self.process)

    def path(self, *names):
        return self.cluster.pod(self.name, *names)

    def status(self):
        try:
            return json.loads(read(self.path("renewal-status.json")))
        except FileNotFoundError:
            return None

    def set(self):
        """(chain, key, mesh CA) of one set: the folder is opened once."""
        folder = os.open(self.path("tls-config"), os.O_RDONLY | os.O_DIRECTORY)
        try:
            files = []
            for name in ("certChain.pem", "key.pem", "mesh-ca.pem"):
                fd = os.open(name, os.O_RDONLY, dir_fd=folder)
                with open(fd, "rb") as f:
                    files.append(f.read())
            return tuple(files)
        finally:
            os.close(folder)

    def wait_generation(self, generation, seconds=30):
        def is_there():
            if not self.process.is_alive():
                raise AssertionError(f"the sidecar ended:\n{self.process.text()[-3000:]}")
            status = self.status()
            certificate = status and status["certificate"]
            return certificate and certificate["generation"] == generation and status
        return wait_until(is_there, seconds, f"{self.name} has a certificate of generation "
                          f"{generation}: {self.process.text()[-2000:]}")

    def wait_error(self, code, seconds=30):
        def is_there():
            error = self.status()["last_error"]
            return error and error["code"] == code and error
        return wait_until(is_there, seconds, f"{self.name} says {code}: "
                          f"{self.process.text()[-2000:]}")


class Renewal(LiveTest):
    def check_set(self, sidecar):
        """The set as openssl sees it; returns it."""
        chain, key, mesh = sidecar.set()
        chain_file = os.path.join(self.site.dir, "chain.pem")
        mesh_file = os.path.join(self.site.dir, "mesh.pem")
        write(chain_file, chain)
        write(mesh_file, mesh)
        self.assertIn(b"OK", openssl("verify", "-CAfile", mesh_file, chain_file))
        self.assertEqual(openssl("pkey", "-pubout", data=key),
                         openssl("x509", "-noout", "-pubkey", data=chain))
        self.assertEqual(0o400, os.stat(sidecar.path("tls-config", "key.pem")).st_mode & 0o777)
        self.assertEqual(0o444,
                         os.stat(sidecar.path("tls-config", "certChain.pem")).st_mode & 0o777)
        self.assertEqual("valid", sidecar.status()["state"])
        return chain, key, mesh

    def expect_new(self, old, new):
        for name, before, after in zip(("chain", "key", "mesh CA"), old, new):
            self.assertNotEqual(before, after, f"the {name} is the old one")

    def expect_current_ca(self, c, at, new):
        self.expect(0, c.verify(at))
        self.assertEqual(read(c.path("verify", "mesh-ca.pem")), new[2])

    def test_manifests_a_dead_leader_a_pause_and_no_coordinator(self):
        c = self.founded(1, 2, 3, peers=3)
        leader = c.wait_leader(1, 2, 3)
        at, third = (n for n in (1, 2, 3) if n != leader)
        s = Sidecar(c, "backend", c.path("backend.yaml"), at)
        self.assertIsNone(s.wait_generation(1)["last_error"])
        first = self.check_set(s)
        c.edit_web(2)
        self.expect(0, c.set(at))
        s.wait_generation(2)  # nobody tells the sidecar
        second = self.check_set(s)
        self.expect_new(first, second)
        self.expect_current_ca(c, at, second)
        third_set = self.leader_dies(c, s, leader, (at, third), second)
        fourth = self.sidecar_pauses(c, s, (at, third), third_set)
        self.all_are_gone(c, s, (at, third), fourth)

    def leader_dies(self, c, s, leader, others, old):
        c.replicas[leader].signal(signal.SIGKILL)
        c.replicas[leader].wait(5)
        c.edit_web(3)
        self.expect(0, c.set(*others))
        s.wait_generation(3)
        new = self.check_set(s)
        self.expect_new(old, new)
        self.expect_current_ca(c, others[0], new)
        return new

    def sidecar_pauses(self, c, s, others, old):
        s.process.signal(signal.SIGSTOP)
        c.edit_web(4)
        self.expect(0, c.set(*others))
        self.assertEqual(old, s.set())
        s.process.signal(signal.SIGCONT)
        s.wait_generation(4)
        new = self.check_set(s)
        self.expect_new(old, new)
        return new

    def all_are_gone(self, c, s, others, last):
        for number in others:
            c.replicas[number].signal(signal.SIGKILL)
            c.replicas[number].wait(5)
        error = s.wait_error("UNAVAILABLE")
        self.assertIn("refused", error["text"].lower())
        self.assertTrue(s.process.is_alive())
        self.assertEqual(last, self.check_set(s))
        self.assertEqual(4, s.status()["seen"]["generation"])
        self.assertIn("keeping the certificate", s.process.text())
        s.process.signal(signal.SIGTERM)
        self.assertEqual(0, s.process.wait(10), s.process.text()[-3000:])
        self.assertEqual(last, s.set())

    def test_a_sidecar_goes_on_with_what_the_init_container_got(self):
        c = self.founded(1, 2, 3, peers=3)
        self.expect(0, c.initializer("backend", c.path("backend.yaml"), 1))
        s = Sidecar(c, "backend", c.path("backend.yaml"), 2)
        first = self.check_set(s)
        wait_until(lambda: s.status()["last_success"] > s.status()["certificate"]["issued_at"], 20,
                   "a look at the Coordinator went well")
        self.assertEqual(first, self.check_set(s), "nothing was due")
        busy = self.expect(1, c.initializer("backend", c.path("backend.yaml"), 1), "BUSY")
        self.assertIn("another initializer", busy.err)
        seed = read(s.path("secrets", "workload-secret-seed"))
        os.unlink(s.path("..status", "renewal-status.json"))
        s.process.signal(signal.SIGKILL)
        s.process.wait(5)
        s.start()  # of unknown age: renewed at once
        s.wait_generation(1)
        self.expect_new(first[:2], self.check_set(s)[:2])
        self.assertEqual(seed, read(s.path("secrets", "workload-secret-seed")))
        self.refused_for_a_while(c)

    def refused_for_a_while(self, c):
        """A manifest without this pod, then one with it again."""
        old_yaml = read(c.path("web.yaml"))
        pod_yaml = os.path.join(self.site.dir, "web-of-this-pod.yaml")
        shutil.copy(c.path("web.yaml"), pod_yaml)
        s = Sidecar(c, "web", pod_yaml, 1)
        s.wait_generation(1)
        first = self.check_set(s)
        c.edit_web(2)
        self.expect(0, c.set(1))
        error = s.wait_error("DENIED")
        self.assertIn("POLICY-UNKNOWN", error["text"])
        self.assertEqual(first, self.check_set(s))
        self.assertEqual(2, s.status()["seen"]["generation"])
        count = s.status()["last_success"] + 3
        wait_until(lambda: s.status()["last_success"] > count, 20, "it goes on looking")
        self.assertEqual(1, s.process.text().count("POLICY-UNKNOWN"), "said once")
        write(c.path("web.yaml"), old_yaml)
        self.expect(0, c.contrast("generate", "--skip-images", c.app))
        self.expect(0, c.set(1))
        s.wait_generation(3)
        self.expect_new(first, self.check_set(s))

    def test_a_stop_does_not_wait_for_a_silent_security_processor(self):
        """The pod has a processor of its own here: the same machine on another socket."""
        c = self.cluster(1, peers=1)
        self.expect(0, c.set(1, options=["--replicas", "1"]))
        own = os.path.join(self.site.dir, "own.sock")
        log = os.path.join(self.site.logs, "own-simulator.log")
        machine = harness.Process(
            [harness.program("contrast-snp-simulator"), "serve",
             os.path.join(self.site.dir, "machine"), "--socket", own], log)
        c.others.append(machine)
        wait_until(lambda: os.path.exists(own), 10, "the pod's machine listens")
        s = Sidecar(c, "backend", c.path("backend.yaml"), 1, own)
        s.wait_generation(1)
        first = self.check_set(s)
        machine.signal(signal.SIGSTOP)
        c.edit_web(2)
        self.expect(0, c.set(1))
        verified = "Coordinator verified: epoch 1, generation 2"
        wait_until(lambda: verified in s.process.text(), 20, "a renewal is under way")
        wait_until(lambda: s.status()["seen"]["generation"] == 2, 20, "and waits for a report")
        s.process.signal(signal.SIGTERM)
        self.assertEqual(0, s.process.wait(15), s.process.text()[-2000:])
        self.assertEqual(first, s.set())

    def test_who_has_seen_more_refuses_what_is_older(self):
        c = self.cluster(1, peers=1)
        self.expect(0, c.set(1, options=["--replicas", "1"]))
        yaml = c.path("backend.yaml")
        self.expect(0, c.initializer("backend", yaml, 1))
        pod = c.pod("backend", "renewal-status.json")
        good = json.loads(read(pod))
        changes = (("epoch", 9, 4, "ROLLBACK", "epoch 1, and epoch 9"),
                   ("generation", 2, 4, "ROLLBACK", "generation 1, and 2 was seen"),
                   ("head", "00" * 32, 4, "FORK", "another transition"),
                   ("cluster", "00" * 32, 3, "DIFFERS", "another cluster"))
        for key, value, code, name, words in changes:
            seen = dict(good["seen"], **{key: value})
            os.chmod(pod, 0o644)
            write(pod, json.dumps(dict(good, seen=seen)))
            before = read(c.pod("backend", "tls-config", "certChain.pem"))
            self.expect(code, c.initializer("backend", yaml, 1), name, words)
            s = Sidecar(c, "backend", yaml, 1)
            wait_until(lambda s=s, name=name: f" ERROR initializer: {name}: " in s.process.text(),
                       20, f"the sidecar says {name}")
            self.assertIn(words, s.wait_error(name)["text"])
            self.assertTrue(s.process.is_alive())
            self.assertEqual(before, read(s.path("tls-config", "certChain.pem")))
            self.assertEqual(value, s.status()["seen"][key])
            self.assertEqual(0, s.process.end(), s.process.text()[-2000:])


if __name__ == "__main__":
    unittest.main(verbosity=2)
