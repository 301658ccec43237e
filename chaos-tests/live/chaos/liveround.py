#!/usr/bin/env -S python3 -B
"""One round with real programs, in a process of its own: run.py starts it and outlives it.

    liveround.py JOB.json      fields: folder, work, seed, minutes, hosts, state, kds,
                               from_previous, faults, previous_bin

`folder` gets history.jsonl and round.json; `work` gets logs, workspaces and sockets (its path is
short, as sockets want it) and belongs to run.py. SIGTERM, or run.py's death, ends the round in
order: faults are healed, clients stop, programs end. Being a process, a round that hangs can be
killed, and the next Lab removes what it left.

round.json: {"outcome", "problems", "violations", "turns", "missing", "network"}.
Exit 0 whenever round.json was written; 1 otherwise.

SPDX-License-Identifier: Apache-2.0
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time

import lab as labs
import cluster as clusters
import faultbase
import faults
import history
import player
import workload

WATCH_S = 1.0
PR_SET_PDEATHSIG = 1  # prctl(2)
SHARE_OWNERS = ("ann", "ben")


class Watch:
    """Asks replicas who leads, and writes down what changed."""

    def __init__(self, cluster, recorder):
        self.cluster, self.recorder = cluster, recorder
        self.over = threading.Event()
        self.last = None
        self.thread = threading.Thread(target=self._watch, daemon=True, name="watch")
        self.thread.start()

    def _watch(self):
        while not self.over.wait(WATCH_S):
            try:
                self._look()
            except Exception as e:  # a look that fails is a look that is missing
                self.recorder.event("problem", f"status: {type(e).__name__}: {e}")

    def _look(self):
        known = [s for s in self.cluster.statuses(1).values() if s and s["is_confirmed"]]
        if not known:
            seen = {"replica": None, "term": None, "epoch": None, "generation": None}
        else:
            newest = max(known, key=lambda s: (s["epoch"], s["term"]))
            leader = [m["name"] for m in newest["members"] if m["role"] == "leader"]
            seen = {"replica": leader[0] if leader else None, "term": newest["term"],
                    "epoch": newest["epoch"], "generation": max(s["generation"] for s in known)}
        if seen != self.last:
            self.last = seen
            self.recorder.event("leader", seen)

    def stop(self):
        self.over.set()
        self.thread.join(20)


class Stage:
    """What the player asks for, done with a Lab and a Cluster."""

    def __init__(self, job, recorder):
        self.job, self.recorder = job, recorder
        self.lab = labs.Lab(hosts=job["hosts"], folder=job["work"])
        self.cluster = self.clients = self.watch = None
        self.catalog = faults.CATALOG

    def found(self):
        self.cluster = clusters.Cluster(
            self.lab, replicas=self.job["hosts"], share_owners=SHARE_OWNERS,
            state=self.job["state"], has_kds=self.job["kds"], on_event=self.recorder.event)
        self.env = faults.Env(self.lab, self.cluster, self.recorder, self.job["previous_bin"])
        if self.job["from_previous"]:
            self.use_previous()
        self.cluster.found()
        self.watch = Watch(self.cluster, self.recorder)

    def use_previous(self):
        """Until a rolling upgrade comes; where no older build is there, this one from the start."""
        program = faultbase.previous_coordinator(self.env)
        if not os.path.exists(program):
            self.recorder.event("problem", f"no older build to begin with: {program}")
            return
        self.recorder.event("build", program)
        for replica in self.cluster.replicas.values():
            replica.program = program

    @staticmethod
    def now_ns():
        return time.monotonic_ns()

    def missing(self, fault):
        return fault.missing(self.env)

    def inject(self, fault, rng):
        return fault.inject(self.env, rng)

    def is_whole(self):
        return self.cluster.is_whole()

    def start_clients(self):
        self.clients = workload.Workload(self.cluster, self.recorder, self.job["seed"],
                                         self.job["work"])
        self.clients.start()

    def stop_clients(self):
        if self.clients:
            self.clients.stop()

    def final_reads(self):
        self.clients.final_reads()

    def close(self):
        """Ends everything; sentences about what was left behind that must not be."""
        if self.watch:
            self.watch.stop()
        found = self.cluster.end() if self.cluster else []
        self.lab.close()
        return found


def play(job, recorder, clock):
    """The content of round.json."""
    stage = Stage(job, recorder)
    try:
        done = player.Player(stage, recorder, clock, job["seed"], job["minutes"] * 60,
                             job["faults"]).play()
        done["network"] = stage.lab.net
    finally:
        at = time.monotonic_ns()
        left = stage.close()
    done["violations"] += [{"what": text, "at": at} for text in left]
    return done


def main(args):
    with open(args[0], encoding="utf-8") as f:
        job = json.load(f)
    clock = player.Clock(time.monotonic)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: clock.stop())
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # without run.py it is for nobody
    with history.History(os.path.join(job["folder"], "history.jsonl")) as recorder:
        done = play(job, recorder, clock)
    path = os.path.join(job["folder"], "round.json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(done, f, indent=1)
    os.replace(path + ".new", path)
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # a thread of a hung call must not keep the process
