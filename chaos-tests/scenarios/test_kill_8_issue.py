"""The replica that issues a certificate dies before the pod has it.

Origin: kill points of issuing: before the proposal, after the commit, before the answer
Elsewhere: a certificate that is in no record, or a serial number that is given twice.
Here: serial and index come from the log, and the certificate is signed after the commit; a pod that
    got no answer asks again and gets another number.
Notices: one serial number for two certificates; a certificate without its leaf in the ledger

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import scene
from harness import openssl, wait_until


def serial_of(c, name):
    return openssl("x509", "-in", c.pod(name, "tls-config", "certChain.pem"), "-noout", "-serial")


@pytest.mark.parametrize("point, is_recorded", [
    ("before 1 port 7443 bytes 150", False),   # the entry goes to nobody
    ("before 3 port 7777 bytes 1000", True),   # after evidence and history comes the certificate
], ids=["before-the-proposal", "before-the-answer"])
def test_the_pod_gets_another_one(killable, point, is_recorded):
    c = killable(1, 2, 3, peers=3)
    first = c.issue("first", 1)
    leader, followers = c.followers()
    victim = leader
    others = followers
    size = c.status(others[0])["ledger_size"]
    c.arm(victim, point)
    process = c.start_initializer("second", c.path("web.yaml"), victim)
    c.dies(victim)
    assert not os.path.exists(c.pod("second", "tls-config", "certChain.pem"))
    c.wait_leader(*others)
    after = c.status(others[0])["ledger_size"]
    if is_recorded:
        assert after == size + 1, "the certificate that nobody got is on record"
    c.start_all(victim)
    assert process.wait(60) == 0, process.text()
    c.wait_rest(others[0])
    issued = c.status(others[0])["ledger_size"]
    assert issued > after
    c.issue("third", others[0])
    serials = {serial_of(c, name) for name in ("first", "second", "third")}
    assert len(serials) == 3
    assert first
