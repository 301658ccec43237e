"""The checker: a good history, and for each rule one that breaks it and nothing else.

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import unittest

import checker
import history

MANY = 1_000_000
DAMAGES = 3000
MANY_MB = 400  # memory of one judgement


def name(*parts):
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


class Story:
    """Writes lines on a clock of its own; a cluster that behaves, until it is told not to."""

    def __init__(self):
        self.lines, self.at, self.count = [], 0, 0
        self.epoch, self.generation, self.head = 1, 0, "00" * 32
        self.chain, self.size, self.index, self.issued = [], 0, 0, -1

    def line(self, **fields):
        self.at += 10
        self.lines.append(dict(fields, at=self.at))

    def call(self, op, target="coordinator-1", client="client", **args):
        self.count += 1
        self.line(kind="call", id=self.count, client=client, op=op, target=target, args=args)
        return self.count

    def answer(self, call, outcome="ok", value=None, error=None):
        extra = {k: v for k, v in (("value", value), ("error", error)) if v is not None}
        self.line(kind="return", id=call, outcome=outcome, **extra)

    def event(self, what, value):
        self.line(kind="event", name=what, value=value)

    # A cluster that behaves

    def next_args(self):
        g = self.generation + 1
        return {"previous": self.head, "generation": g, "manifest": name("m", self.count, g),
                "transition": name("t", self.epoch, g, self.count), "epoch": self.epoch}

    def take(self, args):
        self.generation, self.head = args["generation"], args["transition"]
        self.chain.append([self.generation, self.head, args["manifest"]])
        self.size, self.index = self.size + 1, self.index + 1

    def set(self, outcome="ok", takes=True):
        args = self.next_args()
        call = self.call("set", **args)
        if takes:
            self.take(args)
        self.answer(call, outcome, {"generation": args["generation"],
                                    "transition": args["transition"], "epoch": self.epoch}
                    if outcome == "ok" else None, None if outcome == "ok" else "gone")
        return call

    def position(self, **other):
        return dict({"epoch": self.epoch, "generation": self.generation, "transition": self.head,
                     "index": self.index,
                     "ledger": {"size": self.size, "root": name("r", self.size)[:32]},
                     "root": "aa", "mesh": f"mesh-{self.epoch}-{self.generation}"}, **other)

    def read(self, **other):
        call = self.call("read")
        self.answer(call, "ok", self.position(**other))
        return call

    def issue(self, **other):
        call = self.call("issue", secret_id="web")
        self.issued, self.size, self.index = self.issued + 1, self.size + 1, self.index + 1
        self.answer(call, "ok", dict(
            {"generation": self.generation, "epoch": self.epoch, "index": self.issued,
             "serial": name("s", self.epoch, self.issued)[:32], "root": "aa",
             "mesh": f"mesh-{self.epoch}-{self.generation}", "secret": "bb"}, **other))
        return call

    def recover(self, generation=None, size=None, issued=None, **other):
        """Goes back to what is named; all else stays."""
        before = self.epoch
        if generation is not None:
            self.chain = self.chain[:generation]
            self.generation, self.head = generation, self.chain[-1][1]
        self.size = self.size if size is None else size
        self.issued = self.issued if issued is None else issued
        self.epoch += 1
        self.event("recover", dict({
            "epoch": self.epoch, "previous_epoch": before, "mode": 2,
            "generation": self.generation, "head": self.head, "index": self.index,
            "recipient": "00" * 32,
            "ledger": {"size": self.size, "root": name("r", self.size)[:32]}}, **other))

    def final(self, target="coordinator-1", **other):
        self.event("final", dict({
            "target": target, "epoch": self.epoch, "generation": self.generation,
            "ledger": {"size": self.size, "root": name("r", self.size)[:32]},
            "history": [list(row) for row in self.chain]}, **other))

    def finals(self):
        for number in (1, 2, 3):
            self.final(f"coordinator-{number}")
        return self


def begun(sets=3):
    story = Story()
    for _ in range(sets):
        story.set()
        story.issue()
        story.read()
    return story


def judged(story):
    feed = checker.Checker()
    for line in story.lines:
        feed.take(json.loads(json.dumps(line)))
    return feed.finish()


class Good(unittest.TestCase):
    def good(self, story):
        verdict = judged(story)
        self.assertEqual([], verdict.violations)
        return verdict.figures

    def test_nothing_and_a_calm_life(self):
        self.good(Story())
        figures = self.good(begun().finals())
        self.assertEqual((3, 3, 6, 3), tuple(figures[k] for k in (
            "generations", "certificates", "ledger", "finals")))

    def test_unknown_sets_with_and_without_effect(self):
        story = begun()
        story.set("unknown")
        story.read()
        story.set("unknown", takes=False)
        story.set()
        story.call("set", **story.next_args())  # no return
        self.good(story.finals())

    def test_a_set_refused_because_another_won(self):
        story = begun()
        args = story.next_args()
        late = story.call("set", **dict(args, manifest=name("late"), transition=name("late")))
        story.set()
        story.answer(late, "fail", error="CHANGED: another")
        self.good(story.finals())

    def test_overlapping_reads_may_disagree(self):
        story = begun()
        old = story.position()
        first, second = story.call("read"), story.call("read")
        setting = story.call("set", **(args := story.next_args()))
        story.take(args)
        story.answer(first, value=story.position())
        story.answer(second, value=old)
        story.answer(setting, value={"generation": 4, "transition": args["transition"]})
        self.good(story.finals())

    def test_recording_that_begins_late(self):
        story = begun()
        del story.lines[:]
        story.event("begin", story.position())
        story.read()
        story.set()
        self.good(story.finals())

    def test_hands_from_outside(self):
        story = begun()
        story.event("outside-set", {})
        story.take(story.next_args())
        story.read()
        self.good(story.finals())

    def test_a_recovery_that_loses_nothing(self):
        story = begun()
        story.event("recovery-source", {"generation": 3, "ledger_size": 6, "old_is_dead": True})
        story.recover(mode=1)
        story.read()
        story.set()
        story.issue()
        self.assertEqual(0, self.good(story.finals())["lost_at_recovery"])

    def test_a_recovery_that_loses_what_its_checkpoint_had_not(self):
        story = begun()
        story.event("recovery-source", {"generation": 2, "ledger_size": 4})
        story.recover(2, 4, 1)
        story.set()
        story.issue()
        story.read()
        call = story.call("read")
        story.answer(call, "fail", error="exit 4: ROLLBACK: generation 2, and 3 was seen")
        figures = self.good(story.finals())
        self.assertEqual((2, 1), (figures["lost_at_recovery"], figures["proofs"]))

    def test_an_epoch_that_the_mesh_ca_tells(self):
        story = begun()
        story.recover(2, 4, 1)
        story.read()
        story.issue(epoch=None)
        story.issue(epoch=None, mesh="never seen")
        story.set()
        story.issue(epoch=None)  # before anybody saw that mesh CA
        story.read()
        figures = self.good(story.finals())
        self.assertEqual((5, 1), (figures["certificates"], figures["without_epoch"]))

    def test_denied_and_failed(self):
        story = begun()
        call = story.call("issue", denied="a policy that no manifest names")
        story.answer(call, "fail", error="60: POLICY-UNKNOWN")
        story.answer(story.call("issue", denied="debug"), "fail", error="exit 3: DENIED")
        story.answer(story.call("read"), "fail", error="timeout")
        story.answer(story.call("issue"), "unknown", error="timeout")
        self.good(story.finals())


class Bad(unittest.TestCase):
    """Each test breaks one rule; the checker must name that rule and no other."""

    def bad(self, story, rule, *words):
        verdict = judged(story)
        self.assertEqual({rule}, {v["rule"] for v in verdict.violations}, verdict.violations)
        text = " ".join(v["what"] for v in verdict.violations)
        for word in words:
            self.assertIn(word, text)
        return verdict.violations

    # The register

    def test_stale_read(self):
        story = begun()
        old = story.position()
        args = story.next_args()
        story.answer(story.call("set", **args), value={"generation": 4,
                                                       "transition": args["transition"]})
        call = story.call("read")
        story.answer(call, value=old)
        story.take(args)
        found = self.bad(story.finals(), "register", "found an earlier generation")
        self.assertIn(call, found[0]["operations"])

    def test_certificate_under_a_superseded_manifest(self):
        story = begun()
        story.set()
        story.issue(generation=3, mesh="mesh-1-3")
        self.bad(story.finals(), "register")

    def test_superseded_certificate_whose_mesh_ca_nobody_else_saw(self):
        story = begun()
        story.set()
        story.set()
        story.issue(generation=4, epoch=None, mesh="mesh-1-4")
        self.bad(story, "register", "found an earlier generation")

    def test_two_winners(self):
        story = begun()
        args = story.next_args()
        first, second = story.call("set", **args), story.call(
            "set", **dict(args, manifest=name("x"), transition=name("x")))
        story.answer(first, value={"generation": 4, "transition": args["transition"]})
        story.answer(second, value={"generation": 4, "transition": name("x")})
        self.bad(story, "register", "two transitions")

    def test_read_from_nowhere(self):
        story = begun()
        story.read(generation=4, transition=name("nowhere"), mesh="mesh-1-4")
        self.bad(story, "register", "nobody set it")

    def test_effect_after_failure(self):
        story = begun()
        args = story.next_args()
        story.answer(story.call("set", **args), "fail", error="62: not signed")
        story.take(args)
        story.read()
        self.bad(story.finals(), "register", "had failed for certain")

    def test_refused_for_no_reason(self):
        story = begun()
        story.answer(story.call("set", **story.next_args()), "fail", error="CHANGED: no")
        self.bad(story.finals(), "register", "nothing had changed")

    def test_another_previous(self):
        story = begun()
        args = dict(story.next_args(), previous=name("other"))
        story.answer(story.call("set", **args), value={"generation": 4,
                                                       "transition": args["transition"]})
        self.bad(story, "register", "followed")

    # Lost

    def test_lost_at_one_replica(self):
        story = begun()
        story.final("coordinator-1")
        story.final("coordinator-2", history=story.chain[:2], generation=2)
        self.bad(story, "lost", "coordinator-2")

    def test_lost_everywhere(self):
        story = begun()
        story.chain.pop()
        self.bad(story.finals(), "lost", "generation 3")

    def test_another_manifest_at_its_place(self):
        story = begun()
        story.chain[2] = [3, name("other"), name("m")]
        self.bad(story.finals(), "lost", "generation 3")

    def test_replicas_end_apart_where_no_client_looked(self):
        for chains in (([4, "a"], [4, "b"]), ([4, "a"], None)):
            story = begun()
            story.set("unknown", takes=False)
            rows = [[[g, name(t), name("m")]] if g else []
                    for g, t in (chain or (0, 0) for chain in chains)]
            for number, row in enumerate(rows, 1):
                story.final(f"coordinator-{number}", history=story.chain + row)
            self.bad(story, "lost", "coordinator-2 ends with")

    def test_what_a_reader_was_told_is_lost(self):
        story = begun()
        story.set("unknown")
        story.read()
        story.chain.pop()
        self.bad(story.finals(), "lost", "confirmed to a reader")

    def test_another_root_at_rest(self):
        story = begun()
        story.final()
        story.final("coordinator-2", ledger={"size": 6, "root": "ee"})
        self.bad(story, "ledger", "coordinator-2 ends with another root")

    def test_ledger_is_shorter_at_rest(self):
        story = begun()
        story.size -= 1
        self.bad(story.finals(), "lost", "ends with a ledger of 5")

    # Certificates, ledger, proofs, denials, keys

    def test_one_index_twice(self):
        story = begun()
        first, second = story.call("issue"), story.call("issue")
        for call, serial in ((first, "01"), (second, "02")):
            story.answer(call, value={"generation": 3, "index": 9, "serial": serial * 16})
        self.bad(story, "issue", "one index")

    def test_an_earlier_index_later(self):
        story = begun()
        story.issue(index=9)
        story.issue(index=8)
        self.bad(story, "issue", "had been given out")

    def test_one_serial_twice(self):
        story = begun()
        story.issue(serial="01" * 16)
        story.issue(serial="01" * 16)
        self.bad(story, "issue", "serial")

    def test_two_roots_of_one_size(self):
        story = begun()
        story.read(ledger={"size": 6, "root": "ee"})
        self.bad(story, "ledger", "two roots")

    def test_ledger_goes_back(self):
        story = begun()
        story.read(ledger={"size": 5, "root": name("r", 5)[:32]})
        self.bad(story, "ledger", "ledger's size 5")

    def test_index_goes_back_in_a_status(self):
        story = begun()
        story.answer(story.call("status"), value=dict(story.position(index=1), id=5,
                                                      is_confirmed=True))
        self.bad(story, "ledger", "confirmed index 1")

    def test_proof_of_a_rollback(self):
        story = begun()
        story.answer(story.call("read"), "fail", error="exit 4: ROLLBACK: behind")
        self.bad(story, "proof", "ROLLBACK")

    def test_genuine_evidence_refused(self):
        story = begun()
        story.answer(story.call("read"), "fail", error="exit 3: DENIED: SNP-SIGNATURE")
        self.bad(story, "proof", "SNP-SIGNATURE")

    def test_an_intruder_is_served(self):
        story = begun()
        story.answer(story.call("issue", denied="debug"), value={
            "generation": 3, "index": 3, "serial": "07" * 16})
        self.bad(story, "denied", "debug")

    def test_keys(self):
        for value, words in (({"root": "cc"}, "two root CAs"), ({"mesh": "cc"}, "two mesh CAs"),
                             ({"secret": "cc"}, "two secrets of 'web'")):
            story = begun()
            story.issue(**value)
            self.bad(story, "keys", words)

    def test_one_mesh_ca_in_two_epochs(self):
        story = begun()
        story.recover()
        story.read(mesh="mesh-1-3")
        self.bad(story, "keys", "epochs with one mesh CA")

    # Recoveries

    def test_epoch_without_a_recovery(self):
        story = begun()
        story.read(epoch=2, mesh="mesh-2-3")
        self.assertIn("recovery", {v["rule"] for v in judged(story).violations})

    def test_epoch_does_not_rise(self):
        story = begun()
        story.epoch = 0
        story.recover()
        story.epoch = 1
        self.bad(story, "recovery", "epoch 1 follows 0")

    def test_source_had_more(self):
        story = begun()
        story.event("recovery-source", {"generation": 3, "ledger_size": 6})
        story.recover(2, 4, 1)
        self.bad(story.finals(), "recovery", "generation 2, its source had shown 3",
                 "ledger of 4, its source had shown 6")

    def test_survivor_had_more(self):
        story = begun()
        story.answer(story.call("status"), value=dict(story.position(), id=77,
                                                      is_confirmed=False))
        story.recover(2, 4, 1, mode=1, recipient=f"{77 << 1:016x}" + "0" * 48)
        self.bad(story.finals(), "recovery", "its source had shown 3")

    def test_another_head(self):
        story = begun()
        story.recover(head=name("other"))
        self.bad(story, "recovery", "began with head")

    def test_another_ledger(self):
        story = begun()
        story.recover(ledger={"size": 6, "root": "ee"})
        self.bad(story, "recovery", "another root")

    def test_certificate_below_the_kept_ledger_is_lost(self):
        story = begun()
        story.recover(issued=1)
        story.issue(serial="0f" * 16)
        story.read()
        self.bad(story, "recovery", "certificate 2 was covered")

    def test_a_dead_epoch_confirms(self):
        story = begun()
        old = story.position(), dict(story.position(), generation=3)
        story.event("recovery-source", {"generation": 3, "ledger_size": 6, "old_is_dead": True})
        story.recover()
        story.answer(story.call("read"), value=old[0])
        self.bad(story, "recovery", "which was dead")

    def test_acknowledged_before_is_lost_after_a_survivor_kept_it(self):
        story = begun()
        story.recover()
        story.chain[1] = [2, name("other"), name("m")]
        self.bad(story.finals(), "lost", "generation 2")

    def test_the_fault_that_was_in_stands_beside(self):
        story = begun()
        story.line(kind="fault", id=9000, name="kill-leader", targets=["coordinator-1"])
        story.count = 9000
        story.read(ledger={"size": 6, "root": "ee"})
        self.assertEqual("kill-leader", judged(story).violations[0]["fault"])


# --- Files


class Files(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.path = os.path.join(self.dir.name, "history.jsonl")

    def write(self, *lines):
        with open(self.path, "wb") as file:
            file.write(b"".join(lines))

    def test_what_the_recorder_writes_is_read(self):
        with history.History(self.path) as recorder:
            call = recorder.call("a", "read", "coordinator-1")
            fault = recorder.fault("cut", ["coordinator-1"])
            recorder.fail(call, "x" * 5000)
            recorder.healed(fault)
            recorder.event("phase", "rest")
            recorder.call("a", "set", "coordinator-1", {"generation": 1})
        recorder.ok(recorder.call("a", "read", "late"), {})  # after close: dropped
        counts = history.validate(self.path)
        self.assertEqual({"call": 2, "return": 1, "fault": 1, "healed": 1, "event": 1,
                          "pending": 1}, counts)
        with self.assertRaises(FileExistsError):
            history.History(self.path)

    def test_what_shows_at_the_end_stands_where_it_happened(self):
        story = begun()
        story.line(kind="fault", id=9000, name="cut", targets=[])
        story.count = 9000
        read = story.read(generation=1, transition=story.chain[0][1], mesh="mesh-1-1")
        at = story.at
        story.line(kind="healed", id=9000)
        story.read()
        self.write(*(json.dumps(line).encode() + b"\n" for line in story.lines))
        found = checker.check(self.path).violations
        self.assertEqual([("register", at, "cut")],
                         [(v["rule"], v["at"], v["fault"]) for v in found])
        self.assertIn(read, found[0]["operations"])

    def test_every_prefix_is_a_history(self):
        with history.History(self.path) as recorder:
            for _ in range(3):
                recorder.ok(recorder.call("a", "status", "coordinator-1"), {"state": "voter"})
        with open(self.path, "rb") as file:
            whole = file.read()
        for size in range(len(whole)):
            self.write(whole[:size])
            self.assertEqual(whole[:size].count(b"\n"), sum(1 for _ in history.read(self.path)))
            checker.check(self.path)

    def test_values_that_no_client_writes(self):
        story = begun()
        table = (("read", story.position(generation=10**9)), ("read", {}), ("issue", {"index": -1}),
                 ("read", story.position(generation=-1)), ("read", story.position(ledger=5)),
                 ("issue", {"generation": 3, "index": -5, "serial": "00"}),
                 ("issue", {"generation": 3, "index": 5, "serial": "no"}),
                 ("set", {"generation": "4", "transition": "x"}))
        for op, value in table:
            story = begun()
            story.answer(story.call(op), value=value)
            self.write(*(json.dumps(line).encode() + b"\n" for line in story.lines))
            with self.assertRaises(history.Malformed, msg=value) as caught:
                checker.check(self.path)
            self.assertIn(f"line {len(story.lines)}, or one before", str(caught.exception))

    def test_damaged_bytes_end_in_a_verdict_or_in_malformed(self):
        story = begun()
        story.event("recovery-source", {"generation": 2, "ledger_size": 4})
        story.recover(2, 4, 1, mode=1)
        story.set()
        story.issue()
        story.answer(story.call("status"), value=dict(story.position(), id=5, is_confirmed=True))
        story.finals()
        good = b"".join(json.dumps(line).encode() + b"\n" for line in story.lines)
        rng, refused = random.Random(3), 0
        for _ in range(DAMAGES):
            bad = bytearray(good)
            for _ in range(rng.randint(1, 3)):
                at = rng.randrange(len(bad))
                if rng.random() < 0.5:
                    bad[at] = rng.choice(b'0123456789abc"{}[],:- ')
                else:
                    del bad[at : at + rng.randint(1, 12)]
            self.write(bytes(bad))
            try:
                checker.check(self.path)
            except history.Malformed:
                refused += 1
        self.assertGreater(refused, DAMAGES // 3)
        self.assertLess(refused, DAMAGES)

    def test_bad_lines_by_number(self):
        good = b'{"kind":"call","id":1,"client":"a","op":"read","target":"b","args":{},"at":1}\n'
        table = (
            (b"nothing\n", "line 2"), (b"[]\n", "known kind"), (b'{"kind":"x","at":1}\n', "kind"),
            (b'{"kind":"healed","id":1}\n', "'at'"),
            (b'{"kind":"healed","id":1,"at":2}\n', "fault 1"),
            (b'{"kind":"return","id":1,"at":2}\n', "'outcome'"),
            (b'{"kind":"return","id":1,"outcome":"maybe","at":2}\n', "maybe"),
            (b'{"kind":"return","id":1,"outcome":"ok","value":[],"at":2}\n', "no object"),
            (b'{"kind":"return","id":2,"outcome":"ok","at":2}\n', "call 2"),
            (b'{"kind":"return","id":1,"outcome":"ok","at":0}\n', "goes back"),
            (b'{"kind":"event","name":7,"value":1,"at":2}\n', "'name'"),
            (good, "not new"), (good.replace(b"read", b"eat").replace(b"1,", b"2,", 1), "eat"),
            (b'{"a":"' + b"x" * history.LINE_MAX + b'"}\n', "over"),
        )
        for line, words in table:
            self.write(good, line)
            with self.assertRaises(history.Malformed) as caught:
                history.validate(self.path)
            self.assertIn(words, str(caught.exception))

    def test_a_million_operations(self):
        """In a process of its own, whose time and memory the system counts."""
        write_many(self.path, MANY)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        done = subprocess.run([sys.executable, "-B", checker.__file__, self.path],
                              capture_output=True, check=False, timeout=600)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.assertEqual(0, done.returncode, done.stdout[-2000:] + done.stderr[-2000:])
        figures = json.loads(done.stdout)["figures"]
        self.assertEqual(MANY, sum(sum(c.values()) for c in figures["operations"].values()))
        print(f"{MANY} operations: {after.ru_utime - before:.1f} s, {after.ru_maxrss >> 10} MB")
        self.assertLess(after.ru_maxrss >> 10, MANY_MB)


CALL = '{"kind":"call","id":%d,"client":"a","op":"%s","target":"b","args":%s,"at":%d}\n'
RETURN = '{"kind":"return","id":%d,"outcome":"ok","value":%s,"at":%d}\n'


def write_many(path, count):
    """A calm life of a thousand manifests, in lines made by hand: it is to be read, not written."""
    story, rng = Story(), random.Random(1)
    with open(path, "w", encoding="utf-8") as file:
        for number in range(1, count + 1):
            if number % (count // 1000) == 1:
                args = story.next_args()
                story.count = number
                story.take(args)
                values = json.dumps(args)
                file.write(CALL % (number, "set", values, 2 * number))
            elif rng.random() < 0.4:
                story.issued, story.size = story.issued + 1, story.size + 1
                story.index += 1
                values = json.dumps({"generation": story.generation, "epoch": 1,
                                     "index": story.issued, "serial": f"{story.issued:032x}"[::-1]})
                file.write(CALL % (number, "issue", "{}", 2 * number))
            else:
                values = json.dumps(story.position())
                file.write(CALL % (number, "read", "{}", 2 * number))
            file.write(RETURN % (number, values, 2 * number + 1))
        story.at, story.lines = 2 * count + 1, []
        story.finals()
        file.writelines(json.dumps(line) + "\n" for line in story.lines)


if __name__ == "__main__":
    unittest.main(verbosity=2)
