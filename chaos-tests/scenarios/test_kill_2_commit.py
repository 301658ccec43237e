"""The asked replica dies between the owner's signature and the founding.

Origin: kill points of the founding, COMMIT and START
Elsewhere: a client that does not know whether it founded a cluster asks again, and there are two.
Here: the client wrote the cluster id down before it signed. It says that the outcome is unknown,
    looks before it does anything, and founds another one only when the owner says so.
Notices: a second cluster unseen; a first one that is forgotten although it lives

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import harness
import owner
import scene
import wire
from harness import read


def founding_until(c, step):
    """The owner's side by hand, up to where the replica is armed; the session and what follows."""
    session = c.session(1, timeout=60)
    session.attest(os.urandom(32))
    _, (cluster_id, founders) = session.ask(wire.PREPARE, [c.manifest(), 3])
    assert cluster_id == wire.cluster_id(founders)
    first = wire.transition(cluster_id, 1, 1, bytes(32), c.manifest(),
                            owner.hashes_of(c.manifest()))
    c.arm(1, step)
    return session, cluster_id, [cluster_id, c.manifest(), c.owner().spki, c.owner().sign(first)]


POINTS = {
    "start-not-passed-on": "before 1 port 7777 bytes 0",
    "start-passed-to-one": "after 1 port 7777 bytes 0",
    "start-passed-to-both": "after 2 port 7777 bytes 0",
    "first-manifest-not-answered": "before 1 port 1313 bytes 1000",
}


@pytest.mark.parametrize("point", POINTS)
def test_there_is_never_more_than_one_cluster(killable, point):
    c = killable(1, 2, 3, is_founded=False)
    session, cluster_id, commit = founding_until(c, POINTS[point])
    with session, pytest.raises((OSError, wire.Refused)):
        owner.upload(session, owner.policies_of(c.app), wire.COMMIT, commit)
    c.dies(1)
    seen = {s["cluster"] for s in map(c.status, (2, 3)) if s["generation"] > 0}
    assert seen <= {cluster_id}
    if point == "start-not-passed-on":
        assert {c.status(n)["state"] for n in (2, 3)} <= {"empty", "prepared"}
    if point == "first-manifest-not-answered":
        assert seen == {cluster_id}, "it was committed before it was answered"
        the_cluster_lives(c, cluster_id)
    else:
        nothing_was_founded(c)


def the_cluster_lives(c, cluster_id):
    c.wait_leader(2, 3)
    scene.expect(0, c.verify(2, 3, options=["--all"]))
    assert c.status(2)["cluster"] == cluster_id
    scene.expect(0, c.set(2, 3), "was active before")
    c.start_all(1)
    c.wait_rest(2)


def nothing_was_founded(c):
    """Founders without a manifest are of no use; their pods are restarted, the owner goes on."""
    scene.expect((1, 3), c.verify(2))
    for number in (2, 3):
        c.kill(number)
    c.start_all(1, 2, 3)
    scene.expect(0, c.set(2, options=["--new-deployment"]))
    c.wait_rest(1)
    assert len({c.status(n)["cluster"] for n in (1, 2, 3)}) == 1


def test_the_command_line_looks_before_it_founds_again(killable):
    """It asked, signed, and the replica died with the answer: the cluster that lives is found."""
    c = killable(1, 2, 3, is_founded=False)
    c.arm(1, "before 3 port 1313 bytes 1000")  # evidence, founder list, answer
    done = c.set(1, 2, 3)
    c.dies(1)
    scene.expect((0, 1), done)
    c.wait_leader(2, 3)
    clusters = {c.status(n)["cluster"] for n in (2, 3)}
    assert len(clusters) == 1 and c.status(2)["generation"] == 1
    known = read(c.path("verify", "cluster-id"), "r")
    assert clusters.pop().hex() in known
    scene.expect(0, c.set(2, 3), "was active before")
