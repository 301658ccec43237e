"""Replicas that are killed at a chosen one of their writes, in the middle of set, join and recover.

killpoint.c counts a replica's writes to sockets from the moment a file appears and kills it before
or after the N-th. Each scenario runs once to be counted, then once for each point: spread over all
its writes, before and after in turn. Afterwards, each time: what the client was told is true, the
others (or a second recovery) serve, an old workspace finds no fork, the killed pod is a member again.

KILL_POINTS (default 2) says how many points for each scenario and replica.

SPDX-License-Identifier: Apache-2.0
"""

import os
import re
import shutil
import struct
import unittest

import test_recovery
from harness import BIN, LiveTest, VOTING, program, read, wait_until, write

POINTS = int(os.environ.get("KILL_POINTS", "2"))
LIBRARY = os.path.join(BIN, "..", "test", "killpoint.so")


def spread(writes, points):
    """(word, number) of so many points between the first and the last write."""
    return [(("before", "after")[i % 2], 1 + (writes - 1) * (2 * i + 1) // (2 * points))
            for i in range(points)]


class KillPoints(LiveTest):
    # As owners with shares do it: test_recovery.py.
    make_share_key = test_recovery.Recovery.__dict__["make_share_key"]
    shared, workspace, recover = (
        test_recovery.Recovery.shared, test_recovery.Recovery.workspace,
        test_recovery.Recovery.recover)
    session_of = test_recovery.Recovery.__dict__["session_of"]
    checkpoint = test_recovery.Recovery.__dict__["checkpoint"]

    lives = 0  # of all tests: they share the folder, and a file that is there arms

    @classmethod
    def setUpClass(cls):
        if not os.path.exists(LIBRARY):
            raise AssertionError(f"{LIBRARY} is not built")
        super().setUpClass()
        cls.keys = {name: cls.make_share_key(name) for name in (*test_recovery.OWNERS, "mallory")}

    def setUp(self):
        super().setUp()
        self.files = {}
        self.kept = 0

    # --- Killing

    def start(self, c, *numbers):
        """With the library; each life has a file of its own."""
        for number in numbers:
            KillPoints.lives += 1
            self.files[number] = os.path.join(self.site.dir, f"killpoint-{self.lives}")
            c.trust.update(KILLPOINT=self.files[number], LD_PRELOAD=LIBRARY,
                           ASAN_OPTIONS="verify_asan_link_order=0")
            c.start(number)
        for name in ("KILLPOINT", "LD_PRELOAD", "ASAN_OPTIONS"):
            c.trust.pop(name)
        for number in numbers:
            c.wait_serving(number)

    def arm(self, number, word, at=0):
        """The file appears whole, or not at all."""
        write(self.files[number] + ".new", f"{word} {at}\n")
        os.rename(self.files[number] + ".new", self.files[number])

    def counted(self, number):
        return struct.unpack("Q", read(self.files[number] + ".count"))[0]

    def dies(self, c, number):
        """Heartbeats, or answers to this, get it to its point in the end."""
        process = c.replicas[number]

        def is_dead():
            if process.is_alive():
                c.status(number, timeout=5)
            return not process.is_alive()
        wait_until(is_dead, 20, f"replica {number} reaches its point")
        self.assertEqual(-9, process.wait(1), process.text()[-2000:])

    def comes_back(self, c, number, count=3):
        """A new member, and the old one is forgotten."""
        other = next(n for n in (1, 2, 3) if n != number)
        self.start(c, number)

        def is_whole():
            status = c.status(other)
            return status and status["is_confirmed"] and \
                sum(m["role"] in VOTING and m["is_connected"] for m in status["members"]) == 3 and \
                len(status["members"]) == count and \
                all(m["role"] in (*VOTING, "standby") for m in status["members"])
        wait_until(is_whole, 40, f"three voters again after the death of replica {number}")

    def cluster_of_three(self):
        c = self.cluster(peers=4)
        self.start(c, 1, 2, 3)
        self.expect(0, c.set(1))
        c.wait_voters(1, 3)
        self.expect(0, c.verify(1))
        return c

    def keep(self, c):
        """A workspace that remembers what was before."""
        self.kept += 1
        old = os.path.join(self.site.dir, f"{c.label}-old-{self.kept}")
        shutil.copytree(c.app, old)
        return old

    def no_fork(self, c, old, *numbers):
        """Who saw the past finds it in the present, at each replica."""
        self.expect(0, self.site.run([program("contrast"), "verify", "--all", "-m",
                                      c.path("manifest.json"), "--workspace", old,
                                      "-c", c.user(*numbers)]))

    def is_everywhere(self, c, manifest, *numbers):
        self.expect(0, c.verify(*numbers, options=["--all"]))
        files = [n for n in os.listdir(c.path("verify")) if re.fullmatch(r"manifest\.\d+\.json", n)]
        newest = max(files, key=lambda name: int(name.split(".")[1]))
        self.assertEqual(manifest, read(c.path("verify", newest)))

    # --- set

    def test_set(self):
        writes = self.count_set()
        print(f"set: writes of the replicas {writes}, {POINTS} points each")
        c = self.cluster_of_three()
        edition = 200
        for number in (1, 2, 3):
            self.assertGreater(writes[number], 3)
            for word, at in spread(writes[number], POINTS):
                edition += 1
                print(f"  replica {number}, {word} write {at}", flush=True)
                self.set_and_kill(c, number, word, at, edition)

    def count_set(self):
        c = self.cluster_of_three()
        for number in (1, 2, 3):
            self.arm(number, "count")
        c.edit_web(100)
        self.expect(0, c.set(1, 2, 3))
        self.kill_everybody(c)
        return {number: self.counted(number) for number in (1, 2, 3)}

    def set_and_kill(self, c, number, word, at, edition):
        others = [n for n in (1, 2, 3) if n != number]
        old = self.keep(c)
        c.edit_web(edition)
        self.arm(number, word, at)
        done = c.set(1, 2, 3)
        self.dies(c, number)
        manifest = c.manifest()
        self.assertIn(done.code, (0, 1), str(done))
        if done.code == 1:  # the others may still look for a leader
            c.wait_leader(*others)
            self.expect(0, c.set(*others))
        self.is_everywhere(c, manifest, *others)
        self.comes_back(c, number)
        self.is_everywhere(c, manifest, 1, 2, 3)
        self.no_fork(c, old, 1, 2, 3)

    # --- join

    def test_join(self):
        writes = self.count_join()
        print(f"join: writes of the replicas {writes}, one point each")
        self.assertGreater(writes[4], 3)
        c = self.cluster_of_three()
        for i, number in enumerate((1, 2, 3, 4)):
            word, at = spread(writes[number], 5)[i]
            print(f"  replica {number}, {word} write {at}", flush=True)
            self.join_and_kill(c, number, word, at)

    def count_join(self):
        c = self.cluster_of_three()
        for number in (1, 2, 3):
            self.arm(number, "count")
        self.start(c, 4)
        self.arm(4, "count")
        self.is_four(c, 1)
        self.kill_everybody(c)
        return {number: self.counted(number) for number in (1, 2, 3, 4)}

    def is_four(self, c, at, without=()):
        def is_whole():
            status = c.status(at)
            if not status or not status["is_confirmed"]:
                return False
            members = status["members"]
            return len(members) == 4 and not set(without) & {m["id"] for m in members} and \
                sum(m["role"] in VOTING for m in members) == 3 and \
                all(m["role"] in (*VOTING, "standby") and m["is_connected"] for m in members)
        wait_until(is_whole, 60, "three voters and one that stands by")

    def join_and_kill(self, c, number, word, at):
        old = self.keep(c)
        if number == 4:
            self.start(c, 4)
            gone = c.status(4)["id"]
            self.arm(4, word, at)
        else:
            gone = c.status(number)["id"]
            self.arm(number, word, at)
            self.start(c, 4)
        self.dies(c, number)
        others = [n for n in (1, 2, 3) if n != number]
        c.wait_leader(*others)
        self.expect(0, c.verify(*others, options=["--all"]))
        self.start(c, number)
        self.is_four(c, others[0], [gone])
        self.no_fork(c, old, 1, 2, 3)
        self.assertEqual(0, c.replicas[4].end())
        c.wait_voters(1, 3)

    # --- recover

    def test_recover(self):
        c = self.shared(1, 2, 3, peers=3)
        root = read(c.path("verify", "coordinator-root-ca.pem"))
        self.begin_again(c)
        self.arm(1, "count")
        self.recover_by_both(c)
        writes = self.counted(1)
        c.wait_voters(1, 3, seconds=40)
        print(f"recover: {writes} writes of the recipient, {POINTS + 1} points")
        self.assertGreater(writes, 12)
        # The last one: the new epoch is shown to an owner, and its checkpoint is not handed over.
        for word, at in [*spread(writes, POINTS), ("after", writes - 9)]:
            print(f"  recipient, {word} write {at}", flush=True)
            self.recover_and_kill(c, word, at)
            self.assertEqual(root, read(c.path("verify", "coordinator-root-ca.pem")))

    def begin_again(self, c):
        """All are dead; the owners hold the newest checkpoint, of the last set."""
        c.edit_web(1000 + self.lives)
        self.expect(0, c.set(1))
        self.expect(0, c.verify(*c.replicas))
        for name in ("alice", "bob"):
            shutil.rmtree(os.path.join(self.site.dir, f"{c.label}-{name}"), ignore_errors=True)
            self.workspace(c, name)
        self.kill_everybody(c)
        self.start(c, 1, 2, 3)

    @staticmethod
    def kill_everybody(c):
        for process in c.replicas.values():
            process.signal(9)
            process.wait(10)
        c.replicas.clear()

    def newest_checkpoint(self, c):
        """An owner that saw a recovery succeed got one of the new epoch."""
        known = read(self.checkpoint(c))
        for name in ("bob", "alice"):
            path = os.path.join(self.workspace(c, name), "verify", "checkpoint")
            if read(path) != known:
                return path
        return self.checkpoint(c)

    def recover_by_both(self, c):
        """What the owners were told; stops where one is told that it failed."""
        first = self.recover(c, "alice", 1, "--checkpoint", self.newest_checkpoint(c))
        if first.code != 0:
            return [first]
        return [first, self.recover(c, "bob", 1, "--session", self.session_of(first))]

    def recover_and_kill(self, c, word, at):
        epoch = c.status(1)["epoch"]
        self.begin_again(c)
        old = self.keep(c)
        self.arm(1, word, at)
        done = self.recover_by_both(c)
        self.dies(c, 1)
        for step in done:
            self.assertIn(step.code, (0, 1), str(step))
        self.kill_everybody(c)  # the recipient alone held the new epoch, or not even it
        self.start(c, 1, 2, 3)
        for step in self.recover_by_both(c):
            self.expect(0, step)
        c.wait_voters(1, 3, seconds=40)
        self.assertGreater(c.status(1)["epoch"], epoch)
        self.no_fork(c, old, 1, 2, 3)
        c.edit_web(2000 + self.lives)
        self.expect(0, c.set(2))
        self.is_everywhere(c, c.manifest(), 1, 2, 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
