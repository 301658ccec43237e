"""A leader without followers goes on answering reads.

Origin: etcd issue 741, "Consistent reads are not consistent" (2014)
Elsewhere: a leader that was cut off answered reads that claimed to be consistent from its own
    state.
Here: a replica without a quorum says so: no position is confirmed, no certificate is issued, and
    verify exits 1, "genuine, currency unknown".
Notices: a read or a certificate without a majority

SPDX-License-Identifier: Apache-2.0
"""

import os
import subprocess

import scene
import wire
from harness import wait_until


def test_a_leader_alone_confirms_and_issues_nothing(cluster):
    leader, followers = cluster.followers()
    scene.expect(0, cluster.verify(leader))
    sessions = [cluster.session(leader, timeout=30) for _ in range(3)]
    for number in followers:
        cluster.stop(number)
    for session in sessions:
        session.send(wire.ATTEST_REQUEST, [1, os.urandom(32)])
    for session in sessions:
        with session:
            try:
                _, fields = session.receive()
            except (OSError, wire.Refused):
                continue
        assert not scene.statement(fields)["has_confirmed"]
    scene.expect(1, cluster.verify(leader), "currency unknown")
    try:
        cluster.initializer("alone", cluster.path("web.yaml"), leader, timeout=3)
        raise AssertionError("it ended")
    except subprocess.TimeoutExpired:
        pass
    assert not os.path.exists(cluster.pod("alone", "tls-config", "certChain.pem"))
    for number in followers:
        cluster.wake(number)
    wait_until(lambda: cluster.leader(1, 2, 3), 30, "they go on together")
    scene.expect(0, cluster.verify(leader))
