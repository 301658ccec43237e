"""A refusal of yesterday's connection comes after today's acknowledgement.

Origin: libraft 0.22.1, src/progress.c:373 (found with reordered messages); rule R6
Elsewhere: a stale refusal set the leader's view of a follower back below what is known to match: an
    assertion, and in the release build a follower that is served no more.
Here: a replica that never catches up, after a link broke at the wrong moment.
Notices: rule R6 (from each peer only newer messages) taken out; HELLO's connection numbers are in
    ctest link

SPDX-License-Identifier: Apache-2.0
"""

def late_refusal(r):
    leader = r.lead()
    follower = leader % 3 + 1
    for _ in range(5):
        r.submit(leader)
    r.run(300)
    return r.late_ack(follower, leader, r.show(leader)["term"], rejected=1, last=0)


def test_the_late_one_is_dropped(raft):
    r = raft(3, seed=6)
    assert not late_refusal(r)
    r.submit(r.lead())
    r.run(500)
    r.all_same()


def test_without_the_rule_it_reaches_the_library(raft):
    assert late_refusal(raft(3, seed=6, without=["R6"]))
