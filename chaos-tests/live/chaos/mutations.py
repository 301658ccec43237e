"""Does the simulation notice? Each rule is taken out in turn; seeds run until one fails.

    mutations.run(program, rules, seeds, stop)      rows of the table
    mutations.text_of(rows)

The program is contrast-sim-mutable: the same simulation, linked with libraries whose rules
`--without RULE` can switch off. The first row takes nothing out and must fail nowhere: a checker
that always complains would notice everything. A rule that nothing notices in all seeds is a
failure of the simulation.

SPDX-License-Identifier: Apache-2.0
"""

import concurrent.futures
import os
import re
import subprocess

import report

RULES = ("R1", "R2", "R3", "R4", "R5", "R6", "fence", "quorum-read")
LINE = re.compile(r"^seed (\d+): (.*)$")
WHY_MAX = 90
SECONDS_PER_SEED = 2.0


def one(program, rule, seeds, stop):
    """{"rule", "seeds", "first", "why"}: how many seeds ran, the first that failed and why."""
    argv = [program, "--seed", "1", "--seeds", str(seeds)]
    argv += ["--without", rule] if rule else []
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace")
    row = {"rule": rule, "seeds": 0, "first": None, "why": None}
    said = ""
    try:
        for line in child.stdout:
            found = LINE.match(line)
            if not found:
                said = line.strip() or said
            else:
                row["seeds"] += 1
                if not found[2].startswith("ok"):
                    row["first"], row["why"] = int(found[1]), found[2]
            if row["first"] is not None or stop.is_set():
                break
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    if row["first"] is None and not stop.is_set() and row["seeds"] < seeds:
        row["error"] = said or f"it ended after {row['seeds']} seeds"
    return row


def run(program, seeds, stop):
    """All rows, as many at a time as there are processors."""
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(lambda rule: one(program, rule, seeds, stop), (None, *RULES)))


def is_good(rows):
    """Every rule is noticed, and nothing is noticed where nothing is missing."""
    return all("error" not in r and (r["first"] is None) == (r["rule"] is None) for r in rows)


def text_of(rows):
    cells = []
    for r in rows:
        why = r.get("error") or r["why"] or ("nothing, as it must be" if r["rule"] is None else
                                             "NOTHING")
        cells.append([r["rule"] or "(none)", "-" if r["first"] is None else r["first"],
                      r["seeds"], why])
    lines = report.table(["taken out", "first seed", "seeds ran"], [c[:3] for c in cells])
    lines[0] += "  what noticed"
    for i, c in enumerate(cells):
        lines[i + 2] += "  " + report.plain(c[3])[:WHY_MAX]
    return "\n".join(lines) + "\n"
