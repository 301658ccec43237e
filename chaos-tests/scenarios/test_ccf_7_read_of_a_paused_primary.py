"""A leader that was paused answers a read with what was true before.

Origin: CCF's clients' model (NSDI 2025, arXiv 2406.17455): reads at a primary that lost its role;
    the same class as Jepsen's findings in etcd and Consul (2014)
Elsewhere: a primary answers from its own state until it hears of its successor, so a client reads
    an old value after another one was acknowledged.
Here: the host can pause a guest for as long as it likes. Evidence and status say "confirmed" only
    after a quorum round that began when the question was there.
Notices: a lease; a confirmation from before the question; a replica that answers before it looks

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import scene
import wire


SEEDS = [7, 11, 67]  # where the others have a leader before the first one gives up


def story(r):
    """S1 leads, and is cut off; the others elect and commit; S1 is asked before it gives up."""
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(300)
    r.connect(2, 3)
    new = []
    while not new:
        r.run(1)
        new = r.leaders(2, 3)
        assert r.leaders(1) == [1], "another seed is needed"
    old = r.commit(1)
    while r.commit(new[0]) == old:
        r.run(1)
        assert r.leaders(1) == [1], "another seed is needed"
    r.read(1)
    r.run(1)
    return r.answers(), old


@pytest.mark.parametrize("seed", SEEDS)
def test_two_leaders_and_the_old_one_confirms_nothing(raft, seed):
    r = raft(3, seed=seed)
    answers, _ = story(r)
    assert answers["good"] == 0
    r.run(3000)
    assert (r.answers()["good"], r.answers()["failed"]) == (0, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_the_quorum_round_it_tells_the_past(raft, seed):
    answers, old = story(raft(3, seed=seed, without=["READ"]))
    assert (answers["good"], answers["index"]) == (1, old)


def test_what_waited_in_its_sockets_is_not_answered_with_the_past(cluster):
    leader, followers = cluster.followers()
    old = cluster.status(leader)["generation"]
    questions = [(cluster.session(leader), kind, fields) for kind, fields in (
        (wire.STATUS, []), (wire.ATTEST_REQUEST, [1, os.urandom(32)])) for _ in range(3)]
    cluster.stop(leader)
    for session, kind, fields in questions:
        session.send(kind, fields)
    cluster.set_next(*followers)
    cluster.wake(leader)
    for session, kind, _ in questions:
        with session:
            try:
                _, fields = session.receive()
            except (OSError, wire.Refused):
                continue  # no answer is no wrong answer
        if kind == wire.STATUS:
            status = dict(zip(wire.STATUS_FIELDS, fields))
            assert not status["is_confirmed"] or status["generation"] == old + 1
        else:
            told = scene.statement(fields)
            assert not told["has_confirmed"] or told["generation"] == old + 1


def test_an_owner_that_knows_more_sees_it(cluster):
    """A workspace of before asks the one that was paused: never exit 0 for the old manifest."""
    leader, followers = cluster.followers()
    early = cluster.copy("before")
    cluster.stop(leader)
    cluster.set_next(*followers)
    cluster.wake(leader)
    done = early.verify(leader)
    assert done.code in (1, 3), done  # currency unknown, or another manifest
    cluster.make_whole()
    scene.expect(0, cluster.verify(leader))
