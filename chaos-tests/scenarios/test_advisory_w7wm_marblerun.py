"""A Coordinator is recovered with a key that the attacker chose.

Origin: MarbleRun GHSA-w7wm-2425-7p2h (the class of GHSA-vqv5-385r-2hf8)
Elsewhere: recovery took any key that decrypts a state which the attacker had put there; clients
    that connected again trusted what the attacker had sealed.
Here: anybody can seal a file for the true share owners, for their public keys are public. Its
    header names the root CA; an owner compares it with the one it verified before anything is
    signed, and the recipient with the state inside.
Notices: a header that names another root CA or another deployment and is signed all the same

SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil

import scene
from harness import read, write


def test_a_file_with_another_root_ca_is_not_signed(lonely):
    c = lonely(1)
    scene.expect(0, c.verify(1))
    file = bytearray(read(c.path("verify", "checkpoint")))
    size = 12 + int.from_bytes(file[8:12], "big")
    file[size - 1] ^= 1  # the digest of the root CA ends the header: docs/wire.md section 10
    path = os.path.join(c.site.dir, "sealed-by-mallory")
    write(path, bytes(file))
    c.kill(1)
    c.start_all(1)
    scene.expect(3, c.recover(1, "--checkpoint", path), "another root CA")
    assert c.status(1)["state"] == "empty"


def test_a_file_of_another_deployment_is_not_signed(lonely):
    c = lonely(1)
    scene.expect(0, c.verify(1))
    other = lonely(1)
    shutil.copy(other.path("verify", "checkpoint"), os.path.join(c.site.dir, "of-another"))
    c.kill(1)
    c.start_all(1)
    scene.expect(3, c.recover(1, "--checkpoint", os.path.join(c.site.dir, "of-another")),
                 "another deployment")
    assert c.status(1)["state"] == "empty"
