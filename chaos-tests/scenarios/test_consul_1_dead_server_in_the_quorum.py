"""A dead server counts, and the next failure is the last.

Origin: Consul issue 5922 ("Auto Pilot breaks Quorum Invariant"), Vault issue 18004
Elsewhere: servers that were replaced, and not removed, stayed in the voter set; with enough of them
    a cluster with a majority of live servers had no quorum.
Here: the standby takes the dead one's place and the dead one's row goes; then another one may die.
Notices: a dead voter that stays; a replacement that is added before anything is removed, for good

SPDX-License-Identifier: Apache-2.0
"""

import scene
from harness import VOTING, wait_until


def voters(cluster, at):
    return {m["name"] for m in cluster.members(at, *VOTING)}


def test_one_after_the_other_may_die(cluster):
    cluster.start_all(4, 5)
    cluster.wait_rest(1, voters=3, others=2)
    alive = [1, 2, 3, 4, 5]
    for _ in range(2):
        leader = cluster.wait_leader(*alive)
        voting = voters(cluster, leader)
        victim = next(n for n in alive if n != leader and f"coordinator-{n}" in voting)
        cluster.kill(victim)
        alive.remove(victim)
        wait_until(lambda v=victim, at=leader: len(voters(cluster, at)) == 3 and
                   f"coordinator-{v}" not in voters(cluster, at), 40, "it is replaced")
    names = {f"coordinator-{n}" for n in alive}
    wait_until(lambda: voters(cluster, alive[0]) == names, 40, "the living ones vote")
    cluster.kill(cluster.wait_leader(*alive))  # of five pods two are left, and they are the quorum
    alive = [n for n in alive if n in cluster.alive()]
    cluster.wait_leader(*alive)
    cluster.set_next(*alive)
    scene.expect(0, cluster.verify(*alive, options=["--all"]))
