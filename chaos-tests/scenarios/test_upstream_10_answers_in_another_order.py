"""The same question gets another answer each time.

Origin: Contrast, HTTP /attest (the list of policies comes out of a map)
Elsewhere: two answers for one state differed in their bytes, so they could not be compared or
    hashed.
Here: history, certificates, manifests and what verify writes are the same bytes from every replica,
    at any time; what is signed and compared depends on it.
Notices: an answer in the order of a hash table; a manifest that generate writes in another order

SPDX-License-Identifier: Apache-2.0
"""

import os

import scene
import wire
from harness import read


def test_every_replica_tells_the_history_byte_for_byte(cluster):
    cluster.set_next(2)
    answers = [wire.pack(cluster.ask(n, wire.HISTORY, [1])) for n in (1, 2, 3, 1, 2, 3)]
    assert len(set(answers)) == 1
    assert len(answers[0]) > 1000


def test_verify_writes_the_same_files_at_every_replica(cluster, tmp_path):
    """All but the position, which is that of the moment."""
    written = []
    for number in (1, 2, 3):
        copy = cluster.copy("order")
        folder = copy.path("verify")
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        scene.expect(0, copy.verify(number))
        written.append({name: read(os.path.join(folder, name))
                        for name in sorted(os.listdir(folder)) if name != "last-position.json"})
    assert sorted(written[0]) == sorted(written[1]) == sorted(written[2])
    for name in written[0]:
        assert written[0][name] == written[1][name] == written[2][name], name
    assert any(name.startswith("policy.") for name in written[0])


def test_generate_writes_the_same_manifest_again(shop, run):
    before = {n: read(os.path.join(shop, n)) for n in os.listdir(shop)}
    for paths in ([shop], [os.path.join(shop, n) for n in ("web.yaml", "coordinator.yaml",
                                                           "backend.yaml")]):
        scene.expect(0, run("contrast", "generate", "--skip-images", "--workspace", shop, *paths))
        assert {n: read(os.path.join(shop, n)) for n in os.listdir(shop)} == before
