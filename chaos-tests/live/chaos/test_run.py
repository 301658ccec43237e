"""The order of faults, the phases of a round, and what a run makes of them, over a stage of paper.

Time is played: waiting moves a number. Histories are written by the real recorder.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import shutil
import stat
import tempfile
import threading
import time
import unittest

import rounds  # first: it says where harness.py is
import checker
import faultbase
import faults_member
import history
import liveround
import mutations
import player
import pods
import run
import simulations
import timetable


class Fault:
    def __init__(self, name, duration_s=(1, 3), kills="none", ends_epoch=False, group="group"):
        self.name, self.duration_s, self.kills = name, duration_s, kills
        self.ends_epoch, self.group = ends_epoch, group


CATALOG = [Fault("kill-leader", kills="one"), Fault("cut"), Fault("pause", (2, 8)),
           Fault("clock", 1.5, group="clock"), Fault("clock-2", group="clock"), Fault("slow"),
           Fault("kill-two", kills="minority"),
           Fault("kill-all", kills="all", ends_epoch=True),
           Fault("move-all", kills="one", group="membership")]


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
        names = [t.name for t in first(timetable.singles(CATALOG, 8), 3 * len(calm))]
        for i in range(3):
            deck = names[i * len(calm):(i + 1) * len(calm)]
            self.assertEqual(sorted(calm), sorted(deck))

    def test_rounds_that_follow_one_another_meet_every_fault(self):
        catalog = [Fault(f"fault-{n}") for n in range(69)]
        met = {t.name for seed in range(8, 12) for t in first(timetable.singles(catalog, seed), 18)}
        self.assertEqual(69, len(met))

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
            self.assertFalse(any(t.fault.ends_epoch or t.fault.group == "membership"
                                 for t in storm))
            self.assertEqual(len(storm), len({t.name for t in storm}))
            self.assertLessEqual(sum(t.fault.group == "clock" for t in storm), 1)
        self.assertTrue(any(t.fault.kills != "none" for s in storms for t in s))

    def test_nothing_to_play_is_an_end_not_a_loop(self):
        for make in (timetable.singles, timetable.recoveries, timetable.storms):
            self.assertEqual([], first(make([], 1), 5))
        self.assertEqual([], first(timetable.recoveries(CATALOG[:3], 1), 5))
        only = [CATALOG[0]]
        clocks = [f for f in CATALOG if f.group == "clock"]
        self.assertEqual([], first(timetable.storms(clocks, 1), 5))
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
        after = {value["after"] for value in self.history.named("whole")}
        self.assertLessEqual({"kill-all", "cut", "pause"}, after)

    def test_the_same_seed_does_the_same(self):
        self.play(seed=9)
        once = self.stage.did
        self.play(seed=9)
        self.assertEqual(once, self.stage.did)
        self.play(seed=10)
        self.assertNotEqual(once, self.stage.did)

    def test_what_is_missing_is_said_and_passed_over(self):
        done = self.play(seconds=900)
        self.assertEqual({"slow": "no such tool"}, done["missing"])
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

    def test_what_a_fault_saw_go_wrong_is_a_violation(self):
        class Seeing(PaperStage):
            def inject(self, fault, rng):
                if fault.name == "cut":
                    raise player.Wrong("it came through")
                heal = super().inject(fault, rng)

                def looking():
                    heal()
                    if fault.name == "pause":
                        raise player.Wrong("half-written")
                return looking
        done = self.play(stage=Seeing)
        self.assertEqual({("cut", "it came through"), ("pause", "half-written")},
                         {(v["fault"], v["what"]) for v in done["violations"]})
        self.assertEqual(set(), self.stage.active)

    def test_a_cluster_that_stays_broken_is_a_violation_and_ends_the_round(self):
        class Dying(PaperStage):
            def inject(self, fault, rng):
                self.is_dead = fault.name == "pause"
                return super().inject(fault, rng)
        done = self.play(stage=Dying)
        self.assertEqual("over", done["outcome"])
        self.assertEqual(1, len(done["violations"]))
        self.assertRegex(done["violations"][0]["what"], "after pause was over .* not whole")
        self.assertEqual("pause", done["violations"][0]["fault"])
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


class Faults(unittest.TestCase):
    """What faults are made of, over a cluster of paper."""

    def test_work_beside_a_fault_is_ended_and_its_error_is_told(self):
        done, third = [], threading.Event()

        def work():
            done.append(1)
            if len(done) == 3:
                third.set()
        steps = faultbase.beside(faultbase.repeat(work, 0.0, turns=3))
        next(steps)
        self.assertTrue(third.wait(30))
        self.assertIsNone(next(steps, None))
        self.assertEqual(3, len(done))

        def broken(over):
            raise OSError("no more")
        steps = faultbase.beside(broken)
        next(steps)
        with self.assertRaisesRegex(OSError, "no more"):
            next(steps)

    def intruder(self, code, history):
        env = argparse.Namespace(
            count=0, history=history, others=lambda _: [1], cluster=argparse.Namespace(
                intruder=lambda *_: argparse.Namespace(end=lambda: code)))
        fault = faultbase.by_name("intruder-debug")
        fault.inject(env, random.Random(1))()

    def test_an_intruder_that_gets_in_is_a_finding(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "history.jsonl")
            with history.History(path) as recorder:
                self.intruder(3, recorder)
                self.assertEqual([], checker.check(path).violations)
                self.intruder(0, recorder)
            self.assertEqual(["denied"], [v["rule"] for v in checker.check(path).violations])
        self.intruder(3, None)
        with self.assertRaises(faultbase.Wrong):
            self.intruder(0, None)

    def test_every_kind_of_intruder_has_a_fault(self):
        self.assertEqual(set(pods.Intruder.kinds), set(faults_member.INTRUDERS))


class Leaders(unittest.TestCase):
    """What the watch makes of statuses, one look after the other."""

    def look(self, *looks):
        history, watch = PaperHistory(), liveround.Watch.__new__(liveround.Watch)
        watch.recorder, watch.last = history, None
        for statuses in looks:
            watch.cluster = argparse.Namespace(statuses=lambda _, s=statuses: dict(enumerate(s)))
            watch._look()
        return history.named("leader")

    @staticmethod
    def status(leader, term, generation=1, epoch=1, is_confirmed=True):
        return {"is_confirmed": is_confirmed, "term": term, "epoch": epoch,
                "generation": generation, "members": [
                    {"name": "x", "role": "voter"}, {"name": leader, "role": "leader"}]}

    def test_only_changes_are_written(self):
        seen = self.look([self.status("a", 1)], [self.status("a", 1)], [self.status("b", 2)])
        self.assertEqual([("a", 1), ("b", 2)], [(s["replica"], s["term"]) for s in seen])

    def test_the_newest_confirmed_status_counts(self):
        seen = self.look([self.status("a", 5, 7), None, self.status("b", 6, 6),
                          self.status("c", 9, is_confirmed=False)])
        self.assertEqual([{"replica": "b", "term": 6, "epoch": 1, "generation": 7}], seen)

    def test_an_epoch_is_newer_than_any_term(self):
        seen = self.look([self.status("a", 9), self.status("b", 1, epoch=2)])
        self.assertEqual(("b", 2), (seen[0]["replica"], seen[0]["epoch"]))

    def test_nobody_confirmed_is_nobody(self):
        self.assertEqual([None], [s["replica"] for s in self.look([None, self.status(
            "a", 1, is_confirmed=False)])])


class Folder(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="chaos-run.")
        self.addCleanup(shutil.rmtree, self.dir)
        self.stop = run.Stop()

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def program(self, name, text):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, stat.S_IRWXU)
        return path


class Parts(Folder):
    def test_the_baseline_is_of_the_work_that_waited_longest(self):
        self.assertEqual([3, 4], rounds.baseline_of(
            {"issue": [3, 1], "read": [2, 4], "set": [9, 9]}))
        self.assertEqual([5], rounds.baseline_of({"read": [5]}))
        self.assertEqual([], rounds.baseline_of({}))

    def test_minutes_become_rounds(self):
        for minutes, lengths in ((5, [5]), (0.5, [0.5]), (10, [10]), (12, [12]), (12.9, [12.9]),
                                 (13, [10, 3]), (25, [10, 10, 5]), (60, [10] * 6)):
            self.assertEqual(lengths, run.rounds_of(minutes))

    def test_a_violation_is_blamed_on_the_fault_that_was_in(self):
        faults = [{"name": "a", "start": 10, "end": 20},
                  {"name": "b", "start": 15, "end": 30 * 10 ** 9},
                  {"name": "c", "start": 100 * 10 ** 9, "end": None}]
        for at, name in ((5, None), (12, "a"), (17, "b"), (33 * 10 ** 9, "b"),
                         (36 * 10 ** 9, None), (999 * 10 ** 9, "c"), (None, None)):
            self.assertEqual(name, rounds.fault_at(faults, at), at)

    def test_overlapping_windows_are_one_storm(self):
        def window(name, start, end, ms):
            return {"name": name, "start": start, "end": end, "unavailable_ms": ms, "gap": [ms, ms]}
        windows = rounds.apart([window("c", 30, 40, 1), window("a", 0, 10, 5),
                                window("b", 5, 20, 9), window("d", 19, 25, None)])
        self.assertEqual([(rounds.STORM, 0, 25, 9, [9, 9]), ("c", 30, 40, 1, [1, 1])], [
            (w["name"], w["start"], w["end"], w["unavailable_ms"], w["gap"]) for w in windows])
        self.assertEqual(["a", "b", "d"], windows[0]["names"])

    def test_a_fault_that_no_round_could_inject_is_a_problem(self):
        played = [argparse.Namespace(entry=entry) for entry in (
            {"missing": {"a": "no disk", "b": "no tool"}}, {"missing": {"b": "no tool"}}, {})]
        self.assertEqual([{"what": "b cannot be injected here: no tool"}], list(run.never(played)))
        self.assertEqual([], list(run.never([])))

    def test_another_run_is_replaced_only_on_demand_and_nothing_else_goes(self):
        os.makedirs(self.path("round-1", "kept"))
        for name in ("result.json", "index.html", "notes.txt"):
            self.program(name, "x")
        self.assertFalse(run.make_room(self.dir, False))
        self.assertEqual(4, len(os.listdir(self.dir)))
        self.assertTrue(run.make_room(self.dir, True))
        self.assertEqual(["notes.txt"], os.listdir(self.dir))
        self.assertTrue(run.make_room(self.path("new"), False))

    def test_exit_codes(self):
        whole = {"outcome": "whole"}
        for result, code in (
                ({"violations": [], "rounds": [whole]}, 0),
                ({"violations": [], "rounds": [whole, {"outcome": "killed"}]}, 1),
                ({"violations": [], "rounds": [whole], "interrupted": True}, 1),
                ({"violations": [1], "rounds": [{"outcome": "over"}]}, 3)):
            self.assertEqual(code, run.exit_code(result))

    def test_wrong_usage_is_told(self):
        for words in (["--minutes", "0"], ["--minutes", "nan"], ["--seed", "-1"], ["--hosts", "7"],
                      ["--seed", "1.5"], ["--minute", "5"], ["stray"], ["--fault", "no-such"]):
            with self.assertRaises(SystemExit) as caught, contextlib.redirect_stderr(
                    io.StringIO()) as err:
                run.parse(words)
            self.assertEqual(2, caught.exception.code)
            self.assertIn("scripts/chaos: error:", err.getvalue())

    def test_only_regular_files_of_bearable_size_are_kept(self):
        os.makedirs(self.path("work", "logs"))
        os.mkfifo(self.path("work", "pipe"))
        os.symlink("/etc", self.path("work", "link"))
        self.program("work/logs/a.log", "text")
        with open(self.path("work", "huge"), "wb") as f:
            f.truncate(rounds.KEPT_FILE_MAX + 1)
        rounds.keep(self.path("work"), self.path("kept"))
        self.assertEqual(["logs"], os.listdir(self.path("kept")))
        self.assertEqual(["a.log"], os.listdir(self.path("kept", "logs")))


def is_running(pid):
    """False for one that is gone, or was killed and waits for somebody to notice."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Simulations(Folder):
    def run_program(self, text, seeds=3, seconds=60):
        self.program("contrast-sim", text)
        return simulations.run(self.dir, 7, seeds, seconds, self.dir, self.stop.first)

    def test_good_seeds_are_counted(self):
        results, problems = self.run_program(
            "#!/bin/sh\nfor i in 7 8 9; do echo seed $i: ok steps=3; done\n")
        self.assertEqual((3, []), (results[0]["seeds"], results[0]["failed"]))
        self.assertIn("contrast-world is not built", problems[0]["what"])

    def test_a_summary_counts_for_more_than_lines(self):
        results, _ = self.run_program("#!/bin/sh\necho '3 seeds from 7: 0 failed'\n")
        self.assertEqual(3, results[0]["seeds"])

    def test_a_failing_seed_is_a_violation_with_its_line(self):
        results, _ = self.run_program(
            "#!/bin/sh\necho seed 7: ok\n"
            "echo 'seed 8: stale read (reproduce: contrast-sim --seed 8 --faults 3,7)'\nexit 1\n")
        found = list(simulations.violations(results))
        self.assertEqual(1, len(found))
        self.assertEqual("contrast-sim --seed 8 --faults 3,7", found[0]["reproduce"])
        self.assertEqual("contrast-sim: seed 8: stale read", found[0]["what"])

    def test_a_crash_without_a_word_is_a_violation(self):
        results, _ = self.run_program("#!/bin/sh\necho seed 7: ok\nkill -SEGV $$\n")
        self.assertEqual(1, len(list(simulations.violations(results))))

    def test_time_that_is_over_ends_it(self):
        results, problems = self.run_program("#!/bin/sh\nsleep 600\n", seconds=0)
        self.assertEqual((0, []), (results[0]["seeds"], results[0]["failed"]))
        self.assertIn("contrast-sim had time for 0 of 3 seeds", str(problems))

    def stop_when_there_is(self, path):
        end = time.monotonic() + 60
        while not os.path.exists(path) and time.monotonic() < end:
            time.sleep(0.01)
        self.stop.first.set()

    def test_a_stop_ends_it_and_its_workers_and_keeps_what_was_said(self):
        worker = self.path("worker")
        threading.Thread(target=self.stop_when_there_is, args=[worker], daemon=True).start()
        results, _ = self.run_program(
            "#!/bin/sh\necho seed 7: ok\necho seed 8: bad\n"
            f"sleep 600 & echo $! >{worker}.new\nmv {worker}.new {worker}\nsleep 600\n")
        self.assertEqual((2, ["seed 8: bad"]), (results[0]["seeds"], results[0]["failed"]))
        with open(worker, encoding="ascii") as f:
            pid = int(f.read())
        end = time.monotonic() + 30
        while is_running(pid) and time.monotonic() < end:
            time.sleep(0.01)
        self.assertFalse(is_running(pid))

    def test_after_a_stop_none_begins(self):
        self.stop.first.set()
        results, _ = self.run_program("#!/bin/sh\nsleep 600\n")
        self.assertEqual([], results)


