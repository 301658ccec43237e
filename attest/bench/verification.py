"""One verification: what it costs, beside the bare cryptography in it and beside go-sev-guest.

    rounds in turns: bench-attest, then the peer (attest/bench/peer, when Go is installed)
    a figure is the median of the rounds, in microseconds of processor time on one processor

Real reports come from CONTRAST_TESTDATA or ../shared/testdata; without them one machine of our own
is measured, and no peer.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import shutil
import subprocess

from cluster import Failed
from measure import median, note

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = "go-sev-guest"
PEER_SAMPLES = 2  # files that the peer reads; fewer at hand: no peer

# row -> what it is
ROWS = {
    "parse": "a report is read and its form checked",
    "ecdsa": "floor: P-384 over 672 bytes, OpenSSL",
    "ecdsa-table": "floor: the same with tables for G and the key",
    "rsa": "floor: RSA-4096 PSS, one certificate",
    "decode": "floor: the leaf's DER is decoded",
    "cold": "verify: nothing known",
    "new-leaf": "verify: authorities known, this leaf not",
    "warm": "verify: chain known, no table yet",
    "hot": "verify: chain known, key with its table",
    "hot-1-set": "verify: the same, 1 reference value set",
    "hot-4-sets": "verify: the same, the last of 4 sets matches",
    "hot-list": "verify: the same, with a revocation list",
    "key-table": "once: a key's table is made",
    "generator-table": "once in a process: G's table is made",
    "go-parse": PEER + ": a report is decoded",
    "go-ecdsa": "Go: P-384 over 672 bytes",
    "go-verify": PEER + ": verify, as each report costs it",
}

# what -> (row, the row below the line, how they are put)
RATIOS = {
    f"hot, times {PEER}": ("go-verify", "hot"),
    f"warm, times {PEER}": ("go-verify", "warm"),
    f"new-leaf, times {PEER}": ("go-verify", "new-leaf"),
    "warm over bare OpenSSL P-384": ("warm", "ecdsa"),
    "hot over bare table P-384": ("hot", "ecdsa-table"),
    "hot over bare OpenSSL P-384": ("hot", "ecdsa"),
}


def data_folder():
    return os.environ.get("CONTRAST_TESTDATA") or os.path.join(HERE, "../../../shared/testdata")


def peer_version():
    with open(os.path.join(HERE, "peer/go.mod"), encoding="utf-8") as f:
        return next(line.split()[-1] for line in f if line.startswith("require github.com"))


def build_peer(build, log):
    """The peer's command, or (None, why not)."""
    if shutil.which("go") is None:
        return None, "Go is not installed"
    if not os.path.isdir(os.path.join(data_folder(), "snp")):
        return None, "no real reports to compare on"
    program = os.path.join(build, "bench/peer-" + PEER)
    note(log, f"attest: building the peer ({PEER} {peer_version()})")
    done = subprocess.run(["go", "build", "-trimpath", "-o", program, "."], cwd=HERE + "/peer",
                          stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        return None, "its build failed: " + done.stderr.strip().splitlines()[-1]
    return program, ""


class Rounds:
    """A program that measures one round for each line it reads."""

    def __init__(self, argv):
        self.name = os.path.basename(argv[0])
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env={**os.environ, "GOMAXPROCS": "1"})

    def one(self):
        try:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name} ended: exit {self.process.wait(timeout=60)}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)


def take_turns(programs, count, log):
    """[{sample: {row: us}}], the rows of all programs in one round together."""
    rounds = []
    for i in range(count):
        note(log, f"attest: round {i + 1} of {count}")
        merged = {}
        for program in programs:
            for sample, rows in program.one().items():
                merged.setdefault(sample, {}).update(rows)
        rounds.append(merged)
    return rounds


def summarize(rounds):
    samples = {}
    for sample in rounds[0]:
        mine = [r[sample] for r in rounds]
        samples[sample] = {
            "us": {row: median([r[row] for r in mine]) for row in ROWS if row in mine[0]},
            "ratios": {what: [r[over] / r[under] for r in mine]
                       for what, (over, under) in RATIOS.items() if over in mine[0]}}
    return samples


def attest(build, _keep, quick, log):
    count, ms = (3, 5) if quick else (15, 20)
    argvs = [[os.path.join(build, "bench/bench-attest"), "--data", data_folder(), "--ms", str(ms)]]
    peer, why_not = build_peer(build, log)
    if peer is not None:
        argvs.append([peer, data_folder(), str(ms)])
    programs = []
    try:
        for argv in argvs:
            programs.append(Rounds(argv))
        rounds = take_turns(programs, count, log)
    finally:
        for program in programs:
            program.close()
    return {"rounds": count, "ms": ms, "peer": f"{PEER} {peer_version()}" if peer else None,
            "no_peer": why_not, "samples": summarize(rounds)}


def print_attest(result):
    samples = result["samples"]
    print(f"One verification: microseconds of processor time, median of {result['rounds']} rounds "
          f"of {result['ms']} ms for each row")
    print("  beside it: " + (result["peer"] or f"no {PEER} ({result['no_peer']})"))
    print(f"\n  {'row':<16} {'':<50}" + "".join(f"{name:>10.10}" for name in samples))
    for row, what in ROWS.items():
        cells = [s["us"].get(row) for s in samples.values()]
        if any(cell is not None for cell in cells):
            print(f"  {row:<16} {what:<50}"
                  + "".join(f"{'-' if c is None else format(c, '.1f'):>10}" for c in cells))
    print("\n  ratios of a round: median (least to most)")
    for what in RATIOS:
        for name, sample in samples.items():
            values = sample["ratios"].get(what)
            if values:
                print(f"  {what:<34} {name:<16} {median(values):>6.2f} "
                      f"({min(values):.2f} to {max(values):.2f})")
