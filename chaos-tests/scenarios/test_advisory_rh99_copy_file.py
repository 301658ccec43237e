"""The host copies a file wherever it likes.

Origin: GHSA-rh99-wc69-c255 (Contrast, 2026-06; Kata Containers GHSA-q49m-57vm-c8cc)
Elsewhere: the generated policy allowed CopyFile to any path of the guest: the host exchanged
    programs and libraries of containers and of the guest itself.
Here: a copied file lies in the shared folder, below a name that no container's root has; no "..",
    no symbolic link out of it, no set-user-ID.
Notices: a path, a link or a mode that the rules let through; rules that let no file through at all

SPDX-License-Identifier: Apache-2.0
"""

import base64
import json
import os

import pytest

import harness
from conftest import need
from harness import write

SHARED = "/run/kata-containers/shared/containers/"
GOOD = SHARED + "0a1b2c3d4e5f6071" * 4 + "-0123456789abcdef-hosts"
NAME = GOOD[len(SHARED):]


def request(path, mode=0o100644, data=""):
    return {"kind": "CopyFileRequest", "request": {
        "path": path, "file_size": 3, "file_mode": mode, "dir_mode": 0o40750, "uid": 0, "gid": 0,
        "offset": 0, "data": data}}


EVIL_PATHS = [
    "/etc/passwd", "/usr/bin/kata-agent", "/", "", "etc/passwd", "//etc/passwd",
    "/run/kata-containers/sandbox/x", SHARED, SHARED + "..", SHARED + "../../../../etc/passwd",
    GOOD + "/../../../../../etc/passwd", GOOD + "/..", GOOD + "/./x", SHARED + "./" + NAME,
    SHARED + "0a1b/rootfs/bin/sh", SHARED + "web/rootfs/usr/bin/nginx",
    SHARED + "..-0123456789abcdef-x", GOOD + "/a/../../../b",
    GOOD.replace("containers/", "containers//"),
    "/run/kata-containers/shared/containers", GOOD + "\n/etc/passwd",
    "/tmp/../run/kata-containers/shared/containers/" + NAME, "/run/../etc/passwd",
    "/proc/1/root" + GOOD, "/run/kata-containers/Shared/containers/" + NAME,
]


def ask(run, shop, tmp_path, requests):
    need(harness.program("contrast-policy-judge"), "contrast-policy-judge")
    path = str(tmp_path / "requests.json")
    write(path, json.dumps(requests))
    done = run("contrast", "policy", "check", "--policy", os.path.join(shop, "web.yaml"),
               "--requests", path, "--partial", "--output", "json")
    assert done.code in (0, 3), done
    return [case["allowed"] for case in done.json()["cases"]]


def test_no_file_outside_the_shared_folder(run, shop, tmp_path):
    found = ask(run, shop, tmp_path, [request(GOOD), *map(request, EVIL_PATHS)])
    assert found[0], "the files that Kubernetes makes are copied"
    assert not any(found[1:]), [p for p, ok in zip(EVIL_PATHS, found[1:]) if ok]


@pytest.mark.parametrize("mode", [0o104755, 0o102755, 0o106755])
def test_no_set_user_id(run, shop, tmp_path, mode):
    assert ask(run, shop, tmp_path, [request(GOOD, mode)]) == [False]


def test_no_link_out_of_the_folder(run, shop, tmp_path):
    """Kata sends a symbolic link as a file of that type whose data is the target, in base64."""
    link = 0o120777
    targets = ["/etc/passwd", "../../../../etc/passwd", "..", "..data/../../x", "/"]
    requests = [request(GOOD + "/link", link, base64.b64encode(t.encode()).decode())
                for t in targets]
    assert not any(ask(run, shop, tmp_path, requests))
