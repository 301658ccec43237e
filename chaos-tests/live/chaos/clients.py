"""Clients of a deployment, each with one way of asking, each writing what it was told.

    Reader     evidence over a fresh nonce from one replica, judged for nonce and channel
    Waiter     the same on one connection that stays
    Poller     the status of one replica
    Enroller   a pod in Python: a certificate for evidence, through one replica
    Crowd      many of them at the same moment
    Intruder   the same with something wrong about it: must be denied

Owners are in setters.py, the real programs in client_programs.py. Each has step(): one operation,
written as history.py says, bounded in time. What it may raise is a bug. They see a deployment
through a Place: names, addresses, machines, and which epochs began.

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import os
import threading

import attested
import harness
import wire

READ_S, SET_S, WAIT_S = 5, 15, 20  # patience for one connection
CROWD = 40  # pods at once
QUESTIONS = 50  # on one connection of a Waiter
TROUBLE = (OSError, ValueError, wire.Refused)
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