class Mutations(Folder):
    NOTICES = """#!/bin/sh
rule= code=0
while [ $# -gt 0 ]; do [ "$1" = --without ] && rule=$2; [ "$1" = --seed ] && seed=$2; shift; done
if [ -n "$rule" ] && [ "$rule" != %s ] && [ $seed = 51 ]; then
    echo "seed 60: later"; echo "seed 52: noticed $rule"; code=1
fi
echo "seed 53: ok  steps=1"
echo "50 seeds from $seed: $code failed"
exit $code
"""

    def rows(self, blind):
        program = self.program("contrast-sim-mutable", self.NOTICES % blind)
        return mutations.run(program, 120, self.stop.first)

    def test_every_rule_noticed_is_good(self):
        rows = self.rows("none")
        self.assertTrue(mutations.is_good(rows))
        self.assertRegex(mutations.text_of(rows), r"R3 +52 +52  noticed R3\n")
        self.assertEqual(120, rows[0]["seeds"])

    def test_a_rule_that_nothing_notices_is_not(self):
        rows = self.rows("fence")
        self.assertFalse(mutations.is_good(rows))
        self.assertRegex(mutations.text_of(rows), r"fence +- +120  NOTHING\n")

    def test_a_program_that_cannot_is_an_error(self):
        program = self.program("contrast-sim-mutable", "#!/bin/sh\necho usage: no; exit 2\n")
        rows = mutations.run(program, 3, self.stop.first)
        self.assertFalse(mutations.is_good(rows))
        self.assertIn("usage: no", mutations.text_of(rows))


