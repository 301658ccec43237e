"""Restarts and losses that a cluster must survive with its identity: every replica is replaced.

SPDX-License-Identifier: Apache-2.0
"""

import signal
import unittest

from harness import LiveTest, VOTING, read, wait_until


class Restarts(LiveTest):
    def ids(self, c, at):
        return {m["id"] for m in c.members(at, *VOTING, "standby", "learner", "leaving")}

    def wait_whole(self, c, at, count, without):
        """`count` confirmed voters, and nobody of `without` any more."""
        def is_whole():
            status = c.status(at)
            if not status or not status["is_confirmed"]:
                return False
            voters = [m for m in status["members"] if m["role"] in VOTING]
            return (len(voters) == count and all(m["is_connected"] for m in voters)
                    and not without & {m["id"] for m in status["members"]})
        wait_until(is_whole, 40, f"{count} voters without the old one, seen by replica {at}")

    def test_a_rolling_restart_of_all_replicas_keeps_manifest_and_keys(self):
        c = self.founded(1, 2, 3, peers=3)
        self.expect(0, c.initializer("before", c.path("web.yaml"), 1))
        self.expect(0, c.verify(1))
        founders = self.ids(c, 1)
        for number in (1, 2, 3):
            old = c.status(number)["id"]
            self.assertEqual(0, c.replicas[number].end())
            c.start(number)
            c.wait_serving(number)
            self.wait_whole(c, number % 3 + 1, 3, {old})
        self.assertFalse(founders & self.ids(c, 1), "no founder is left")
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))
        self.expect(0, c.initializer("after", c.path("web.yaml"), 2))
        for name in ("mesh-ca.pem", "coordinator-root-ca.pem"):
            self.assertEqual(read(c.pod("before", "tls-config", name)),
                             read(c.pod("after", "tls-config", name)))
        seed = ("secrets", "workload-secret-seed")
        self.assertEqual(read(c.pod("before", *seed)), read(c.pod("after", *seed)))
        c.edit_web(2)
        self.expect(0, c.set(3))
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))

    def test_five_replicas_survive_the_loss_of_two(self):
        c = self.cluster(1, 2, 3, 4, 5, peers=5)
        self.expect(0, c.set(2, options=["--replicas", "5"]))
        c.wait_voters(2, 5)
        leader = c.wait_leader(2)
        lost = [leader, leader % 5 + 1]
        left = [n for n in range(1, 6) if n not in lost]
        for number in lost:
            c.replicas[number].signal(signal.SIGKILL)
        c.wait_leader(*left)
        c.edit_web(2)
        self.expect(0, c.set(*left))
        self.expect(0, c.verify(*left, options=["--all"]))
        self.expect(0, c.initializer("web", c.path("web.yaml"), left[0]))

    def test_all_lost_is_lost_and_said_so(self):
        """No disk holds a state: a whole restart is empty, and the workspace notices."""
        c = self.founded(1, 2, 3, peers=3)
        self.expect(0, c.verify(1))
        for number in (1, 2, 3):
            c.replicas[number].signal(signal.SIGKILL)
            c.replicas[number].wait(5)
        c.start_all(1)
        self.expect(1, c.set(1, 2), "could not be heard")  # 2 may have it all
        c.start_all(2, 3)
        self.assertEqual("empty", c.status(1)["state"])
        done = c.verify(1)
        self.assertIn(done.code, (1, 3), str(done))
        self.expect(3, c.set(1, 2, 3), "--new-deployment")
        self.expect(3, c.set(1), "--new-deployment")
        self.assertEqual(0, c.status(1)["generation"])
        self.expect(0, c.set(1, options=["--new-deployment"]))
        self.expect(0, c.verify(1))

    def test_an_empty_replica_says_nothing_about_a_survivor(self):
        """The one with the state has no quorum, the other one restarted: nothing is lost yet."""
        c = self.founded(1, 2, 3, peers=3)
        for number in (1, 2):
            c.replicas[number].signal(signal.SIGKILL)
            c.replicas[number].wait(5)
        c.start_all(1)
        c.edit_web(2)
        self.expect(1, c.set(3, 1), "had no quorum")
        self.assertEqual(1, c.status(3)["generation"])
        self.assertEqual("empty", c.status(1)["state"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
