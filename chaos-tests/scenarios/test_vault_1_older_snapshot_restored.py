"""An older snapshot is restored beside members that know more.

Origin: Vault issue 31933 (snapshot restore) and Consul's and Vault's advice never to restore into a
    live cluster
Elsewhere: a snapshot was restored into a cluster that went on; some members had the old contents,
    others the new, and sealed or removed each other.
Here: while a quorum answers a recovery is refused. Where it cannot be asked, a state that is older
    than what a living member holds supersedes nobody: ctest live_recovery,
    an_older_state_supersedes_nobody.
Notices: a recovery beside a living quorum

SPDX-License-Identifier: Apache-2.0
"""

import scene


def test_beside_a_living_quorum_it_is_refused(cluster):
    cluster.set_next()
    scene.expect(3, cluster.recover(1, "--from-survivor"), "quorum")
    cluster.start(6, CONTRAST_PEERS=f"{cluster.address(1)}:7777")  # would join, is offered a file
    cluster.wait_serving(6)
    done = cluster.recover(6, "--checkpoint", cluster.path("verify", "checkpoint"))
    scene.expect((1, 3), done)
    assert cluster.status(1)["epoch"] == 1

