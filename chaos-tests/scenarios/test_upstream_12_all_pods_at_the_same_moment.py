"""A thousand pods ask again in step.

Origin: Contrast, initializer (tries again every 5 s for ever)
Elsewhere: pods that were started together hit the Coordinator together, every 5 s; each handshake
    costs an attestation, and the service never came up for all of them.
Here: the pauses grow, differ from pod to pod, and end at a limit; an advice of the replica counts.
Notices: pauses that are equal in all pods, that do not grow, or that ignore the advice

SPDX-License-Identifier: Apache-2.0
"""

import re

import pytest

import wire
from harness import MESH, wait_until
from liar import Liar, frames

PODS = 6
TRIES = 4


def pauses(process):
    return [int(ms) for ms in re.findall(r"trying again in (\d+) ms", process.text())]


def test_pauses_grow_and_no_two_pods_have_the_same(cluster):
    pods = [cluster.start_initializer(f"step-{i}", cluster.path("web.yaml"), 98)
            for i in range(PODS)]
    wait_until(lambda: all(len(pauses(p)) >= TRIES for p in pods), 40, "all tried a few times")
    found = [tuple(pauses(p)[:TRIES]) for p in pods]
    for process in pods:
        process.end()
    assert len(set(found)) == PODS, found
    for at in range(TRIES):
        assert len({f[at] for f in found}) > 1, f"try {at} in step: {found}"
    for f in found:
        assert f[-1] > f[0], f"pauses that do not grow: {f}"
        assert all(100 <= ms <= 36000 for ms in f), f


@pytest.mark.parametrize("advice_ms, least_ms, most_ms",
                         [(4000, 4000, 6000), (600000, 5000, 12000)])
def test_an_advice_counts_and_is_bounded(cluster, advice_ms, least_ms, most_ms):
    """Who answers in the Coordinator's place must not keep a pod waiting for ten minutes."""
    busy = frames(wire.frame(wire.ERROR, wire.pack([4, "busy", advice_ms, "", "", "", "", ""])))
    with Liar((cluster.address(60), MESH), cluster.site.certificate, [busy],
              (cluster.address(1), MESH)):
        process = cluster.start_initializer(f"told-{advice_ms}", cluster.path("web.yaml"), 60)
        wait_until(lambda: pauses(process), 20, "it was told")
        process.end()
    assert least_ms <= pauses(process)[0] <= most_ms, process.text()
