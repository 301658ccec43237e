"""Tests of the gates themselves: each must accept a good sample and refuse a bad one.

SPDX-License-Identifier: Apache-2.0
"""
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
GATES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, GATES)


def load(name, folder=GATES):
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(folder, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


layers = load("layers", os.path.dirname(GATES))
style, tally = load("style"), load("tally")


class Tree(unittest.TestCase):
    """A scratch tree without .git, filled from {path: text}."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = self.folder.name

    def tearDown(self):
        self.folder.cleanup()

    def put(self, files):
        for path, text in files.items():
            full = os.path.join(self.root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)


class Layers(Tree):
    HEADERS = ("lib/base/err.h", "lib/crypto/key.h", "lib/wire/wire.h", "lib/tls/tls.h",
               "lib/net/net.h", "lib/yaml/yaml.h", "lib/manifest/manifest.h", "attest/session.h",
               "attest/statement.h", "attest/client/client.h", "attest/test/snp_fixture.h",
               "meshca/ca.h", "consensus/node.h", "consensus/link.h", "coordinator/replica.h",
               "coordinator/core/core.h", "lib/wire/api.h", "chaos-tests/sim/world.h",
               "consensus/test/fixture.h")

    def judge(self, path, *includes):
        self.put({h: "" for h in self.HEADERS})
        self.put({path: "".join(f"#include {i}\n" for i in includes)})
        return layers.check(self.root)[0]

    def test_allowed(self):
        good = {
            "lib/wire/a.c": ('"lib/base/err.h"', "<msgpack.h>", "<string.h>", "<sys/stat.h>"),
            "lib/net/a.c": ('"lib/tls/tls.h"', "<uv.h>"),
            "attest/a.c": ('"lib/manifest/manifest.h"', "<openssl/evp.h>"),
            "attest/client/a.c": ('"attest/session.h"', '"lib/net/net.h"'),
            "cli/b.c": ('"attest/client/client.h"',),
            "consensus/link.c": ('"lib/net/net.h"', "<uv.h>", '"consensus/node.h"'),
            "consensus/node.c": ("<raft.h>",),
            "coordinator/main.c": ('"coordinator/core/core.h"', '"consensus/node.h"',
                                   '"attest/session.h"', '"meshca/ca.h"'),
            "coordinator/core/a.c": ('"meshca/ca.h"', '"attest/statement.h"'),
            "cli/a.c": ('"lib/wire/api.h"', '"attest/session.h"', '"lib/yaml/yaml.h"'),
            "chaos-tests/sim/a.c": ('"coordinator/replica.h"', '"attest/test/snp_fixture.h"'),
            "meshca/test/test_a.c": ('"attest/test/snp_fixture.h"', "<cmocka.h>"),
            "consensus/test/test_a.c": ('"consensus/test/fixture.h"',),
        }
        for path, includes in good.items():
            with self.subTest(path):
                self.assertEqual(self.judge(path, *includes), [])

    def test_refused(self):
        bad = [
            ("lib/base/a.c", '"lib/wire/wire.h"'),
            ("lib/wire/a.c", '"lib/crypto/key.h"'),
            ("lib/tls/a.c", '"lib/net/net.h"'),
            ("attest/a.c", '"meshca/ca.h"'),
            ("attest/a.c", '"attest/client/client.h"'),
            ("attest/a.c", '"lib/net/net.h"'),
            ("coordinator/core/a.c", '"attest/client/client.h"'),
            ("attest/a.c", '"consensus/node.h"'),
            ("meshca/a.c", '"attest/session.h"'),
            ("consensus/a.c", '"attest/session.h"'),
            ("consensus/test/test_a.c", '"attest/session.h"'),
            ("coordinator/core/a.c", '"consensus/node.h"'),
            ("coordinator/core/a.c", '"attest/session.h"'),
            ("coordinator/core/a.c", '"coordinator/replica.h"'),
            ("installer/a.c", '"lib/net/net.h"'),
            ("cli/a.c", '"coordinator/core/core.h"'),
            ("cli/a.c", '"coordinator/replica.h"'),
            ("coordinator/main.c", '"chaos-tests/sim/world.h"'),
            ("attest/a.c", '"attest/test/snp_fixture.h"'),
            ("meshca/test/test_a.c", '"consensus/test/fixture.h"'),
            ("lib/net/a.c", "<msgpack.h>"),
            ("cli/a.c", "<yaml.h>"),
            ("coordinator/a.c", "<raft.h>"),
            ("consensus/node.c", "<uv.h>"),
            ("lib/net/a.c", "<openssl/ssl.h>"),
            ("lib/base/a.c", "<cmocka.h>"),
            ("lib/base/a.c", "<glib.h>"),
            ("lib/base/a.c", '"err.h"'),
            ("elsewhere/a.c", "<stdio.h>"),
        ]
        for path, include in bad:
            with self.subTest(f"{path} {include}"):
                with tempfile.TemporaryDirectory() as self.root:
                    self.assertEqual(len(self.judge(path, include)), 1)

    def test_names_the_line_and_skips_comments(self):
        self.put({"lib/wire/wire.h": "", "lib/base/a.c":
                  '/*\n#include "lib/wire/wire.h"\n*/\n#  include "lib/wire/wire.h" /* x */\n'})
        self.assertEqual(layers.check(self.root)[0],
                         ["lib/base/a.c:4: lib/wire/wire.h: lib/base may use only: itself"])


class Sizes(Tree):
    @staticmethod
    def function(lines):
        return "static int f(int a,\n             int b) {\n" + "    a++;\n" * (lines - 3) + "}\n"

    def test_function_length_counts_the_head(self):
        for lines, count in ((70, 0), (71, 1)):
            self.put({"lib/base/a.c": "struct s {\n    int a;\n};\n" + self.function(lines)})
            self.assertEqual(len(style.check_sizes(self.root)), count)

    def test_braces_in_strings_comments_and_macros_do_not_count(self):
        text = ("#define M                 \\\n    do {              \\\n    }\n"
                "/* { */\n\n\nstatic const int t[] = {\n" + "    1,\n" * 90 + "};\n"
                'int f(void) {\n    return "{"[0] == \'{\';\n}\nint g(void) {\n    return 0;\n}\n')
        self.assertEqual([(n, c) for _, c, n in style.functions(text)], [("f", 3), ("g", 3)])

    def test_attributes_do_not_hide_a_function(self):
        text = "__attribute__((noreturn)) void f(int a) {\n    a++;\n}\n"
        self.assertEqual([n for _, _, n in style.functions(text)], ["f"])

    def test_file_length(self):
        self.put({"a/a.c": "int a;\n" * 800, "a/b.c": "int a;\n" * 801})
        self.assertEqual(style.check_sizes(self.root), ["a/b.c:1: 801 lines, at most 800"])


class Words(Tree):
    MARK = style.LICENCE + "\n"

    def check(self, files):
        self.put(files)
        return style.check_words(self.root)

    def test_marks_of_unfinished_work(self):
        for word in ("TODO", "FIXME", "XXX", "stub", "Placeholder"):
            found = self.check({"a/a.c": self.MARK + f"/* {word}: later */\n"})
            self.assertEqual(len(found), 1, word)
            self.assertTrue(found[0].startswith("a/a.c:2: "))

    def test_not_in_tests_and_not_inside_words(self):
        self.assertEqual(self.check({"a/test/a.c": self.MARK + "TODO\n",
                                     "a/b.c": self.MARK + '"tmp-XXXXXX" stubborn\n'}), [])

    def test_licence_line(self):
        self.assertEqual(len(self.check({"a/a.h": "int a;\n"})), 1)
        self.assertEqual(len(self.check({"a/a.h": self.MARK, "run": "#!/bin/sh\n"})), 1)

    def test_paths_of_a_machine(self):
        self.assertEqual(len(self.check({"a.md": "see /home/" + "someone/x\n"})), 1)
        self.assertEqual(self.check({"a.md": "see ~/home/x and docs/work/x, /usr/lib\n"}), [])


class Tally(unittest.TestCase):
    CMOCKA = ["1: [==========] Running 3 test(s).", "1: [       OK ] a", "1: [  FAILED  ] b",
              "1: [  SKIPPED ] c", "1: [==========] 3 test(s) run.",
              "1: [  FAILED  ] 1 test(s), listed below:", "1: [  FAILED  ] b"]

    def count(self, lines):
        return [e.counts() for e in tally.parse(lines)]

    def test_cmocka_cases_count_once(self):
        end = "1/1 Test #1: x ......***Failed    0.02 sec"
        self.assertEqual(self.count(self.CMOCKA + [end]), [(1, 1, 1)])

    def test_interleaved_output(self):
        lines = ["1: [==========] Running 1 test(s).", "2: hello", "1: [       OK ] a",
                 "1/2 Test #2: y ....   Passed    0.01 sec", "1: [==========] 1 test(s) run.",
                 "2/2 Test #1: x ....   Passed    0.01 sec"]
        self.assertEqual(self.count(lines), [(1, 0, 0), (1, 0, 0)])

    def test_a_crash_after_good_cases_is_a_failure(self):
        lines = ["1: [==========] Running 1 test(s).", "1: [       OK ] a",
                 "1/1 Test #1: x ...Subprocess aborted***Exception:   0.02 sec"]
        self.assertEqual(self.count(lines), [(1, 1, 0)])

    def test_a_failed_program_shows_its_last_words(self):
        lines = ["1: a.c:3: bad", "1: 1 offender", "1/1 Test #1: x ...***Failed   0.02 sec"]
        report = "\n".join(tally.report(tally.parse(lines)[0]))
        self.assertIn("FAILED  x", report)
        self.assertIn("a.c:3: bad", report)

    def test_skip_not_run_timeout(self):
        for text, want in (("***Skipped", (0, 0, 1)), ("***Not Run", (0, 1, 0)),
                           ("***Timeout", (0, 1, 0)), ("***Not Run (Disabled)", (0, 0, 1))):
            self.assertEqual(self.count([f"1/1 Test #1: x ....{text}   0.02 sec"]), [want])


if __name__ == "__main__":
    unittest.main()
