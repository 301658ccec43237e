"""Failover: how long nobody gets a certificate when the leader goes, again and again.

    load        one session through a survivor asks for one certificate after the other, all the time
    kill        kill -9 of the leader in the middle of it
    term        SIGTERM: the leader hands over, leaves, and ends by itself
    none        the same load without anything, the floor
    figure      the longest time between two certificates (ms)

Each turn waits until all replicas vote again, and starts the one that went anew. Beside it etcd
(kill only: its own SIGTERM is a kill to its cluster), where it is installed: the first put after
kill -9 of its leader, with the same election timeout.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import subprocess
import threading
import time

from agreement import build_peer
from cluster import REPLICAS, Failed, wait_until
from measure import note, summary

KINDS = ("none", "kill", "term")
SECONDS = 1
STRIKE_S = 0.3


class Load(threading.Thread):
    """One session at a time through one replica, for SECONDS."""

    def __init__(self, cluster, number):
        super().__init__()
        self.cluster, self.number = cluster, number
        self.got = self.why = None

    def run(self):
        try:
            self.got = self.cluster.generate_load(
                self.number, "--connections", "1", "--keep", "--warm-ms", "0", "--seconds",
                str(SECONDS), seconds=60)["load"]
        except (Failed, subprocess.SubprocessError, OSError, ValueError) as why:
            self.why = why

    def finish(self):
        self.join(60)
        if self.got is None:
            raise Failed(f"load through coordinator-{self.number}: {self.why or 'no end'}")
        return self.got["longest_gap_ms"]


def strike(cluster, kind, leader):
    """Ends the leader; its exit code."""
    child = cluster.replicas[leader]
    if kind == "kill":
        child.kill()
    else:
        child.terminate()
    return child.wait(timeout=60)


def one_turn(cluster, kind, turn):
    leader, old_id = cluster.leader()
    number = [n for n in REPLICAS if n != leader][turn % 2]
    load = Load(cluster, number)
    load.start()
    time.sleep(STRIKE_S)  # in the middle of the load: not a wait for anything
    code = strike(cluster, kind, leader) if kind != "none" else 0
    gap = load.finish()
    if kind == "term" and code != 0:
        raise Failed(f"coordinator-{leader} ended with {code} after SIGTERM: "
                     f"{cluster.tail(leader)}")
    began = time.monotonic()
    if kind != "none":
        cluster.start(leader)
        wait_until(lambda: cluster.is_whole(number, old_id), 60,
                   f"coordinator-{leader} is a voter again", 0.1)
    return gap, time.monotonic() - began


def failover(cluster, quick, log, kills=None):
    turns = {"none": 5 if quick else 20}
    turns["kill"] = turns["term"] = (4 if quick else 20) if kills is None else kills
    gaps, back = {k: [] for k in KINDS}, {k: [] for k in KINDS}
    for turn in range(max(turns.values())):
        for kind in KINDS:
            if turn < turns[kind]:
                gap, whole = one_turn(cluster, kind, turn)
                gaps[kind].append(gap)
                back[kind].append(whole)
                note(log, f"failover {turn + 1}, {kind}: {gap:.0f} ms; whole after {whole:.1f} s")
    return {"all_ms": gaps, "whole_again_s": {k: summary(back[k]) for k in ("kill", "term")
                                              if back[k]},
            "etcd": etcd(cluster, turns["kill"], log), **{k: quantiles(gaps[k]) for k in KINDS}}


def etcd(cluster, kills, log):
    """All its samples, or why there are none."""
    with contextlib.ExitStack() as stack:
        peer, why = build_peer(cluster.build, log)
        if peer is None:
            return {"missing": why}
        from etcd_cluster import ELECTION_MS, Etcd
        server = stack.enter_context(Etcd(*peer, log))
        took = []
        for turn in range(kills):
            took.append(server.failover())
            note(log, f"failover, etcd {turn + 1}: {took[-1]:.0f} ms")
        return {"all_ms": took, "election_ms": ELECTION_MS, **quantiles(took)}


def quantiles(values):
    """Nearest rank."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)

    def at(q):
        return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * q // 100) - 1))]

    return {"n": len(ordered), "min": ordered[0], "p50": at(50), "p99": at(99),
            "max": ordered[-1]}


def print_failover(got):
    print("Longest time between two certificates through a survivor (ms)")
    rows = [("nothing happens", got["none"]), ("kill -9 of the leader", got["kill"]),
            ("SIGTERM to the leader", got["term"])]
    if "all_ms" in got["etcd"]:
        rows.append((f"peer: etcd, kill -9 (election {got['etcd']['election_ms']} ms)",
                     got["etcd"]))
    for what, q in rows:
        if q["n"]:
            print(f"  {what:<40} min {q['min']:>7.1f}  p50 {q['p50']:>7.1f}  p99 {q['p99']:>7.1f}  "
                  f"max {q['max']:>7.1f}  n {q['n']}")
    for kind, s in got["whole_again_s"].items():
        print(f"  three voters again after {kind} (s)         p50 {s['p50']:>7.1f}  max "
              f"{s['max']:>7.1f}")
    if "missing" in got["etcd"]:
        print(f"  no peer: {got['etcd']['missing']}")

