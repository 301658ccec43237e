"""The secret is in the log again: the fix was on the release branch alone.

Origin: GHSA-vxg3-w9rv-rhr2 (Contrast, 2025-08), the return of GHSA-h5f8-crrq-4pw8
Elsewhere: the correction went to one branch and its test to none, so the next release had the bug
    back.
Here: the search runs in every build of this tree, as part of every scenario and every live test,
    and over the other program that has the secret, too: the sidecar, at each renewal and with each
    error.
Notices: a secret in the log of a sidecar that renews, fails or ends; the search taken out of ctest

SPDX-License-Identifier: Apache-2.0
"""

import os
import re

import harness
import scene
from harness import ROOT, read, wait_until


def test_a_sidecar_that_renews_fails_and_ends(cluster):
    argv, env = cluster.initializer_call("sidecar-logs", cluster.path("backend.yaml"), 1)
    env.update(CONTRAST_RENEW="true", CONTRAST_RENEW_CHECK_S="1", CONTRAST_LOG_LEVEL="debug")
    log = os.path.join(cluster.site.logs, "sidecar-logs.log")
    process = harness.Process(argv, log, env, cluster.site.dir)
    try:
        issued = "certificate issued: generation"
        wait_until(lambda: process.text().count(issued) == 1, 30, "a first certificate")
        cluster.set_next()
        wait_until(lambda: process.text().count(issued) == 2, 30, "it is renewed")
        cluster.kill(1)
        wait_until(lambda: "keeping the certificate" in process.text(), 30, "a failure")
    finally:
        process.end()
    assert os.path.exists(cluster.pod("sidecar-logs", "secrets", "workload-secret-seed"))
    leaks, _ = harness.find_leaks(cluster.site)
    assert leaks == []


def test_the_search_is_part_of_every_build():
    """Of this folder's fixtures, of the live tests, and not of somebody's branch."""
    scenarios = read(os.path.join(ROOT, "chaos-tests", "scenarios", "scene.py"), "r")
    assert "find_leaks(site)" in scenarios
    conftest = read(os.path.join(ROOT, "chaos-tests", "scenarios", "conftest.py"), "r")
    assert conftest.count("scene.check_logs(") == 2 and "autouse=True" in conftest
    live = read(os.path.join(ROOT, "chaos-tests", "live", "CMakeLists.txt"), "r")
    assert re.search(r"\bmain_job\b", live)
    here = read(os.path.join(ROOT, "chaos-tests", "scenarios", "CMakeLists.txt"), "r")
    assert re.search(r"add_test\(NAME scenarios\b", here)
