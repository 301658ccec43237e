"""Clients of a deployment, each with one way of asking, each writing what it was told.

    Reader     evidence over a fresh nonce from one replica, judged for nonce and channel
    Waiter     the same on one connection that stays
    Poller     the status of one replica
    Enroller   a pod in Python: a certificate for evidence, through one replica
    Crowd      many of them at the same moment
    Intruder   the same with something wrong about it: must be denied
    Setter     an owner: reads the head, changes the manifest, sets it, tries on through others, and
               when the outcome is unknown looks whether it came about
    *Program   the same with the real programs: contrast set, contrast verify, contrast-initializer

Each has step(): one operation, written as history.py says, bounded in time. What it may raise is a
bug. They see a deployment through a Place: names, addresses, machines, and which epochs began.

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import json
import os
import re
import shutil
import threading

import attested
import harness
import owner
import wire

READ_S, SET_S, WAIT_S = 5, 15, 20  # patience for one connection
CROWD = 40  # pods at once
QUESTIONS = 50  # on one connection of a Waiter
GENERATIONS_MAX = 900  # then owners rest: a deployment has room for 1000 manifests
SET_TRIES = 4
TROUBLE = (OSError, ValueError, wire.Refused)
CHANGED = 61
REFUSALS = (42, 45, 60, 62, 63)  # nothing was proposed (lib/base/err.h)
ISSUED = re.compile(r"certificate issued: generation (\d+), index (\d+), serial ([0-9a-f]{32})")
SECRET_IDS = {"backend.yaml": "default/backend", "web.yaml": "default/Deployment/web"}


def short(error):
    if isinstance(error, wire.Refused):
        return f"{error.fields['code']}: {error.fields['text']}"
    return f"{type(error).__name__}: {error}"


def digest(data):
    """Of a key or a certificate, as histories have it."""
    return hashlib.sha384(data if isinstance(data, bytes) else data.encode()).hexdigest()[:32]


def position_value(fields):
    """The value of a read, from a replica's statement."""
    return {"epoch": fields["epoch"], "generation": fields["generation"],
            "transition": fields["head"].hex(), "index": fields["confirmed_index"],
            "ledger": {"size": fields["ledger_size"], "root": fields["ledger_root"].hex()[:32]},
            "root": fields["root_ca"].hex()[:32], "mesh": fields["mesh_ca"].hex()[:32]}


def issue_value(given):
    """The value of an issue, without its epoch, from API_CERTIFICATE_REPLY."""
    return {"generation": given["generation"], "index": given["index"],
            "serial": given["serial"].hex(), "root": digest(given["root_ca"]),
            "mesh": digest(given["mesh_ca"]),
            "secret": digest(b"of a workload" + given["secret"])}


class Place:
    """A deployment as its clients see it; and what they learn together: recoveries."""

    def __init__(self, cluster, history, folder):
        self.cluster, self.history, self.dir = cluster, history, folder
        self.lock = threading.Lock()
        self.epoch = 1
        self.losses = 0  # recoveries that went back behind what somebody may have verified
        self.generation = 0

    def names(self):
        return [replica.name for replica in self.cluster.replicas.values()]

    def address(self, name):
        return self.replica(name).address

    def replica(self, name):
        return next(r for r in self.cluster.replicas.values() if r.name == name)

    def machine(self, name):
        """The machine of that replica's host: a pod beside it."""
        return self.cluster.machines.socket(self.replica(name).host.number)

    def file(self, name):
        return os.path.join(self.cluster.app, name)

    def inside(self):
        return self.cluster.lab.outside.inside()

    def session(self, name, port, identity, timeout=READ_S):
        return attested.Session(self.address(name), port, identity, timeout)

    def identity(self, label):
        """A certificate and key of its own for each client."""
        key, crt = (os.path.join(self.dir, f"{label}.{end}") for end in ("key", "crt"))
        if not os.path.exists(crt):
            harness.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt,
                            "-subj", "/CN=client", "-days", "2")
        return attested.Identity(crt, key)

    def learn(self, session, fields):
        """Called with every position before it is written: the first one of a new epoch brings
        the recoveries that led there into the history."""
        with self.lock:
            self.generation = max(self.generation, fields["generation"])
            if fields["epoch"] <= self.epoch:
                return
            _, (count, _, items) = session.ask(wire.RECOVERIES, [0])
            if len(items) != count:
                raise ValueError(f"{len(items)} of {count} recoveries")
            for item in items:
                self._write(*item[:10])
            self.epoch = fields["epoch"]

    def _write(self, _cluster, epoch, before, mode, generation, head, index, size, root, recipient):
        if epoch <= self.epoch:
            return
        if generation < self.generation:
            self.losses, self.generation = self.losses + 1, generation
        self.history.event("recover", {
            "epoch": epoch, "previous_epoch": before, "mode": mode, "generation": generation,
            "head": head.hex(), "index": index, "recipient": recipient.hex(),
            "ledger": {"size": size, "root": root.hex()[:32]}})

    def position(self, session):
        """A confirmed position, or ValueError."""
        fields = session.position()
        if not fields["is_confirmed"]:
            raise ValueError("genuine, not confirmed by a quorum")
        self.learn(session, fields)
        return fields


