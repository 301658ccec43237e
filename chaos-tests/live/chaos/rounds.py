"""A round from outside: its process, what it leaves, and its judgement.

    this = rounds.Round(number, seed, minutes, options)
    this.play(stop)              bounded, whatever the round does
    this.entry, this.violations, this.problems, this.baseline_ms

options: out, hosts, fault, previous_bin, bin, keep of run.py. The round's process is told to end by
SIGTERM when its time is over or somebody asks, and is killed when it does not listen. Then its
history is judged by checker.py and availability.py, each violation is blamed on the fault that was
in, and the files are kept when they are needed. What the judges themselves cannot do is a problem
of this round and not the end of the run.

SPDX-License-Identifier: Apache-2.0
"""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))  # harness.py and wire.py, for the Lab

import availability  # noqa: E402
import checker  # noqa: E402
import lab  # noqa: E402
import report  # noqa: E402

LIVEROUND = os.path.join(HERE, "liveround.py")
SLACK_S = 600           # founding, healing and ending of a round, at the very most
END_S = 300             # after SIGTERM
AFTER_FAULT_NS = 5_000_000_000  # what is seen so soon after a fault is blamed on it
KEPT_FILE_MAX = 64 << 20
STORM = "storm (several at once)"


def again(minutes, seed, options):
    names = "".join(f" --fault {name}" for name in options.fault)
    hosts = f" --hosts {options.hosts}" if options.hosts else ""
    return f"scripts/chaos --minutes {minutes:g} --seed {seed}{hosts}{names}"


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
        """Runs the round's process to its end, which is bounded; its files go, or are kept."""
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
    """Copies the regular files that are not huge; sockets cannot be copied."""
    def unwanted(folder, names):
        paths = ((name, os.path.join(folder, name)) for name in names)
        return [name for name, path in paths if os.path.islink(path) or not (
            os.path.isdir(path) or (os.path.isfile(path)
                                    and os.path.getsize(path) <= KEPT_FILE_MAX))]
    shutil.copytree(work, to, ignore=unwanted, dirs_exist_ok=True)


def remove_left(work=None):
    """What a round left that did not end by itself, and work folders of runners that are gone."""
    lab.remove_stale()
    if work:
        shutil.rmtree(work, ignore_errors=True)
    for path in glob.glob(os.path.join(tempfile.gettempdir(), "contrast-chaos-*.*")):
        found = re.search(r"contrast-chaos-(\d+)\.", path)
        if found and not os.path.exists(f"/proc/{found[1]}"):
            shutil.rmtree(path, ignore_errors=True)
