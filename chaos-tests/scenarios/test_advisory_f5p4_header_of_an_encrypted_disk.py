"""The host chooses the cipher of an encrypted disk.

Origin: GHSA-f5p4-p5q5-jv3h (Contrast, 2025-10; LUKS2 headers)
Elsewhere: a persistent volume was opened by a header that lies on the host's disk: with a null
    cipher the pod wrote its data in the clear and took it for encrypted.
Here: this version encrypts no volume. It must say so, never look as if it did: secure-pv is refused
    by name. What a Coordinator takes from a host's disk is the sealed checkpoint: header
    authenticated.
Notices: secure-pv that is ignored; a header of a checkpoint that can be changed

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import scene
from harness import read, write

VALUES = ["data:state", "", "data:state:ext4", "null"]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("place", ["pod", "resource"])
def test_secure_pv_is_refused_by_name(shop, run, value, place):
    path = os.path.join(shop, "web.yaml")
    text = read(path, "r")
    note = f'contrast.edgeless.systems/secure-pv: "{value}"\n'
    if place == "pod":
        new = text.replace("      annotations:\n", f"      annotations:\n        {note}", 1)
    else:
        new = text.replace("metadata:\n", f"metadata:\n  annotations:\n    {note}", 1)
    assert new != text
    write(path, new)
    scene.expect(2, run("contrast", "generate", "--skip-images", "--workspace", shop, shop),
                 "secure-pv", "web.yaml")
    assert read(path, "r") == new


def test_a_checkpoints_header_cannot_be_changed(lonely):
    """Each changed file is refused at the owner's machine, or by the replica when it is opened."""
    c = lonely(1)
    scene.expect(0, c.verify(1))
    file = read(c.path("verify", "checkpoint"))
    size = 12 + int.from_bytes(file[8:12], "big")
    c.kill(1)
    c.start_all(1)
    path = os.path.join(c.site.dir, "changed.checkpoint")
    for at in (7, 20, 60, size // 2):
        write(path, file[:at] + bytes([file[at] ^ 1]) + file[at + 1:])
        scene.expect((1, 2, 3, 4), c.recover(1, "--checkpoint", path, app=c.copy("flip").app))
        assert c.status(1)["generation"] == 0, f"byte {at}"
    write(path, file)
    done = None
    for _ in range(3):  # a seat of a session that led to nothing lapses
        done = c.recover(1, "--checkpoint", path)
        if done.code == 0:
            break
    scene.expect(0, done)
