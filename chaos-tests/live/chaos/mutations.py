"""Does the simulation notice? Each rule is taken out in turn; seeds run until one fails.

    mutations.run(program, rules, seeds, stop)      rows of the table
    mutations.text_of(rows)

The program is contrast-sim-mutable: the same simulation, linked with libraries whose rules
`--without RULE` can switch off. The first row takes nothing out and must fail nowhere: a checker
that always complains would notice everything. One of RULES that nothing notices in all seeds is a
failure of the simulation; MORE are shown, since other tests guard some of them.

SPDX-License-Identifier: Apache-2.0
"""

import concurrent.futures
import os
import re
import subprocess

import report

RULES = ("R1", "R2", "R3", "R4", "R5", "R6", "fence", "quorum-read")
MORE = ("R7", "P3", "once", "swap", "mesh-key", "name", "applied", "time", "removed")
LINE = re.compile(r"^seed (\d+): (?!ok\b)(.*)$")
AGAIN = re.compile(r" *\(reproduce: .*")
CHUNK = 50  # seeds of one call
WHY_MAX = 90
SECONDS_PER_SEED = 2.0


def one(program, rule, seeds, stop):
    """{"rule", "seeds", "first", "why"}: how many seeds ran, the first that failed and why.
    "error" where the program itself could not."""
    row = {"rule": rule, "seeds": 0, "first": None, "why": None}
    while row["seeds"] < seeds and row["first"] is None and not stop.is_set():
        count = min(CHUNK, seeds - row["seeds"])
        argv = [program, "--seed", str(1 + row["seeds"]), "--seeds", str(count)]
        try:
            done = subprocess.run(argv + (["--without", rule] if rule else []), check=False,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  errors="replace", timeout=60 + count * SECONDS_PER_SEED)
        except subprocess.TimeoutExpired:
            return {**row, "error": f"no end after {60 + count * SECONDS_PER_SEED:.0f} s"}
        failed = [m for m in map(LINE.match, done.stdout.splitlines()) if m]
        if done.returncode not in (0, 1) or (done.returncode == 1) != bool(failed):
            said = (done.stdout + done.stderr).strip().splitlines()
            return {**row, "error": f"exit {done.returncode}: {said[0] if said else 'no word'}"}
        row["seeds"] += count
        if failed:
            first = min(failed, key=lambda m: int(m[1]))
            row["first"], row["why"] = int(first[1]), AGAIN.sub("", first[2])
            row["seeds"] = row["first"]
    return row


def run(program, seeds, stop):
    """All rows, as many at a time as there are processors."""
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(lambda rule: one(program, rule, seeds, stop), (None, *RULES, *MORE)))


def is_good(rows):
    """Each of RULES is noticed, and nothing is noticed where nothing is missing."""
    return all("error" not in r and (r["rule"] in MORE
                                     or (r["first"] is None) == (r["rule"] is None)) for r in rows)


def text_of(rows):
    cells = []
    for r in rows:
        why = r.get("error") or r["why"] or ("nothing, as it must be" if r["rule"] is None else
                                             "NOTHING")
        cells.append([r["rule"] or "(none)", "-" if r["first"] is None else r["first"],
                      r["seeds"], why])
    lines = report.table(["taken out", "first seed", "seeds ran"], [c[:3] for c in cells])
    lines[0] += "  what noticed"
    lines[1] += "  ------------"
    for i, c in enumerate(cells):
        lines[i + 2] += "  " + report.plain(c[3])[:WHY_MAX]
    return "\n".join(lines) + "\n"