ROUND = """import json, os, signal, sys, time
job = json.load(open(sys.argv[1]))
def on_term(*_):
    open(os.path.join(job["folder"], "told"), "w").close()
    if {ends}:
        sys.exit(0)
signal.signal(signal.SIGTERM, on_term)
with open(os.path.join(job["folder"], "history.jsonl"), "w") as f:
    for word in ("found", "end"):
        f.write(json.dumps({{"kind": "event", "name": "phase", "value": word, "at": 5}}) + "\\n")
open(os.path.join(job["work"], "a.log"), "w").write("said")
open(os.path.join(job["folder"], "began"), "w").close()
{body}
json.dump({{"outcome": "{outcome}", "problems": [], "turns": [], "missing": {{}},
           "violations": {violations}}}, open(os.path.join(job["folder"], "round.json"), "w"))
"""


class RoundProcess(Folder):
    """rounds.Round with a process of paper in place of liveround.py."""

    def play(self, body="", outcome="whole", violations=(), ends=True, keep=False, minutes=1):
        self.program("round.py", ROUND.format(body=body, outcome=outcome, ends=ends,
                                              violations=json.dumps(list(violations))))
        options = argparse.Namespace(out=self.dir, hosts=None, fault=[], previous_bin=None,
                                     bin=self.dir, keep=keep)
        patched = rounds.LIVEROUND, rounds.remove_left
        rounds.LIVEROUND = self.path("round.py")
        rounds.remove_left = lambda work: shutil.rmtree(work)
        try:
            this = rounds.Round(1, 42, minutes, options)
            this.play(self.stop)
        finally:
            rounds.LIVEROUND, rounds.remove_left = patched
        return this

    def test_a_good_round_keeps_its_history_alone(self):
        this = self.play()
        self.assertEqual(("whole", [], []), (this.entry["outcome"], this.violations, this.problems))
        self.assertEqual({"job.json", "round.log", "history.jsonl", "round.json", "began"},
                         set(os.listdir(this.dir)))

    def test_a_violation_keeps_the_logs_and_says_how_to_see_it_again(self):
        this = self.play(violations=[{"what": "w", "at": 5}])
        v = this.violations[0]
        self.assertEqual("scripts/chaos --minutes 1 --seed 42", v["reproduce"])
        self.assertEqual((1, 0), (v["round"], v["after_ns"]))
        with open(os.path.join(v["logs"], "a.log"), encoding="utf-8") as f:
            self.assertEqual("said", f.read())

    def test_a_round_that_dies_is_reported_with_its_last_words(self):
        this = self.play(body="sys.exit('words at the end')")
        self.assertEqual("killed", this.entry["outcome"])
        self.assertIn("words at the end", str(this.problems))

    def test_a_stop_reaches_the_round(self):
        threading.Thread(target=self.stop_when_it_began, daemon=True).start()
        this = self.play(body="time.sleep(20)")
        self.assertIn("told", os.listdir(this.dir))

    def stop_when_it_began(self):
        began = self.path("round-1", "began")
        end = time.monotonic() + 30
        while not os.path.exists(began) and time.monotonic() < end:
            time.sleep(0.01)
        self.stop.first.set()
        if self.stop_twice:
            self.stop.second.set()

    stop_twice = False

    def test_a_second_stop_kills_a_round_that_does_not_listen(self):
        self.stop_twice = True
        threading.Thread(target=self.stop_when_it_began, daemon=True).start()
        this = self.play(body="while True: time.sleep(100)", ends=False)
        self.assertIn("did not end and was killed", str(this.problems))


if __name__ == "__main__":
    unittest.main()
