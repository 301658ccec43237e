"""Three members of etcd on loopback, driven by etcd's own client.

    with Etcd(server, peer, log) as e:  e.load(outstanding=16, size=256, ...), e.failover(20)

Their data lies in a folder of its own below the default for temporary files: etcd writes each
commit to the disk, as it does wherever it runs. Election timeout 300 ms, heartbeats every 30 ms.

SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import socket
import subprocess
import tempfile

from agreement_cluster import Lines
from cluster import Failed, wait_until

MEMBERS = 3
ELECTION_MS, HEARTBEAT_MS = 300, 30
UNPACKED = "../../build/bench-tools/etcd/usr/bin/etcd"  # by scripts/deps --bench


def server():
    """Where etcd is, or None."""
    unpacked = os.path.join(os.path.dirname(os.path.abspath(__file__)), UNPACKED)
    return unpacked if os.path.exists(unpacked) else shutil.which("etcd")


def version(program):
    got = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    return got.stdout.split("\n", 1)[0].rsplit(" ", 1)[1]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Etcd:
    def __init__(self, program, peer, log):
        self.program = program
        self.dir = tempfile.mkdtemp(prefix="contrast-etcd.")
        ports = free_ports(2 * MEMBERS)
        self.clients, self.peers = ports[:MEMBERS], ports[MEMBERS:]
        self.members = [None] * MEMBERS
        self.driver = Lines([peer], log)

    def __enter__(self):
        try:
            for at in range(MEMBERS):
                self.start(at, "new")
            self.wait_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.driver.close()
        for member in self.members:
            if member is not None:
                member.kill()
                member.wait()
        shutil.rmtree(self.dir)

    def endpoint(self, at):
        return f"127.0.0.1:{self.clients[at]}"

    def log_of(self, at):
        return os.path.join(self.dir, f"m{at}.log")

    def start(self, at, state):
        cluster = ",".join(f"m{i}=http://127.0.0.1:{p}" for i, p in enumerate(self.peers))
        own, client = f"http://127.0.0.1:{self.peers[at]}", "http://" + self.endpoint(at)
        with open(self.log_of(at), "ab") as log:
            self.members[at] = self.spawn(at, state, cluster, own, client, log)

    def spawn(self, at, state, cluster, own, client, log):
        return subprocess.Popen(
            [self.program, "--name", f"m{at}", "--data-dir", os.path.join(self.dir, f"m{at}"),
             "--listen-peer-urls", own, "--initial-advertise-peer-urls", own,
             "--listen-client-urls", client, "--advertise-client-urls", client,
             "--initial-cluster", cluster, "--initial-cluster-state", state,
             "--heartbeat-interval", str(HEARTBEAT_MS), "--election-timeout", str(ELECTION_MS),
             "--log-level", "fatal", "--logger", "zap"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ask(self, seconds=60, **command):
        self.driver.say_json(command)
        got = self.driver.read(seconds)
        if got is None or "error" in got:
            raise Failed(f"etcd, {command['do']}: {got['error'] if got else 'no answer'}")
        return got

    def leader(self):
        """Its place, when all members answer and have all entries; else None."""
        all_of_them = [self.endpoint(at) for at in range(MEMBERS)]
        members = self.ask(do="status", endpoints=all_of_them)["members"]
        whole = (len(members) == MEMBERS and all(m["knows"] for m in members)
                 and max(m["index"] for m in members) - min(m["index"] for m in members) < 100)
        leads = [m["endpoint"] for m in members if m["leads"]]
        return all_of_them.index(leads[0]) if whole and len(leads) == 1 else None

    def wait_whole(self):
        try:
            wait_until(lambda: self.leader() is not None, 60, "etcd has three members", 0.1)
        except Failed as why:
            with open(self.log_of(0), encoding="utf-8", errors="replace") as log:
                last = (log.read().strip().splitlines() or ["nothing"])[-1]
            raise Failed(f"{why}; its first member said at last: {last[:300]}") from why

    def load(self, outstanding, size, warm_ms, window_ms):
        """Through the leader: a follower would only pass it on."""
        return self.ask(do="load", endpoints=[self.endpoint(self.leader())],
                        outstanding=outstanding, size=size, warm_ms=warm_ms, window_ms=window_ms)

    def failover(self):
        """Milliseconds from kill -9 of the leader to the first put that succeeds."""
        self.wait_whole()
        at = self.leader()
        others = [self.endpoint(i) for i in range(MEMBERS) if i != at]
        ms = self.ask(do="failover", pid=self.members[at].pid, endpoints=others)["ms"]
        self.members[at].wait()
        self.start(at, "existing")
        return ms
