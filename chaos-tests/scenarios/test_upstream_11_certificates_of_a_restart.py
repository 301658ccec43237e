"""Each replica, and each restart, has CA certificates of its own.

Origin: Contrast, certificate authority (root, intermediate and mesh certificates are made anew)
Elsewhere: two Coordinators with one key showed certificates that differ in their bytes, so a client
    that compared what it had pinned took the other one for an attacker.
Here: the certificates' exact bytes are in the log; a newcomer gets them with the state.
Notices: a certificate that is made by whoever needs it

SPDX-License-Identifier: Apache-2.0
"""

import os

from harness import read


def certificates(cluster, *numbers):
    histories = [cluster.history(n) for n in numbers]
    return {(h["root_ca"], h["mesh_ca"]) for h in histories}


def test_bytes_stay_when_every_replica_is_another_process(cluster):
    before = certificates(cluster, 1, 2, 3)
    assert len(before) == 1
    pod = cluster.issue("before-restart", 2)
    old = {cluster.status(n)["id"] for n in (1, 2, 3)}
    cluster.kill(3)
    cluster.start(3)
    cluster.wait_serving(3)
    cluster.wait_rest(1)
    new = {cluster.status(n)["id"] for n in (1, 2, 3)}
    assert len(old & new) == 2, "one is a new process with a new key"
    assert certificates(cluster, 1, 2, 3) == before
    again = cluster.issue("after-restart", 3)
    for name in ("coordinator-root-ca.pem", "mesh-ca.pem"):
        assert read(os.path.join(pod, "tls-config", name)) == read(
            os.path.join(again, "tls-config", name)), name


def test_the_root_stays_when_the_manifest_changes_and_the_mesh_does_not(cluster):
    (root, mesh), = certificates(cluster, 1, 2, 3)
    cluster.set_next(3)
    (new_root, new_mesh), = certificates(cluster, 1, 2, 3)
    assert (root == new_root, mesh == new_mesh) == (True, False)
