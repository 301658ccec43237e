"""A member that was removed comes back with what it had.

Origin: etcd issues 1488 and 9776 (a removed member, its data folder and its id)
Elsewhere: a removed member that started again with its old data talked to the others under an id
    that they had struck out, and could be added a second time with half a history.
Here: an id ends with its process. A member that was paused when the owner retired it ends when it
    hears of it; its pod comes back as somebody new.
Notices: a retired member that goes on serving; one whose row comes back; a disturbed leader

SPDX-License-Identifier: Apache-2.0
"""

import scene
from harness import wait_until


def test_a_retired_member_that_wakes_ends(cluster):
    leader, (retired, other) = cluster.followers()
    old = cluster.status(retired)["id"]
    term = cluster.status(leader)["term"]
    cluster.stop(retired)
    scene.expect(0, cluster.retire(f"coordinator-{retired}", leader, other))
    wait_until(lambda: old not in [m["id"] for m in cluster.status(leader)["members"]], 30,
               "its row is gone")
    cluster.set_next(leader, other)
    cluster.wake(retired)
    process = cluster.replicas.pop(retired)
    assert process.wait(60) == 1, process.text()[-2000:]
    assert cluster.status(leader)["term"] == term, "nobody was elected for it"
    cluster.start_all(retired)
    cluster.wait_rest(leader)
    assert cluster.status(retired)["id"] != old
    assert old not in [m["id"] for m in cluster.status(retired)["members"]]
    scene.expect(0, cluster.verify(1, 2, 3, options=["--all"]))
