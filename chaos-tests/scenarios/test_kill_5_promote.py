"""A voter dies, and then the standby that is to take its place, or the leader that does it.

Origin: kill points of the replacement: standby, promotion, removal
Elsewhere: a replacement that is half done leaves an even number of voters, or a dead one among
    them, and the next failure is the last.
Here: every leader derives the next step from the member table and the configuration; nothing of a
    replacement is in one leader's memory alone.
Notices: a replacement that nobody finishes; an even number of voters at rest

SPDX-License-Identifier: Apache-2.0
"""

import pytest

import scene
from harness import wait_until


def voters(c, at):
    return {m["name"] for m in c.members(at, "leader", "voter") if m["is_connected"]}


def test_the_standby_dies_when_it_is_promoted(killable):
    c = killable(1, 2, 3, peers=5)
    c.start_all(4, 5)
    c.wait_rest(1, voters=3, others=2)
    leader, followers = c.followers()
    c.kill(followers[0])
    left = [leader, followers[1]]
    spares = {"coordinator-4", "coordinator-5"}
    wait_until(lambda: voters(c, left[0]) & spares, 30, "one is promoted")
    promoted = 4 if "coordinator-4" in voters(c, left[0]) else 5
    c.kill(promoted)
    other = 9 - promoted
    wait_until(lambda: f"coordinator-{other}" in voters(c, left[0]) and len(
        voters(c, left[0])) == 3, 40, "the other one takes the place")
    scene.expect(0, c.verify(*left, other, options=["--all"]))


def test_the_leader_dies_while_it_replaces(killable):
    """A follower dies; the leader when it has promoted, with the dead one's row still there."""
    c = killable(1, 2, 3, peers=4)
    c.start_all(4)
    c.wait_rest(1, voters=3, others=1)
    leader, followers = c.followers()
    c.kill(followers[0])
    wait_until(lambda: "coordinator-4" in voters(c, leader), 30, "the standby was promoted")
    c.kill(leader)
    left = [followers[1], 4]
    c.wait_leader(*left)
    c.start_all(leader)
    wait_until(lambda: len(voters(c, left[0])) == 3, 60, "three voters again")
    scene.expect(0, c.verify(*left, leader, options=["--all"]))
