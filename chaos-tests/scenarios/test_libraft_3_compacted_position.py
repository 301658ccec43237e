"""A follower refuses a position that it has committed.

Origin: libraft 0.22.1, src/replication.c (a compacted previous entry counts as missing); rule R3
Elsewhere: the leader stepped back below what it knew to match and failed an assertion; the release
    build went on with a number below zero.
Here: a leader that ends, or a follower that is never served again, after a burst of entries.
Notices: rule R3 (a message is moved up to the commit index) taken out

SPDX-License-Identifier: Apache-2.0
"""

def story(r):
    """1100 entries, so that both have a snapshot; a heartbeat that begins in what is gone."""
    leader = r.lead()
    follower = leader % 3 + 1
    for _ in range(1100):
        r.submit(leader)
        r.run(2)
    r.run(300)
    s = r.show(follower)
    assert s["first"] > 10, "nothing was compacted"
    term = r.show(leader)["term"]
    return r.append(leader, follower, term=term, prev=(3, term), commit=s["commit"])["rejected"]


def test_a_committed_position_is_never_refused(raft):
    assert story(raft(3, seed=3)) == 0


def test_without_the_rule_it_is(raft):
    assert story(raft(3, seed=3, without=["R3"])) == 3
