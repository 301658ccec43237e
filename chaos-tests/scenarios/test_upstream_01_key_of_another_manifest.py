"""A Coordinator signs with the mesh CA key of another manifest.

Origin: Contrast, peer recovery (RecoverResponse.LatestManifest is not compared)
Elsewhere: a Coordinator that recovered from a peer took that peer's mesh CA key without asking
    which manifest it belongs to; while a set was spreading it signed for manifest N + 1 with the
    key of N.
Here: manifest, mesh CA key and the certificates' bytes are one log entry, and a newcomer installs
    them together. A certificate by the key of a superseded manifest would be trusted by old pods.
Notices: a newcomer, or a restored snapshot, with the mesh CA of another generation; a set that
    keeps the old key

SPDX-License-Identifier: Apache-2.0
"""

import os

import scene
from harness import openssl, read


def is_signed_by(chain, authority):
    try:
        openssl("verify", "-CAfile", authority, chain)
    except AssertionError:
        return False
    return True


def test_a_newcomer_and_everybody_else_sign_with_the_key_of_the_newest(cluster):
    before = cluster.issue("key-before", 1)
    cluster.start_all(4)  # it copies the state while manifests change
    for number in (2, 3, 1):
        cluster.set_next(number)
    cluster.wait_rest(1, voters=3, others=1)
    scene.expect(0, cluster.verify(1, 2, 3, 4, options=["--all"]))
    authority = cluster.path("verify", "mesh-ca.pem")
    for number in (1, 2, 3, 4):
        pod = cluster.issue(f"key-{number}", number)
        assert read(os.path.join(pod, "tls-config", "mesh-ca.pem")) == read(authority)
        assert is_signed_by(os.path.join(pod, "tls-config", "certChain.pem"), authority)
    assert not is_signed_by(os.path.join(before, "tls-config", "certChain.pem"), authority)


def test_what_a_pod_gets_during_sets_fits_together(cluster):
    """Key, chain and mesh CA are of one manifest, whichever."""
    pods = []
    for round_number in range(3):
        for number in (1, 2, 3):
            name = f"during-{round_number}-{number}"
            yaml = cluster.path("backend.yaml")
            pods.append((name, cluster.start_initializer(name, yaml, number)))
        cluster.set_next(1 + round_number % 3)
    for name, process in pods:
        assert process.wait(60) == 0, process.text()
        folder = cluster.pod(name, "tls-config")
        assert is_signed_by(os.path.join(folder, "certChain.pem"),
                            os.path.join(folder, "mesh-ca.pem")), process.text()
