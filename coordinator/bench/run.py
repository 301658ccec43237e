"""Measures a build: run.py [--quick] [--keep] [--kills N] [--output text|json] --build DIR
[FIGURE...]

--check looks at the arguments alone. Exit 0: measured; 1: something failed, named on stderr; 2: usage. scripts/bench builds first.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.extend(os.path.join(HERE, "../..", folder) for folder in (
    "attest/bench", "cli/layer/bench", "consensus/bench", "installer/bench"))

from cluster import Cluster, Failed
from figures import FIGURES, OWN_CLUSTER, as_json

ALL = {**FIGURES, **OWN_CLUSTER}


def processor():
    """What the system calls this machine's processor."""
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return next((line.split(":", 1)[1].strip() for line in f
                     if line.startswith("model name")), "unknown")


def more(options, name):
    """What --kills is for."""
    return {"kills": options.kills} if name in ("consensus", "failover") else {}


def measure(options):
    results = {"processors": os.cpu_count(), "processor": processor(), "quick": options.quick,
               "load_before": os.getloadavg()}
    build = os.path.abspath(options.build)
    shared = [name for name in options.figures if name in FIGURES]
    if shared:
        with Cluster(build, options.keep) as cluster:
            cluster.found()
            for name in shared:
                results[name] = FIGURES[name][0](cluster, options.quick, sys.stderr,
                                                 **more(options, name))
    for name in options.figures:
        if name in OWN_CLUSTER:
            results[name] = OWN_CLUSTER[name][0](build, options.keep, options.quick, sys.stderr,
                                                 **more(options, name))
    results["load_after"] = os.getloadavg()
    return results


def show(results, figures):
    before, after = results["load_before"], results["load_after"]
    print(f"{results['processors']} processors ({results['processor']}) for everything; load "
          f"average {before[0]:.2f} before, {after[0]:.2f} after (the benchmark itself included)")
    for name in figures:
        print()
        ALL[name][1](results[name])


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench",
                                     description="Prints the figures of a release build.")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repetitions")
    parser.add_argument("--keep", action="store_true", help="leave logs and workspace behind")
    parser.add_argument("--kills", type=int, metavar="N",
                        help="failovers of each kind in failover, of etcd in consensus, 0 to 1000 (default: 20)")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("figures", nargs="*", metavar="FIGURE",
                        help="of " + ", ".join(ALL) + " (default: all)")
    options = parser.parse_args()
    unknown = [f for f in options.figures if f not in ALL]
    if unknown:
        parser.error(f"no such figure: {unknown[0]}")
    if options.kills is not None and not 0 <= options.kills <= 1000:
        parser.error("--kills: want 0 to 1000")
    if options.check:
        return 0
    options.figures = options.figures or list(ALL)
    try:
        results = measure(options)
    except Failed as why:
        print(f"bench: {why}", file=sys.stderr)
        return 1
    if options.output == "json":
        print(as_json(results))
    else:
        show(results, options.figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
