"""Two owners set at once, and the loser is told that something broke.

Origin: Contrast, store (a conflict is recognized by the text of an error)
Elsewhere: a compare-and-swap that lost was reported as an internal error, because Kubernetes words
    its conflict otherwise; clients retried what they should have looked at again.
Here: the loser must hear CHANGED, exit 3: look at what is there now, then decide.
Notices: a set that overwrites another; a lost set with any other code; two winners

SPDX-License-Identifier: Apache-2.0
"""

import os
import threading

import owner
import scene
import wire
from scene import CHANGED


def contend(copy, number, seen, outcomes):
    """A set on top of what all of them saw, whenever this one gets its turn."""
    manifest = copy.manifest()
    following = wire.transition(seen["cluster"], seen["epoch"], seen["generation"] + 1,
                                seen["head"], manifest, owner.hashes_of(manifest))
    with copy.session(number, timeout=60) as session:
        session.attest(os.urandom(32))
        try:
            reply = owner.upload(session, owner.policies_of(copy.app), wire.SET,
                                 [manifest, seen["head"], copy.owner().spki,
                                  copy.owner().sign(following)])
            outcomes.append((copy, reply, None))
        except wire.Refused as why:
            outcomes.append((copy, None, why.fields))


def test_of_owners_at_once_one_wins_and_the_others_hear_why(cluster):
    seen = cluster.status(1)
    copies = [cluster.copy("contender") for _ in range(4)]
    for copy in copies:
        copy.next_manifest()
    outcomes = []
    threads = [threading.Thread(target=contend, args=(copy, 1 + i % 3, seen, outcomes))
               for i, copy in enumerate(copies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    winners = [copy for copy, reply, _ in outcomes if reply]
    losers = [(copy, why) for copy, reply, why in outcomes if not reply]
    assert (len(winners), len(losers)) == (1, 3), outcomes
    for _, why in losers:
        assert why["code"] == CHANGED, why
    assert {g for g, _ in cluster.heads(1, 2, 3)} == {seen["generation"] + 1}
    the_command_line_says_the_same(losers[0][0])
    cluster.adopt(winners[0])


def the_command_line_says_the_same(loser):
    scene.expect(3, loser.set(2), "changed since you looked")
