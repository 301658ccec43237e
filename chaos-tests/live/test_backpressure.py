"""More than a replica without a quorum can pass on: every request is answered, memory stays bounded,
and the service comes back with the followers, on the same connections.

5 000 requests from 250 connections at a leader whose followers are stopped. The limits themselves,
number and bytes of what waits, are small steps in coordinator/test/test_replica_pressure.c: a replica
on a small machine takes fewer connections than requests may wait.

SPDX-License-Identifier: Apache-2.0
"""

import os
import signal
import unittest

import wire
from harness import LiveTest, wait_until

REPLICAS = (1, 2, 3)
CONNECTIONS = 250
REQUESTS = 5000
HELD_MIB = 64  # most that the flood may add to a replica
CHECKPOINTS = 12  # LIMIT_CHECKPOINT_BURST and some
UNAVAILABLE, BUSY, NO_QUORUM = 3, 4, 9  # lib/base/err.h


def peak_mib(process):
    with open(f"/proc/{process.child.pid}/status", encoding="utf-8") as f:
        line = next(line for line in f if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def is_stopped(process):
    with open(f"/proc/{process.child.pid}/stat", encoding="ascii") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"


class BackPressure(LiveTest):
    def stop(self, c, *numbers):
        for number in numbers:
            c.replicas[number].signal(signal.SIGSTOP)
        for number in numbers:
            wait_until(lambda n=number: is_stopped(c.replicas[n]), 10, f"{number} is stopped")

    def small_founded(self):
        """A build with AddressSanitizer keeps what was freed: little of it, so that the peak says
        what the replica holds."""
        c = self.cluster(peers=3)
        c.trust["ASAN_OPTIONS"] = "quarantine_size_mb=1:malloc_context_size=2"
        c.start_all(*REPLICAS)
        self.expect(0, c.set(1))
        c.wait_voters(1, 3)
        return c

    def open_all(self, c, number):
        sessions = []
        for _ in range(CONNECTIONS):
            sessions.append(c.session(number, timeout=60))
            self.addCleanup(sessions[-1].close)
        return sessions

    def wave(self, sessions, kind, fields):
        """One request on each connection at once; the answers, None where it was refused."""
        for session in sessions:
            session.send(kind, fields)
        answers = []
        for session in sessions:
            try:
                answers.append(session.receive()[1])
            except wire.Refused as why:
                self.refusals.append(why.fields)
                answers.append(None)
        return answers

    def flood(self, sessions):
        """Status and evidence in turns, until so many requests were answered."""
        count = 0
        while count < REQUESTS:
            for answer in self.wave(sessions, wire.STATUS, []):
                if answer is not None:
                    status = dict(zip(wire.STATUS_FIELDS, answer))
                    self.confirmed += status["is_confirmed"]
            self.wave(sessions, wire.HISTORY, [1])
            count += 2 * len(sessions)
        return count

    def test_a_leader_whose_followers_are_stopped(self):
        c = self.small_founded()
        leader = c.wait_leader(*REPLICAS)
        followers = [n for n in REPLICAS if n != leader]
        sessions = self.open_all(c, leader)
        self.refusals, self.confirmed = [], 0
        before = peak_mib(c.replicas[leader])
        self.stop(c, *followers)
        self.assertGreaterEqual(self.flood(sessions), REQUESTS)
        self.assertEqual(0, self.confirmed, "nothing is confirmed without a quorum")
        for refusal in self.refusals:  # an answer that may pass says when to ask again
            self.assertIn(refusal["code"], (BUSY, NO_QUORUM, UNAVAILABLE), refusal)
            self.assertGreater(refusal["retry_after_ms"], 0, refusal)
        self.assertLess(peak_mib(c.replicas[leader]) - before, HELD_MIB)
        for number in followers:
            c.replicas[number].signal(signal.SIGCONT)
        wait_until(lambda: sessions[0].status()["is_confirmed"], 30, "a quorum is back")
        for session in sessions:
            self.assertTrue(session.status()["is_confirmed"])
        self.expect(0, c.initializer("after", c.path("web.yaml"), leader))
        self.expect(0, c.verify(*REPLICAS, options=["--all"]))

    def test_checkpoints_are_made_so_often(self):
        """The costliest thing that anybody may ask for."""
        c = self.cluster(1, peers=1)
        self.expect(0, c.set(1, options=["--replicas", "1"]))
        refusals = []
        with c.session(1) as session:
            session.attest(os.urandom(32))
            for _ in range(CHECKPOINTS):
                try:
                    session.ask(wire.CHECKPOINT, [bytes(16), 0])
                except wire.Refused as why:
                    refusals.append(why.fields)
            self.assertTrue(session.status()["is_confirmed"], "the session lives on")
        self.assertTrue(refusals, "all checkpoints were made at once")
        for refusal in refusals:
            self.assertEqual(BUSY, refusal["code"], refusal)
            self.assertGreater(refusal["retry_after_ms"], 0, refusal)


if __name__ == "__main__":
    unittest.main()
