"""The owner's side of a set, written from docs/wire.md alone: founding and setting without the CLI.

The tests of the programs use it where `contrast` refuses to do what an attacker would do, and where
a protocol client that is not ours should get the same answers.

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import json
import os

import harness
import wire


class Owner:
    """An owner key and the signatures made with it."""

    def __init__(self, key_path):
        self.key_path = key_path
        self.spki = harness.openssl("pkey", "-in", key_path, "-pubout", "-outform", "DER")

    def sign(self, transition):
        return harness.openssl("dgst", "-sha384", "-sign", self.key_path,
                               data=b"contrast-set-v1\0" + transition)


def policies_of(app):
    """Runtime policies of a workspace's YAML files, by hash."""
    policies = {}
    for name in sorted(os.listdir(app)):
        if name.endswith(".yaml"):
            policy = harness.policy_of(os.path.join(app, name))
            policies[hashlib.sha256(policy).digest()] = policy
    return policies


def hashes_of(manifest):
    return [bytes.fromhex(h) for h in json.loads(manifest)["Policies"]]


def upload(session, policies, kind, fields):
    """COMMIT or SET, then the policies that are asked for; the fields of API_SET_REPLY."""
    kind, fields = session.ask(kind, fields)
    if kind == wire.NEED:
        for (wanted,) in fields[0]:
            session.send(wire.PUT_POLICY, [policies[wanted]])
        kind, fields = session.receive()
    if kind != wire.SET_REPLY:
        raise ValueError(f"frame {kind} instead of the reply to a set")
    return fields


def found(session, app, owner, replicas):
    manifest = harness.read(os.path.join(app, "manifest.json"))
    session.attest(os.urandom(32))
    _, (cluster, founders) = session.ask(wire.PREPARE, [manifest, replicas])
    if cluster != wire.cluster_id(founders):
        raise ValueError("the cluster id is not the one of the founders")
    first = wire.transition(cluster, 1, 1, bytes(32), manifest, hashes_of(manifest))
    return upload(session, policies_of(app), wire.COMMIT,
                  [cluster, manifest, owner.spki, owner.sign(first)])


def set_manifest(session, app, owner, previous=None):
    manifest = harness.read(os.path.join(app, "manifest.json"))
    session.attest(os.urandom(32))
    status = session.status()
    previous = previous or status["head"]
    following = wire.transition(status["cluster"], status["epoch"], status["generation"] + 1,
                                previous, manifest, hashes_of(manifest))
    return upload(session, policies_of(app), wire.SET,
                  [manifest, previous, owner.spki, owner.sign(following)])
