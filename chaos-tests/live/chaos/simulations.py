"""The simulations beside a live run: seeds by the thousand, and what a failing one said.

A program that is not built is left out and named. Output is read line by line; a failing seed's
line carries how to reproduce it: `seed 7: why (reproduce: contrast-sim --seed 7 --faults 3,9)`.

SPDX-License-Identifier: Apache-2.0
"""

import os
import re
import signal
import subprocess
import time

PROGRAMS = ("contrast-sim", "contrast-world")
FAILING = re.compile(r"^seed \d+: (?!ok\b).*")
SUMMARY = re.compile(r"^(\d+) seeds from \d+:")
AGAIN = re.compile(r"\(reproduce: (.*)\)\s*$")
FAILED_MAX = 100
SECONDS_PER_SEED = 2.0  # a simulation that takes longer than this hangs


def run(folder, first, seeds, logs, stop):
    """Results of those programs that are in `folder`, and problems. `stop` ends it early."""
    results, problems = [], []
    for name in PROGRAMS:
        program = os.path.join(folder, name)
        if not os.path.exists(program):
            problems.append({"what": f"{name} is not built ({folder})"})
        elif not stop.is_set():
            results.append(run_one(program, first, seeds, os.path.join(logs, f"{name}.log"), stop,
                                   problems))
    return results, problems


def run_one(program, first, seeds, log, stop, problems):
    name, begin = os.path.basename(program), time.monotonic()
    with open(log, "wb") as out:
        jobs = str(len(os.sched_getaffinity(0)))
        child = subprocess.Popen([program, "--seed", str(first), "--seeds", str(seeds),
                                  "--jobs", jobs],
                                 stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                 start_new_session=True)
        end = begin + 60 + seeds * SECONDS_PER_SEED
        while child.poll() is None:
            if stop.wait(0.1) or time.monotonic() > end:
                os.killpg(child.pid, signal.SIGKILL)  # its workers, too
                child.wait()
                problems.append({"what": f"{name} was ended before all {seeds} seeds had run"})
    seconds = time.monotonic() - begin
    ran, failed = read_log(log)
    if child.returncode not in (0, 1, -9) or (child.returncode == 1 and not failed):
        failed.append(f"{name} ended with {child.returncode}: see {log} "
                      f"(reproduce: {name} --seed {first} --seeds {seeds})")
    return {"program": name, "first": first, "seeds": ran, "failed": failed, "log": log,
            "seconds": round(seconds, 1), "seeds_per_second": round(ran / seconds, 1)}


def read_log(path):
    """(seeds that ran, by the summary or else by their lines; lines of those that failed)."""
    ran, told, failed = 0, 0, []
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            summary = SUMMARY.match(line)
            if summary:
                told = int(summary[1])
            elif line.startswith("seed "):
                ran += 1
                if FAILING.match(line) and len(failed) < FAILED_MAX:
                    failed.append(line.rstrip())
    return told or ran, failed


def violations(results):
    """Each failing seed as a violation of the report."""
    for result in results:
        for line in result["failed"]:
            again = AGAIN.search(line)
            yield {"what": f"{result['program']}: {AGAIN.sub('', line).strip()}",
                   "fault": None, "round": None, "after_ns": None, "logs": result["log"],
                   "reproduce": again[1] if again else f"{result['program']} (see the log)"}
