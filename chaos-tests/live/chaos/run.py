#!/usr/bin/env -S python3 -B
"""A chaos run: rounds with real programs under faults drawn from a seed, then the judgement.

    run.py --minutes N [--seed S] --out DIR [--hosts 3..5] [--fault NAME]... [--bin DIR]
           [--previous-bin DIR] [--sim-seeds N] [--keep]
    run.py --list | --mutations

A run is a row of rounds of ROUND_MINUTES (the last one is what is left); round k has seed S + k - 1,
so each can be had again alone. A round is a process (liveround.py) with a history; when it is over
its history is judged here: linearizability and durability (checker.py), gaps (availability.py).
DIR/result.json and DIR/index.html are written after every round, so a run that is killed has a
report of what was. SIGINT or SIGTERM ends the round in order, then reports; a second one kills it.

Files of a round that broke a rule are kept in DIR/round-K/kept; of others the history alone.

Exit: 0 no violation; 1 it could not run, or not to its end; 2 usage; 3 a rule was broken.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import glob
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))  # harness.py and wire.py, for faults and the Lab

import availability  # noqa: E402
import checker  # noqa: E402
import mutations  # noqa: E402
import report  # noqa: E402
import simulations  # noqa: E402

ROOT = os.path.abspath(os.path.join(HERE, "..", "..", ".."))
LIVEROUND = os.path.join(HERE, "liveround.py")
ROUND_MINUTES = 10
LAST_ROUND_MINUTES = 3  # a shorter rest is added to the round before
SLACK_S = 600           # founding, healing and ending of a round, at the very most
END_S = 300             # after SIGTERM
AFTER_FAULT_NS = 5_000_000_000  # what is seen so soon after a fault is blamed on it
KEPT_FILE_MAX = 64 << 20
MUTATION_SEEDS = 2000
SEED_MAX = 2 ** 53      # as JSON's readers agree on
STORM = "storm (several at once)"


def rounds_of(minutes):
    """Lengths of the rounds: 25 is 10, 10, 5; 12 is one of 12."""
    lengths = []
    while minutes >= ROUND_MINUTES + LAST_ROUND_MINUTES:
        lengths.append(ROUND_MINUTES)
        minutes -= ROUND_MINUTES
    return [*lengths, minutes]


def say(text):
    print(f"chaos: {report.plain(text)}", file=sys.stderr, flush=True)


# --- A round, from outside


class Round:
    """One round: its process, its folder, its judgement."""

    def __init__(self, number, seed, minutes, options):
        self.number, self.seed, self.minutes, self.options = number, seed, minutes, options
        self.dir = os.path.join(options.out, f"round-{number}")
        os.makedirs(self.dir)
        self.again = again(minutes, seed, options)
        self.entry = {"dir": f"round-{number}", "seed": seed, "minutes": minutes,
                      "reproduce": self.again, "outcome": "killed", "unavailable": []}
        self.problems, self.violations, self.baseline_ms, self.groups = [], [], [], {}

    def job(self, work):
        """Four seeds that follow one another are four kinds of deployment."""
        kind = self.seed % 4
        return {"folder": self.dir, "work": work, "seed": self.seed, "minutes": self.minutes,
                "hosts": self.options.hosts or (5 if kind in (1, 3) else 3), "state": kind >= 2,
                "kds": kind in (1, 2), "from_previous": kind == 0, "faults": self.options.fault,
                "previous_bin": self.options.previous_bin}

    def play(self, stop):
        """Runs the round's process to its end, which is bounded. Files go or stay by what it was."""
        work = tempfile.mkdtemp(prefix=f"contrast-chaos-{os.getpid()}.")
        try:
            path = os.path.join(self.dir, "job.json")
            with open(path, "w", encoding="utf-8") as f:
                json.dump(self.job(work), f, indent=1)
            self._run([sys.executable, "-B", LIVEROUND, path], stop)
            self._take()
            self._judge()
            self._attribute()
            if self.violations or self.options.keep or self.entry["outcome"] not in (
                    "whole", "stopped"):
                self.entry["logs"] = os.path.join(self.dir, "kept")
                keep(work, self.entry["logs"])
                for v in self.violations:
                    v["logs"] = self.entry["logs"]
        finally:
            remove_left(work)

    def _run(self, argv, stop):
        env = dict(os.environ, CONTRAST_BIN=self.options.bin, PYTHONDONTWRITEBYTECODE="1")
        with open(os.path.join(self.dir, "round.log"), "wb") as log:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     env=env, start_new_session=True)
        if not wait_child(child, self.minutes * 60 + SLACK_S, stop.first):
            child.terminate()
            if not wait_child(child, END_S, stop.second):
                self.problems.append({"what": f"round {self.number} did not end and was killed"})
        try:
            os.killpg(child.pid, signal.SIGKILL)  # its session: programs of a killed round
        except ProcessLookupError:
            pass
        child.wait()
        if child.returncode != 0:
            tail = report.plain(tail_of(os.path.join(self.dir, "round.log")))
            self.problems.append({"what": f"round {self.number} ended with {child.returncode}: "
                                  f"{tail}"})

    def _take(self):
        """What the round says of itself."""
        path = os.path.join(self.dir, "round.json")
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8") as f:
            told = json.load(f)
        self.entry.update({name: told[name] for name in ("outcome", "turns", "missing")})
        self.problems += told["problems"]
        self.violations += told["violations"]

    def _judge(self):
        """The checker and the availability of this history; their own trouble is a problem, too."""
        path = os.path.join(self.dir, "history.jsonl")
        if not os.path.exists(path):
            self.problems.append({"what": f"round {self.number} has no history"})
            return
        try:
            verdict = checker.check(path)
            self.violations += verdict.violations
            self.entry["figures"] = verdict.figures
            measured = availability.measure(path)
            self.entry["unavailable"] = apart(measured["faults"])
            self.baseline_ms = baseline_of(measured["baseline"])
        except Exception as e:  # the other rounds go on
            self.problems.append({"what": f"judging {path}: {type(e).__name__}: {e}"})
            self.entry["outcome"] = "unreadable"

    def _attribute(self):
        """Each violation gets its fault, its round, and the line that plays it again."""
        seen = report.round_read(os.path.join(self.dir, "history.jsonl")) if os.path.exists(
            os.path.join(self.dir, "history.jsonl")) else report.Round()
        for v in self.violations:
            at = v.get("at")
            v["round"], v["reproduce"], v["logs"] = self.number, self.again, self.dir
            v["after_ns"] = at - seen.start if at is not None and seen.start is not None else None
            v["during"] = v.get("fault") or fault_at(seen.faults, at)
            v["fault"] = STORM if ", " in (v["during"] or "") else v["during"]
        self.problems += [{"what": f"a client ended: {value}"} for _, name, value in seen.notes
                          if name == "bug"]


