"""The log tells another error than the one that happened.

Origin: Contrast, WatchHistory (logs the wrong error variable when the walk fails)
Elsewhere: whoever looked for the cause of a stale Coordinator found "nil", or the error before.
Here: an initializer and a newcomer that try again for minutes must say what the last try met, and
    with whom; it is the first thing that anybody reads at 3 a.m.
Notices: a reason that is kept from the try before, or from another peer

SPDX-License-Identifier: Apache-2.0
"""

import re

import wire
from harness import MESH, wait_until
from liar import Liar, close, frames, raw

NAME_IN_USE = "the name belongs to a member that is alive"


def error(code, text):
    return frames(wire.frame(wire.ERROR, wire.pack([code, text, 0, "", "", "", "", ""])))


def test_each_try_of_a_pod_tells_its_own_reason(cluster):
    lies = [error(3, "first reason"), close, error(4, "third reason"), raw(b"no TLS at all")]
    reasons = ["first reason", "reset|closed", "third reason", "TLS"]
    with Liar((cluster.address(60), MESH), cluster.site.certificate, lies,
              (cluster.address(1), MESH)):
        process = cluster.start_initializer("reasons", cluster.path("web.yaml"), 60)
        assert process.wait(60) == 0, process.text()
    tries = [line for line in process.text().splitlines() if "trying again" in line]
    assert len(tries) == len(reasons), process.text()
    for line, reason in zip(tries, reasons):
        assert re.search(reason, line), f"want {reason}: {line}"
        assert f"{cluster.address(60)}:{MESH}" in line
    assert not re.search("first reason", tries[1] + tries[3])


def test_a_newcomer_names_the_peer_and_that_peers_reason(cluster):
    """One peer refuses connections, the other refuses the name."""
    nobody = f"{cluster.address(99)}:{MESH}"
    somebody = f"{cluster.address(2)}:{MESH}"
    cluster.start(1, at=4, CONTRAST_PEERS=f"{nobody},{somebody}")
    cluster.wait_serving(4)
    seen = {}

    def both():
        why = cluster.status(4)["why"]
        for peer in (nobody, somebody):
            if peer in why:
                seen[peer] = why
        return len(seen) == 2
    wait_until(both, 40, f"status names both peers in turn: {seen}")
    assert "refused" in seen[nobody] and NAME_IN_USE not in seen[nobody], seen
    assert NAME_IN_USE in seen[somebody] and "connection refused" not in seen[somebody], seen
