"""What every figure is made of: processor time, medians, progress.

SPDX-License-Identifier: Apache-2.0
"""

import os
import statistics

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process, all threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def median(values):
    return statistics.median(values) if values else 0.0


def summary(values):
    ordered = sorted(values)
    return {"n": len(ordered), "min": ordered[0], "p50": median(ordered), "max": ordered[-1]}


def note(log, text):
    print(f"bench: {text}", file=log, flush=True)
