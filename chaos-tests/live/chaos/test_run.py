"""The order of faults, the phases of a round, and what a run makes of them, over a stage of paper.

Time is played: waiting moves a number. Histories are written by the real recorder.

SPDX-License-Identifier: Apache-2.0
"""

import itertools
import threading
import unittest

import player
import timetable


class Fault:
    def __init__(self, name, duration_s=(1, 3), kills="none", ends_epoch=False, min_gap_s=0):
        self.name, self.duration_s, self.kills = name, duration_s, kills
        self.ends_epoch, self.min_gap_s, self.group = ends_epoch, min_gap_s, "group"


CATALOG = [Fault("kill-leader", kills="one"), Fault("cut"), Fault("pause", (2, 8)),
           Fault("clock", 1.5), Fault("slow"), Fault("kill-two", kills="minority"),
           Fault("kill-all", kills="all", ends_epoch=True)]


def first(turns, count):
    return list(itertools.islice(turns, count))


class Timetable(unittest.TestCase):
    def test_one_seed_is_one_order(self):
        for make in (timetable.singles, timetable.recoveries, timetable.storms):
            once, again = (str(first(make(catalog, 7), 50))
                           for catalog in (CATALOG, list(reversed(CATALOG))))
            self.assertEqual(once, again)
            if make is not timetable.recoveries:
                self.assertNotEqual(once, str(first(make(CATALOG, 8), 50)))

    def test_singles_come_all_before_one_comes_twice(self):
        calm = [f.name for f in CATALOG if not f.ends_epoch]
        names = [t.name for t in first(timetable.singles(CATALOG, 3), 3 * len(calm))]
        for i in range(3):
            deck = names[i * len(calm):(i + 1) * len(calm)]
            self.assertEqual(sorted(calm), sorted(deck))

    def test_turns_draw_from_seeds_of_their_own(self):
        turns = first(timetable.singles(CATALOG, 3), 40)
        self.assertEqual(40, len({t.seed for t in turns}))
        self.assertEqual(turns[0].rng().random(), turns[0].rng().random())
        for turn in turns:
            low, high = timetable.duration_of(turn.fault)
            self.assertTrue(low <= turn.duration_s <= high)

    def test_a_storm_kills_at_most_once_and_never_ends_an_epoch(self):
        storms = first(timetable.storms(CATALOG, 5), 200)
        for storm in storms:
            self.assertTrue(2 <= len(storm) <= timetable.STORM_MOST)
            self.assertLessEqual(sum(t.fault.kills != "none" for t in storm), 1)
            self.assertFalse(any(t.fault.ends_epoch for t in storm))
            self.assertEqual(len(storm), len({t.name for t in storm}))
        self.assertTrue(any(t.fault.kills != "none" for s in storms for t in s))

    def test_nothing_to_play_is_an_end_not_a_loop(self):
        for make in (timetable.singles, timetable.recoveries, timetable.storms):
            self.assertEqual([], first(make([], 1), 5))
        self.assertEqual([], first(timetable.recoveries(CATALOG[:3], 1), 5))
        only = [CATALOG[0]]
        self.assertEqual([], first(timetable.storms(only, 1), 5))


class PaperClock:
    """A clock that moves when it is waited for."""

    def __init__(self, stop_at=None):
        self.at, self.stop_at = 1000.0, stop_at
        self.stopped = threading.Event()

    def now(self):
        return self.at

    def stop(self):
        self.stopped.set()

    def wait(self, seconds):
        self.at += max(seconds, 0)
        if self.stop_at is not None and self.at >= self.stop_at:
            self.stopped.set()
        return not self.stopped.is_set()


class PaperHistory:
    def __init__(self):
        self.events = []

    def event(self, name, value=None):
        self.events.append((name, value))

    def named(self, wanted):
        return [value for name, value in self.events if name == wanted]


class PaperStage:
    """Does what it is told, and remembers."""

    def __init__(self, clock, catalog=None):
        self.clock, self.catalog = clock, catalog or CATALOG
        self.did, self.active, self.most = [], set(), 0
        self.is_dead = False

    def now_ns(self):
        return int(self.clock.now() * 1e9)

    def found(self):
        self.did.append("found")

    def start_clients(self):
        self.did.append("start")

    def stop_clients(self):
        self.did.append("stop")

    def final_reads(self):
        self.did.append("final")

    def missing(self, fault):
        return "no such tool" if fault.name == "slow" else None

    def is_whole(self):
        return not self.active and not self.is_dead

    def inject(self, fault, rng):
        self.did.append(f"+{fault.name} {rng.random():.6f}")
        self.active.add(fault.name)
        self.most = max(self.most, len(self.active))

        def heal():
            self.did.append(f"-{fault.name}")
            self.active.discard(fault.name)
        return heal


