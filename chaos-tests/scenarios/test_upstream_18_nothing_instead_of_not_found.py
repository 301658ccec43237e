"""What is missing is answered with nothing, as if it were there and empty.

Origin: Contrast, store (Get returns no bytes for a ConfigMap without the key)
Elsewhere: an entry that somebody had deleted was read as an empty one, and failed much later, far
    from its cause.
Here: whatever is asked for by a name that does not exist is NOT_FOUND, and an empty list is one.
Notices: an empty answer for an unknown name; another code, which would make clients try again

SPDX-License-Identifier: Apache-2.0
"""

import os

import owner
import scene
import wire

NOT_FOUND = 43


def test_a_policy(cluster):
    for wanted in (bytes(32), os.urandom(32)):
        assert scene.refused(cluster.ask, 2, wire.POLICY, [wanted])["code"] == NOT_FOUND
    known = owner.hashes_of(cluster.manifest())[0]
    policy, = cluster.ask(2, wire.POLICY, [known])
    assert len(policy) > 100


def test_a_checkpoint_and_a_recovery_session(cluster):
    for offset in (0, 1, 1 << 40):
        why = scene.refused(cluster.ask, 1, wire.CHECKPOINT, [os.urandom(16), offset])
        assert why["code"] == NOT_FOUND, why
    for kind, fields in ((wire.RECOVER_SHOW, [os.urandom(16)]),
                         (wire.RECOVER_DATA, [os.urandom(16), 0, b"x"])):
        assert scene.refused(cluster.ask, 1, kind, fields)["code"] == NOT_FOUND


def test_a_list_that_has_nothing_more_is_empty(cluster):
    history = cluster.ask(3, wire.HISTORY, [10 ** 6])
    assert history[4] == [] and history[2] > 0
    assert cluster.ask(3, wire.RECOVERIES, [10 ** 6])[2] == []


def test_a_member(cluster):
    scene.expect(2, cluster.retire("coordinator-99", 1), "coordinator-99")


def test_a_file_of_the_workspace(cluster):
    copy = cluster.copy("missing")
    os.unlink(copy.path("workload-owner.pem"))
    copy.edit_web(1)
    scene.expect(2, copy.contrast("set", "-c", copy.user(1), "--workload-owner-key",
                                  copy.path("nobody.pem"), copy.app), "nobody.pem")
