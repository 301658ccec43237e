#!/usr/bin/env python3
"""The tables that users read against the sources and the tests: verdict codes, manifest fields.

    check_codes.py [ROOT]     exit 0: they agree; 1: what does not, one line each

docs/verdicts.md has a row for each check: | check | code | AMD | field | what to do | tests |. It
must name every code that attest/ can give, none that no source can, only checks that stand in the
sources, and for each code tests that exist, one of them in a file that names the code.
docs/manifest.md must name every field that the manifest reader knows.

SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import sys

TABLE = "docs/verdicts.md"
MANUAL = "docs/manifest.md"
READERS = os.path.join("lib", "manifest")
VERIFIER = "attest" + os.sep
FOLDERS = ("attest", "cli", "coordinator", "initializer", "lib")
CODE = re.compile(r'"((?:SNP|ATTEST|POLICY)-[A-Z0-9]+(?:-[A-Z0-9]+)*)"')
TEXT = re.compile(r'"([a-z0-9]+(?:-[a-z0-9]+)*)"')
ROW = re.compile(r"^\| *`([a-z0-9-]+)` *\| *`((?:SNP|ATTEST|POLICY)-[A-Z0-9-]+)` *\|")
FIELD = re.compile(r'\{"([A-Za-z0-9]+)", (?:true|false), \w+\}')
NAMED = re.compile(r"`([a-z0-9_]+): ([a-z0-9_]+)`")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def c_files(root):
    for folder in FOLDERS:
        for where, below, names in os.walk(os.path.join(root, folder)):
            below[:] = sorted(d for d in below if d not in ("corpus", "fuzz", "bench"))
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(where, name), root)


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def load(root):
    """Codes with their file, texts that may be checks, and test files by stem."""
    codes, texts, tests = {}, set(), {}
    for path in c_files(root):
        text = read(os.path.join(root, path))
        if "test" in path.split(os.sep):
            stem = os.path.basename(path)[:-2]
            tests[stem] = tests.get(stem, "") + text
            continue
        text = without_comments(text)
        texts.update(TEXT.findall(text))
        for code in CODE.findall(text):
            codes.setdefault(code, path)
    return codes, texts, tests


def check_row(number, line, row, texts, tests):
    """Yields what is wrong with one row."""
    check, code = row.groups()
    where = f"{TABLE}:{number}: {code}"
    if check not in texts:
        yield f"{where}: no source has a check named '{check}'"
    named = NAMED.findall(line)
    if not named:
        yield f"{where}: the row names no test as `test_stem: test_name`"
    for stem, name in named:
        if stem not in tests:
            yield f"{where}: there is no {stem}.c"
        elif not re.search(rf"\b{name}\(void \*\*state\)", tests[stem]):
            yield f"{where}: {stem}.c has no {name}"
    if named and not any(f'"{code}"' in tests.get(stem, "") for stem, _ in named):
        yield f"{where}: none of the files of its tests names this code"


def check_fields(root):
    """Yields each field of the manifest that its manual leaves out."""
    manual = read(os.path.join(root, MANUAL))
    for path in c_files(root):
        if os.path.dirname(path) == READERS:
            for field in FIELD.findall(read(os.path.join(root, path))):
                if not re.search(rf"\b{field}\b", manual):
                    yield f"{MANUAL}: no word about the field {field} ({path})"


def main(args):
    root = args[0] if args else "."
    codes, texts, tests = load(root)
    problems, seen = list(check_fields(root)), set()
    for number, line in enumerate(read(os.path.join(root, TABLE)).split("\n"), 1):
        row = ROW.match(line)
        if row is None:
            continue
        seen.add(row.group(2))
        problems += check_row(number, line, row, texts, tests)
    problems += [f"{path}: {code} has no row in {TABLE}"
                 for code, path in sorted(codes.items())
                 if code not in seen and path.startswith(VERIFIER)]
    problems += [f"{TABLE}: {code} stands in no source" for code in sorted(seen - set(codes))]
    for problem in problems:
        print(problem)
    print(f"{len(codes)} codes in the sources, {len(seen)} in the table, {len(problems)} problems")
    return 1 if problems or not codes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
