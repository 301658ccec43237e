"""The report of a chaos run: figures by hand, and a page that holds everything and loads nothing.

Histories are made here from a seed: faults every few seconds, operations that stop for a known time
after each, so what the report must say is known. Hostile names go through everything. Where
Chromium is there the page is also loaded, and must not complain (CHAOS_BROWSER names another;
with CI=true a missing one is a failure).

    test_report.py --sample DIR        writes such a run, to look at its page

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import html.parser
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET

import page
import page_chart
import report

S = 1_000_000_000
HOSTILE = '</script><script>alert(1)</script>"\'&\x1b[31m\x00\ud800<!--'
FAULTS = (("kill-leader", "kill", 1.2), ("pause-leader", "pause", 2.5), ("cut", "network", 1.6),
          ("slow-link", "network", 0.3), ("clock", "clock", 0.05), (HOSTILE, "kds", 0.02))


class Writer:
    """A history on one clock."""

    def __init__(self, path, seed):
        self.f = open(path, "w", encoding="utf-8")
        self.rng = random.Random(seed)
        self.id = 0
        self.now = 7_000 * S

    def line(self, **fields):
        self.f.write(json.dumps({"at": int(self.now), **fields}) + "\n")

    def operation(self, op, outcome, ms, **value):
        self.id += 1
        self.line(kind="call", id=self.id, client="c", op=op, target="coordinator-1", args={})
        self.now += ms * 1_000_000
        if outcome:
            self.line(kind="return", id=self.id, outcome=outcome, value=value)

    def serve(self, seconds):
        """All is well for so long."""
        end = self.now + seconds * S
        while self.now < end:
            self.operation(self.rng.choice(("read", "issue", "status")), "ok",
                           self.rng.uniform(2, 30))
            self.now += int(self.rng.uniform(1, 60) * 1_000_000)


def write_round(path, seed, rounds_of_faults=4):
    """A history and the windows that availability would find in it."""
    w, windows, leader, generation = Writer(path, seed), [], 1, 0
    w.line(kind="event", name="phase", value="found")
    w.serve(5)
    w.line(kind="event", name="phase", value="faults")
    for i in range(rounds_of_faults * len(FAULTS)):
        name, _, gap_s = FAULTS[i % len(FAULTS)]
        w.line(kind="event", name="leader", value={
            "replica": f"coordinator-{leader}", "term": i + 1, "epoch": 1 + i // 20,
            "generation": generation})
        start, fault_id = w.now, 10_000 + i
        targets = [] if i % 5 == 4 else [f"coordinator-{leader}"]
        w.line(kind="fault", id=fault_id, name=name, targets=targets)
        gap_ms = gap_s * 1000 * w.rng.uniform(0.5, 2)
        w.operation("read", w.rng.choice(("fail", "unknown")), gap_ms)
        leader = leader % 5 + 1
        w.serve(3)
        w.line(kind="healed", id=fault_id)
        windows.append({"name": name, "id": fault_id, "start": start, "end": w.now,
                        "unavailable_ms": gap_ms, "gap": [start, start + int(gap_ms * 1e6)]})
        generation += 1
        w.operation("set", "ok", 40, generation=generation, transition="00")
        w.serve(2)
    w.line(kind="event", name="phase", value="rest")
    w.operation("read", None, 10)
    w.f.close()
    return windows


def write_run(folder, rounds=2, violations=()):
    """A whole run in a folder; returns its result.json's content."""
    entries, windows = [], []
    for n in range(1, rounds + 1):
        name = f"round-{n}"
        os.makedirs(os.path.join(folder, name))
        found = write_round(os.path.join(folder, name, "history.jsonl"), n)
        windows += found
        entries.append({"dir": name, "seed": 40 + n, "unavailable": found})
    rng = random.Random(1)
    result = {
        "seed": 41, "minutes": 20, "build": "1.0 (abc123)", "started": "2026-01-01 00:00 UTC",
        "reproduce": "scripts/chaos --minutes 20 --seed 41",
        "machine": {"processors": 2, "kernel": "6.1"}, "rounds": entries,
        "faults": report.faults_of(windows, violations, {f[0]: f[1] for f in FAULTS}),
        "baseline_ms": report.spread([rng.uniform(20, 90) for _ in range(30)]),
        "violations": list(violations),
        "problems": [{"what": f"not injected: {HOSTILE}"}] * 2,
        "simulations": [{"program": "contrast-sim", "first": 1, "seeds": 2000, "failed": [],
                         "seeds_per_second": 131.5}]}
    with open(os.path.join(folder, "result.json"), "w", encoding="utf-8") as f:
        json.dump(result, f)
    return result


