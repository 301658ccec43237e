"""The Coordinator takes a manifest that breaks every later handshake.

Origin: Contrast, user API (SetManifest does not validate)
Elsewhere: a manifest without reference values was accepted; afterwards no pod and no Coordinator
    could attest any more, and nobody could set another one.
Here: checked at the command line, again at the replica that is asked, and against every member.
Notices: a check of the manifest that only the command line makes; a set that members do not satisfy

SPDX-License-Identifier: Apache-2.0
"""

import pytest

import scene


def values(manifest):
    return manifest["ReferenceValues"]["snp"][0]


def only_role(role):
    def change(manifest):
        for entry in manifest["Policies"].values():
            entry["Role"] = role
    return change


WORDS = {
    "no reference values": "ReferenceValues", "none at all": "ReferenceValues",
    "null": "ReferenceValues", "no coordinator": "coordinator", "no policies": "Policies",
    "another role": "Role", "debug": "GuestPolicy.Debug", "migration": "GuestPolicy.MigrateMA",
    "no minimum": "MinimumTCB", "half a minimum": "MinimumTCB.SNPVersion",
    "a minimum of 256": "MinimumTCB.SNPVersion", "a fraction": "MinimumTCB.SNPVersion",
    "a short measurement": "TrustedMeasurement", "an unknown field": "AllowedChipIds",
    "a short chip": "AllowedChipIDs[0]", "tdx": "tdx",
    "an owner that is none": "WorkloadOwnerKeyDigests[0]",
    "share owners changed": "SeedshareOwnerPubKeys", "a floor above the machine": "coordinator-2",
}
BAD = {
    "no reference values": lambda m: m["ReferenceValues"].update(snp=[]),
    "none at all": lambda m: m.update(ReferenceValues={}),
    "null": lambda m: m.update(ReferenceValues=None),
    "no coordinator": lambda m: [e.pop("Role", None) for e in m["Policies"].values()],
    "no policies": lambda m: m.update(Policies={}),
    "another role": only_role("owner"),
    "debug": lambda m: values(m)["GuestPolicy"].update(Debug=True),
    "migration": lambda m: values(m)["GuestPolicy"].update(MigrateMA=True),
    "no minimum": lambda m: values(m).pop("MinimumTCB"),
    "half a minimum": lambda m: values(m)["MinimumTCB"].pop("SNPVersion"),
    "a minimum of 256": lambda m: values(m)["MinimumTCB"].update(SNPVersion=256),
    "a fraction": lambda m: values(m)["MinimumTCB"].update(SNPVersion=1.5),
    "a short measurement": lambda m: values(m).update(TrustedMeasurement="ab" * 47),
    "an unknown field": lambda m: values(m).update(AllowedChipIds=[]),
    "a short chip": lambda m: values(m).update(AllowedChipIDs=["ab" * 63]),
    "tdx": lambda m: m["ReferenceValues"].update(tdx=[{}]),
    "an owner that is none": lambda m: m.update(WorkloadOwnerKeyDigests=["x"]),
    "share owners changed": lambda m: m.update(SeedshareOwnerPubKeys=[]),
    "a floor above the machine": lambda m: values(m)["MinimumTCB"].update(SNPVersion=255),
}


@pytest.mark.parametrize("name", BAD)
def test_is_refused_at_the_command_line_and_past_it(cluster, name):
    before = cluster.heads(1, 2, 3)
    copy = cluster.copy("bad")
    copy.next_manifest()
    scene.change_manifest(copy.app, BAD[name])
    scene.expect((2, 3), copy.set(1), WORDS[name])
    why = scene.refused(copy.raw_set, 2)
    assert why["code"] in (45, 60), why  # MANIFEST, DENIED
    assert WORDS[name].lower() in why["text"].lower(), why
    assert cluster.heads(1, 2, 3) == before


def test_afterwards_everything_works(cluster):
    cluster.issue("after-bad", 3)
    cluster.set_next()
    scene.expect(0, cluster.verify(1, 2, 3, options=["--all"]))
