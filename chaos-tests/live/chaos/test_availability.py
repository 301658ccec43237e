"""Gaps by hand: histories whose unavailability is known.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import tempfile
import unittest

import availability

MS = 1_000_000


class Availability(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.lines, self.count = [], 0
        self.line(0, kind="event", name="begin", value={})

    def line(self, at_ms, **fields):
        self.lines.append(dict(fields, at=at_ms * MS))

    def operation(self, at_ms, op="issue", target="coordinator-1", outcome="ok", took_ms=2,
                  client="a", **args):
        self.count += 1
        self.line(at_ms - took_ms, kind="call", id=self.count, client=client, op=op,
                  target=target, args=args)
        self.line(at_ms, kind="return", id=self.count, outcome=outcome)

    def serve(self, start_ms, end_ms, step_ms=100, **fields):
        for at in range(start_ms, end_ms, step_ms):
            self.operation(at, **fields)

    def fault(self, start_ms, end_ms, name="cut", targets=()):
        self.count += 1
        self.line(start_ms, kind="fault", id=self.count, name=name, targets=list(targets))
        self.line(end_ms, kind="healed", id=self.count)

    def measured(self):
        path = os.path.join(self.dir.name, "history.jsonl")
        ids = {}
        with open(path, "w", encoding="utf-8") as file:
            for line in sorted(self.lines, key=lambda one: one["at"]):
                if "id" in line:
                    line = dict(line, id=ids.setdefault(line["id"], len(ids) + 1))
                file.write(json.dumps(line) + "\n")
        return availability.measure(path)

    def test_one_gap_without_the_clients_own_pause(self):
        self.serve(100, 20_001)
        self.fault(20_000, 22_000)
        self.serve(21_500, 40_001)
        found = self.measured()
        fault = found["faults"][0]
        self.assertEqual(100, found["pause_ms"]["issue"])
        self.assertEqual((1400, [20_000 * MS, 21_500 * MS]),
                         (fault["unavailable_ms"], fault["gap"]))
        self.assertEqual(0, max(found["baseline"]["issue"]))

    def test_what_happens_before_and_after_is_not_the_faults(self):
        self.serve(100, 10_000)
        self.serve(14_000, 20_000)  # four bad seconds in calm times
        self.fault(20_050, 21_000)
        self.serve(20_100, 40_001)
        found = self.measured()
        self.assertEqual(0, found["faults"][0]["unavailable_ms"])
        self.assertEqual(3900, max(found["baseline"]["issue"]))

    def test_a_gap_that_two_faults_share_is_cut_between_them(self):
        self.serve(100, 20_000)
        self.fault(20_000, 21_000, "first")
        self.fault(23_000, 24_000, "second")
        self.serve(25_000, 50_001)
        first, second = self.measured()["faults"]
        self.assertEqual((2900, 1900), (first["unavailable_ms"], second["unavailable_ms"]))

    def test_a_cluster_that_is_not_whole_is_not_calm(self):
        self.serve(100, 20_000)
        self.fault(20_000, 21_000)
        self.serve(20_050, 25_000)
        self.serve(60_000, 70_001)  # served by nobody for 35 s, whole at 61 s
        self.line(61_000, kind="event", name="whole", value={"after": "cut", "ms": 40_000})
        self.fault(70_050, 71_000, "second")
        self.serve(110_000, 120_001)
        self.line(115_000, kind="event", name="phase", value="rest")
        found = self.measured()
        first, second = found["faults"]
        self.assertEqual(34_950, first["unavailable_ms"])
        self.assertGreater(second["unavailable_ms"], 38_000)  # never whole again
        self.assertLess(max(found["baseline"]["issue"]), 100)

    def test_elsewhere_leaves_the_targets_out(self):
        self.serve(100, 40_001, target="coordinator-1")
        self.serve(150, 20_000, target="coordinator-2")
        self.fault(20_000, 21_000, targets=["coordinator-1"])
        self.serve(22_150, 40_001, target="coordinator-2")
        self.fault(45_000, 46_000, "all", targets=["coordinator-1", "coordinator-2"])
        first, second = self.measured()["faults"]
        self.assertLess(first["kinds"]["issue"], 100)
        self.assertGreater(first["elsewhere"]["issue"], 2000)
        self.assertIsNone(second["elsewhere"]["issue"])

    def test_never_healed_and_never_served(self):
        self.serve(100, 5_001)
        self.count += 1
        self.line(6_000, kind="fault", id=self.count, name="all", targets=[])
        self.operation(9_000, outcome="fail")
        fault = self.measured()["faults"][0]
        self.assertEqual((9_000 * MS, 2900), (fault["end"], fault["unavailable_ms"]))

    def test_nothing_was_ever_served(self):
        self.fault(10, 20)
        self.operation(30, outcome="fail")
        found = self.measured()
        self.assertIsNone(found["faults"][0]["unavailable_ms"])
        self.assertEqual({"ok": 0, "fail": 1, "unknown": 0, "latency_ms": None},
                         found["operations"]["issue"])

    def test_latencies_and_what_is_left_out(self):
        for took in range(1, 101):
            self.operation(took * 1000, took_ms=took)
        self.operation(102_000, client="sidecar-1", took_ms=50_000)
        self.operation(103_000, outcome="ok", took_ms=999, denied="debug")
        row = self.measured()["operations"]["issue"]
        self.assertEqual({"p50": 50, "p99": 99, "max": 100}, row["latency_ms"])
        self.assertEqual(101, row["ok"])

    def test_reads_count_where_they_are_worse(self):
        self.serve(100, 40_001)
        self.serve(150, 20_000, op="read")
        self.fault(20_000, 21_000)
        self.serve(20_950, 40_001, op="read")
        fault = self.measured()["faults"][0]
        self.assertEqual(fault["kinds"]["read"], fault["unavailable_ms"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
