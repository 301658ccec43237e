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

import scene
import wire


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
