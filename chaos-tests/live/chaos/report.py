#!/usr/bin/env -S python3 -B
"""What a chaos run found: figures, the table on the terminal, and the page.

    report.py DIR            prints the table of DIR/result.json, writes DIR/index.html
    report.py DIR --json     the same document as run.py wrote it, with the figures filled in

DIR holds result.json (written by run.py) and one folder per round with its history.jsonl. The
figures come from the histories alone, so a page can be made again long after the run. Files are
read line by line; a last line that was cut off by a kill is dropped and said so. Names in them are
not trusted: control characters never reach the terminal, nothing unescaped reaches the page.

Exit codes: 0 no violation; 1 nothing to read; 2 usage; 3 violations.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import array
import json
import math
import os
import re
import sys

import page
from page_markup import counted

OUTCOMES = ("ok", "fail", "unknown")
BIN_NS = 1_000_000_000  # the timeline counts operations by the second
LINE_MAX = 1 << 20
DENIED = "must be denied"
COLUMN_MAX = 44  # characters of one cell of the table on the terminal


class Unreadable(Exception):
    """There is no run here, or it is not one of ours."""


def percentile(sorted_values, percent):
    """Nearest rank: the smallest value that `percent` of all do not exceed."""
    rank = math.ceil(len(sorted_values) * percent / 100)
    return sorted_values[max(rank, 1) - 1]


def spread(values):
    """p50, p99, max and the samples themselves, sorted; None without samples."""
    samples = sorted(round(float(v), 3) for v in values)
    if not samples:
        return None
    return {"p50": percentile(samples, 50), "p99": percentile(samples, 99), "max": samples[-1],
            "samples": samples}


def plain(text):
    """One line without control characters: fit for a terminal."""
    return re.sub(r"[^\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]", "?", str(text))


# --- One round, from its history


def kind_of(call):
    """What an operation is called here. Sidecars ask when they like, crowds are answered one after
    the other, so their latency says nothing about a certificate's; what must be denied fails when
    all is well."""
    args = call.get("args")
    if isinstance(args, dict) and "denied" in args:
        return DENIED
    client = str(call.get("client", ""))
    if client.startswith("sidecar-"):
        return "renew"
    return "issue (crowd)" if client.startswith("crowd-") else str(call["op"])


class Kind:
    """All operations of one kind: counts, latencies of those that succeeded, counts by second."""

    def __init__(self):
        self.counts = dict.fromkeys((*OUTCOMES, "open"), 0)
        self.latency_ms = array.array("d")
        self.bins = {}

    def add(self, outcome, called, returned, start):
        self.counts[outcome] += 1
        if outcome == "ok":
            self.latency_ms.append((returned - called) / 1e6)
        at = (returned - start) // BIN_NS
        row = self.bins.setdefault(at, [0, 0, 0])
        row[OUTCOMES.index(outcome)] += 1


class Round:
    """What happened in one history; times in ns of its one clock, `start` to `end`."""

    def __init__(self):
        self.start = self.end = None
        self.kinds = {}
        self.faults = []  # {"id", "name", "targets", "start", "end" or None}
        self.leaders = []  # (at, replica, term)
        self.generations = []  # (at, generation)
        self.epochs = []  # (at, epoch)
        self.phases = []  # (at, name)
        self.wholes = []  # (fault, ms from its end until the cluster was whole)
        self.notes = []  # (at, name, value) of every other event
        self.lost_lines = 0
        self._open = {}
        self._faults_by_id = {}

    def finish(self):
        for op, _ in self._open.values():
            self.kind(op).counts["open"] += 1
        self._open.clear()
        if self.start is None:
            self.start = self.end = 0

    def kind(self, op):
        return self.kinds.setdefault(op, Kind())

    def add(self, line):
        at = line["at"]
        if self.start is None:
            self.start = self.end = at
        self.end = max(self.end, at)
        take = getattr(self, "_take_" + str(line.get("kind")), None)
        if take:
            take(line, at)

    def _take_call(self, line, at):
        self._open[line["id"]] = (kind_of(line), at)

    def _take_return(self, line, at):
        op, called = self._open.pop(line["id"])
        self.kind(op).add(line["outcome"], called, at, self.start)
        value = line.get("value")
        if line["outcome"] == "ok" and op == "set" and isinstance(value, dict):
            self._reach(self.generations, at, value.get("generation"))

    def _take_fault(self, line, at):
        fault = {"id": line["id"], "name": str(line["name"]), "start": at, "end": None,
                 "targets": [str(t) for t in line.get("targets") or []]}
        self.faults.append(fault)
        self._faults_by_id[line["id"]] = fault

    def _take_healed(self, line, at):
        fault = self._faults_by_id.get(line["id"])
        if fault and fault["end"] is None:
            fault["end"] = at

    def _take_event(self, line, at):
        name, value = str(line["name"]), line.get("value")
        if name == "phase":
            self.phases.append((at, str(value)))
        elif name == "leader" and isinstance(value, dict):
            seen = (str(value.get("replica")), value.get("term"))
            if not self.leaders or self.leaders[-1][1:] != seen:
                self.leaders.append((at, *seen))
            self._reach(self.generations, at, value.get("generation"))
            self._reach(self.epochs, at, value.get("epoch"))
        elif name == "whole" and isinstance(value, dict) and isinstance(value.get("after"), str):
            self.wholes.append((value["after"], float(value["ms"])))
        else:
            self.notes.append((at, name, value))

    @staticmethod
    def _reach(steps, at, number):
        """A register that only rises, as somebody saw it first."""
        if isinstance(number, int) and (not steps or number > steps[-1][1]):
            steps.append((at, number))


def lines_of(path):
    """The objects of a history; None for each line that is none (a kill cuts the last one off)."""
    with open(path, "rb") as f:
        while raw := f.readline(LINE_MAX):
            try:
                line = json.loads(raw)
                yield line if isinstance(line, dict) and isinstance(line["at"], int) else None
            except (ValueError, KeyError):
                yield None


def round_read(path):
    """Reads one history; a line that contradicts the format counts as lost."""
    seen = Round()
    for line in lines_of(path):
        try:
            if line is None:
                raise ValueError
            seen.add(line)
        except (ValueError, KeyError, TypeError):
            seen.lost_lines += 1
    seen.finish()
    return seen


# --- The run


def operations_of(rounds):
    """Counts and latencies by kind, over all rounds."""
    table = {}
    for op in sorted({op for r in rounds for op in r.kinds}):
        kinds = [r.kinds[op] for r in rounds if op in r.kinds]
        row = {name: sum(k.counts[name] for k in kinds) for name in (*OUTCOMES, "open")}
        latency = sorted(ms for k in kinds for ms in k.latency_ms)
        for name, percent in (("p50_ms", 50), ("p99_ms", 99), ("max_ms", 100)):
            row[name] = round(percentile(latency, percent), 3) if latency else None
        table[op] = row
    return table


def faults_of(windows, violations, groups=None, wholes=()):
    """The rows of the table. windows: {"name", "unavailable_ms"} of each time a fault was in, with
    "names" of those that overlapped: each of them ran, but the gap belongs to the storm.
    wholes: (name, ms) of each time that the cluster was whole again."""
    groups, runs, blamed = groups or {}, {}, {}
    for w in windows:
        for name in {w["name"], *w.get("names", ())}:
            runs[name] = runs.get(name, 0) + 1
    for v in violations:
        if v.get("fault"):
            blamed[v["fault"]] = blamed.get(v["fault"], 0) + 1
    rows = []
    for name in sorted({*runs, *blamed}, key=lambda name: (groups.get(name, ""), name)):
        measured = [w["unavailable_ms"] for w in windows
                    if w["name"] == name and w.get("unavailable_ms") is not None]
        rows.append({"name": name, "group": groups.get(name, ""), "runs": runs.get(name, 0),
                     "violations": blamed.get(name, 0), "unavailable_ms": spread(measured),
                     "whole_ms": spread(ms for after, ms in wholes if after == name)})
    return rows


def result_read(folder):
    """DIR/result.json; Unreadable says what is wrong with it."""
    path = os.path.join(folder, "result.json")
    try:
        with open(path, encoding="utf-8") as f:
            result = json.load(f)
    except OSError as e:
        raise Unreadable(f"{path}: {e.strerror}; is this the folder of a chaos run?") from e
    except ValueError as e:
        raise Unreadable(f"{path} is not JSON: {e}") from e
    if not isinstance(result, dict) or not isinstance(result.get("seed"), int):
        raise Unreadable(f"{path} has no seed: it was not written by a chaos run")
    for name in ("faults", "violations", "rounds"):
        if not isinstance(result.setdefault(name, []), list):
            raise Unreadable(f"{path}: '{name}' is not a list")
    return result


def rounds_read(folder, result):
    """The histories of a run, in order; a round whose file is gone is empty."""
    rounds = []
    for entry in result["rounds"]:
        path = os.path.join(folder, str(entry.get("dir", ".")), "history.jsonl")
        rounds.append(round_read(path) if os.path.exists(path) else Round())
    for seen in rounds:
        seen.finish()
    return rounds


# --- The table on the terminal


def ms(value):
    """Milliseconds with three digits that matter."""
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def table(head, rows):
    """Columns of text: the first to the left, the others to the right."""
    cells = [[plain(c)[:COLUMN_MAX] for c in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w)
                       for i, (c, w) in enumerate(zip(row, widths))).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return lines


def unavailable_cells(figures):
    return [ms(figures[name]) if figures else "-" for name in ("p50", "p99", "max")]


def text_of(result):
    """All that a terminal shows, violations last: that is where the eye is."""
    lines = [f"chaos: seed {result['seed']}, {result.get('minutes', '?')} minutes, "
             f"{counted(len(result['rounds']), 'round')}"
             f"{', INTERRUPTED' if result.get('interrupted') else ''}, "
             f"build {plain(result.get('build', 'unknown'))}", ""]
    rows = [[f["name"], f["runs"], f["violations"], *unavailable_cells(f["unavailable_ms"]),
             ms((f.get("whole_ms") or {}).get("max"))] for f in result["faults"]]
    if result.get("baseline_ms"):
        calm = result["baseline_ms"]
        rows.insert(0, ["(none: baseline)", len(calm["samples"]), 0, *unavailable_cells(calm), "-"])
    lines += table(["fault", "runs", "violations", "p50 ms", "p99 ms", "max ms", "whole ms"], rows)
    lines += ["", "p50, p99, max: the longest gap without a successful operation, one a run;",
              "whole: from a fault's end until every replica voted again, at most.", ""]
    rows = [[op, o["ok"], o["fail"], o["unknown"], o["open"], ms(o["p50_ms"]), ms(o["p99_ms"]),
             ms(o["max_ms"])] for op, o in result.get("operations", {}).items()]
    lines += table(["operation", "ok", "fail", "unknown", "open", "p50 ms", "p99 ms", "max ms"],
                   rows)
    lines += simulations_text(result.get("simulations", []))
    lines += problems_text(result.get("problems", []))
    return "\n".join(lines + violations_text(result["violations"])) + "\n"


def simulations_text(simulations):
    rows = [[s["program"], s["first"], s["seeds"], len(s["failed"]), ms(s["seeds_per_second"])]
            for s in simulations]
    head = ["simulation", "first seed", "seeds", "failed", "seeds/s"]
    return ["", *table(head, rows)] if rows else []


def problems_text(problems):
    """What could not be tried, each once, with how often."""
    counts = {}
    for p in problems:
        counts[plain(p["what"])] = counts.get(plain(p["what"]), 0) + 1
    lines = [f"  {text}" + (f" ({n} times)" if n > 1 else "") for text, n in counts.items()]
    return ["", "could not be done:", *lines] if lines else []


def violations_text(violations):
    if not violations:
        return ["", "no violation"]
    lines = ["", counted(len(violations), "violation").upper()]
    for v in page.chosen(violations):
        during = v.get("during") or v.get("fault")
        where = f" (during {plain(during)})" if during else ""
        lines += [f"  {plain(v['what'])}{where}", f"    again: {plain(v.get('reproduce', '-'))}",
                  f"    logs:  {plain(v.get('logs', '-'))}"]
    left = len(violations) - len(page.chosen(violations))
    return lines + ([f"  and {left} more of these rules: see the page"] if left else [])


# --- Program


def write(folder, result, rounds):
    """DIR/index.html, whole or not at all."""
    path = os.path.join(folder, "index.html")
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(page.render(result, rounds))
    os.replace(path + ".new", path)
    return path


def main(args):
    parser = argparse.ArgumentParser(
        prog="report.py", description="The table and the page of a chaos run.")
    parser.add_argument("folder", metavar="DIR", help="the run's folder, with its result.json")
    parser.add_argument("--json", action="store_true", help="print result.json with all figures")
    options = parser.parse_args(args)
    try:
        result = result_read(options.folder)
        rounds = rounds_read(options.folder, result)
        result.setdefault("operations", operations_of(rounds))
        path = write(options.folder, result, rounds)
    except (Unreadable, OSError) as e:
        print(f"report.py: {e}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=1) if options.json else text_of(result), end="")
    print(f"page: {path}", file=sys.stderr)
    return 3 if result["violations"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
