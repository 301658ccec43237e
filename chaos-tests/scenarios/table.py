"""The table of README.md, made of what each scenario says of itself.

    python3 chaos-tests/scenarios/table.py            # prints it
    python3 chaos-tests/scenarios/table.py --write    # puts it into README.md

A scenario's docstring: one sentence; then the paragraphs Origin, Elsewhere, Here and Notices,
indented where they go on. ValueError names the file and the paragraph that is missing.

SPDX-License-Identifier: Apache-2.0
"""

import ast
import os
import re
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
README = os.path.join(FOLDER, "README.md")
BEGIN, END = "<!-- table -->\n", "<!-- end -->\n"
PARTS = ("Origin", "Elsewhere", "Here", "Notices")
NOT_SCENARIOS = ("test_readme.py",)


def scenarios():
    return sorted(n for n in os.listdir(FOLDER) if re.fullmatch(r"test_\w+\.py", n)
                  and n not in NOT_SCENARIOS)


def told(name):
    """{"": the sentence, "Origin": ..., ...} of a scenario."""
    with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
        text = ast.get_docstring(ast.parse(f.read())) or ""
    found = {"": text.split("\n")[0]}
    for part in PARTS:
        match = re.search(rf"^{part}: (.*(?:\n    .*)*)", text, re.MULTILINE)
        if not match:
            raise ValueError(f"{name}: its docstring has no paragraph {part}")
        found[part] = re.sub(r"\s+", " ", match.group(1))
    return found


def row(name):
    says = told(name)
    words = name[len("test_"):-len(".py")].replace("_", " ")
    return f"| {words} | {says['Origin']} | [{name}]({name}) | {says['Notices']} |\n"


def table():
    head = "| name | origin | file | what it would notice |\n|---|---|---|---|\n"
    return head + "".join(row(name).replace("a|b", "a\\|b") for name in scenarios())


def main():
    if "--write" not in sys.argv:
        print(table(), end="")
        return
    with open(README, encoding="utf-8") as f:
        text = f.read()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    with open(README, "w", encoding="utf-8") as f:
        f.write(before + BEGIN + table() + END + after)


if __name__ == "__main__":
    main()
