"""What the scenarios share: one cluster for all of them, made whole before each, and short words.

A scenario asks for the fixture it needs (conftest.py):

    cluster   replicas 1, 2, 3 that vote, 4 and 5 that may be started, one workspace; every scenario
              finds it whole, with one manifest that the workspace knows
    lonely    a function: a cluster of one's own, for what cannot be undone
    shop      a workspace with nothing running, to be spoiled
    run       a function that runs a program

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import re
import shutil
import signal

import harness
import owner
import wire
from harness import MESH, RAFT, VOTING, program, read, wait_until, write

FOUNDERS = (1, 2, 3)
KILL_LIBRARY = os.path.join(harness.BIN, "..", "test", "killpoint.so")
NO_QUORUM, SIGNATURE, CHANGED, FOUNDED = 9, 62, 61, 64  # lib/base/err.h


def expect(codes, done, *words):
    """One of these exit codes (a number: this one), and words that stand in the output."""
    codes = (codes,) if isinstance(codes, int) else codes
    assert done.code in codes, str(done)
    for word in words:
        assert word.lower() in (done.out + done.err).lower(), f"no '{word}' in\n{done}"
    return done


def refused(call, *arguments):
    """The fields of the error that the replica answers with."""
    try:
        answer = call(*arguments)
    except wire.Refused as why:
        return why.fields
    raise AssertionError(f"not refused: {answer!r:.200}")


def change_manifest(app, change):
    """Edits the parsed manifest of a workspace."""
    path = os.path.join(app, "manifest.json")
    manifest = json.loads(read(path))
    change(manifest)
    write(path, json.dumps(manifest, indent=2))


def statement(evidence):
    """The statement of a replica's evidence: docs/wire.md section 4."""
    names = ("cluster epoch id key term commit size root head generation root_ca mesh_ca state "
             "has_confirmed confirmed").split()
    return dict(zip(names, wire.unpack(evidence[8])))


