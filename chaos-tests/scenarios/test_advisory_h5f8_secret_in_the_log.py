"""The initializer writes the workload secret to its log.

Origin: GHSA-h5f8-crrq-4pw8 (Contrast, 2025-05)
Elsewhere: at the default level, the whole answer of the Coordinator was logged, with the secret;
    logs leave the confidential pod.
Here: no output of any program holds a private key or a secret, raw, in hex or in base64.
Notices: a line of a log, an error or a JSON answer with a secret in it; a core file

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import harness
import scene


@pytest.mark.parametrize("level", ["info", "debug"])
def test_nothing_that_a_pod_got_is_in_any_output(cluster, level):
    argv, env = cluster.initializer_call(f"logs-{level}", cluster.path("web.yaml"), 2)
    env["CONTRAST_LOG_LEVEL"] = level
    done = cluster.site.run([*argv, "--output", "json"], env)
    scene.expect(0, done)
    secret = cluster.pod(f"logs-{level}", "secrets", "workload-secret-seed")
    assert os.path.getsize(secret) >= 64
    leaks, count = harness.find_leaks(cluster.site)
    assert leaks == []
    assert count >= 3, "the owner's key, the pod's key and its secret are looked for"


def test_an_error_that_quotes_has_none_either(cluster):
    """Files that the program wrote itself, in its way: it must not quote them."""
    name = "logs-quoted"
    cluster.issue(name, 1)
    folder = cluster.pod(name, "tls-config")
    target = os.path.realpath(folder)
    os.chmod(target, 0o700)
    os.chmod(os.path.join(target, "key.pem"), 0o600)
    with open(os.path.join(target, "key.pem"), "ab") as key:
        key.write(b"trailing garbage")
    argv, env = cluster.initializer_call(name, cluster.path("web.yaml"), 1)
    env["CONTRAST_LOG_LEVEL"] = "debug"
    scene.expect(0, cluster.site.run(argv, env))


def test_the_search_finds_one_that_is_there(cluster):
    import base64
    secret = harness.private_number(cluster.path("workload-owner.pem"))
    for name, form in {"raw": secret, "hex": secret.hex().encode(),
                       "base64": base64.b64encode(b"xy" + secret)}.items():
        log = os.path.join(cluster.site.logs, f"planted-{name}")
        harness.write(log, b"answer: " + form + b"\n")
        leaks, _ = harness.find_leaks(cluster.site)
        os.unlink(log)
        assert any(f"planted-{name}" in leak for leak in leaks), name