VIOLATION = {"what": "stale read: generation 4 after 5 was acknowledged " + HOSTILE, "round": 2,
             "after_ns": 33 * S, "fault": "cut", "logs": "kept/round-2",
             "reproduce": "scripts/chaos --minutes 10 --seed 42"}


class Folder(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="chaos-report.")
        self.addCleanup(shutil.rmtree, self.dir)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def run_main(self, *args):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = report.main([self.dir, *args])
        return code, out.getvalue(), err.getvalue()


class Figures(Folder):
    def test_percentiles_are_the_nearest_rank(self):
        self.assertEqual(50, report.percentile(list(range(1, 101)), 50))
        self.assertEqual(99, report.percentile(list(range(1, 101)), 99))
        self.assertEqual(7, report.percentile([7], 99))
        self.assertEqual({"p50": 2.0, "p99": 3.0, "max": 3.0, "samples": [1.0, 2.0, 3.0]},
                         report.spread([3, 1, 2]))
        self.assertIsNone(report.spread([]))

    def history(self, *lines):
        with open(self.path("history.jsonl"), "w", encoding="utf-8") as f:
            f.writelines(line if isinstance(line, str) else json.dumps(line) + "\n"
                         for line in lines)
        return report.round_read(self.path("history.jsonl"))

    def test_operations_are_counted_by_outcome(self):
        seen = self.history(
            {"kind": "call", "id": 1, "op": "set", "at": 0},
            {"kind": "call", "id": 2, "op": "set", "at": 1_000_000},
            {"kind": "call", "id": 3, "op": "read", "at": 1_000_000},
            {"kind": "return", "id": 1, "outcome": "ok", "at": 20_000_000,
             "value": {"generation": 1}},
            {"kind": "return", "id": 3, "outcome": "unknown", "at": 3 * S})
        table = report.operations_of([seen, seen])
        self.assertEqual({"ok": 2, "fail": 0, "unknown": 0, "open": 2, "p50_ms": 20.0,
                          "p99_ms": 20.0, "max_ms": 20.0}, table["set"])
        self.assertEqual((2, None), (table["read"]["unknown"], table["read"]["p50_ms"]))
        self.assertEqual([(20_000_000, 1)], seen.generations)
        self.assertEqual({3: [0, 0, 1]}, seen.kinds["read"].bins)

    def test_lines_that_are_none_are_counted_and_left_out(self):
        seen = self.history(
            {"kind": "call", "id": 1, "op": "set", "at": 5},
            {"kind": "return", "id": 9, "outcome": "ok", "at": 6},
            {"kind": "return", "id": 1, "outcome": "better", "at": 6},
            {"kind": "fault", "at": 7}, ["list"], {"kind": "call"}, "nonsense\n",
            {"kind": "a kind of tomorrow", "at": 8}, '{"kind": "call", "id": 2, "op"')
        self.assertEqual(7, seen.lost_lines)
        self.assertEqual((5, 8), (seen.start, seen.end))

    def test_every_prefix_of_a_history_is_read(self):
        write_round(self.path("whole"), 1, 1)
        with open(self.path("whole"), "rb") as f:
            whole = f.read()
        for size in range(0, min(len(whole), 6000), 7):
            with open(self.path("part"), "wb") as f:
                f.write(whole[:size])
            seen = report.round_read(self.path("part"))
            self.assertLessEqual(seen.lost_lines, 1)
            if seen.start != seen.end:
                page_chart.timeline(seen, [], [])

    def test_a_leader_and_an_epoch_count_when_they_change(self):
        def leader(at, replica, term, epoch):
            return {"kind": "event", "name": "leader", "at": at, "value": {
                "replica": replica, "term": term, "epoch": epoch, "generation": 1}}
        seen = self.history(leader(1, "a", 1, 1), leader(2, "a", 1, 1), leader(3, "b", 2, 1),
                            leader(4, "b", 2, 2))
        self.assertEqual([(1, "a", 1), (3, "b", 2)], seen.leaders)
        self.assertEqual([(1, 1), (4, 2)], seen.epochs)

    def test_what_must_be_denied_and_what_asks_when_it_likes_are_kinds_of_their_own(self):
        seen = self.history(
            {"kind": "call", "id": 1, "op": "issue", "args": {"denied": "no"}, "at": 1},
            {"kind": "call", "id": 2, "op": "issue", "client": "sidecar-1", "args": {}, "at": 2},
            {"kind": "call", "id": 3, "op": "issue", "client": "crowd-1", "args": {}, "at": 3},
            {"kind": "call", "id": 4, "op": "issue", "client": "pod-1", "args": {}, "at": 3})
        self.assertEqual({"must be denied", "renew", "issue (crowd)", "issue"}, set(seen.kinds))

    def test_faults_of_a_storm_ran_but_have_no_gap_of_their_own(self):
        rows = report.faults_of([
            {"name": "storm", "names": ["a", "b"], "unavailable_ms": 9},
            {"name": "a", "unavailable_ms": 4}], [])
        self.assertEqual([("a", 2, [4.0]), ("b", 1, None), ("storm", 1, [9.0])], [
            (r["name"], r["runs"], r["unavailable_ms"] and r["unavailable_ms"]["samples"])
            for r in rows])

    def test_how_long_until_whole_stands_with_its_fault(self):
        seen = self.history(
            {"kind": "event", "name": "whole", "value": {"after": "a", "ms": 7}, "at": 1},
            {"kind": "event", "name": "whole", "value": {"after": None, "ms": 9}, "at": 2})
        self.assertEqual([("a", 7.0)], seen.wholes)
        rows = report.faults_of([{"name": "a"}, {"name": "b"}], [], None, seen.wholes)
        self.assertEqual([7.0, None], [r["whole_ms"] and r["whole_ms"]["max"] for r in rows])

    def test_a_fault_that_only_violates_has_a_row(self):
        rows = report.faults_of([{"name": "a", "unavailable_ms": None}],
                                [{"what": "w", "fault": "b"}, {"what": "w", "fault": None}])
        self.assertEqual([("a", 1, 0, None), ("b", 0, 1, None)], [
            (r["name"], r["runs"], r["violations"], r["unavailable_ms"]) for r in rows])


