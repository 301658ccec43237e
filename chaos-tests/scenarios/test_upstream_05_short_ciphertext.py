"""A ciphertext that is shorter than its nonce.

Origin: Contrast, transit engine (the first 12 bytes are cut off without a look at the length)
Elsewhere: a request with 11 bytes of ciphertext ended the process.
Here: there is no transit engine: nothing listens on 8200. What has the same shape is the sealed
    checkpoint, which comes from a file that anybody may have cut.
Notices: a reader of checkpoints that trusts a length; a port 8200 without anybody having thought of
    it

SPDX-License-Identifier: Apache-2.0
"""

import pytest

import harness
import scene
import wire
from harness import read, write


def test_nothing_listens_for_ciphertexts(cluster):
    assert not harness.tcp_is_open(cluster.address(1), 8200)


@pytest.fixture
def checkpoint(cluster):
    cluster.set_next()
    return read(cluster.path("verify", "checkpoint"))


def test_every_kind_of_cut_is_told_and_nothing_falls_over(cluster, checkpoint, run, tmp_path):
    header = int.from_bytes(checkpoint[8:12], "big")
    whole = tmp_path / "whole"
    write(whole, checkpoint)
    scene.expect(0, run("contrast", "backup", "--show", str(whole)))
    sizes = [0, 1, 7, 8, 9, 11, 12, 13, 12 + header - 1, 12 + header, 12 + header + 1,
             12 + header + 15, 12 + header + 16, len(checkpoint) // 2, len(checkpoint) - 1]
    for size in sizes:
        path = tmp_path / f"cut-{size}"
        write(path, checkpoint[:size])
        scene.expect(2, run("contrast", "backup", "--show", str(path)), f"cut-{size}")


def test_a_header_that_promises_another_size_is_refused(cluster, checkpoint, run, tmp_path):
    changed = {"longer": checkpoint + b"x",
               "no header": checkpoint[:8] + b"\xff\xff\xff\xff" + checkpoint[12:],
               "no magic": b"x" + checkpoint[1:]}
    for name, data in changed.items():
        path = tmp_path / name.replace(" ", "-")
        write(path, data)
        scene.expect(2, run("contrast", "backup", "--show", str(path)))


def test_a_replica_refuses_them_too(lonely, checkpoint):
    c = lonely(1, is_founded=False)
    header = int.from_bytes(checkpoint[8:12], "big")
    head = checkpoint[:12 + header]
    for cut in (b"", head[:8], head[:11], head[:-1], head[:40]):
        scene.refused(c.ask, 1, wire.RECOVER, [2, 2, cut, len(checkpoint)])
    for size in (0, 11, len(head), len(head) + 15):
        scene.refused(c.ask, 1, wire.RECOVER, [2, 2, head, size])
    assert c.status(1)["state"] == "empty"
