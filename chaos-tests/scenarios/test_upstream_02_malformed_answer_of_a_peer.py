"""A malformed answer of a peer ends the program.

Origin: Contrast, peer recovery (the result of decoding MeshCAKey is used without a check)
Elsewhere: a peer that answered with something that is no PEM crashed the Coordinator that asked it.
Here: whoever stands in the network between two replicas, or between a pod and the Coordinator,
    could end them one after the other.
Notices: a parser that gives in; a program that does not try again after nonsense

SPDX-License-Identifier: Apache-2.0
"""

import wire
from harness import MESH, wait_until
from liar import Liar, close, frames, raw

EMPTY = bytes(32)
PEM = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"
LIES = {
    "a reset": close,
    "no TLS": raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "an alert": raw(b"\x15\x03\x03\x00\x02\x02\x28"),
    "half a frame": frames(wire.frame(wire.EVIDENCE, b"x" * 90)[:40]),
    "no message": frames(wire.frame(wire.EVIDENCE, b"\xc1")),
    "too few fields": frames(wire.frame(wire.EVIDENCE, wire.pack([]))),
    "evidence of nothing": frames(wire.frame(wire.EVIDENCE, wire.pack(
        [b"", b"", [], b"", 1, 0, b"", 1, b""]))),
    "a report of zeros": frames(wire.frame(wire.EVIDENCE, wire.pack(
        [bytes(1184), b"", [[b"no DER"]], b"no DER", 1, 0, b"", 1, bytes(300)]))),
    "certificates first": frames(wire.frame(wire.CERTIFICATE_REPLY, wire.pack(
        [PEM, PEM, PEM, EMPTY, 1, 1, bytes(16), 1]))),
    "a history first": frames(wire.frame(wire.HISTORY_REPLY, wire.pack(
        [EMPTY, 1, 1, 0, [[b"null", b"", b""]], PEM, PEM]))),
    "a joiner's answer": frames(wire.frame(wire.JOIN_REPLY, wire.pack([b"\x90", [[0, "", b""]]]))),
    "a huge frame": frames(b"\xff\xff\xff\xff\x02\x01\x00\x01"),
}


def test_a_pod_gets_its_certificate_all_the_same(cluster):
    pods = []
    for i, (name, lie) in enumerate(LIES.items()):
        liar = Liar((cluster.address(60 + i), MESH), cluster.site.certificate, [lie],
                    (cluster.address(1 + i % 3), MESH))
        pods.append((name, liar, cluster.start_initializer(f"lied-{i}", cluster.path("web.yaml"),
                                                           60 + i)))
    try:
        for name, liar, process in pods:
            assert process.wait(60) == 0, f"{name}:\n{process.text()}"
            assert (liar.told, liar.passed > 0) == (1, True), name
            assert "trying again" in process.text(), name
    finally:
        for _, liar, _ in pods:
            liar.__exit__()


def test_a_newcomer_joins_all_the_same(cluster):
    lies = [LIES[name] for name in ("no TLS", "a report of zeros", "a joiner's answer", "a reset")]
    with Liar((cluster.address(80), MESH), cluster.site.certificate, lies,
              (cluster.address(2), MESH)) as liar:
        cluster.start(4, CONTRAST_PEERS=liar.address)
        cluster.wait_serving(4)
        wait_until(lambda: liar.told == len(lies), 40, "all lies are told")
        cluster.wait_rest(1, voters=3, others=1)
        assert cluster.status(4)["is_confirmed"]
