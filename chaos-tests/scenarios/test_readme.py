"""Every scenario tells its story, and README.md has its row.

SPDX-License-Identifier: Apache-2.0
"""

import re

import pytest

import table


@pytest.mark.parametrize("name", table.scenarios())
def test_a_scenario_says_what_happened_and_what_it_notices(name):
    says = table.told(name)
    assert says[""].endswith("."), says[""]
    assert all(len(says[part]) > 20 for part in table.PARTS), says


def test_the_table_is_made_of_them():
    with open(table.README, encoding="utf-8") as f:
        text = f.read()
    written = text.split(table.BEGIN)[1].split(table.END)[0]
    assert written == table.table(), "run chaos-tests/scenarios/table.py --write"


def test_all_that_is_asked_for_is_there():
    """Eighteen defects of upstream, eight advisories, and each step's kill points."""
    names = " ".join(table.scenarios())
    assert re.findall(r"upstream_(\d\d)", names) == [f"{n:02}" for n in range(1, 19)]
    for advisory in ("vqv5", "h5f8", "vxg3", "f5p4", "g9ww", "rh99", "hjgc", "w7wm"):
        assert f"test_advisory_{advisory}_" in names
    for step in ("prepare", "commit", "set", "join", "promote", "leave", "recover", "issue",
                 "sidecar_renewal"):
        assert re.search(rf"test_kill_\d_{step}\b", names), step
