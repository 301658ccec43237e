#!/usr/bin/env -S python3 -B
"""The consensus bench itself: test_agreement.py PROGRAM. What bench-consensus refuses, that three
replicas agree on what a generator sent, and that a refusal or an end of theirs is no figure. No
figure is judged.

SPDX-License-Identifier: Apache-2.0
"""

import os
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "../../../coordinator/bench")]

import agreement  # noqa: E402
from agreement_cluster import Floor, Lines, Replicas  # noqa: E402
from cluster import Failed  # noqa: E402

PROGRAM = os.path.abspath(sys.argv.pop(1))
LOAD = {"outstanding": 8, "size": 100, "warm_ms": 0, "window_ms": 200}


def refusal(*arguments):
    done = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
    return done.returncode, done.stderr


class Usage(unittest.TestCase):
    def test_bad_options_are_named(self):
        for arguments, says in (
                ((), "want one of replica, floor, load"),
                (("dance",), "'dance' is unknown"),
                (("replica",), "want --number"),
                (("replica", "--number", "6"), "--number: want a number from 1 to 5, got '6'"),
                (("load",), "want --port and --spki"),
                (("load", "--port", "1", "--spki", "0g"), "--spki: not hexadecimal"),
                (("load", "--outstanding", "0"), "from 1 to 1024"),
                (("load", "--size", "7"), "from 8 to 65536"),
                (("load", "--nonsense"), "'--nonsense' is unknown"),
                (("floor", "more"), "want one of")):
            with self.subTest(arguments):
                code, text = refusal(*arguments)
                self.assertEqual(code, 2)
                self.assertIn(says, text)

    def test_an_unknown_command_ends_a_replica(self):
        done = subprocess.run([PROGRAM, "replica", "--number", "1"], input="dance\n", text=True,
                              capture_output=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("what is 'dance'?", done.stderr)


class Agreement(unittest.TestCase):
    def test_replicas_agree_on_all_that_was_sent(self):
        with Replicas(PROGRAM, 3, subprocess.DEVNULL) as replicas:
            got = replicas.load(**LOAD)
            self.assertGreater(got["count"], 0)
            self.assertGreater(got["p50_us"], 0)
            self.assertLessEqual(got["p50_us"], got["p99_us"])
            self.assertGreaterEqual(replicas.agree(), got["count"])

    def test_the_floor_answers(self):
        with Floor(PROGRAM, subprocess.DEVNULL) as floor:
            self.assertGreater(floor.load(**LOAD)["count"], 0)

    def test_a_follower_is_no_figure(self):
        with Replicas(PROGRAM, 3, subprocess.DEVNULL) as replicas:
            replicas.leader = (replicas.leader + 1) % 3
            with self.assertRaisesRegex(Failed, "refused a payload"):
                replicas.load(**LOAD)

    def test_the_key_of_the_replica_is_pinned(self):
        with Floor(PROGRAM, subprocess.DEVNULL) as floor, \
                Floor(PROGRAM, subprocess.DEVNULL) as other:
            floor.target["spki"] = other.target["spki"]
            with self.assertRaisesRegex(Failed, "certificate verify failed"):
                floor.load(**LOAD)

    def test_an_end_is_told(self):
        replica = Lines([PROGRAM, "replica", "--number", "1"], subprocess.DEVNULL)
        replica.must("spki")
        replica.process.kill()
        with self.assertRaisesRegex(Failed, "ended"):
            replica.must("leads")
        replica.close()


class Table(unittest.TestCase):
    def test_medians_and_ratios(self):
        runs = [{"rate": r, "p50_us": 1.0, "p99_us": 2.0, "cpu_us": None} for r in (10, 30, 20)]
        ours = [{"rate": 10 * r["rate"], "p50_us": 3.0, "p99_us": 4.0, "cpu_us": 5.0} for r in runs]
        loads = {("3 replicas", 256, 1): ours, ("etcd", 256, 1): runs}
        self.assertEqual([r["rate"] for r in agreement.summarize(loads)], [200, 20])
        self.assertEqual(agreement.ratios(loads)[0]["times_etcd"], [10, 10, 10])
        self.assertEqual(agreement.ratios({("3 replicas", 256, 1): ours}), [])


if __name__ == "__main__":
    unittest.main()
