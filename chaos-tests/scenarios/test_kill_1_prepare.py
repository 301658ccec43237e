"""A replica dies while founders are gathered.

Origin: kill points of the founding, PREPARE
Elsewhere: systems that write down "I am bootstrapping" before everybody agreed need a person to
    take that back.
Here: nothing is founded before the owner signed; whoever was prepared can be prepared again at
    once.
Notices: a PREPARE that leaves something behind; a second set that is refused after it

SPDX-License-Identifier: Apache-2.0
"""

import os
import threading

import pytest

import scene
import wire


def founds(c):
    scene.expect(0, c.set(1))
    c.wait_rest(3)
    scene.expect(0, c.verify(1, 2, 3, options=["--all"]))
    assert len({c.status(n)["cluster"] for n in (1, 2, 3)}) == 1


@pytest.mark.parametrize("point", [
    "before 1 port 7777 bytes 0",  # before it calls anybody
    "before 6 port 7777 bytes 0",  # in the middle of its calls
])
def test_the_asked_one_dies_while_it_gathers(killable, point):
    c = killable(1, 2, 3, is_founded=False)
    c.arm(1, point)
    scene.expect(1, c.set(1))
    c.dies(1)
    c.start_all(1)
    assert [s["generation"] for s in map(c.status, (1, 2, 3))] == [0, 0, 0]
    founds(c)


def test_the_asked_one_dies_with_the_list_of_founders(killable):
    c = killable(1, 2, 3, is_founded=False)
    with c.session(1, timeout=60) as session:
        session.attest(os.urandom(32))
        c.arm(1, "before 1 port 1313 bytes 0")
        with pytest.raises(OSError):
            session.ask(wire.PREPARE, [c.manifest(), 3])
    c.dies(1)
    assert [s["state"] for s in map(c.status, (2, 3))] == ["prepared", "prepared"]
    c.start_all(1)
    founds(c)  # the others are prepared for another list, and take the new one


def test_a_founder_dies_and_its_pod_comes_back(killable):
    """The asked one tries again for 15 s."""
    c = killable(1, 2, 3, is_founded=False)
    c.arm(2, "before 1 port 7777 bytes 1000")  # its evidence
    found = []
    thread = threading.Thread(target=lambda: found.append(c.set(1)))
    thread.start()
    c.dies(2)
    c.start(2)
    thread.join(60)
    scene.expect(0, found[0])
    founds(c)  # again: it was active before