class Client:
    def __init__(self, place, label):
        self.place, self.label = place, label
        self.history = place.history
        self.identity = place.identity(label)

    def close(self):
        self.identity.close()


class Reader(Client):
    def __init__(self, place, label, target):
        super().__init__(place, label)
        self.target = target

    def step(self):
        call = self.history.call(self.label, "read", self.target)
        try:
            with self.place.session(self.target, harness.USER, self.identity) as session:
                value = position_value(self.place.position(session))
        except TROUBLE as error:
            self.history.fail(call, short(error))
            return None
        self.history.ok(call, value)
        return value


class Waiter(Reader):
    """Asks on a connection that stays open, and waits long: when its replica stands still, the
    question lies in its sockets and is the first thing that it sees when it wakes."""

    def __init__(self, place, label, target):
        super().__init__(place, label, target)
        self.session, self.left = None, 0

    def close(self):
        self.hang_up()
        super().close()

    def hang_up(self):
        if self.session:
            self.session.close()
            self.session = None

    def step(self):
        call = self.history.call(self.label, "read", self.target)
        try:
            if self.session is None:
                self.session = self.place.session(self.target, harness.USER, self.identity, WAIT_S)
                self.left = QUESTIONS
            value = position_value(self.place.position(self.session))
        except TROUBLE as error:
            self.history.fail(call, short(error))
            self.hang_up()
            return
        self.history.ok(call, value)
        self.left -= 1
        if not self.left:
            self.hang_up()


class Poller(Reader):
    def step(self):
        call = self.history.call(self.label, "status", self.target)
        try:
            with self.place.session(self.target, harness.USER, self.identity) as session:
                status = session.status()
                if status["is_confirmed"]:
                    self.place.learn(session, status)
        except TROUBLE as error:
            self.history.fail(call, short(error))
            return
        self.history.ok(call, {
            "state": status["state"], "id": status["id"], "epoch": status["epoch"],
            "generation": status["generation"], "transition": status["head"].hex(),
            "is_confirmed": status["is_confirmed"], "index": status["commit_index"],
            "ledger": {"size": status["ledger_size"], "root": status["ledger_root"].hex()[:32]}})


class Enroller(Reader):
    """Beside each replica a pod of that host's machine; it lives as long as the client."""

    def __init__(self, place, label, target, yaml="backend.yaml"):
        super().__init__(place, label, target)
        self.secret_id = SECRET_IDS[yaml]
        self.policy = hashlib.sha256(harness.policy_of(place.file(yaml))).digest()
        self.pod = None

    def close(self):
        self.let_go()
        super().close()

    def let_go(self):
        if self.pod:
            self.pod.close()
            self.pod = None

    def step(self):
        call = self.history.call(self.label, "issue", self.target, {"secret_id": self.secret_id})
        is_asked = False
        try:
            self.pod = self.pod or attested.Pod(self.place.machine(self.target), self.policy)
            with self.place.session(self.target, harness.MESH, self.identity) as session:
                before = session.position()
                self.place.learn(session, before)
                is_asked = True
                given = session.certificate(self.pod)
                value = self.value(session, before, given)
        except wire.Refused as error:
            self.history.fail(call, short(error))
        except (OSError, ValueError) as error:
            self.let_go()  # its machine may have been started anew
            (self.history.unknown if is_asked else self.history.fail)(call, short(error))
        else:
            self.history.ok(call, value)

    def value(self, session, before, given):
        value = issue_value(given)
        for _ in range(2):  # which epoch it was, its mesh CA tells
            if before["mesh_ca"].hex()[:32] == value["mesh"]:
                value["epoch"] = before["epoch"]
                break
            before = session.position()
            self.place.learn(session, before)
        return value


