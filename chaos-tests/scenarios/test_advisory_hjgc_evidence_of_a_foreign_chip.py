"""Evidence is made on a machine that the owner does not own.

Origin: GHSA-hjgc-jc5v-fw7h (cited by Contrast's documentation; relayed attestation)
Elsewhere: whoever extracts the key of one processor, anywhere, signs reports that every verifier
    takes, and relays the sessions of the true pods.
Here: with AllowedChipIDs the manifest names the machines; a report of any other is denied, of a pod
    as of a Coordinator.
Notices: a chip that is not compared, or for one role only; a list that is taken for empty

SPDX-License-Identifier: Apache-2.0
"""

import json
import os

import pytest

import scene
from harness import read, wait_until


def chip_of(machines, product):
    return json.loads(read(os.path.join(machines[product][0], "machine.json")))["chip_id"]


@pytest.fixture
def two_machines(lonely, machines, site):
    """A deployment whose manifest knows both machines' roots and firmware, and one of the chips."""
    def prepare(c):
        sets = [json.loads(read(os.path.join(folder, "reference-values.json")))[0]
                for folder, _ in machines.values()]
        c.chips = {p: chip_of(machines, p) for p in machines}
        for values in sets:
            allowed = c.chips["Milan"] if values["ProductName"] == "Milan" else "ee" * 64
            values["AllowedChipIDs"] = [allowed]
        scene.change_manifest(c.app, lambda m: m["ReferenceValues"].update(snp=sets))
        c.trust["CONTRAST_PERMITTED_ROOTS"] = ",".join(r for v in sets for r in v["SimulatedRoots"])
        c.socket = machines["Milan"][1]
    return lonely(1, peers=2, prepare=prepare)


def test_a_pod_and_a_coordinator_on_another_machine(two_machines, machines):
    c = two_machines
    scene.expect(0, c.verify(1))
    c.issue("own-chip", 1)
    c.socket = machines["Genoa"][1]
    scene.expect(3, c.initializer("foreign-chip", c.path("web.yaml"), 1), "SNP-CHIP-ALLOW",
                 c.chips["Genoa"][:32])
    assert not os.path.exists(c.pod("foreign-chip", "tls-config", "certChain.pem"))
    c.start_all(2)
    wait_until(lambda: "SNP-CHIP-ALLOW" in c.replicas[2].text(), 30, "the newcomer is told why")
    assert len(c.status(1)["members"]) == 1
    the_owner_adds_the_chip(c)


def the_owner_adds_the_chip(c):
    def change(manifest):
        for values in manifest["ReferenceValues"]["snp"]:
            values["AllowedChipIDs"] = [c.chips[values["ProductName"]]]
    scene.change_manifest(c.app, change)
    scene.expect(0, c.set(1))
    c.issue("now-known", 1)
