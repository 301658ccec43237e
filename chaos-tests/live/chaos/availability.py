"""How long nobody was served: per fault, from a history.

    measure("history.jsonl") -> {
        "faults": [{"id", "name", "targets", "start", "end", "gap", "unavailable_ms",
                    "kinds": {"issue": ms, ...}, "elsewhere": {"issue": ms, ...}}, ...],
        "baseline": {"issue": [ms, ...], ...}, "pause_ms": {"issue": ms, ...},
        "operations": {"issue": {"ok", "fail", "unknown", "latency_ms": {"p50", "p99", "max"}}}}

A gap of a kind of operation is a time without a successful return of it, through whichever replica.
The window of a fault goes from its line to SETTLE_S after it was healed, or to the event "whole"
after that, whichever is later; but not into the next fault. In a history with such events, a fault
without one behind it ended a cluster: its window goes to the end. A fault's gap is the longest in
its window. Clients make pauses of their own: the median gap of that kind in calm times (`pause_ms`)
is subtracted. Calm is from event "begin" to event "phase" of value "rest", outside of all windows.

    kinds          that, for each kind that was ever successful
    elsewhere      the same without operations through the fault's targets: what is asked of a
                   cluster whose quorum stays; null where everybody is a target
    unavailable_ms the worst of WORK in `kinds`: those are asked for all the time. A set is rare, so
                   its gap says little; its latency says more
    gap            [from, to] in ns, of that worst one
    baseline       the longest gaps in slices of CALM_S of times without a fault: the same measure
                   where nothing was done

An operation that must fail (`denied`) is no operation here. Times in the history are nanoseconds.

SPDX-License-Identifier: Apache-2.0
"""

import array
import bisect
import json
import math
import sys

import history

SETTLE_S, CALM_S = 10, 5
WORK = ("issue", "read")
NS = 1_000_000_000


def percentile(ordered, percent):
    """Nearest rank: the smallest value that so many per cent do not exceed."""
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


def spread(values):
    ordered = sorted(values)
    if not ordered:
        return None
    return {"p50": percentile(ordered, 50), "p99": percentile(ordered, 99), "max": ordered[-1]}


class Successes:
    """Times of successful returns of one kind, by target; rising."""

    def __init__(self):
        self.times, self.targets = array.array("q"), []

    def add(self, at, target):
        self.times.append(at)
        self.targets.append(target)

    def without(self, targets):
        if not targets:
            return self.times
        return array.array("q", (t for t, who in zip(self.times, self.targets)
                                 if who not in targets))


def longest(times, start, end):
    """(length, from, to) of the longest part of [start, end] without any of these times."""
    inside = times[bisect.bisect_left(times, start) : bisect.bisect_right(times, end)]
    edges = [start, *inside, end]
    return max((b - a, a, b) for a, b in zip(edges, edges[1:]))


class Reading:
    """What one history has of this."""

    def __init__(self):
        self.kinds, self.counts, self.latencies, self.faults = {}, {}, {}, []
        self.begin = self.last = self.rest = None
        self.wholes = []

    def read(self, path):
        pairing, open_faults = history.Pairing(), {}
        for line in history.read(path):
            call = pairing.take(line)
            self.begin = line["at"] if self.begin is None else self.begin
            self.last = line["at"]
            if line["kind"] == "return":
                self._return(call, line)
            elif line["kind"] == "event":
                self._event(line)
            elif line["kind"] == "fault":
                fault = {"id": line["id"], "name": line["name"], "targets": line["targets"],
                         "start": line["at"], "end": None}
                open_faults[line["id"]] = fault
                self.faults.append(fault)
            elif line["kind"] == "healed":
                open_faults.pop(line["id"])["end"] = line["at"]
        for fault in open_faults.values():
            fault["end"] = self.last
        return self

    def _event(self, line):
        if line["name"] == "begin":
            self.begin = line["at"]
        elif line["name"] == "whole":
            self.wholes.append(line["at"])
        elif line["name"] == "phase" and line["value"] == "rest":
            self.rest = line["at"]

    def _return(self, call, line):
        if "denied" in call["args"]:
            return
        op, outcome = call["op"], line["outcome"]
        self.counts.setdefault(op, dict.fromkeys(history.OUTCOMES, 0))[outcome] += 1
        if outcome == "ok":
            self.kinds.setdefault(op, Successes()).add(line["at"], call["target"])
            if not call["client"].startswith("sidecar-"):  # asks when it likes
                self.latencies.setdefault(op, array.array("d")).append(
                    (line["at"] - call["at"]) / 1e6)

    # --- Windows

    def window(self, fault):
        """[start, end] with what settles afterwards."""
        end = fault["end"] + SETTLE_S * NS
        if self.wholes:
            at = bisect.bisect_left(self.wholes, fault["end"])
            end = max(end, self.wholes[at]) if at < len(self.wholes) else self.last
        for other in self.faults:
            if fault["end"] < other["start"] < end:
                end = other["start"]
        return fault["start"], min(end, self.last)

    def calm(self):
        """Slices of CALM_S that no window touches."""
        taken = sorted(self.window(fault) for fault in self.faults)
        at = self.begin
        rest = self.rest or self.last
        for start, end in [*(w for w in taken if w[0] < rest), (rest, rest)]:
            while at + CALM_S * NS <= start:
                yield at, at + CALM_S * NS
                at += CALM_S * NS
            at = max(at, end)

    def pauses(self):
        """Median gap of each kind in calm times; in all, where there was no calm."""
        slices = list(self.calm())
        found = {}
        for op, seen in self.kinds.items():
            gaps = [b - a for start, end in slices or [(self.begin, self.last)]
                    for a, b in self.inner(seen.times, start, end)]
            found[op] = percentile(sorted(gaps), 50) / 1e6 if gaps else 0.0
        return found

    @staticmethod
    def inner(times, start, end):
        part = times[bisect.bisect_left(times, start) : bisect.bisect_right(times, end)]
        return zip(part, part[1:])


def measure(path):
    """history.Malformed for a file that no recorder wrote; OSError."""
    seen = Reading().read(path)
    pauses = seen.pauses()
    faults = []
    for fault in seen.faults:
        span, targets = seen.window(fault), set(fault["targets"])

        def ms(times, op, span=span):
            return round(max(longest(times, *span)[0] / 1e6 - pauses[op], 0), 3)

        kinds = {op: ms(k.times, op) for op, k in seen.kinds.items()}
        elsewhere = {op: ms(k.without(targets), op) if set(k.targets) - targets else None
                     for op, k in seen.kinds.items()}
        worst = max((op for op in WORK if op in kinds), key=kinds.get, default=None)
        gap = longest(seen.kinds[worst].times, *span)[1:] if worst else None
        faults.append(dict(fault, kinds=kinds, elsewhere=elsewhere, gap=gap and list(gap),
                           unavailable_ms=kinds[worst] if worst else None))
    slices = list(seen.calm())
    baseline = {op: [round(max(longest(k.times, *s)[0] / 1e6 - pauses[op], 0), 3) for s in slices]
                for op, k in seen.kinds.items()}
    operations = {op: dict(counts, latency_ms=spread(seen.latencies.get(op, ())))
                  for op, counts in seen.counts.items()}
    return {"faults": faults, "baseline": baseline, "pause_ms": pauses, "operations": operations}


def main(argv):
    if len(argv) != 2:
        print("usage: availability.py HISTORY.jsonl", file=sys.stderr)
        return 2
    try:
        print(json.dumps(measure(argv[1]), indent=2))
    except (OSError, history.Malformed) as error:
        print(f"{argv[1]}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
