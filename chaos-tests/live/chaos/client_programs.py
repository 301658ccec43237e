"""The real programs as clients: `contrast set` and `contrast verify` with workspaces of their own,
contrast-initializer once and as a sidecar. Each run is bounded, one at a time for each client.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import re
import shutil

from clients import SECRET_IDS, TROUBLE, Client, digest  # first: the path
import harness
from setters import Setter, record

ISSUED = re.compile(r"certificate issued: generation (\d+), index (\d+), serial ([0-9a-f]{32})")
ENROLL_S = 30


def json_of(done):
    try:
        return json.loads(done.out)
    except ValueError:
        return {}


def words_of(done):
    """What a program said about its failure: code and text of its JSON, else its last line."""
    said = json_of(done)
    for place in (said.get("error"), *said.get("replicas", [])):
        if isinstance(place, dict) and place.get("code"):
            return place["code"], place.get("text", "")
    lines = done.err.strip().splitlines()
    return "", lines[-1] if lines else ""


class SetProgram(Setter):
    """`contrast set` out of a workspace of its own."""

    def __init__(self, place, label, rng, key, workspace):
        super().__init__(place, label, rng, key)  # the key that the workspace has
        self.workspace = workspace

    def users(self, names):
        return ",".join(f"{self.place.replica(n).dns_name}:{harness.USER}" for n in names)

    def try_all(self, session, attempt, names):
        path = self.workspace.path("chaos-manifest.json")
        harness.write(path, attempt.manifest)
        done = self.workspace.contrast(
            "set", "-c", self.users(names), "-m", path, "--latest-transition",
            attempt.fields["head"].hex(), "--output", "json", self.workspace.dir)
        said = json_of(done)
        if done.code == 0 and said.get("set"):
            return "ok", attempt.value(bytes.fromhex(said["transition"]), said["generation"])
        code, text = words_of(done)
        if done.code == 3 and code == "CHANGED":
            return "fail", f"CHANGED: {text}"
        return "unknown", f"exit {done.code}: {code}: {text}"


class VerifyProgram(Client):
    """`contrast verify` of one replica, with a memory of its own. The manifest that is to be
    there is read just before: another owner's change in between is no finding."""

    def __init__(self, place, label, target, folder):
        super().__init__(place, label)
        self.target, self.dir, self.losses = target, folder, 0
        self.renew()

    def renew(self):
        """Forgets what it had verified: a recovery that lost it is an owner's decision."""
        shutil.rmtree(self.dir, ignore_errors=True)
        shutil.copytree(self.place.cluster.app, self.dir)
        self.losses = self.place.losses

    def step(self):
        if self.losses != self.place.losses:
            self.renew()
        try:
            with self.place.session(self.target, harness.USER, self.identity) as session:
                fields = self.place.position(session)
                manifest = record(session, fields["generation"])[0]
        except TROUBLE:
            return
        harness.write(os.path.join(self.dir, "manifest.json"), manifest)
        call = self.history.call(self.label, "read", self.target)
        done = self.place.cluster.contrast(
            self.dir, "verify", "-c", f"{self.place.replica(self.target).dns_name}:{harness.USER}",
            "--output", "json", name=self.label)
        said = json_of(done)
        if done.code == 0:
            self.history.ok(call, {
                "epoch": said["epoch"], "generation": said["generation"],
                "transition": said["transition"], "ledger": {"size": said["ledger_size"]},
                "index": said["replicas"][0]["confirmed_index"]})
            return
        code, text = words_of(done)
        is_other = done.code == 3 and code == "DIFFERS" and "manifest" in text
        self.history.fail(call, f"{'changed: ' if is_other else f'exit {done.code}: '}"
                          f"{code}: {text}")


class EnrollProgram(Client):
    """contrast-initializer, once, as a new pod on some host, over the service's name."""

    def __init__(self, place, label, rng, yaml="web.yaml"):
        super().__init__(place, label)
        self.rng, self.yaml, self.count = rng, yaml, 0

    def step(self):
        self.count += 1
        cluster = self.place.cluster
        host = self.rng.choice([r.host.number for r in cluster.replicas.values()])
        pod = cluster.pod(f"{self.label}-{self.count}", host, yaml=self.yaml)
        call = self.history.call(self.label, "issue", f"host-{host}",
                                 {"secret_id": SECRET_IDS[self.yaml]})
        try:
            code = pod.run(ENROLL_S)
            issued = ISSUED.search(pod.text())
            if code == 0 and issued:
                self.history.ok(call, program_value(pod, issued))
            elif code in (3, 4):
                last = pod.text().strip().splitlines()[-1:]
                self.history.fail(call, f"exit {code}: {' '.join(last)}")
            else:
                self.history.unknown(call, f"exit {code}")
        finally:
            pod.remove()
            with cluster.lock:
                cluster.pods.remove(pod)


def epoch_of(pod, generation):
    """The epoch of the certificate that lies in the pod, or None when that is another one."""
    certificate = (pod.status() or {}).get("certificate") or {}
    return certificate.get("epoch") if certificate.get("generation") == generation else None


def program_value(pod, issued):
    """What the initializer said and wrote."""
    value = {"generation": int(issued[1]), "index": int(issued[2]), "serial": issued[3],
             "epoch": epoch_of(pod, int(issued[1])),
             "root": digest(harness.read(pod.file("tls-config", "coordinator-root-ca.pem"))),
             "mesh": digest(harness.read(pod.file("tls-config", "mesh-ca.pem")))}
    seed = harness.read(pod.file("secrets", "workload-secret-seed")).decode().strip()
    value["secret"] = digest(b"of a workload" + bytes.fromhex(seed))
    return value


class Sidecar(Client):
    """A pod that renews. Each certificate that its log tells is an operation whose call is the
    moment when the one before the last was seen: it began later for certain. It does not forget
    what it has seen; so when a recovery lost that, its pod is restarted, as an owner would."""

    def __init__(self, place, label, host, yaml="backend.yaml"):
        super().__init__(place, label)
        self.host, self.yaml = host, yaml
        self.args = {"secret_id": SECRET_IDS[yaml]}
        self.target = f"host-{host}"
        self.calls = []
        self.pods = 0
        self.new_pod()

    def new_pod(self):
        self.pods += 1
        self.losses, self.told = self.place.losses, 0
        self.pod = self.place.cluster.pod(f"{self.label}-{self.pods}", self.host, yaml=self.yaml,
                                          renews=True)

    def close(self):
        if self.pod.process:
            self.pod.process.end()
        super().close()

    def begin(self):
        self.calls.append(self.history.call(self.label, "issue", self.target, self.args))

    def step(self):
        if self.losses != self.place.losses:
            self.pod.process.end()
            self.new_pod()
        if self.pod.process is None:
            while len(self.calls) < 2:
                self.begin()
            self.pod.start()
        issued = ISSUED.findall(self.pod.text())
        for generation, index, serial in issued[self.told:]:
            self.begin()
            value = {"generation": int(generation), "index": int(index), "serial": serial,
                     "epoch": epoch_of(self.pod, int(generation))}
            if value["epoch"] is None:  # replaced before it was looked at
                self.history.unknown(self.calls.pop(0), "its epoch was not seen", value)
            else:
                self.history.ok(self.calls.pop(0), value)
        self.told = len(issued)
