"""Two majorities that do not meet, after two changes of one server each.

Origin: Diego Ongaro, "bug in single-server membership changes", raft-dev mailing list, July 2015
Elsewhere: a leader appended a change before it had committed anything in its term; with a change of
    its predecessor half done, two configurations existed whose majorities have nobody in common.
Here: two leaders, two histories of manifests, each acknowledged.
Notices: rule R2 (no change before an entry of the own term is committed) taken out

SPDX-License-Identifier: Apache-2.0
"""

import pytest
from raft import Refused


def story(r):
    """S1 appends {1..5} and reaches S5 alone; S2 leads the old four, removes S1; S1 is back."""
    r.elect(1, among=(1, 2, 3, 4))
    r.heal()
    r.run(300)
    fifth = r.join()
    r.change_until_done(1, "add", fifth)
    r.run(300)
    with pytest.raises(Refused):
        r.change(1, "promote", fifth)  # catches up first
    r.run(200)
    r.change(1, "promote", fifth)
    r.flush()
    r.connect(1, fifth)
    r.run(70)
    assert r.show(fifth)["last"] == r.show(1)["last"] > r.show(2)["last"]
    r.elect(2, among=(2, 3, 4))
    r.connect(2, 3)
    for _ in range(7):
        try:
            r.change(2, "remove", 1)
            break
        except Refused:
            r.run(10)
    try:
        r.submit(2)
    except Refused:
        pass  # it does not lead any more
    r.run(70)
    try:
        r.elect(1, among=(1, 4, fifth))
    except Refused:
        pass  # as it should be
    r.heal()
    r.run(2000)
    return r.violation()


def test_nobody_leads_without_what_was_committed(raft):
    assert story(raft(4, seed=2)) is None


def test_without_the_rule_the_story_ends_badly(raft):
    assert "lacks committed" in (story(raft(4, seed=2, without=["R2"])) or "")
