"""Other builds of the same sources, next to the one under test.

    for name, path in builds.others(program): ...

A build that is older than a source is passed over with a line that says so.
SPDX-License-Identifier: Apache-2.0
"""
import os

import stage

SOURCES = (".c", ".h", ".rego", "CMakeLists.txt", ".cmake")
PRESETS = ("clang", "dev", "release")
FOLDERS = ("cli", "lib", "attest", "cmake")


def is_sanitized(program):
    with open(program, "rb") as f:
        return b"__asan_init" in f.read()


def newest_source():
    newest = 0
    for top in FOLDERS:
        for root, folders, files in os.walk(os.path.join(stage.ROOT, top)):
            folders[:] = [f for f in folders if f not in ("test", "fuzz", "bench")]
            times = [os.stat(os.path.join(root, f)).st_mtime for f in files if f.endswith(SOURCES)]
            newest = max([newest] + times)
    return newest


def others(program):
    """(name of the build, path) of `contrast` in the folders of the presets beside the build's."""
    own = os.path.dirname(os.path.dirname(program))
    newest = newest_source()
    for name in PRESETS:
        path = os.path.join(os.path.dirname(own), name, "bin", "contrast")
        if name == os.path.basename(own) or not os.path.isfile(path):
            continue
        if os.stat(path).st_mtime < newest:
            print(f"  build {name}: older than the sources; passed over")
        else:
            yield name, path
