#!/usr/bin/env -S python3 -B
"""A chaos run: rounds with real programs under faults drawn from a seed, then the judgement.

    run.py --minutes N [--seed S] --out DIR [--hosts 3..5] [--fault NAME]... [--bin DIR]
           [--previous-bin DIR] [--sim-seeds N] [--keep]
    run.py --list | --mutations

A run is a row of rounds of ROUND_MINUTES (the last one is what is left); round k has seed
S + k - 1, so each can be had again alone. A round is a process (liveround.py) with a history; when
it is over its history is judged (rounds.py): linearizability and durability (checker.py), gaps
(availability.py).
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
import threading
import time

import rounds  # first: it says where harness.py is
import faults
import lab
import mutations
import report
import simulations

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
ROUND_MINUTES = 10
LAST_ROUND_MINUTES = 3  # a shorter rest is added to the round before
MUTATION_SEEDS = 2000
SEED_MAX = 2 ** 53      # as JSON's readers agree on


def rounds_of(minutes):
    """Lengths of the rounds: 25 is 10, 10, 5; 12 is one of 12."""
    lengths = []
    while minutes >= ROUND_MINUTES + LAST_ROUND_MINUTES:
        lengths.append(ROUND_MINUTES)
        minutes -= ROUND_MINUTES
    return [*lengths, minutes]


def say(text):
    print(f"chaos: {report.plain(text)}", file=sys.stderr, flush=True)


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


def output_of(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False,
                              cwd=ROOT)
        return done.stdout.strip() if done.returncode == 0 else ""
    except OSError:
        return ""


def build_of(folder):
    """Version of the program, and the commit it may have been built from."""
    version = output_of(os.path.join(folder, "contrast"), "--version") or "unknown version"
    commit = output_of("git", "describe", "--always", "--dirty", "--abbrev=12")
    return f"{version} ({commit})" if commit else version


def machine():
    memory = 0
    for line in open("/proc/meminfo", encoding="ascii"):
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) // 1024
    return {"processors": len(os.sched_getaffinity(0)), "memory": f"{memory} MB",
            "kernel": platform.release(), "python": platform.python_version()}


def result_of(options, played, sims, problems):
    """The document of DIR/result.json, for what was until now."""
    histories = [report.round_read(os.path.join(r.dir, "history.jsonl")) for r in played
                 if os.path.exists(os.path.join(r.dir, "history.jsonl"))]
    found = [v for r in played for v in r.violations] + list(simulations.violations(sims))
    windows = [w for r in played for w in r.entry["unavailable"]]
    return {
        "seed": options.seed, "minutes": options.minutes, "build": options.build,
        "started": options.started, "machine": machine(),
        "reproduce": rounds.again(options.minutes, options.seed, options),
        "faults": report.faults_of(windows, found, options.groups, wholes_of(histories)),
        "baseline_ms": report.spread([ms for r in played for ms in r.baseline_ms]),
        "operations": report.operations_of(histories),
        "violations": found, "simulations": sims,
        "problems": problems + [p for r in played for p in r.problems] + list(never(played)),
        "rounds": [r.entry for r in played],
    }


def wholes_of(histories):
    """(fault, ms) of each time that the cluster was whole again; a storm goes by one name."""
    return [(rounds.STORM if ", " in name else name, ms)
            for h in histories for name, ms in h.wholes]


def never(played):
    """Faults that could be injected in no round, as problems."""
    told = [r.entry["missing"] for r in played if "missing" in r.entry]
    for name in sorted(set.intersection(*(set(m) for m in told)) if told else ()):
        yield {"what": f"{name} cannot be injected here: {told[-1][name]}"}


def groups():
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
    played, sims, problems = [], [], []
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
        this = rounds.Round(number, options.seed + number - 1, minutes, options)
        played.append(this)
        this.play(stop)
        say(f"round {number}: {this.entry['outcome']}, {len(this.violations)} violations")
        write(options, result_of(options, played, sims, problems))
    result = result_of(options, played, sims, problems)
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
    names = ("contrast", "contrast-coordinator", "contrast-initializer", "contrast-snp-simulator")
    lacking = [n for n in names if not os.path.exists(os.path.join(options.bin, n))]
    if lacking:
        return f"not in {options.bin}: {', '.join(lacking)}; scripts/chaos builds them"
    return lab.missing()


def print_catalog():
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
    rounds.remove_left()
    return run(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
