"""A replica that leaves is killed before it has left.

Origin: kill points of the orderly end: request, hand-over, removal
Elsewhere: a rolling update whose grace period is over too early leaves members that count and are
    not there; after the second such pod the cluster is gone.
Here: the request to leave is in the log; whoever leads finishes it.
Notices: a leaving member that stays a voter for ever; a hand-over that leaves nobody in charge

SPDX-License-Identifier: Apache-2.0
"""

import pytest

import scene
from harness import wait_until


@pytest.mark.parametrize("role, point", [
    ("leader", "before 1 port 7443 bytes 0"),
    ("leader", "before 8 port 7443 bytes 0"),
    ("follower", "after 1 port 7443 bytes 100"),
])
def test_the_grace_period_is_over(killable, role, point):
    c = killable(1, 2, 3, peers=3)
    leader, followers = c.followers()
    victim = leader if role == "leader" else followers[0]
    others = [n for n in (1, 2, 3) if n != victim]
    gone = c.status(victim)["id"]
    c.replicas[victim].signal(15)
    c.arm(victim, point)
    c.replicas[victim].wait(30)  # killed at its point, or gone before
    c.replicas.pop(victim)
    c.wait_leader(*others)
    scene.expect(0, c.verify(*others, options=["--all"]))
    c.start_all(victim)
    c.wait_rest(others[0])
    wait_until(lambda: gone not in [m["id"] for m in c.status(others[0])["members"]], 20,
               "the old one is forgotten")
