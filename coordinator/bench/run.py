"""Measures a build: run.py [--quick] [--keep] [--output text|json] --build DIR [FIGURE...]

--check looks at the arguments alone. Exit 0: measured; 1: something failed, named on stderr; 2: usage. scripts/bench builds first.

SPDX-License-Identifier: Apache-2.0
"""

import argparse
import os
import sys

from cluster import Cluster, Failed
from figures import FIGURES, as_json


def measure(options):
    results = {"processors": os.cpu_count(), "quick": options.quick,
               "load_before": os.getloadavg()}
    with Cluster(os.path.abspath(options.build), options.keep) as cluster:
        if options.keep:
            print(f"bench: the folder stays: {cluster.dir}", file=sys.stderr)
        cluster.found()
        for name in options.figures:
            results[name] = FIGURES[name][0](cluster, options.quick, sys.stderr)
    results["load_after"] = os.getloadavg()
    return results


def show(results, figures):
    before, after = results["load_before"], results["load_after"]
    print(f"{results['processors']} processors for everything; load average {before[0]:.2f} before, "
          f"{after[0]:.2f} after (the benchmark itself included)")
    for name in figures:
        print()
        FIGURES[name][1](results[name])


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench",
                                     description="Prints the figures of a release build.")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter repetitions")
    parser.add_argument("--keep", action="store_true", help="leave logs and workspace behind")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("figures", nargs="*", metavar="FIGURE",
                        help="of " + ", ".join(FIGURES) + " (default: all)")
    options = parser.parse_args()
    unknown = [f for f in options.figures if f not in FIGURES]
    if unknown:
        parser.error(f"no such figure: {unknown[0]}")
    if options.check:
        return 0
    options.figures = options.figures or list(FIGURES)
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