def fault_at(faults, at):
    """Name of the fault that was in, or over only just; the latest of several. None: none."""
    if at is None:
        return None
    blamed = [f for f in faults if f["start"] <= at and (
        f["end"] is None or at <= f["end"] + AFTER_FAULT_NS)]
    return max(blamed, key=lambda f: f["start"])["name"] if blamed else None


def baseline_of(gaps):
    """The longest gaps of calm slices, of whichever kind of work waited longest."""
    kinds = [gaps[op] for op in availability.WORK if op in gaps]
    return [max(slice_of) for slice_of in zip(*kinds)]


def apart(windows):
    """Windows of single faults; those that overlap become one window, a storm."""
    done = []
    for w in sorted(windows, key=lambda w: w["start"]):
        last = done[-1] if done else None
        if last and last["end"] is not None and w["start"] < last["end"]:
            worst = max((last, w), key=lambda x: x.get("unavailable_ms") or 0)
            names = last.get("names", [last["name"]]) + [w["name"]]
            ends = None if w["end"] is None else max(last["end"], w["end"])
            done[-1] = {**worst, "name": STORM, "names": names, "start": last["start"],
                        "end": ends}
        else:
            done.append(w)
    return done


def wait_child(child, seconds, stop):
    """True when it ended; False when the time is over or somebody asked for the end."""
    end = time.monotonic() + seconds
    while child.poll() is None:
        if time.monotonic() >= end or stop.is_set():
            return False
        try:
            child.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
    return True