class Program(Folder):
    def test_exit_codes_and_the_table(self):
        write_run(self.dir)
        code, out, err = self.run_main()
        self.assertEqual(0, code, err)
        self.assertIn("no violation", out)
        self.assertRegex(out, r"kill-leader +8 +0 +[\d.]+ +[\d.]+ +[\d.]+ +-\n")
        self.assertIn("(2 times)", out)

    def test_violations_are_exit_three_and_come_last_with_their_line(self):
        write_run(self.dir, violations=[VIOLATION])
        code, out, _ = self.run_main()
        self.assertEqual(3, code)
        self.assertRegex(out, r"cut +8 +1 ")
        end = out[out.index("1 VIOLATION"):]
        self.assertIn("again: scripts/chaos --minutes 10 --seed 42\n", end)
        self.assertIn("kept/round-2", end)

    def test_one_cause_does_not_fill_the_terminal(self):
        many = [{**VIOLATION, "rule": "ledger", "what": f"size {n}"} for n in range(50)]
        write_run(self.dir, violations=[*many, VIOLATION, {**VIOLATION, "rule": "keys"}])
        _, out, _ = self.run_main()
        self.assertIn("52 VIOLATIONS", out)
        self.assertEqual(5, out.count("again:"))
        self.assertIn("and 47 more of these rules", out)
        with open(self.path("index.html"), encoding="utf-8") as f:
            root = ET.fromstring(f.read())
        first, rest = root.findall(".//section[@aria-labelledby='violations']//ol")
        self.assertEqual((5, 47, "6"), (len(first), len(rest), rest.get("start")))
        self.assertEqual("#round-2", first.find(".//a").get("href"))
        self.assertIsNotNone(root.find(".//*[@id='round-2']"))

    def test_control_characters_do_not_reach_the_terminal(self):
        write_run(self.dir, violations=[VIOLATION])
        _, out, _ = self.run_main()
        self.assertRegex(out, r"\A[\n\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]*\Z")

    def test_what_is_no_run_is_said_so(self):
        cases = ((None, "No such file"), ("{", "not JSON"), ("[]", "no seed"), ("{}", "no seed"),
                 ('{"seed":1,"rounds":{}}', "'rounds' is not a list"))
        for text, words in cases:
            if text is not None:
                with open(self.path("result.json"), "w", encoding="utf-8") as f:
                    f.write(text)
            code, _, err = self.run_main()
            self.assertEqual(1, code)
            self.assertIn(words, err)
        self.assertFalse(os.path.exists(self.path("index.html")))

    def test_an_interrupted_run_says_so(self):
        with open(self.path("result.json"), "w", encoding="utf-8") as f:
            json.dump({"seed": 1, "rounds": [], "interrupted": True}, f)
        _, out, _ = self.run_main()
        self.assertIn("0 rounds, INTERRUPTED", out)
        with open(self.path("index.html"), encoding="utf-8") as f:
            self.assertIn("<h1>Chaos run: no violation, interrupted</h1>", f.read())

    def test_a_run_that_found_nothing_to_measure_has_a_page(self):
        with open(self.path("result.json"), "w", encoding="utf-8") as f:
            json.dump({"seed": 1, "rounds": [{"dir": "gone"}]}, f)
        code, out, _ = self.run_main()
        self.assertEqual(0, code)
        self.assertIn("no violation", out)
        with open(self.path("index.html"), encoding="utf-8") as f:
            self.assertIn("It has no history.", f.read())