class Crowd(Enroller):
    """Many pods at the same moment, at all replicas: all have asked before the first proves itself,
    all have proved themselves before the first certificate is taken."""

    def step(self):
        try:
            self.pod = self.pod or attested.Pod(self.place.machine(self.target), self.policy)
        except OSError:
            return
        names = self.place.names()
        members = []
        for n in range(CROWD):
            name = names[n % len(names)]
            call = self.history.call(self.label, "issue", name, {"secret_id": self.secret_id})
            try:
                session = self.place.session(name, harness.MESH, self.identity, SET_S)
            except TROUBLE as error:
                self.history.fail(call, short(error))
            else:
                members.append((call, session))
        for part in (self.ask, self.prove, self.take):
            members = [member for member in members if self.go_on(part, *member)]

    def go_on(self, part, call, session):
        """False when it is over for this one."""
        try:
            value = part(session)
        except TROUBLE as error:
            is_sure = isinstance(error, wire.Refused) or part != self.take
            (self.history.fail if is_sure else self.history.unknown)(call, short(error))
        else:
            if value is None:
                return True
            self.history.ok(call, value)
        session.close()
        return False

    @staticmethod
    def ask(session):
        session.send(wire.CERTIFICATE, [])

    def prove(self, session):
        session.prove(self.pod)

    @staticmethod
    def take(session):
        return issue_value(session.take_certificate())


class Intruder(Reader):
    """Asks for certificates that nobody may give it: one kind after the other."""

    DEBUG = 0x30000 | 1 << 19

    def __init__(self, place, label, target):
        super().__init__(place, label, target)
        self.policy = hashlib.sha256(harness.policy_of(place.file("backend.yaml"))).digest()
        self.other = place.identity(f"{label}-other")
        self.kept = None
        self.turn = 0
        self.kinds = (
            ("a policy that no manifest names", {"host_data": os.urandom(32)}, None),
            ("another guest image", {"measurement": os.urandom(48)}, None),
            ("a guest that may be debugged", {"policy": self.DEBUG}, None),
            ("another key than its channel's", {}, self.other_key),
            ("evidence of an earlier session", {}, self.replay),
            ("a report that was changed", {}, self.spoil),
        )

    def close(self):
        self.other.close()
        super().close()

    def other_key(self, evidence):
        return evidence[:8] + [wire.pack([self.other.spki])]

    def replay(self, evidence):
        if self.kept is None:
            self.kept = evidence
            return self.other_key(evidence)
        return self.kept

    def spoil(self, evidence):
        report = bytearray(evidence[0])
        report[0x90] ^= 1  # MEASUREMENT
        return [bytes(report)] + evidence[1:]

    def step(self):
        why, guest, change = self.kinds[self.turn % len(self.kinds)]
        self.turn += 1
        call = self.history.call(self.label, "issue", self.target, {"denied": why})
        try:
            with attested.Pod(self.place.machine(self.target),
                              **dict({"host_data": self.policy}, **guest)) as pod:
                with self.place.session(self.target, harness.MESH, self.identity) as session:
                    given = session.certificate(pod, change)
        except TROUBLE as error:
            self.history.fail(call, short(error))
            return
        self.history.ok(call, {"generation": given["generation"], "index": given["index"],
                               "serial": given["serial"].hex()})


# --- Owners


class Attempt:
    """One manifest on its way."""

    def __init__(self, fields, signer, manifest, transition):
        self.fields, self.signer = fields, signer
        self.manifest, self.transition = manifest, transition
        self.generation = fields["generation"] + 1

    def args(self):
        return {"previous": self.fields["head"].hex(), "generation": self.generation,
                "manifest": hashlib.sha256(self.manifest).hexdigest(),
                "transition": self.transition.hex(), "epoch": self.fields["epoch"]}

    def value(self, transition=None, generation=None):
        return {"generation": generation or self.generation,
                "transition": (transition or self.transition).hex(),
                "epoch": self.fields["epoch"]}


