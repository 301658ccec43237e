"""An AppendEntries that comes late cuts off what came after it.

Origin: CCF (NSDI 2025, arXiv 2406.17455), "truncation from early AE"
Elsewhere: a follower cut its log behind the last entry of each AppendEntries; an early one that was
    delivered late removed entries that it had acknowledged since.
Here: what a quorum holds would be held by fewer, and an acknowledged manifest could be lost with
    one more replica.
Notices: a follower that drops matching entries; rule R6 (order per peer) taken out is seen as well

SPDX-License-Identifier: Apache-2.0
"""

import pytest


@pytest.fixture
def follower(raft):
    """S2 holds 1..6 of S1, whose term is 2; nothing is under way."""
    r = raft(3)
    r.connect()
    r.append(1, 2, term=2, prev=(1, 1), commit=1, entries=[2, 2, 2, 2, 2])
    assert r.show(2)["last"] == 6
    return r


@pytest.mark.parametrize("entries", [[], [2], [2, 2, 2]], ids=["none", "one", "three"])
@pytest.mark.parametrize("commit", [1, 3])
def test_an_early_one_drops_nothing(follower, entries, commit):
    answer = follower.append(1, 2, term=2, prev=(1, 1), commit=commit, entries=entries)
    after = follower.show(2)
    assert (after["last"], after["stored"]) == (6, 6)
    assert answer["rejected"] == 0
    assert answer["last"] <= 6


def test_only_a_conflict_drops_and_from_there_on_only(follower):
    follower.append(3, 2, term=3, prev=(1, 1), commit=1, entries=[2, 2, 3])
    after = follower.show(2)
    assert (after["last"], after["last_term"], after["stored"]) == (4, 3, 4)


def test_what_is_committed_is_never_dropped(follower):
    follower.append(1, 2, term=2, prev=(6, 2), commit=6)
    follower.append(1, 2, term=2, prev=(1, 1), commit=1, entries=[2, 2])
    after = follower.show(2)
    assert (after["last"], after["commit"]) == (6, 6)
