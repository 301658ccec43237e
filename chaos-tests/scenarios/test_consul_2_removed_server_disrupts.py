"""A server that was removed, and does not know it, starts elections.

Origin: hashicorp/raft issue 524 (Nomad: unstable leadership after a removal without the server's
    part)
Elsewhere: the removed server's ever higher terms made the leader step down, again and again.
Here: each such election stops manifests and certificates for a second; a host that pauses one
    replica until it is replaced could do that for ever.
Notices: a vote or a term of a removed server that the others take

SPDX-License-Identifier: Apache-2.0
"""

def test_the_others_do_not_even_change_their_term(raft):
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(300)
    r.connect(1, 2)
    r.run(30)
    r.change_until_done(1, "remove", 3)
    r.run(300)
    term = r.show(1)["term"]
    r.run(5000)  # S3 is alone and wants to lead
    r.heal()
    for _ in range(20):
        r.run(250)
        assert (r.show(1)["role"], r.show(1)["term"], r.show(2)["term"]) == ("leader", term, term)
        r.submit(1)
    r.run(250)
    assert r.show(2)["commands"] == 20
    assert r.show(3)["commands"] == 0


def test_nor_when_it_shouts(raft):
    """Requests for real votes in terms far ahead, as a build without pre-votes would send them."""
    r = raft(3)
    r.elect(1, among=(1, 2, 3))
    r.heal()
    r.run(300)
    r.connect(1, 2)
    r.run(30)
    r.change_until_done(1, "remove", 3)
    r.run(300)
    term = r.show(1)["term"]
    for ahead in (1, 10, 1000):
        for server in (1, 2):
            r.vote(3, server, term + ahead, last=1000, last_term=term)
        r.run(50)
        assert (r.show(1)["role"], r.show(1)["term"], r.show(2)["term"]) == ("leader", term, term)