def tail_of(path, size=400):
    with open(path, "rb") as f:
        f.seek(0, os.SEEK_END)
        f.seek(max(0, f.tell() - size))
        return f.read().decode(errors="replace").strip().replace("\n", " | ")


def keep(work, to):
    """Copies the regular files; sockets cannot be copied, and what is huge is cut off by its name."""
    def unwanted(folder, names):
        paths = ((name, os.path.join(folder, name)) for name in names)
        return [name for name, path in paths if os.path.islink(path) or not (
            os.path.isdir(path) or (os.path.isfile(path)
                                    and os.path.getsize(path) <= KEPT_FILE_MAX))]
    shutil.copytree(work, to, ignore=unwanted, dirs_exist_ok=True)


def remove_left(work=None):
    """What a round left that did not end by itself, and work folders of runners that are gone."""
    import lab
    lab.remove_stale()
    if work:
        shutil.rmtree(work, ignore_errors=True)
    for path in glob.glob(os.path.join(tempfile.gettempdir(), "contrast-chaos-*.*")):
        found = re.search(r"contrast-chaos-(\d+)\.", path)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            shutil.rmtree(path, ignore_errors=True)


# --- The run


class Stop:
    """first: end in order; second: end now."""

    def __init__(self):
        self.first, self.second = threading.Event(), threading.Event()

    def on_signal(self, *_):
        if self.first.is_set():
            self.second.set()
        else:
            say("ending in order; once more ends it at once")
            self.first.set()


def again(minutes, seed, options):
    names = "".join(f" --fault {name}" for name in options.fault)
    hosts = f" --hosts {options.hosts}" if options.hosts else ""
    return f"scripts/chaos --minutes {minutes:g} --seed {seed}{hosts}{names}"


def output_of(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT)
        return done.stdout.strip() if done.returncode == 0 else ""
    except OSError:
        return ""


def build_of(folder):
    """Version of the program, and the commit it may have been built from."""
    version = output_of(os.path.join(folder, "contrast"), "--version") or "contrast, unknown version"
    commit = output_of("git", "describe", "--always", "--dirty", "--abbrev=12")
    return f"{version} ({commit})" if commit else version


def machine():
    memory = 0
    for line in open("/proc/meminfo", encoding="ascii"):
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) // 1024
    return {"processors": len(os.sched_getaffinity(0)), "memory": f"{memory} MB",
            "kernel": platform.release(), "python": platform.python_version()}


def result_of(options, rounds, sims, problems):
    """The document of DIR/result.json, for what was until now."""
    histories = [report.round_read(os.path.join(r.dir, "history.jsonl")) for r in rounds
                 if os.path.exists(os.path.join(r.dir, "history.jsonl"))]
    found = [v for r in rounds for v in r.violations] + list(simulations.violations(sims))
    windows = [w for r in rounds for w in r.entry["unavailable"]]
    return {
        "seed": options.seed, "minutes": options.minutes, "build": options.build,
        "started": options.started, "machine": machine(),
        "reproduce": again(options.minutes, options.seed, options),
        "faults": report.faults_of(windows, found, options.groups, wholes_of(histories)),
        "baseline_ms": report.spread([ms for r in rounds for ms in r.baseline_ms]),
        "operations": report.operations_of(histories),
        "violations": found, "simulations": sims,
        "problems": problems + [p for r in rounds for p in r.problems] + list(never(rounds)),
        "rounds": [r.entry for r in rounds],
    }


