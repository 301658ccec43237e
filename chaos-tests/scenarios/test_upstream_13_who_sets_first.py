"""Whoever sets the first manifest owns the deployment.

Origin: Contrast, user API (the first SetManifest is trust on first use)
Elsewhere: an attacker that was faster than the owner set a manifest of its own; only a verify, if
    anybody ran one, told.
Here: the owner's key is in the Coordinator's own measured environment; the owner's signature covers
    the founders, so nobody can found with the owner's manifest either.
Notices: a founding without the owner's key, or by a signature over something else

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import owner
import scene
import wire
from scene import SIGNATURE


@pytest.fixture
def attacker(lonely):
    """An empty replica of the owner's, and an attacker's workspace with keys of its own."""
    c = lonely(1, is_founded=False)
    evil = c.copy("attacker")
    for name in ("workload-owner.pem", "manifest.json"):
        os.unlink(evil.path(name))
    values = os.path.join(c.site.dir, "machine", "reference-values.json")
    c.site.must(evil.contrast("generate", "--skip-images", "--reference-values", values, "--force",
                              evil.app))
    return c, evil


def test_the_attacker_is_refused_and_the_owner_founds(attacker):
    c, evil = attacker
    key = evil.owner()
    scene.expect(3, evil.set(1, options=["--replicas", "1"]))
    assert scene.refused(evil.ask, 1, wire.PREPARE, [evil.manifest(), 1])["code"] == SIGNATURE
    # With the owner's own manifest, which is public: the attacker's signature, and none
    with c.session(1) as session:
        with pytest.raises(wire.Refused) as why:
            owner.found(session, c.app, key, 1)
        assert why.value.fields["code"] == SIGNATURE
    with c.session(1) as session:
        session.attest(os.urandom(32))
        _, (cluster_id, _) = session.ask(wire.PREPARE, [c.manifest(), 1])
        first = wire.transition(cluster_id, 1, 1, bytes(32), c.manifest(),
                                owner.hashes_of(c.manifest()))
        other = wire.transition(bytes(32), 1, 1, bytes(32), c.manifest(),
                                owner.hashes_of(c.manifest()))
        for signature in (key.sign(first), c.owner().sign(other), b"", bytes(70)):
            with pytest.raises(wire.Refused) as why:
                session.ask(wire.COMMIT, [cluster_id, c.manifest(), c.owner().spki, signature])
            assert why.value.fields["code"] in (SIGNATURE, 20, 21, 42), why.value.fields
    assert c.status(1)["generation"] == 0
    scene.expect(0, c.set(1, options=["--replicas", "1"]))
    scene.expect(0, c.verify(1))
    scene.expect((3, 1), evil.verify(1))
