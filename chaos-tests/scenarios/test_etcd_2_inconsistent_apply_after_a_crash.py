"""After a crash a member has applied something twice, or not at all, and nobody notices.

Origin: etcd issue 13766 and its postmortem "v3.5 data inconsistency"
Elsewhere: the index of what was applied and the data were not written together; a crash between the
    two left members with different contents that answered as if they were equal.
Here: nothing is read back after a crash. A newcomer gets state and position in one piece, and all
    compare a hash of their whole state.
Notices: an entry that is applied twice or left out; a newcomer whose state differs; a comparison
    that is switched off

SPDX-License-Identifier: Apache-2.0
"""

import scene
from harness import wait_until


def positions(cluster, *numbers):
    """{ledger size: roots} as replicas tell them, of equal sizes only."""
    found = {}
    for status in map(cluster.status, numbers):
        found.setdefault(status["ledger_size"], set()).add(status["ledger_root"])
    return found


def test_all_have_the_same_after_crashes_under_load(cluster):
    before = cluster.status(1)["ledger_size"]
    pods = []
    for turn, number in enumerate((2, 3)):
        others = [n for n in (1, 2, 3) if n != number]
        pods += [cluster.start_initializer(f"load-{turn}-{i}", cluster.path("backend.yaml"),
                                           others[i % 2]) for i in range(5)]
        cluster.set_next(*others)
        cluster.kill(number)
        cluster.start_all(number)
        cluster.wait_rest(1)
    for process in pods:
        assert process.wait(60) == 0, process.text()

    def is_equal():
        found = positions(cluster, 1, 2, 3)
        assert all(len(roots) == 1 for roots in found.values()), found
        return len(found) == 1
    wait_until(is_equal, 30, "equal ledgers")
    # ten pods, two manifests, two members that came and two that went
    assert cluster.status(1)["ledger_size"] >= before + 10 + 2 + 2
    for number in (1, 2, 3):
        assert "DIVERGED" not in cluster.replicas[number].text()
    scene.expect(0, cluster.verify(1, 2, 3, options=["--all"]))
