"""A server that is to be removed stops before its removal is committed.

Origin: CCF (NSDI 2025, arXiv 2406.17455), "premature node retirement"
Elsewhere: a retiring server took its removal for done when it heard of it, and stopped voting; when
    the leader died at that moment, the rest were too few to elect anybody, for ever.
Here: a replica that gets SIGTERM serves as a voter until it is out of the committed configuration.
Notices: a replica that ends, or votes no more, while its vote is needed

SPDX-License-Identifier: Apache-2.0
"""

import signal

import scene
from harness import wait_until


def test_the_vote_of_the_one_to_be_removed_elects_the_next_leader(raft):
    """S1 appends the removal of S3 and dies before S2 has heard of it: S2 and S3 must go on."""
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(300)
    r.connect(1)
    r.change(1, "remove", 3)
    r.flush()
    r.crash(1)
    r.connect(2, 3)
    assert r.lead() in (2, 3)
    r.submit(r.lead())
    r.run(500)
    assert r.show(2)["commands"] == r.show(3)["commands"] == 1


def test_a_removal_that_nobody_else_has_is_taken_back(raft):
    """The same, and S1 was only away."""
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(300)
    r.connect(1)
    r.change(1, "remove", 3)
    assert r.show(1)["members"] == 2
    r.flush()
    r.elect(2, among=(2, 3))
    r.submit(2)
    r.heal()
    r.run(3000)
    assert [r.show(s)["members"] for s in (1, 2, 3)] == [3, 3, 3]
    r.all_same()


def test_one_is_dead_and_another_leaves(cluster):
    """Without the leaving one's vote nothing could be committed, not even its removal."""
    leader, (dead, leaving) = cluster.followers()
    process = cluster.replicas.pop(leaving)
    cluster.kill(dead)
    process.signal(signal.SIGTERM)
    assert process.wait(60) == 0, process.text()[-2000:]
    wait_until(lambda: cluster.leader(leader) == leader, 20, "who is left confirms")
    cluster.set_next(leader)
    scene.expect(0, cluster.verify(leader))
    cluster.make_whole()
    scene.expect(0, cluster.verify(1, 2, 3, options=["--all"]))
