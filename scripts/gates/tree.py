"""The source tree as the gates see it: which files count, and C without comments and strings.

A file counts when git tracks it or would track it (not ignored); in an unpacked archive without
.git every file outside build/ counts.

SPDX-License-Identifier: Apache-2.0
"""
import os
import subprocess


def _walk(root):
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in (".git", "build", "__pycache__"))
        for name in sorted(files):
            yield os.path.relpath(os.path.join(folder, name), root)


def files(root, suffixes=()):
    """Paths relative to `root`, sorted; `suffixes` such as (".c", ".h"), empty = every file."""
    listed = []
    if os.path.exists(os.path.join(root, ".git")):
        out = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, stdout=subprocess.PIPE).stdout
        listed = [p for p in out.decode().split("\0") if p]
    else:
        listed = list(_walk(root))
    wanted = {p for p in listed if not suffixes or p.endswith(tuple(suffixes))}
    return sorted(p for p in wanted if os.path.isfile(os.path.join(root, p)))


def is_test(path):
    """True for what lies in a test/ or fuzz/ folder."""
    return bool({"test", "fuzz"} & set(path.split("/")[:-1]))


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def _quoted_end(text, start):
    """Index behind the string or character constant that begins at `start`."""
    quote, i = text[start], start + 1
    while i < len(text) and text[i] not in (quote, "\n"):
        i += 2 if text[i] == "\\" else 1
    return min(i + 1, len(text))


def blank(text, strings=True):
    """C text of the same length and lines, with comments (and what strings hold) made spaces."""
    out, i = list(text), 0
    while i < len(text):
        if text.startswith("/*", i):
            end = text.find("*/", i + 2)
            end = len(text) if end < 0 else end + 2
            cut = (i, end)
        elif text.startswith("//", i):
            end = text.find("\n", i)
            end = len(text) if end < 0 else end
            cut = (i, end)
        elif text[i] in "\"'":
            end = _quoted_end(text, i)
            cut = (i + 1, end - 1) if strings else (i, i)
        else:
            i += 1
            continue
        for at in range(*cut):
            if out[at] != "\n":
                out[at] = " "
        i = end
    return "".join(out)
