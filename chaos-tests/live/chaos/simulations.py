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

PROGRAMS = {"contrast-sim": ["--list"], "contrast-world": []}  # each prints a line a seed
FAILING = re.compile(r"^seed \d+: (?!ok\b).*")
SUMMARY = re.compile(r"^(\d+) seeds from \d+:")
AGAIN = re.compile(r"\(reproduce: (.*)\)\s*$")
FAILED_MAX = 100


def run(folder, first, seeds, seconds, logs, stop):
    """Results of those programs that are in `folder`, and problems. Each gets so many seconds;
    `stop` ends it early."""
    results, problems = [], []
    for name, options in PROGRAMS.items():
        program = os.path.join(folder, name)
        if not os.path.exists(program):
            problems.append({"what": f"{name} is not built ({folder})"})
        elif not stop.is_set():
            argv = [program, "--seed", str(first), "--seeds", str(seeds), "--jobs",
                    str(len(os.sched_getaffinity(0))), *options]
            log = os.path.join(logs, f"{name}.log")
            is_whole, code, took = run_one(argv, log, seconds, stop)
            results.append(judge(name, first, seeds, log, is_whole, code, took))
            if not is_whole:
                problems.append({"what": f"{name} had time for {results[-1]['seeds']} of "
                                 f"{seeds} seeds"})
    return results, problems


def run_one(argv, log, seconds, stop):
    """(whether it came to its end, exit code, seconds it took)."""
    begin = time.monotonic()
    with open(log, "wb") as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, start_new_session=True)
    is_whole = True
    while child.poll() is None:
        if stop.wait(0.1) or time.monotonic() > begin + seconds:
            os.killpg(child.pid, signal.SIGKILL)  # its workers, too
            child.wait()
            is_whole = False
    return is_whole, child.returncode, time.monotonic() - begin


def judge(name, first, seeds, log, is_whole, code, took):
    ran, failed = read_log(log)
    if is_whole and (code not in (0, 1) or (code == 1 and not failed)):
        failed.append(f"{name} ended with {code}: see {log} "
                      f"(reproduce: {name} --seed {first} --seeds {seeds})")
    return {"program": name, "first": first, "seeds": ran, "failed": failed, "log": log,
            "seconds": round(took, 1), "seeds_per_second": round(ran / took, 1)}


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