def wholes_of(histories):
    """(fault, ms) of each time that the cluster was whole again; a storm goes by one name."""
    return [(STORM if ", " in name else name, ms) for h in histories for name, ms in h.wholes]


def never(rounds):
    """Faults that could be injected in no round, as problems."""
    told = [r.entry["missing"] for r in rounds if "missing" in r.entry]
    for name in sorted(set.intersection(*(set(m) for m in told)) if told else ()):
        yield {"what": f"{name} cannot be injected here: {told[-1][name]}"}


def groups():
    import faults
    return {f.name: f.group for f in faults.CATALOG}


def write(options, result):
    path = os.path.join(options.out, "result.json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)
    os.replace(path + ".new", path)
    return report.write(options.out, result, report.rounds_read(options.out, result))


def run(options):
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.on_signal)
    os.makedirs(options.out, exist_ok=True)
    rounds, sims, problems = [], [], []
    if options.sim_seeds:
        say(f"simulations: {options.sim_seeds} seeds from {options.seed} on")
        sims, problems = simulations.run(os.path.join(options.bin, "..", "test"), options.seed,
                                         options.sim_seeds, max(60, options.minutes * 15),
                                         options.out, stop.first)
    lengths = rounds_of(options.minutes)
    for number, minutes in enumerate(lengths, 1):
        if stop.first.is_set():
            break
        say(f"round {number} of {len(lengths)}: seed {options.seed + number - 1}, "
            f"{minutes:g} minutes")
        this = Round(number, options.seed + number - 1, minutes, options)
        rounds.append(this)
        this.play(stop)
        say(f"round {number}: {this.entry['outcome']}, {len(this.violations)} violations")
        write(options, result_of(options, rounds, sims, problems))
    result = result_of(options, rounds, sims, problems)
    result["interrupted"] = stop.first.is_set()
    path = write(options, result)
    print(report.text_of(result), end="")
    say(f"page: {path}")
    return exit_code(result)


def exit_code(result):
    if result["violations"]:
        return 3
    good = all(r["outcome"] == "whole" for r in result["rounds"])
    return 0 if good and not result.get("interrupted") else 1


def preflight(options):
    """Why nothing can run here, or None."""
    import lab
    names = ("contrast", "contrast-coordinator", "contrast-initializer", "contrast-snp-simulator")
    lacking = [n for n in names if not os.path.exists(os.path.join(options.bin, n))]
    if lacking:
        return f"not in {options.bin}: {', '.join(lacking)}; scripts/chaos builds them"
    return lab.missing()


def print_catalog():
    import faults
    rows = [[f.name, f.group, f.what] for f in sorted(faults.CATALOG,
                                                      key=lambda f: (f.group, f.name))]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    for name, group, what in rows:
        print(f"{name.ljust(widths[0])}  {group.ljust(widths[1])}  {what}")


def mutate(options):
    """The table of rules that were taken out."""
    program = os.path.join(options.bin, "..", "test", "contrast-sim-mutable")
    if not os.path.exists(program):
        print(f"chaos: {os.path.normpath(program)} is not built; scripts/chaos builds it",
              file=sys.stderr)
        return 1
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop.on_signal)
    rows = mutations.run(program, options.sim_seeds or MUTATION_SEEDS, stop.first)
    print(mutations.text_of(rows), end="")
    if stop.first.is_set():
        return 1
    return 0 if mutations.is_good(rows) else 3


def number_in(low, high, kind=float):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"'{text}' is not a number from {low} to {high}")
        return value
    return parse


