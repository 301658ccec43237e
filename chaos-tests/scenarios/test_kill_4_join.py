"""A newcomer, or the leader that takes it in, dies on the way.

Origin: kill points of the join: admission, first link, state
Elsewhere: a member that was added and never came counts in the quorum, and its name is taken for
    good.
Here: who is admitted is a learner until it has everything, and the row of one that died goes to the
    next process of that name.
Notices: a name that stays taken; a voter that never was there; a leader without whom nobody can
    finish

SPDX-License-Identifier: Apache-2.0
"""

import pytest

import scene
from harness import wait_until


@pytest.fixture
def three(killable):
    return killable(1, 2, 3, peers=4)


@pytest.mark.parametrize("point", [
    "before 1 port 7443 bytes 0",   # admitted, before its first word to a member
    "before 12 port 7443 bytes 0",  # while it gets the state
])
def test_the_newcomer_dies_and_the_next_one_takes_its_place(three, point):
    c = three
    c.start(4)
    c.arm(4, point)
    c.dies(4)
    assert c.status(1)["is_confirmed"]
    scene.expect(0, c.verify(1, 2, 3, options=["--all"]))
    c.start_all(4)
    c.wait_rest(1, voters=3, others=1)
    wait_until(lambda: (c.status(4) or {}).get("is_confirmed"), 20, "a quorum confirms it")


def test_the_leader_dies_when_it_has_admitted(three):
    c = three
    leader, followers = c.followers()
    c.arm(leader, "before 1 port 7777 bytes 1500")  # an answer to the newcomer
    c.start(4)
    process = c.replicas[leader]
    wait_until(lambda: not process.is_alive() or c.members(followers[0], "standby"), 30,
               "the leader died, or another member had passed the newcomer on")
    if process.is_alive():
        c.kill(leader)
    else:
        c.dies(leader)
    c.wait_leader(*followers)
    c.start_all(leader)
    wait_until(lambda: c.is_at_rest(followers[0], 3, others=1), 60, "four members, three vote")
