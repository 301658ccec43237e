"""Fixtures of the scenarios; scene.py says what each is.

Without the programs (CONTRAST_BIN) all are skipped with a message; with CI=true that is a failure.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "live"))

import harness  # noqa: E402
import raft as raft_steps  # noqa: E402
import scene  # noqa: E402


SITE = pytest.StashKey()


def need(path, what):
    """Skips, or fails where everything must be there."""
    if os.path.exists(path):
        return
    why = f"{what} is not built: {path}"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    item.failed = getattr(item, "failed", False) or outcome.get_result().failed


@pytest.fixture(scope="session")
def site(request):
    for name in harness.PROGRAMS:
        need(harness.program(name), name)
    scene.remember_keys()
    made = harness.Site()
    request.config.stash[SITE] = made
    yield made
    try:
        scene.check_logs(made)
    finally:
        del request.config.stash[SITE]
        made.close()


@pytest.fixture(scope="module", autouse=True)
def searched(request):
    """Nothing that a file's scenarios made stands in any output."""
    yield
    made = request.config.stash.get(SITE, None)
    if made:
        scene.check_logs(made)


@pytest.fixture(scope="session")
def common(site):
    made = scene.Cluster(site, "common", peers=5)
    try:
        made.start_all(*scene.FOUNDERS)
        scene.expect(0, made.set(1))
        yield made
    finally:
        codes = made.end()
    assert set(codes.values()) <= {0}, codes


@pytest.fixture
def cluster(request, common):
    common.make_whole()
    common.catch_up()
    yield common
    if getattr(request.node, "failed", False):
        scene.show_logs(common)


@pytest.fixture
def lonely(request, site):
    """lonely(1) or lonely(1, 2, 3): started and founded; lonely(1, is_founded=False): started."""
    made = []

    def make(*numbers, is_founded=True, peers=None, prepare=None):
        scene.Cluster.editions += 1
        label = f"{request.node.originalname[5:45]}-{scene.Cluster.editions}"
        c = scene.Cluster(site, label, peers or max(numbers))
        made.append(c)
        c.addresses = harness.Addresses()
        if prepare:
            prepare(c)
        c.start_all(*numbers)
        if is_founded:
            scene.expect(0, c.set(numbers[0], options=["--replicas", str(len(numbers))]))
            c.wait_voters(numbers[0], len(numbers))
        return c
    yield make
    for c in made:
        if getattr(request.node, "failed", False):
            scene.show_logs(c)
        for number in list(c.replicas):  # to leave one after the other takes 10 s
            c.kill(number)
        c.end()
        c.addresses.close()


@pytest.fixture
def killable(lonely):
    """killable(1, 2, 3): as lonely; each replica may be armed (scene.Cluster.arm)."""
    need(scene.KILL_LIBRARY, "killpoint.so")

    def make(*numbers, **options):
        return lonely(*numbers, prepare=lambda c: setattr(c, "is_killable", True), **options)
    return make


@pytest.fixture
def shop(site, tmp_path):
    """A generated workspace of its own."""
    path = str(tmp_path / "shop")
    shutil.copytree(site.app, path)
    return path


@pytest.fixture
def run(site):
    """run("contrast", "generate", ...): a finished command."""
    def call(name, *arguments, timeout=60):
        return site.run([harness.program(name), *arguments], timeout=timeout)
    return call


@pytest.fixture
def raft():
    """raft(3): a cluster of nodes in virtual time (raft.py)."""
    need(raft_steps.PROGRAM, "contrast-raft-steps")
    made = []

    def make(voters, **options):
        made.append(raft_steps.Raft(voters, **options))
        return made[-1]
    yield make
    for r in made:
        r.__exit__()


@pytest.fixture
def values(site):
    """Reference values of the simulated machine."""
    return json.loads(harness.read(os.path.join(site.dir, "machine", "reference-values.json")))


@pytest.fixture(scope="session")
def machines(site, tmp_path_factory):
    """{product: (folder, socket)}: the common machine, and one with another chip and root."""
    folder = str(tmp_path_factory.mktemp("machine") / "Genoa")
    simulator = harness.program("contrast-snp-simulator")
    site.must(site.run([simulator, "init", folder, "--product", "Genoa"]))
    process = harness.Process([simulator, "serve", folder, "--socket", folder + ".sock"],
                              os.path.join(site.logs, "machine-Genoa.log"))
    harness.wait_until(lambda: os.path.exists(folder + ".sock"), 10, "the other machine listens")
    yield {"Milan": (os.path.join(site.dir, "machine"), site.socket),
           "Genoa": (folder, folder + ".sock")}
    process.end()
