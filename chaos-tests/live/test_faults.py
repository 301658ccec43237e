"""Paused, doubled and lost replicas: no old answer passes for a current one.

SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import signal
import subprocess
import time
import unittest

import wire
from harness import LiveTest, VOTING, openssl, program, read, wait_until

PAUSE_S = 5  # longer than an election and than the time after which members count as dead


def confirmed_generation(evidence):
    """Generation that a replica's evidence claims to be current; None when it claims nothing."""
    statement = wire.unpack(evidence[8])
    return statement[9] if statement[13] else None


class Faults(LiveTest):
    def test_a_paused_leader_never_confirms_the_old_manifest(self):
        c = self.founded(1, 2, 3, peers=3)
        self.expect(0, c.verify(1))
        old = os.path.join(self.site.dir, "old-workspace")
        shutil.copytree(c.app, old)
        leader = c.wait_leader(1)
        others = [n for n in (1, 2, 3) if n != leader]
        asked = self.ask_before_pause(c, leader)
        c.replicas[leader].signal(signal.SIGSTOP)
        resume = time.monotonic() + PAUSE_S
        for session, kind, fields in asked:  # these wait in its sockets until it wakes
            session.send(kind, fields)
        c.edit_web(3)
        self.expect(0, c.set(*others))
        wait_until(lambda: time.monotonic() >= resume, PAUSE_S + 1, "the pause is over")
        c.replicas[leader].signal(signal.SIGCONT)
        self.answers_after_pause(asked)
        done = self.site.run([*self.verify_old(old), c.user(leader)])
        self.assertIn(done.code, (1, 3), str(done))
        self.comes_round(c, leader)

    @staticmethod
    def verify_old(old):
        return [program("contrast"), "verify", "--workspace", old, "-c"]

    @staticmethod
    def ask_before_pause(c, leader):
        asked = []
        for _ in range(4):
            asked.append((c.session(leader), wire.STATUS, []))
            asked.append((c.session(leader), wire.ATTEST_REQUEST, [1, os.urandom(32)]))
        return asked

    def answers_after_pause(self, asked):
        for session, kind, _ in asked:
            with session:
                try:
                    _, fields = session.receive()
                except (OSError, wire.Refused):
                    continue  # no answer is no wrong answer
            if kind == wire.STATUS:
                status = dict(zip(wire.STATUS_FIELDS, fields))
                generation = status["generation"] if status["is_confirmed"] else None
            else:
                generation = confirmed_generation(fields)
            self.assertIn(generation, (None, 2))

    def comes_round(self, c, leader):
        def is_current():
            status = c.status(leader)
            return status and status["is_confirmed"] and status["generation"] == 2
        wait_until(is_current, 20, "the paused replica knows the new manifest")
        self.expect(0, c.verify(leader))
        self.expect(0, c.contrast("status", "-c", c.user(leader)))

    def test_a_leader_whose_followers_stop_confirms_nothing(self):
        c = self.founded(1, 2, 3, peers=3)
        leader = c.wait_leader(1)
        followers = [n for n in (1, 2, 3) if n != leader]
        asked = self.ask_before_pause(c, leader)
        for number in followers:
            c.replicas[number].signal(signal.SIGSTOP)
        for session, kind, fields in asked:  # it still takes itself for the leader
            session.send(kind, fields)
        for session, kind, _ in asked:
            with session:
                _, fields = session.receive()
            if kind == wire.STATUS:
                self.assertFalse(dict(zip(wire.STATUS_FIELDS, fields))["is_confirmed"])
            else:
                self.assertIsNone(confirmed_generation(fields))
        for number in followers:
            c.replicas[number].signal(signal.SIGCONT)
        c.wait_leader(1, 2, 3)
        self.expect(0, c.verify(leader))

    def test_certificates_go_on_under_load_while_the_leader_dies(self):
        c = self.founded(1, 2, 3, peers=3)
        leader = c.wait_leader(1)
        others = [n for n in (1, 2, 3) if n != leader]
        pods = [(f"pod{i}", others[i % 2]) for i in range(12)]
        running = [c.start_initializer(name, c.path("web.yaml"), at) for name, at in pods]
        wait_until(lambda: any(not p.is_alive() for p in running), 30, "a first certificate")
        c.replicas[leader].signal(signal.SIGKILL)
        for process in running:
            self.assertEqual(0, process.wait(60), process.text())
        chains = [c.pod(name, "tls-config", "certChain.pem") for name, _ in pods]
        serials = {openssl("x509", "-in", chain, "-noout", "-serial") for chain in chains}
        self.assertEqual(len(pods), len(serials), "every certificate has its own serial number")
        for (name, _), chain in zip(pods, chains):
            openssl("verify", "-CAfile", c.pod(name, "tls-config", "mesh-ca.pem"), chain)

    def test_a_second_process_with_a_name_in_use_is_refused(self):
        c = self.founded(1, 2, 3, peers=3)
        first = c.status(1)["id"]
        second = c.start(1, at=5)
        c.wait_serving(5)
        wait_until(lambda: "the name belongs to a member that is alive" in second.text(), 20,
                   "the second process says why it may not join")
        self.assertEqual("empty", c.status(5)["state"])
        members = c.members(2, *VOTING, "standby", "learner", "leaving")
        self.assertEqual(3, len(members))
        self.assertIn(first, [m["id"] for m in members if m["role"] in VOTING])
        self.expect(0, c.verify(1))
        self.takes_over_after_death(c, first)

    def takes_over_after_death(self, c, first):
        """When the first one dies its name is free, and the second takes it."""
        c.replicas[1].signal(signal.SIGKILL)
        c.replicas[1].wait(5)

        def is_replaced():
            members = c.members(2, *VOTING)
            return len(members) == 3 and first not in [m["id"] for m in members] and \
                c.status(5)["state"] in ("voter", "standby")
        wait_until(is_replaced, 30, "the second process is the new coordinator-1")

    def test_without_quorum_nothing_is_current_and_nothing_hangs(self):
        c = self.founded(1, 2, 3, peers=3)
        self.expect(0, c.verify(3))
        head = c.status(3)["head"]
        for number in (1, 2):
            c.replicas[number].signal(signal.SIGKILL)
        self.expect(1, c.verify(3), "currency unknown")
        with c.session(3) as session:
            self.assertIsNone(confirmed_generation(session.attest(os.urandom(32))))
        self.assertFalse(c.status(3)["is_confirmed"])
        c.edit_web(4)
        done = self.expect(1, c.set(3, timeout=60))
        self.assertNotIn("successfully", done.out)
        self.assertEqual(head, c.status(3)["head"])
        self.expect(1, c.contrast("status", "-c", c.user(3)))
        self.assertEqual(read(c.path("verify", "latest-transition")).decode().strip(), head.hex())
        self.no_certificate(c)

    def no_certificate(self, c):
        """A minority issues nothing: the initializer goes on trying until it is told to stop."""
        with self.assertRaises(subprocess.TimeoutExpired):
            c.initializer("minority", c.path("web.yaml"), 3, timeout=4)
        self.assertFalse(os.path.exists(c.pod("minority", "tls-config", "certChain.pem")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