class Rounds(unittest.TestCase):
    def play(self, seed=1, seconds=300, stage=None, stop_at=None, names=()):
        self.clock = PaperClock(stop_at)
        self.stage = stage(self.clock) if stage else PaperStage(self.clock)
        self.history = PaperHistory()
        return player.Player(self.stage, self.history, self.clock, seed, seconds, names).play()

    def test_a_round_has_all_phases_and_ends_in_time(self):
        done = self.play()
        self.assertEqual("whole", done["outcome"])
        self.assertEqual(["found", "baseline", "faults", "storms", "recovery", "after", "rest",
                          "final", "end"], self.history.named("phase"))
        self.assertEqual(["found", "start"], self.stage.did[:2])
        self.assertEqual(["stop", "final"], self.stage.did[-2:])
        self.assertLess(self.clock.now() - 1000, 301)
        self.assertGreater(self.clock.now() - 1000, 250)
        self.assertGreater(self.stage.most, 1)
        self.assertEqual([], done["violations"])

    def test_everything_that_was_injected_is_healed(self):
        done = self.play(seconds=600)
        ins = [d[1:].split()[0] for d in self.stage.did if d[0] == "+"]
        outs = [d[1:] for d in self.stage.did if d[0] == "-"]
        self.assertEqual(sorted(ins), sorted(outs))
        self.assertEqual(len(ins), len(done["turns"]))
        self.assertIn("kill-all", ins)

    def test_the_same_seed_does_the_same(self):
        self.play(seed=9)
        once = self.stage.did
        self.play(seed=9)
        self.assertEqual(once, self.stage.did)
        self.play(seed=10)
        self.assertNotEqual(once, self.stage.did)

    def test_what_is_missing_is_said_once_and_passed_over(self):
        done = self.play(seconds=900)
        self.assertEqual({"slow": "no such tool"}, done["missing"])
        self.assertEqual(1, sum("slow" in p["what"] for p in done["problems"]))
        self.assertFalse([d for d in self.stage.did if d.startswith("+slow")])

    def test_only_the_named_faults_come(self):
        done = self.play(names=["pause"])
        self.assertEqual({"pause"}, {t["name"] for t in done["turns"]})

    def test_a_fault_that_cannot_be_injected_is_a_problem_not_the_end(self):
        class Weak(PaperStage):
            def inject(self, fault, rng):
                if fault.name == "cut":
                    raise player.Unable("no link to cut")
                if fault.name == "clock":
                    raise OSError("disk on fire")
                return super().inject(fault, rng)
        done = self.play(stage=Weak)
        self.assertEqual("whole", done["outcome"])
        text = str(done["problems"])
        self.assertIn("cut could not be injected: no link to cut", text)
        self.assertIn("clock could not be injected: OSError: disk on fire", text)
        self.assertNotIn("cut", {t["name"] for t in done["turns"]})

    def test_a_cluster_that_stays_broken_is_a_violation_and_ends_the_round(self):
        class Dying(PaperStage):
            def inject(self, fault, rng):
                self.is_dead = fault.name == "pause"
                return super().inject(fault, rng)
        done = self.play(stage=Dying)
        self.assertEqual("over", done["outcome"])
        self.assertEqual(1, len(done["violations"]))
        self.assertRegex(done["violations"][0]["what"], "after pause was healed .* not whole")
        self.assertEqual("stop", self.stage.did[-1])  # a dead cluster is not asked

    def test_a_stop_ends_in_order(self):
        done = self.play(stop_at=1100)
        self.assertEqual("stopped", done["outcome"])
        self.assertEqual(set(), self.stage.active)
        self.assertEqual("stop", self.stage.did[-1])
        self.assertEqual("end", self.history.named("phase")[-1])

    def test_a_founding_that_fails_is_reported(self):
        class Broken(PaperStage):
            def found(self):
                raise AssertionError("exit 1")
        done = self.play(stage=Broken)
        self.assertEqual("failed", done["outcome"])
        self.assertIn("AssertionError: exit 1", str(done["problems"]))

    def test_a_hang_is_bounded(self):
        gate = threading.Event()
        self.addCleanup(gate.set)
        with self.assertRaisesRegex(player.Over, "waiting for ever did not come back"):
            player.bounded(gate.wait, 0.05, "waiting for ever")
        self.assertEqual(3, player.bounded(lambda: 3, 5, "three"))
        with self.assertRaises(ZeroDivisionError):
            player.bounded(lambda: 1 // 0, 5, "dividing")

    def test_a_heal_that_fails_does_not_stop_the_others(self):
        class Sticky(PaperStage):
            def inject(self, fault, rng):
                heal = super().inject(fault, rng)

                def broken():
                    heal()
                    raise OSError("sticky")
                return broken
        done = self.play(stage=Sticky)
        self.assertEqual("whole", done["outcome"])
        self.assertEqual(set(), self.stage.active)
        self.assertIn("could not be healed: OSError: sticky", str(done["problems"]))


if __name__ == "__main__":
    unittest.main()
