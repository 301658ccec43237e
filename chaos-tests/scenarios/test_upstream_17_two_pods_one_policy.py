"""Two pods have one policy, and one of them loses its names.

Origin: Contrast, generate (the test for a collision is inverted)
Elsewhere: two pods with equal policies and equal names were an error; with different names one of
    them won in silence, and the other one got its certificate.
Here: a policy names its pod, so two pods never share one; the same pod twice is an error, and so is
    a policy that stands twice in a manifest.
Notices: two pods that end up with one policy; an entry that is overwritten in silence

SPDX-License-Identifier: Apache-2.0
"""

import json
import os

import scene
from harness import read, write

POD = """apiVersion: v1
kind: Pod
metadata:
  name: NAME
spec:
  containers:
    - name: main
      image: registry.example/same@sha256:""" + "ab" * 32 + """
      command: ["same"]
"""


def add(shop, file, name):
    write(os.path.join(shop, file), POD.replace("NAME", name))


def policies(shop):
    return json.loads(read(os.path.join(shop, "manifest.json")))["Policies"]


def generate(run, shop):
    return run("contrast", "generate", "--skip-images", "--workspace", shop, shop)


def test_equal_pods_under_two_names_keep_both(shop, run):
    add(shop, "a.yaml", "alpha")
    add(shop, "b.yaml", "beta")
    before = len(policies(shop))
    scene.expect(0, generate(run, shop))
    found = policies(shop)
    assert len(found) == before + 2
    for name in ("alpha", "beta"):
        entry, = [e for e in found.values() if name in e["SANs"]]
        assert entry["WorkloadSecretID"] == f"default/Pod/{name}"
        assert not {"alpha", "beta"} - {name} & set(entry["SANs"])


def test_the_same_pod_in_two_files_is_an_error(shop, run):
    add(shop, "a.yaml", "alpha")
    add(shop, "b.yaml", "alpha")
    before = read(os.path.join(shop, "manifest.json"))
    scene.expect(2, generate(run, shop), "alpha", "b.yaml")
    assert read(os.path.join(shop, "manifest.json")) == before


def test_a_policy_twice_in_a_manifest_is_an_error(cluster, tmp_path):
    manifest = cluster.manifest().decode()
    key = next(iter(json.loads(manifest)["Policies"]))
    twice = manifest.replace('"Policies": {', f'"Policies": {{"{key}": {{"SANs": ["evil"]}},', 1)
    assert twice != manifest
    path = str(tmp_path / "twice.json")
    write(path, twice)
    scene.expect(2, cluster.set(1, manifest=path), "twice.json")
    copy = cluster.copy("twice")
    write(copy.path("manifest.json"), twice)
    assert scene.refused(copy.raw_set, 1)["code"] in (42, 45)
