"""A server goes on listening after the shutdown.

Origin: Contrast, main.go (the variable of the HTTP server is hidden by another one of the same
    name)
Elsewhere: the shutdown never reached that server; the process ended with a connection open, or
    waited until it was killed.
Here: SIGTERM ends a replica with exit code 0, whoever is connected to whichever port and silent.
Notices: a listener or a connection that the shutdown forgets

SPDX-License-Identifier: Apache-2.0
"""

import os
import socket

import harness
import wire
from harness import MESH, RAFT, USER


def listening(pid):
    """Ports on which this process listens (proc(5), tcp: state 0A)."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            words = line.split()
            if words[3] == "0A" and words[9] in inodes:
                ports.add(int(words[1].split(":")[1], 16))
    return ports


def test_whoever_is_connected_it_ends(cluster):
    cluster.start_all(4)
    cluster.wait_rest(1, voters=3, others=1)
    process = cluster.replicas.pop(4)
    host = cluster.address(4)
    ports = listening(process.child.pid)
    assert ports == {USER, MESH, RAFT}
    silent = [socket.create_connection((host, port), 10) for port in ports]
    idle = [wire.connect(host, port, cluster.site.certificate) for port in (USER, MESH)]
    asked = [wire.Session(host, port, cluster.site.certificate) for port in (USER, MESH)]
    half = wire.connect(host, USER, cluster.site.certificate)
    try:
        for session in asked:
            session.attest(os.urandom(32))
        half.sendall(wire.frame(wire.HISTORY, wire.pack([0]))[:9])
        process.signal(15)
        assert process.wait(60) == 0, process.text()[-3000:]
        assert not [port for port in ports if harness.tcp_is_open(host, port)]
    finally:
        for s in [*silent, *idle, half, *asked]:
            s.close()
    cluster.wait_rest(1)
