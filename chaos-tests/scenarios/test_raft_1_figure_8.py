"""An entry on a majority of servers is overwritten.

Origin: Raft paper (USENIX ATC 2014), figure 8
Elsewhere: an entry of an earlier term that stands on a majority is not safe, however many copies
    there are; implementations that count it lose acknowledged data. Debian 12's libraft 0.15.0
    does.
Here: see test_ccf_2; this is the whole story, as ctest consensus_rules tells it.
Notices: another engine, or another version of libraft, that commits by counting

SPDX-License-Identifier: Apache-2.0
"""

import os
import subprocess

import harness
from conftest import need

PROGRAM = os.path.join(harness.BIN, "..", "test", "test_consensus_rules")


def test_the_story_of_figure_8():
    need(PROGRAM, "test_consensus_rules")
    done = subprocess.run([PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    seen = lines[lines.index("figure 8") + 1].split()
    assert seen == ["with", ":", "nothing", "seen"], done.stdout
