#!/usr/bin/env -S python3 -B
"""The judge of edits (edits.py) sees what it is there for.   SPDX-License-Identifier: Apache-2.0"""
import sys

import edits

BEFORE = b"""\
# top
kind: Pod
spec:
  # the pod
  runtimeClassName: contrast-cc # by us
  volumes: ~
  containers:
  - name: a   # don't
    image: 'nginx:1.27'
    args: [x, "y z"]
  # end
"""
GOOD = BEFORE
for old, new in ((b"  containers:", b"""\
  initContainers:
  - name: contrast-initializer
    image: ghcr.io/contrast-ha/initializer:0.1.0@sha256:""" + b"0" * 64 + b"""
  containers:"""), (b"1.27", b"1.27@sha256:" + b"1" * 64), (b"contrast-cc", b"other-cc"),
                 (b"~", b"\n  - name: contrast-secrets\n    emptyDir: {}")):
    GOOD = GOOD.replace(old, new)
ARGS, END = b"    args: [x, \"y z\"]\n", b"  # end\n"
CASES = (  # (what, old text, new text): each must be seen in BEFORE -> GOOD
    ("a comment is gone", b"# top\n", b""),
    ("a comment is moved", ARGS + END, END + ARGS),
    ("spaces are gone", b"name: a   #", b"name: a #"),
    ("quotes are others", b"'nginx:1.27@", b"\"nginx:1.27@"),
    ("a value is another", b"[x, ", b"[w, "),
    ("a flow list is spaced otherwise", b"[x, \"y", b"[x,\"y"),
    ("order is another", b"kind: Pod\nspec:\n", b"spec:\nkind: Pod\n"),
    ("something strange is added", b"# top\n", b"# top\nhostNetwork: true\n"),
    ("the last newline is gone", b"# end\n", b"# end"),
    ("a CR is added", b"  containers:\n", b"  containers:\r\n"),
)


def main():
    failures = [f"a good edit: {fault}" for fault in edits.faults(BEFORE, GOOD)]
    failures += [f"nothing done: {fault}" for fault in edits.faults(BEFORE, BEFORE)]
    for what, old, new in CASES:
        bad = GOOD.replace(old, new)
        if bad == GOOD or not list(edits.faults(BEFORE, bad)):
            failures.append("not seen: " + what)
    pinned = BEFORE.replace(b"1.27", b"1.27@sha256:" + b"2" * 64)
    if not list(edits.faults(pinned, GOOD)):
        failures.append("not seen: another digest")
    crlf = BEFORE.replace(b"\n", b"\r\n")
    if not list(edits.faults(crlf, crlf.replace(b"# end\r\n", b"# end\n"))):
        failures.append("not seen: an LF among CRLFs")
    print("".join(f"FAILED: {f}\n" for f in failures), end="")
    print(f"edits: {len(CASES) + 4} checks, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
