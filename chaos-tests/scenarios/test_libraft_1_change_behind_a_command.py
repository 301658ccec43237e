"""A configuration stays although its entry is gone.

Origin: libraft 0.22.1, src/replication.c (the index of the first new entry is taken for that of the
    configuration), found while its sans-I/O interface was studied; rule R1
Elsewhere: a follower that got a command and a change of membership in one message noted the wrong
    index; when a new leader overwrote the change, it kept the configuration, and as a leader
    refused every further change.
Here: replicas with different ideas of who votes, and no replacement of a dead one for ever.
Notices: rule R1 (a change comes first in a message) taken out

SPDX-License-Identifier: Apache-2.0
"""

def story(r):
    """A leader of term 2 appends [command, change]; one of term 3 puts a command in place of the
    change."""
    r.connect()
    r.append(1, 2, term=2, prev=(1, 1), commit=1, entries=[2, "c2"])
    assert r.show(2)["members"] == 4, "a change takes effect when it is appended"
    r.append(3, 2, term=3, prev=(2, 2), commit=1, entries=[3])
    after = r.show(2)
    return after["members"], after["uncommitted"]


def test_the_configuration_goes_with_its_entry(raft):
    assert story(raft(3)) == (3, 0)


def test_without_the_rule_it_stays(raft):
    assert story(raft(3, without=["R1"])) != (3, 0)
