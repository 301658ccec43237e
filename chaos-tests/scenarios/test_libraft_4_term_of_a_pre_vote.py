"""The only server that can be elected never learns that its term is too old.

Origin: canonical/raft issue 279 and libraft 0.22.1, src/recv_request_vote.c (a refusal of a pre-
    vote repeats the term of the question); rule R4
Elsewhere: a healthy majority stayed without a leader for ever: the one with the longest log was two
    terms behind, and nobody told it.
Here: the cluster stands still until somebody restarts the right replica.
Notices: rule R4 (a refused pre-vote tells our term) taken out

SPDX-License-Identifier: Apache-2.0
"""

import pytest
from raft import Refused


def story(r):
    """S3 lacks a committed entry and is five terms ahead; S2 is dead; S1 alone can be elected."""
    r.elect(1, among=(1, 2, 3))
    r.connect(1, 2)
    r.run(40)
    r.submit(1)
    r.run(60)
    assert r.show(1)["commands"] == 1, "S1 and S2 commit"
    r.crash(2)
    term = r.show(3)["term"] + 5
    r.vote(2, 3, term, last=100, last_term=term - 1, told=True)
    assert r.show(3)["term"] == term
    r.connect()
    r.run(300)
    r.heal()
    r.run(10000)
    return r.leaders(1, 3)


def test_it_learns_the_term_and_leads(raft):
    r = raft(3, seed=4)
    assert story(r) == [1]
    r.submit(1)
    r.run(100)
    assert r.show(3)["commands"] == 2


def test_without_the_rule_nobody_leads(raft):
    r = raft(3, seed=4, without=["R4"])
    assert story(r) == []
    with pytest.raises(Refused):
        r.lead()
