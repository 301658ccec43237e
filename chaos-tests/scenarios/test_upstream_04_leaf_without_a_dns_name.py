"""A pod without a DNS name crashes whoever signs its certificate.

Origin: Contrast, mesh CA (the common name is the first DNS SAN, without a look at how many there
    are)
Elsewhere: a policy whose SANs are addresses and URIs alone, or none, ended the Coordinator at the
    first pod of that kind.
Here: one line in a manifest would end all replicas, each when the pod tries the next one.
Notices: a signer that needs a name; SANs that are lost or made up

SPDX-License-Identifier: Apache-2.0
"""

import os
import re

import pytest

import scene
from harness import openssl, write

LONG = ".".join(["a" * 60] * 4) + ".example"
CASES = {
    "none": [],
    "addresses": ["10.0.0.7", "2001:db8::7"],
    "uris": ["spiffe://mesh.example/ns/default/sa/web"],
    "a-star": ["*"],
    "long": [LONG],
}


def sans_of(chain):
    text = openssl("x509", "-in", chain, "-noout", "-ext", "subjectAltName").decode()
    return re.findall(r"(?:DNS|URI|IP Address):(\S+?)(?:,|\s|$)", text)


@pytest.fixture
def restored(cluster):
    before = cluster.manifest()
    yield cluster
    write(cluster.path("manifest.json"), before)
    cluster.set_next()


def test_each_kind_of_pod_gets_its_certificate(restored):
    c = restored
    for at, (name, sans) in enumerate(CASES.items()):
        def change(manifest, sans=sans):
            for entry in manifest["Policies"].values():
                if entry["WorkloadSecretID"].endswith("/web"):
                    entry["SANs"] = sans
        scene.change_manifest(c.app, change)
        scene.expect(0, c.set(1 + at % 3))
        pod = c.issue(f"san-{name}", 1 + (at + 1) % 3)
        found = sans_of(os.path.join(pod, "tls-config", "certChain.pem"))
        short = {s.lower().replace("2001:db8:0:0:0:0:0:7", "2001:db8::7") for s in found}
        assert short == set(sans)
    assert sorted(c.alive()) == [1, 2, 3]