EXAMPLES = """examples:
  scripts/chaos --minutes 10                            one round, a new seed
  scripts/chaos --minutes 60 --seed 7 --sim-seeds 2000  simulations, then six rounds
  scripts/chaos --minutes 30 --fault kill-leader        one fault, again and again
  scripts/chaos --mutations                             rules taken out of the simulation

exit codes: 0 no violation, 1 could not run to the end, 2 usage, 3 violations"""


def parse(args):
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", allow_abbrev=False,
        description="Breaks a cluster of real programs in every way it knows, and judges it.",
        formatter_class=argparse.RawDescriptionHelpFormatter, epilog=EXAMPLES)
    parser.add_argument("--minutes", type=number_in(0.5, 10_000), default=5, metavar="N",
                        help="how long, 0.5 to 10000 (default 5); rounds of 10")
    parser.add_argument("--seed", type=number_in(0, SEED_MAX, int), metavar="S",
                        default=os.environ.get("CHAOS_SEED") or None,
                        help="the order of everything (default: CHAOS_SEED, or drawn and printed)")
    parser.add_argument("--sim-seeds", type=number_in(0, 10 ** 9, int), default=0, metavar="N",
                        help="also run so many seeds of each simulation, first, each for a "
                             "quarter of the minutes at most (default 0)")
    parser.add_argument("--output", "--out", dest="out", metavar="DIR",
                        help="where result.json, index.html and logs go (default: a new folder "
                             "below build/chaos)")
    parser.add_argument("--fault", action="append", default=[], metavar="NAME",
                        help="only this fault; may be given several times")
    parser.add_argument("--hosts", type=number_in(3, 5, int), metavar="N",
                        help="so many replicas in every round (default: 3 or 5, by the seed)")
    parser.add_argument("--bin", default=os.path.join(ROOT, "build", "release", "bin"),
                        help=argparse.SUPPRESS)
    parser.add_argument("--previous-bin", metavar="DIR",
                        help="programs of an older build, for rolling upgrades from it")
    parser.add_argument("--replace", action="store_true",
                        help="remove the run that --output holds")
    parser.add_argument("--keep", action="store_true", help="keep the logs of good rounds, too")
    parser.add_argument("--list", action="store_true", help="list the faults and end")
    parser.add_argument("--mutations", action="store_true", help="take each rule out and see "
                        "whether the simulation notices within --sim-seeds (default 2000)")
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(args)
    options.bin = os.path.abspath(options.bin)
    if options.previous_bin:
        options.previous_bin = os.path.abspath(options.previous_bin)
    known = None
    if options.fault:
        known = set(groups())
    for name in options.fault:
        if name not in known:
            parser.error(f"no fault is called '{name}'; --list shows all")
    return options


def make_room(out, may_replace):
    """False when the folder holds a run that must stay. Removes only what a run wrote."""
    old = [p for p in glob.glob(os.path.join(glob.escape(out), "*"))
           if re.fullmatch(r"round-\d+|result\.json|index\.html|contrast-\w+\.log",
                           os.path.basename(p))]
    for path in old if may_replace else ():
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)
    return may_replace or not old


def main(args):
    options = parse(args)
    if options.check:
        return 0
    if options.list:
        print_catalog()
        return 0
    if options.mutations:
        return mutate(options)
    why = preflight(options)
    if why:
        if os.environ.get("CI") == "true":
            print(f"chaos: CI must be able to run this: {why}", file=sys.stderr)
        else:
            print(f"chaos: cannot run here: {why}", file=sys.stderr)
        return 1
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1, 10 ** 9)
    options.groups = groups()  # now: the tree may change under a long run
    options.started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    options.build = build_of(options.bin)
    name = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{options.seed}"
    options.out = os.path.abspath(options.out or os.path.join(ROOT, "build", "chaos", name))
    if not make_room(options.out, options.replace):
        print(f"chaos: {options.out} holds another run; give another --output, or --replace",
              file=sys.stderr)
        return 2
    say(f"seed {options.seed}, {options.minutes:g} minutes, output {options.out}")
    remove_left()
    return run(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
