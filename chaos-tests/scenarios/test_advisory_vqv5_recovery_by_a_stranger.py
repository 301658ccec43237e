"""Whoever knows the manifest recovers the Coordinator with a seed of its own.

Origin: GHSA-vqv5-385r-2hf8, GO-2025-3455 (Contrast, 2025-02)
Elsewhere: a recovering Coordinator did not ask who provides the seed. An attacker set one up with
    the victim's manifest and its own seed, and so with a root CA whose key it knew; the command
    line did not compare the root CA with the one it had seen.
Here: only share owners that the manifest names, each with its share of that very file, recover; the
    command line and each share owner compare the root CA.
Notices: a share or a signature of a stranger that counts; a root CA that is not compared

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import scene
import wire
from harness import openssl, read, write
from test_recovery import open_share, pkcs1, split


@pytest.fixture
def dead(lonely):
    """A deployment that verified, and died; an empty replica in its place."""
    c = lonely(1)
    scene.expect(0, c.verify(1))
    c.kill(1)
    c.start_all(1)
    return c


@pytest.fixture
def mallory(dead):
    path = os.path.join(dead.site.dir, "mallory.pem")
    if not os.path.exists(path):
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", path)
        os.chmod(path, 0o600)
    return path


def test_a_strangers_key_is_refused_at_the_command_line(dead, mallory):
    scene.expect((1, 2, 3), dead.recover(1, "--checkpoint", dead.path("verify", "checkpoint"),
                                         key=mallory), "share")
    assert dead.status(1)["state"] == "empty"


def test_a_stranger_is_refused_by_the_replica(dead, mallory):
    """Past the command line: no key, a foreign key, and the right share without the signature."""
    file = read(dead.path("verify", "checkpoint"))
    header, _ = split(file)
    owner = dead.path("seedshare-owner.pem")
    with dead.session(1, timeout=60) as session:
        session.attest(os.urandom(32))
        _, reply = session.ask(wire.RECOVER, [2, 2, header, len(file)])
        while reply[14] < len(file):
            at = reply[14]
            _, reply = session.ask(wire.RECOVER_DATA, [reply[0], at, file[at:at + 500000]])
        share = open_share(owner, header)
        wrong = bytes([share[0]]) + bytes(32)
        for key, part, signature in (
                (b"", share, b""), (pkcs1(mallory), share, bytes(256)),
                (pkcs1(owner), share, b""), (pkcs1(owner), share, bytes(256)),
                (pkcs1(owner), wrong, bytes(256))):
            with pytest.raises((wire.Refused, OSError)):
                session.ask(wire.RECOVER_GIVE, [reply[0], key, part, signature])
        assert dict(zip(wire.STATUS_FIELDS, session.ask(wire.STATUS, [])[1]))["generation"] == 0


def test_another_root_ca_is_told(dead):
    scene.expect(0, dead.recover(1, "--checkpoint", dead.path("verify", "checkpoint")))
    other = dead.copy("pinned")
    write(other.path("verify", "coordinator-root-ca.pem"), read(dead.site.certificate[0]))
    scene.expect(3, other.verify(1), "another root CA")
    assert read(other.path("verify", "coordinator-root-ca.pem")) == read(dead.site.certificate[0])
    scene.expect(0, dead.verify(1))