class Setter(Client):
    """An owner with a key of its own, and the deployment's first one for manifests that do not
    name it; several change one deployment."""

    def __init__(self, place, label, rng, *keys):
        super().__init__(place, label)
        self.rng = rng
        self.owners = [owner.Owner(key) for key in keys]
        self.count = 0

    def shuffled(self):
        names = self.place.names()
        self.rng.shuffle(names)
        return names

    def step(self):
        names = self.shuffled()
        try:
            with self.place.session(names[0], harness.USER, self.identity, SET_S) as session:
                attempt = self.prepare(session, names[0])
                if attempt:
                    call = self.history.call(self.label, "set", names[0], attempt.args())
                    self.answer(call, attempt, self.try_all(session, attempt, names))
        except TROUBLE:
            pass  # before the call: the read has its own line

    def prepare(self, session, name):
        """Reads the head and makes its successor; None when nothing was confirmed."""
        call = self.history.call(self.label, "read", name)
        try:
            fields = self.place.position(session)
        except TROUBLE as error:
            self.history.fail(call, short(error))
            return None
        self.history.ok(call, position_value(fields))
        if not 0 < fields["generation"] < GENERATIONS_MAX:
            return None
        return self.successor(fields, self.record(session, fields["generation"])[0])

    @staticmethod
    def record(session, generation):
        """[manifest, SPKI, signature] of one generation, as this replica has it."""
        _, fields = session.ask(wire.HISTORY, [generation])
        if not fields[4]:
            raise ValueError(f"no record of generation {generation}")
        return fields[4][0]

    def successor(self, fields, current):
        manifest = json.loads(current)
        signer = self.signer(manifest)
        manifest = self.changed(manifest)
        data = json.dumps(manifest).encode()
        return Attempt(fields, signer, data, wire.transition(
            fields["cluster"], fields["epoch"], fields["generation"] + 1, fields["head"], data,
            owner.hashes_of(data)))

    def signer(self, manifest):
        """Whose signature the manifest before asks for."""
        for mine in self.owners:
            if hashlib.sha256(mine.spki).hexdigest() in manifest["WorkloadOwnerKeyDigests"]:
                return mine
        return self.owners[-1]

    def changed(self, manifest):
        """A name of a service that tells owner and number: no two manifests are the same."""
        self.count += 1
        for policy in manifest["Policies"].values():
            sans = [s for s in policy.get("SANs", []) if not s.startswith("by-")]
            if policy.get("WorkloadSecretID") == SECRET_IDS["web.yaml"]:
                sans.append(f"by-{self.label}-{self.count}")
            policy["SANs"] = sans
        return manifest

    def answer(self, call, attempt, outcome):
        kind, detail = outcome
        if kind == "ok":
            self.history.ok(call, detail)
        else:
            (self.history.fail if kind == "fail" else self.history.unknown)(call, detail)

    def try_all(self, session, attempt, names):
        """(outcome, value or error). From the first unknown outcome on, the head is asked first."""
        kind, detail = self.try_one(session, attempt)
        for turn in range(1, SET_TRIES):
            if kind != "unknown":
                break
            kind, detail = self.resolve(names[turn % len(names)], attempt, detail)
        return kind, detail

    def try_one(self, session, attempt):
        signature = attempt.signer.sign(attempt.transition)
        try:
            reply = owner.upload(session, {}, wire.SET, [
                attempt.manifest, attempt.fields["head"], attempt.signer.spki, signature])
        except wire.Refused as error:
            if error.fields["code"] == CHANGED:
                return "fail", f"CHANGED: {error.fields['text']}"
            return ("fail" if error.fields["code"] in REFUSALS else "unknown"), short(error)
        except (OSError, ValueError, KeyError) as error:
            return "unknown", short(error)
        return "ok", attempt.value(reply[0], reply[1])

    def resolve(self, name, attempt, why):
        """Another replica, as a real owner would ask it: did it come about? If not, once more."""
        try:
            with self.place.session(name, harness.USER, self.identity, SET_S) as session:
                now = self.place.position(session)
                if now["generation"] >= attempt.generation:
                    return self.look(session, attempt, now)
                if now["epoch"] != attempt.fields["epoch"]:
                    return "unknown", f"epoch {now['epoch']} began; before that: {why}"
                kind, detail = self.try_one(session, attempt)
                # refused now: the first one may have come about meanwhile, and be superseded
                return ("unknown" if kind == "fail" else kind), detail
        except TROUBLE as error:
            return "unknown", f"{short(error)}; before that: {why}"

    def look(self, session, attempt, now):
        manifest = self.record(session, attempt.generation)[0]
        if manifest == attempt.manifest:
            return "ok", attempt.value()
        if now["epoch"] != attempt.fields["epoch"]:
            return "unknown", "another epoch, without it"
        return "fail", "CHANGED: another manifest has this generation"


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


class Admission(Setter):
    """Adds owner keys to the manifest."""

    def __init__(self, place, label, rng, key, newcomers):
        super().__init__(place, label, rng, key)
        self.digests = [hashlib.sha256(owner.Owner(path).spki).hexdigest() for path in newcomers]

    def changed(self, manifest):
        digests = manifest["WorkloadOwnerKeyDigests"]
        manifest["WorkloadOwnerKeyDigests"] = sorted({*digests, *self.digests})
        return super().changed(manifest)


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


class VerifyProgram(Setter):
    """`contrast verify` of one replica, with a memory of its own. The manifest that is to be
    there is read just before: another owner's change in between is no finding."""

    def __init__(self, place, label, rng, key, target, folder):
        super().__init__(place, label, rng, key)
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
                manifest = self.record(session, fields["generation"])[0]
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
            code = pod.run(30)
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