class Cluster(harness.Cluster):
    """A cluster that can be made whole again."""

    editions = 100
    addresses = None     # of its own; None: the site's
    socket = None        # of another machine; None: the site's
    measurement = None   # of another guest image; None: the machine's
    is_killable = False  # replicas end at a chosen one of their writes: arm()
    lives = 0            # of killable replicas, each with a file of its own

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.kill_files = {}

    def address(self, number):
        return (self.addresses or self.site.addresses).of(number)

    def next_manifest(self):
        """Another version of the application, never one that was there before."""
        Cluster.editions += 1
        self.edit_web(Cluster.editions)

    def set_next(self, *numbers):
        self.next_manifest()
        expect(0, self.set(*(numbers or FOUNDERS)))

    def launch(self, pod, name):
        """A program in a simulated pod, on this cluster's machine and of its guest image."""
        image = ["--measurement", self.measurement] if self.measurement else []
        return [program("contrast-snp-simulator"), "launch", "--socket",
                self.socket or self.site.socket, "--pod", pod, *image, "--", program(name)]

    def start(self, number, name=None, at=None, **more):
        """As in harness.py; `more`: further variables of its environment, also the peers'."""
        at = at or number
        peers = ",".join(f"{self.address(n)}:{MESH}" for n in range(1, self.peers + 1))
        env = dict(self.trust, CONTRAST_NAME=name or f"coordinator-{number}",
                   CONTRAST_LISTEN=self.address(at), CONTRAST_PEERS=peers,
                   CONTRAST_ADDRESS=f"{self.address(at)}:{RAFT}")
        if self.is_killable:
            Cluster.lives += 1
            self.kill_files[at] = os.path.join(self.site.dir, f"kill-{Cluster.lives}")
            env.update(KILLPOINT=self.kill_files[at], LD_PRELOAD=KILL_LIBRARY,
                       ASAN_OPTIONS="verify_asan_link_order=0")
        self.replicas[at] = harness.Process(
            self.launch(self.path("coordinator.yaml"), "contrast-coordinator"),
            os.path.join(self.site.logs, f"{self.label}-coordinator-{at}.log"), dict(env, **more),
            self.site.dir)
        return self.replicas[at]

    def initializer_call(self, name, yaml, coordinator):
        _, env = super().initializer_call(name, yaml, coordinator)
        return self.launch(yaml, "contrast-initializer"), env

    def adopt(self, other):
        """The workspace becomes a copy's, whose manifest is the active one."""
        shutil.copytree(other.app, self.app, dirs_exist_ok=True)
        expect(0, self.verify(1))

    def kill(self, number):
        """SIGKILL; nothing of it is left but its log."""
        process = self.replicas.pop(number)
        process.signal(signal.SIGKILL)
        process.wait(10)

    def arm(self, number, point):
        """SIGKILL at a write of this replica: "before 1 port 7777 bytes 0", see killpoint.c."""
        path = self.kill_files[number]
        write(path + ".new", point + "\n")
        os.rename(path + ".new", path)

    def dies(self, number):
        """It reaches its point."""
        process = self.replicas.pop(number)
        try:
            assert process.wait(30) == -signal.SIGKILL, process.text()[-3000:]
        finally:
            process.end()

    def stop(self, number):
        """Its host pauses it."""
        self.replicas[number].signal(signal.SIGSTOP)

    def wake(self, number):
        self.replicas[number].signal(signal.SIGCONT)

    def alive(self):
        return [n for n, process in self.replicas.items() if process.is_alive()]

    def is_at_rest(self, at, voters, others=0):
        """So many connected voters, nobody on the way, a quorum confirms."""
        status = self.status(at)
        if not status or not status["is_confirmed"]:
            return False
        members = status["members"]
        return sum(m["role"] in VOTING and m["is_connected"] for m in members) == voters and \
            sum(m["role"] == "standby" for m in members) == others and \
            len(members) == voters + others

    def wait_rest(self, at, voters=3, others=0, seconds=60):
        wait_until(lambda: self.is_at_rest(at, voters, others), seconds,
                   f"{voters} voters and {others} standbys at rest, seen by replica {at}: "
                   f"{(self.status(at) or {}).get('members')}")

    def catch_up(self):
        """The workspace knows what is active, also after a scenario that failed in its middle."""
        active = self.history(1)["records"][-1][0]
        if active != self.manifest():
            write(self.path("manifest.json"), active)
        expect(0, self.verify(1))

    def start_dead(self):
        for number in FOUNDERS:
            if number not in self.alive():
                self.start(number)
                self.wait_serving(number)

    def make_whole(self):
        """Replicas 1, 2, 3 vote and know the workspace's manifest; nobody else is a member. What
        ended is started again, as Kubernetes would do, and rows of spares that died are retired."""
        for number in self.alive():
            self.wake(number)
        names = [f"coordinator-{n}" for n in FOUNDERS]
        spares = [n for n in self.alive() if n not in FOUNDERS]
        for number in spares:  # they may be all that is left: the others come first
            self.start_dead()
            wait_until(lambda: all((self.status(n) or {}).get("is_confirmed") for n in FOUNDERS),
                       60, "the founders are members, whoever else is")
            self.replicas.pop(number).end()

        def is_whole():
            self.start_dead()
            for member in (self.status(1) or {"members": []})["members"]:
                if member["name"] not in names and not member["is_connected"]:
                    self.retire(member["name"], *FOUNDERS)
            return all(self.is_at_rest(n, 3) for n in FOUNDERS)
        wait_until(is_whole, 90, f"whole: {(self.status(1) or {}).get('members')}")

    def heads(self, *numbers):
        """(generation, head) that each of these replicas tells."""
        return [(s["generation"], s["head"]) for s in map(self.status, numbers)]

    def followers(self):
        """(leader, followers) among the founders."""
        leader = self.wait_leader(*FOUNDERS)
        return leader, [n for n in FOUNDERS if n != leader]

    def copy(self, name):
        """A copy of the workspace, to be spoiled; a cluster object that shares the replicas."""
        other = Cluster.__new__(Cluster)
        other.__dict__ = dict(self.__dict__)
        other.app = os.path.join(self.site.dir, f"{self.label}-{name}-{Cluster.editions}")
        Cluster.editions += 1
        shutil.copytree(self.app, other.app)
        return other

    def owner(self):
        return owner.Owner(self.path("workload-owner.pem"))

    def ask(self, number, kind, fields, port=harness.USER, attested=True):
        """One request on a connection of its own."""
        with self.session(number, port) as session:
            if attested:
                session.attest(os.urandom(32))
            return session.ask(kind, fields)[1]

    def raw_set(self, number):
        """The workspace's manifest past the command line, properly signed."""
        with self.session(number) as session:
            return owner.set_manifest(session, self.app, self.owner())

    def history(self, number):
        names = "cluster epoch generation from records root_ca mesh_ca".split()
        return dict(zip(names, self.ask(number, wire.HISTORY, [1])))

    def issue(self, name, number, yaml="web.yaml"):
        """A pod of this name gets its certificate; the folder of its files."""
        expect(0, self.initializer(name, self.path(yaml), number))
        return self.pod(name)

    def recover(self, number, *options, app=None, key=None):
        """contrast recover with the share key that generate made, or another."""
        app = app or self.app
        return self.site.run([
            program("contrast"), "recover", "--workspace", app, "-c", self.user(number),
            "--share-key", key or os.path.join(app, "seedshare-owner.pem"), *options])

    def retire(self, name, *numbers):
        """contrast members retire, by the owner."""
        return self.site.run([program("contrast"), "members", "retire", name, "--workspace",
                              self.app, "-c", self.user(*numbers)])

    def end(self):
        """All at once: they need not leave one after the other. Exit codes of those that lived."""
        lived = {n: p for n, p in self.replicas.items() if p.is_alive()}
        for process in [*lived.values(), *self.others]:
            process.signal(signal.SIGCONT)
            process.signal(signal.SIGTERM)
        codes = {n: p.end() for n, p in lived.items()}
        for process in [*self.replicas.values(), *self.others]:
            process.end()
        return codes


def remember_keys():
    """harness.find_leaks asks openssl for each key each time: a key is the same the next time."""
    known = {}
    ask = harness.private_number

    def private_number(path):
        pem = read(path)
        if pem not in known:
            known[pem] = ask(path)
        return known[pem]
    harness.private_number = private_number


def check_logs(site):
    """No secret in any output, no core file, no sentence of a sanitizer."""
    leaks, _ = harness.find_leaks(site)
    assert leaks == []
    for name in sorted(os.listdir(site.logs)):
        text = read(os.path.join(site.logs, name))
        found = re.search(rb"Sanitizer|runtime error:|check failed", text)
        assert not found, f"{name}:\n{text[-3000:].decode(errors='replace')}"


def show_logs(cluster):
    for number, process in cluster.replicas.items():
        print(f"--- {cluster.label}, replica {number}\n{process.text()[-3000:]}")
