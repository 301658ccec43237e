"""A sidecar dies while it puts new files in place.

Origin: kill points of the renewal: look, issue, write, swap
Elsewhere: a pod restarts with a new key beside an old certificate, and nothing of it works.
Here: a set of files is complete or not there: one rename shows all of it. Each step of the swap by
    itself: ctest enroll_swap.
Notices: a key that does not fit its certificate; a set without one of its files

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import signal

import pytest

import harness
import scene
from harness import openssl, read, wait_until, write


def files(c, name):
    """(chain, key, mesh CA) of one set: the folder is opened once."""
    folder = os.open(c.pod(name, "tls-config"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = []
        for file in ("certChain.pem", "key.pem", "mesh-ca.pem"):
            with open(os.open(file, os.O_RDONLY, dir_fd=folder), "rb") as f:
                found.append(f.read())
        return found
    finally:
        os.close(folder)


def check(c, name):
    chain, key, mesh = files(c, name)
    for file, data in (("chain", chain), ("mesh", mesh)):
        write(os.path.join(c.site.dir, f"sidecar-{file}.pem"), data)
    assert openssl("pkey", "-pubout", data=key) == openssl("x509", "-noout", "-pubkey", data=chain)
    openssl("verify", "-CAfile", os.path.join(c.site.dir, "sidecar-mesh.pem"),
            os.path.join(c.site.dir, "sidecar-chain.pem"))
    return mesh


@pytest.fixture
def sidecar(cluster):
    started = []

    def start():
        argv, env = cluster.initializer_call("killed-sidecar", cluster.path("backend.yaml"), 2)
        env.update(CONTRAST_RENEW="true", CONTRAST_RENEW_CHECK_S="1")
        log = os.path.join(cluster.site.logs, f"killed-sidecar-{len(started)}.log")
        started.append(harness.Process(argv, log, env, cluster.site.dir))
        return started[-1]
    yield start
    for process in started:
        process.end()


STEPS = ["Coordinator verified", "certificate issued"]


def test_whenever_it_is_killed_its_files_fit(cluster, sidecar):
    process = sidecar()
    wait_until(lambda: os.path.exists(cluster.pod("killed-sidecar", "tls-config", "key.pem")), 30,
               "a first set")
    for turn in range(6):
        cluster.set_next(1 + turn % 3)
        word = f"{STEPS[0]}: epoch 1, generation {cluster.status(1)['generation']}" \
            if turn % 2 else STEPS[0]
        seen = process.text().count(word)
        wait_until(lambda w=word, s=seen, p=process: p.text().count(w) > s or turn % 2 and s, 30,
                   "a renewal is under way")
        process.signal(signal.SIGKILL)
        process.wait(10)
        check(cluster, "killed-sidecar")
        process = sidecar()
    newest = cluster.history(1)["mesh_ca"].encode()
    wait_until(lambda: check(cluster, "killed-sidecar") == newest, 40, "the newest set in the end")
    status = json.loads(read(cluster.pod("killed-sidecar", "renewal-status.json")))
    assert status["certificate"]["generation"] == cluster.status(1)["generation"]