class Outline(html.parser.HTMLParser):
    """Elements as a browser's tokenizer sees them; CDATA marks inside scripts are text there."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.scripts = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


class Page(Folder):
    def rendered(self, violations=(VIOLATION,)):
        self.result = write_run(self.dir, violations=list(violations))
        self.run_main()
        with open(self.path("index.html"), encoding="utf-8") as f:
            return f.read()

    def test_it_is_well_formed_and_everything_is_on_it(self):
        root = ET.fromstring(self.rendered())
        text = " ".join(root.itertext())
        for fault in self.result["faults"]:
            self.assertIn(page_text(fault["name"]), text)
        for words in ("1 violation", "scripts/chaos --minutes 10 --seed 42", "kept/round-2",
                      "1.0 (abc123)", "seed 41", "processors", "contrast-sim", "none (baseline)"):
            self.assertIn(words, text)
        self.assertEqual(2, len([e for e in root.iter("article")]))
        self.assertEqual(2 * 24 * 1, len([e for e in root.iter("tr") if e.find("td[4]") is None
                                          and e.find("td[3]") is not None]))
        self.assertEqual(len(FAULTS), len(root.findall(".//figure[@class='curve']")))

    def test_violations_come_first(self):
        text = self.rendered()
        self.assertLess(text.index('id="violations"'), text.index('id="faults"'))
        self.assertLess(text.index("stale read"), text.index('id="faults"'))
        self.assertIn('class="violation"', text)

    def test_it_loads_nothing(self):
        text = self.rendered()
        outline = Outline()
        outline.feed(text)
        for tag, name, value in outline.attributes:
            self.assertNotIn(name, ("src", "srcset", "data", "action", "poster", "xlink:href"))
            self.assertFalse(name.startswith("on"), f"{tag} {name}")
            if name == "href":
                self.assertRegex(value, r"\A#")
        for tag in ("link", "img", "iframe", "object", "embed", "form", "base"):
            self.assertNotIn(tag, outline.tags)
        self.assertNotRegex(text, r"https?:|url\(|@import|//[a-z]+\.")

    def test_hostile_names_stay_text(self):
        text = self.rendered()
        outline = Outline()
        outline.feed(text)
        self.assertEqual(1, outline.tags.count("script"))
        self.assertNotIn("<script>alert", text)
        self.assertNotIn("\x1b", text)
        self.assertNotIn("\x00", text)

    def test_every_drawing_has_words_and_every_table_a_caption(self):
        root = ET.fromstring(self.rendered())
        hidden_or_inner = 0
        for drawing in root.iter("svg"):
            if drawing.get("role") == "img":
                self.assertTrue(drawing.get("aria-label"))
            else:
                hidden_or_inner += 1
        self.assertGreater(hidden_or_inner, 0)
        for found in root.iter("table"):
            self.assertTrue(found.findtext("caption"))
        for scroll in root.findall(".//div[@class='scroll']"):
            self.assertEqual("0", scroll.get("tabindex"))
        self.assertEqual("en", root.get("lang"))

    def test_the_policy_permits_our_script_and_style_by_hash_only(self):
        text = self.rendered()
        policy = re.search(r'Security-Policy" content="([^"]+)"', text)[1].replace("&#x27;", "'")
        self.assertNotIn("unsafe", policy)
        self.assertTrue(policy.startswith("default-src 'none'"))
        for tag in ("style", "script"):
            body = re.search(f"<{tag}>(.*?)</{tag}>", text, re.S)[1]
            _, digest = page.inline(tag, page.file_text(
                "page.css" if tag == "style" else "page.js"))
            self.assertIn(digest, policy)
            self.assertTrue(body.startswith("/*<![CDATA[*/"))

    def test_a_script_that_would_end_its_element_is_refused(self):
        for text in ("a]]>b", "'</script>'"):
            self.assertRaises(ValueError, page.inline, "script", text)

    def test_nothing_on_the_timeline_lies_outside_it(self):
        root = ET.fromstring(self.rendered())
        checked = 0
        for shape in root.iter("rect"):
            if "%" in shape.get("x", ""):
                start = float(shape.get("x")[:-1])
                self.assertGreaterEqual(start, 0)
                self.assertLessEqual(start + float(shape.get("width")[:-1]), 100.2)
                checked += 1
        self.assertGreater(checked, 2 * 24)

    def test_an_hour_makes_a_page_of_bounded_size(self):
        seen = report.Round()
        for second in range(3600):
            for i in range(40):
                seen.add({"kind": "call", "id": i, "op": "read", "at": second * S})
                seen.add({"kind": "return", "id": i, "outcome": "fail" if i % 3 else "ok",
                          "at": second * S + 1000 * i})
        _, drawing = page_chart.timeline(seen, [], [])
        self.assertLess(len(drawing), 1_500_000)


def page_text(name):
    """As a name comes out of the page: what XML cannot hold is replaced."""
    return re.sub("[\x00\x1b\ud800]", "\ufffd", name)


class Browser(Folder):
    """The page as Chromium sees it."""

    def chromium(self):
        found = os.environ.get("CHAOS_BROWSER") or shutil.which("chromium")
        if not found:
            if os.environ.get("CI") == "true":
                self.fail("no chromium: scripts/deps --test installs it")
            self.skipTest("no chromium here; scripts/deps --test installs it")
        return found

    def load(self, *options):
        """Ends with what the page wrote to its console, on stderr."""
        return subprocess.run(
            [self.chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", "--enable-logging=stderr", "--v=0",
             "--host-resolver-rules=MAP * ~NOTFOUND",
             f"--user-data-dir={self.path('browser')}", *options,
             "file://" + self.path("index.html")],
            capture_output=True, timeout=120, text=True, errors="replace")

    def test_it_renders_without_a_complaint(self):
        write_run(self.dir, violations=[VIOLATION])
        self.run_main()
        done = self.load("--dump-dom")
        self.assertEqual(0, done.returncode, done.stderr[-2000:])
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        self.assertEqual([], complaints)
        self.assertIn('class="cursor"', done.stdout)  # the script ran, and was permitted to
        self.assertNotIn('hidden="hidden"', done.stdout)

    def test_a_complaint_would_be_seen(self):
        write_run(self.dir)
        self.run_main()
        with open(self.path("index.html"), encoding="utf-8") as f:
            text = f.read()
        with open(self.path("index.html"), "w", encoding="utf-8") as f:
            f.write(text.replace("</body>", "<script>alert(1)</script></body>"))
        done = self.load("--dump-dom")
        self.assertTrue([line for line in done.stderr.splitlines() if "CONSOLE" in line])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--sample"]:
        write_run(sys.argv[2], violations=[VIOLATION])
        report.main([sys.argv[2]])
    else:
        unittest.main()
