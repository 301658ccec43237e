"""What belongs to Genoa overwrites what belongs to Milan.

Origin: Contrast, generate (ID block annotations of both products written to one key)
Elsewhere: a deployment for two generations of processors carried the values of the last one alone;
    pods on the other did not start, or were measured against the wrong digest.
Here: each product has a set of reference values of its own, and a report is held to the set of its
    product. generate writes no ID block into YAML at all.
Notices: a set that is dropped or merged; a report that is held to another product's set; two
    annotations of one name

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import re

import pytest

import harness
import scene
from conftest import need
from harness import read, write


CLIENT = os.path.join(harness.BIN, "..", "test", "snp-report-client")


def values_of(machines, product):
    return json.loads(read(os.path.join(machines[product][0], "reference-values.json")))[0]


def test_generate_keeps_both(machines, shop, run, tmp_path):
    both = tmp_path / "both.json"
    write(both, json.dumps([values_of(machines, p) for p in machines]))
    scene.expect(0, run("contrast", "generate", "--skip-images", "--workspace", shop,
                        "--reference-values", str(both), shop))
    sets = json.loads(read(os.path.join(shop, "manifest.json")))["ReferenceValues"]["snp"]
    found = {s["ProductName"]: s["TrustedMeasurement"] for s in sets}
    assert found == {p: values_of(machines, p)["TrustedMeasurement"] for p in machines}
    for name in ("web.yaml", "backend.yaml", "coordinator.yaml"):
        text = read(os.path.join(shop, name), "r")
        assert "id-block" not in text.lower()
        keys = re.findall(r"^\s+((?:io\.kata|contrast\.)[\w./-]+):", text, re.MULTILINE)
        assert len(keys) == len(set(keys)), keys


def evidence_of(machines, product, run, shop, folder):
    """A report of a pod on this machine, as files."""
    os.makedirs(folder)
    scene.expect(0, run("contrast-snp-simulator", "launch", "--socket", machines[product][1],
                        "--pod", os.path.join(shop, "web.yaml"), "--", CLIENT, folder, "00" * 64))


@pytest.mark.parametrize("product", ["Milan", "Genoa"])
def test_a_report_is_held_to_the_set_of_its_product(machines, run, shop, tmp_path, product):
    """With the two sets as they are; then with the measurements exchanged: both stand in the
    manifest, and each with the other product."""
    need(CLIENT, "snp-report-client")
    other = {"Milan": "Genoa", "Genoa": "Milan"}
    for name, source, code in (("right", lambda p: p, 0), ("exchanged", other.get, 3)):
        sets = [dict(values_of(machines, p), TrustedMeasurement=values_of(
            machines, source(p))["TrustedMeasurement"]) for p in machines]
        path = str(tmp_path / name)
        write(path + ".json", json.dumps(sets))
        scene.expect(0, run("contrast", "generate", "--skip-images", "--workspace", shop,
                            "--reference-values", path + ".json", shop))
        evidence_of(machines, product, run, shop, path)
        done = run("contrast", "evidence", "verify", "--report", path + "/report.bin",
                   "--vek", path + "/vek.der", "--chain", path + "/chain0.der", "--chain",
                   path + "/chain1.der", "--trust-root",
                   os.path.join(machines[product][0], "ark.pem"), "--manifest",
                   os.path.join(shop, "manifest.json"))
        scene.expect(code, done, *(["SNP-MEASUREMENT"] if code else []))
