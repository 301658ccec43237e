"""Votes are counted in the wrong set of servers.

Origin: CCF (NSDI 2025, arXiv 2406.17455), "incorrect election quorum tally"
Elsewhere: while the membership changed, a candidate counted votes of servers that do not vote, or
    in the union of two configurations, and won without a majority of either.
Here: a standby grants votes when it is asked (rule R7), so a candidate that counted them would lead
    without a majority of the voters, beside another leader.
Notices: a vote of a standby that counts; half of an even number of voters that is enough

SPDX-License-Identifier: Apache-2.0
"""

import pytest
from raft import Refused


@pytest.fixture
def three_and_a_standby(raft):
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(300)
    standby = r.join()
    r.change_until_done(1, "add", standby)
    r.run(300)
    assert r.show(standby)["commit"] == r.commit(1), "the standby has everything"
    return r, standby


def test_a_vote_of_a_standby_is_none(three_and_a_standby):
    r, standby = three_and_a_standby
    r.crash(1)
    r.crash(3)
    r.connect(2, standby)  # two of four servers, one of three voters
    r.run(5000)
    assert r.leaders(2, standby) == []
    assert r.violation() is None


def test_a_forged_vote_of_a_standby_is_none(three_and_a_standby):
    """It grants what it should not have been asked for."""
    r, standby = three_and_a_standby
    r.connect()
    for _ in range(400):
        r.run(5)
        for pre in (True, False):  # whatever it stands for just now
            r.grant(standby, 2, r.show(2)["term"] + pre, pre)
        assert r.leaders(2) == []


def test_half_of_four_voters_is_no_majority(three_and_a_standby):
    r, fourth = three_and_a_standby
    r.change_until_done(1, "promote", fourth)
    r.run(300)
    r.connect(1, 2)
    r.run(3000)
    assert r.leaders(1, 2) == []
    r.connect(1, 2, 3)  # three of four are
    assert r.lead() in (1, 2, 3)
    r.submit(r.lead())
    r.heal()
    r.run(2000)
    r.all_same()


def test_the_one_that_was_just_removed_does_not_count(raft):
    """S1 removes S3: from then on S1 and S2 are the majority, and S3 is nobody."""
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(300)
    r.connect(1, 3)
    r.change(1, "remove", 3)
    before = r.commit(1)
    r.run(60)
    with pytest.raises(Refused):
        r.change(1, "add", 9)  # the removal is not committed: S3 acknowledged nothing that counts
    assert r.commit(1) == before
