"""A follower acknowledges entries that its leader never sent.

Origin: CCF (NSDI 2025, arXiv 2406.17455), "inaccurate AE-ACK"
Elsewhere: a follower answered with the end of its own log, of which the rest came from a leader of
    an earlier term; the new leader counted that and committed entries that the follower does not
    have.
Here: a manifest would be acknowledged without a majority, and a replica would apply what the leader
    of an earlier term had left behind.
Notices: an answer or a commit index beyond the last entry that the message shows to match

SPDX-License-Identifier: Apache-2.0
"""

import pytest


@pytest.fixture
def leftover(raft):
    """S2 holds 2..5 of a leader of term 2 that is gone; 1 is all that anybody committed."""
    r = raft(3)
    r.connect()
    r.append(1, 2, term=2, prev=(1, 1), commit=1, entries=[2, 2, 2, 2])
    assert r.show(2)["last"] == 5
    return r


def test_a_heartbeat_is_answered_for_what_it_shows(leftover):
    answer = leftover.append(3, 2, term=3, prev=(1, 1), commit=1)
    assert (answer["rejected"], answer["last"]) == (0, 1)


def test_a_heartbeat_with_a_later_commit_commits_nothing_of_the_leftover(leftover):
    """The leader of term 3 committed 2..4 with others; this follower has other entries there."""
    answer = leftover.append(3, 2, term=3, prev=(1, 1), commit=4)
    after = leftover.show(2)
    assert (after["commit"], after["commands"]) == (1, 0)
    assert answer["last"] == 1


def test_a_change_of_membership_that_comes_behind_does_not_either(leftover):
    """Rule R1 cuts such a message in two; the first half must not commit more than it shows."""
    leftover.append(3, 2, term=3, prev=(1, 1), commit=5, entries=["c3"])
    after = leftover.show(2)
    assert (after["last"], after["last_term"], after["commit"]) == (2, 3, 2)


def test_a_part_that_is_known_already_is_all_that_is_acknowledged(leftover):
    """Rule R3 drops what is committed here; the rest of the message is what counts."""
    leftover.append(3, 2, term=3, prev=(1, 1), commit=2, entries=[2])
    assert leftover.commit(2) == 2
    answer = leftover.append(3, 2, term=3, prev=(1, 1), commit=5, entries=[2])
    assert answer["last"] == 2
    assert leftover.commit(2) == 2, "3..5 are of a leader that is gone"


def test_the_leader_counts_no_further_than_its_own_log(raft):
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(200)
    r.connect()
    s1 = r.show(1)
    r.ack(2, 1, s1["term"], rejected=0, last=s1["last"] + 5)  # acknowledged what does not exist
    r.submit(1)
    assert r.commit(1) == s1["commit"], "an entry is committed that nobody else was sent"
