"""A refusal of AppendEntries moves the leader's commit index.

Origin: CCF (NSDI 2025, arXiv 2406.17455), "commit advance on AE-NACK"
Elsewhere: a leader took the position in a refusal for one that the follower holds, and committed
    what nobody else had.
Here: a manifest would be acknowledged that one replica alone holds, and be lost with it.
Notices: a refusal that counts as an acknowledgement

SPDX-License-Identifier: Apache-2.0
"""

def test_a_refusal_commits_nothing(raft):
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(200)
    committed = r.commit(1)
    r.connect()
    r.submit(1)
    r.submit(1)
    s1 = r.show(1)
    assert s1["last"] == committed + 2
    for follower in (2, 3):
        r.ack(follower, 1, s1["term"], rejected=s1["last"], last=s1["last"])
        assert r.commit(1) == committed
    for follower in (2, 3):  # and one that claims more than was ever sent
        r.ack(follower, 1, s1["term"], rejected=1, last=s1["last"] + 1000)
        assert r.commit(1) == committed


def test_refusals_do_not_keep_it_from_committing_later(raft):
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(200)
    r.connect()
    r.submit(1)
    s1 = r.show(1)
    for follower in (2, 3):
        r.ack(follower, 1, s1["term"], rejected=s1["last"], last=s1["last"] - 1)
    r.heal()
    r.run(500)
    assert r.commit(1) >= s1["last"]
    r.all_same()
