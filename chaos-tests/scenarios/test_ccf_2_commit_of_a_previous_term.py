"""An entry of an earlier term counts as committed because a majority holds it.

Origin: CCF (NSDI 2025, arXiv 2406.17455), "commit advance for previous term"; Raft paper, figure 8
Elsewhere: a new leader counted the copies of an entry that its predecessor had left, told clients
    that it was committed, and another leader overwrote it.
Here: an acknowledged manifest or certificate would vanish.
Notices: a commit index that counts copies of older terms (libraft before 0.22; the build refuses
    it)

SPDX-License-Identifier: Apache-2.0
"""

def old_entry_on_a_majority(r):
    """S1 left "2" on itself and S2; S5 had a term of its own; S1 leads again, "2" on three."""
    r.elect(1, among=(1, 2, 3, 4, 5))
    r.flush()  # what it sent is lost, but for what S2 gets now
    r.connect(1, 2)
    r.run(70)
    assert (r.show(2)["last"], r.show(3)["last"]) == (2, 1)
    r.elect(5, among=(3, 4, 5))
    r.flush()
    r.elect(1, among=(1, 2, 3))
    term = r.show(1)["term"]
    r.connect()  # from here on only what is said by hand
    r.flush()
    return term


def test_copies_of_an_old_entry_commit_nothing(raft):
    r = raft(5, seed=13)
    term = old_entry_on_a_majority(r)
    assert r.show(1)["last"] == 3, "its own barrier stands behind the old entry"
    for follower in (2, 3):
        r.ack(follower, 1, term, rejected=0, last=2)
    assert r.commit(1) == 1, "the old entry is committed by counting"
    for follower in (2, 3):
        r.ack(follower, 1, term, rejected=0, last=3)
    assert r.commit(1) == 3, "with an entry of its own term, both are"


def test_until_then_another_leader_may_overwrite_it(raft):
    r = raft(5, seed=13)
    term = old_entry_on_a_majority(r)
    for follower in (2, 3):
        r.ack(follower, 1, term, rejected=0, last=2)
    r.elect(5, among=(3, 4, 5))
    r.heal()
    r.run(3000)
    r.all_same()
