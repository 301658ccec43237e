"""Runs the scenarios with pytest; the entry of ctest. Arguments go to pytest:

    CONTRAST_BIN=build/dev/bin python3 chaos-tests/scenarios/run.py -k upstream_03 -v

Exit 77 (skipped) where this Python has no pytest, 1 with CI=true: there it must be installed.

SPDX-License-Identifier: Apache-2.0
"""

import os
import subprocess
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))


def main():
    try:
        import pytest  # noqa: F401
    except ImportError:
        print(f"scenarios: {sys.executable} has no pytest; scripts/deps --test installs it")
        return 1 if os.environ.get("CI") == "true" else 77
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "--tb=short", "--durations=8", "-rs", "-p",
         "no:cacheprovider", "--rootdir", FOLDER, *sys.argv[1:], FOLDER], check=False)
    return 1 if done.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
