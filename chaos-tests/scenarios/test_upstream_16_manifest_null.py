"""The manifest is the word null.

Origin: Contrast, user API (SetManifest with the JSON text null)
Elsewhere: null decodes to no manifest at all and is used without a check: anybody could end a
    Coordinator that had no manifest yet.
Here: PREPARE of a stranger, and SET, parse it: before the founding and after.
Notices: a value of JSON that is no object and gets through; a replica that ends

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import scene
import wire
from harness import write

NOTHING = [b"null", b"", b" ", b"[]", b"{}", b"0", b'""', b"true", b"[null]", b'{"Policies": null}',
           b"\xef\xbb\xbfnull", b"null\x00", b"nul", b"null null"]


def test_before_the_founding(lonely):
    c = lonely(1, is_founded=False)
    for manifest in NOTHING:
        for replicas in (1, 3):
            why = scene.refused(c.ask, 1, wire.PREPARE, [manifest, replicas])
            assert why["code"] in (20, 42, 45), (manifest, why)
        scene.refused(c.ask, 1, wire.COMMIT, [bytes(32), manifest, b"key", b"signature"])
    assert c.status(1)["state"] == "empty"
    assert c.alive() == [1]


def test_after_it_and_signed_by_the_owner(cluster):
    before = cluster.heads(1, 2, 3)
    for at, manifest in enumerate(NOTHING):
        number = 1 + at % 3
        with cluster.session(number) as session:
            session.attest(os.urandom(32))
            s = session.status()
            following = wire.transition(s["cluster"], s["epoch"], s["generation"] + 1, s["head"],
                                        manifest, [])
            key = cluster.owner()
            why = scene.refused(session.ask, wire.SET,
                                [manifest, s["head"], key.spki, key.sign(following)])
            assert why["code"] in (20, 42, 45), (manifest, why)
    assert cluster.heads(1, 2, 3) == before


@pytest.mark.parametrize("manifest", NOTHING, ids=repr)
def test_at_the_command_line(cluster, manifest, tmp_path):
    path = str(tmp_path / "nothing.json")
    write(path, manifest)
    scene.expect(2, cluster.set(1, manifest=path), "nothing.json")
