"""The asked replica dies in the middle of a set.

Origin: kill points of set: before the proposal, before anybody has the entry, after the commit and
    before the reply
Elsewhere: a write that was acknowledged is lost with the leader, or one that failed shows up later
    and undoes what came after it.
Here: acknowledged means on a majority; unknown means unknown, and the same set again tells.
Notices: an answer before the commit; an entry that takes effect after a refusal; a set that cannot
    be repeated

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import owner
import scene
import wire
from harness import wait_until


def armed_set(c, number, point):
    """A set past the command line; the replica is armed when everything but the set was said."""
    with c.session(number, timeout=60) as session:
        session.attest(os.urandom(32))
        s = session.status()
        manifest = c.manifest()
        following = wire.transition(s["cluster"], 1, s["generation"] + 1, s["head"], manifest,
                                    owner.hashes_of(manifest))
        c.arm(number, point)
        with pytest.raises((OSError, wire.Refused)):
            owner.upload(session, owner.policies_of(c.app), wire.SET,
                         [manifest, s["head"], c.owner().spki, c.owner().sign(following)])
    c.dies(number)


@pytest.fixture
def three(killable):
    c = killable(1, 2, 3, peers=3)
    scene.expect(0, c.verify(1))
    return c


def goes_on(c, victim, others):
    """The same set again succeeds, whatever became of the first; the pod comes back."""
    c.wait_leader(*others)
    scene.expect(0, c.set(*others))
    assert len(set(c.heads(*others))) == 1
    scene.expect(0, c.verify(*others, options=["--all"]))
    c.start_all(victim)
    c.wait_rest(others[0])
    assert len(set(c.heads(1, 2, 3))) == 1


def test_a_follower_before_it_passes_anything_on(three):
    c = three
    leader, followers = c.followers()
    victim = followers[0]
    others = [leader, followers[1]]
    before = c.heads(*others)
    c.next_manifest()
    armed_set(c, victim, "before 1 port 7443 bytes 3000")  # the policy is the first large thing
    c.wait_leader(*others)
    assert c.heads(*others) == before, "nobody heard of it"
    goes_on(c, victim, others)


def test_the_leader_before_anybody_has_the_entry(three):
    c = three
    leader, followers = c.followers()
    before = c.heads(*followers)
    c.next_manifest()
    armed_set(c, leader, "before 1 port 7443 bytes 3000")
    c.wait_leader(*followers)
    assert c.heads(*followers) == before, "nobody heard of it"
    goes_on(c, leader, followers)


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_after_the_commit_and_before_the_reply(three, role):
    c = three
    leader, followers = c.followers()
    victim = leader if role == "leader" else followers[0]
    others = [n for n in (1, 2, 3) if n != victim]
    generation = c.status(victim)["generation"]
    c.next_manifest()
    armed_set(c, victim, "before 1 port 1313 bytes 1000")  # the reply has the CA certificates
    c.wait_leader(*others)
    wait_until(lambda: {g for g, _ in c.heads(*others)} == {generation + 1}, 20,
               "what was to be acknowledged is there")
    scene.expect(0, c.set(*others), "was active before")
    goes_on(c, victim, others)
