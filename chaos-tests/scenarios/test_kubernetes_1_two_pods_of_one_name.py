"""Two pods have the same name and are both alive.

Origin: Kubernetes 1.5, pull request 35235 (force deletion of StatefulSet pods), and every node
    partition since in which somebody forced it
Elsewhere: the node is cut off, the pod is deleted by force, another one starts under its name; both
    write to what belongs to the name.
Here: names are labels. The second process has another key and another id; it is refused while the
    first one lives and takes its place when it is dead.
Notices: a name that is handed over while its holder lives; one that is not when the holder is dead

SPDX-License-Identifier: Apache-2.0
"""

import scene
from harness import wait_until

IN_USE = "the name belongs to a member that is alive"


def test_the_second_waits_and_the_first_loses_nothing(cluster):
    first = cluster.status(2)["id"]
    second = cluster.start(2, at=5)
    cluster.wait_serving(5)
    wait_until(lambda: IN_USE in second.text(), 30, "the second says why it may not join")
    cluster.issue("two-names", 2)
    cluster.set_next(2)
    assert cluster.status(2)["id"] == first
    assert cluster.status(5)["state"] == "empty"
    assert cluster.status(5)["generation"] == 0, "it has nothing of the deployment"
    cluster.kill(2)  # the node is really gone

    def is_taken_over():
        members = cluster.members(1, "leader", "voter")
        return len(members) == 3 and first not in [m["id"] for m in members] and \
            cluster.status(5)["state"] in ("voter", "standby")
    wait_until(is_taken_over, 40, "the second process is coordinator-2 now")
    scene.expect(0, cluster.verify(1, 3, 5, options=["--all"]))
    assert cluster.replicas.pop(5).end() == 0
