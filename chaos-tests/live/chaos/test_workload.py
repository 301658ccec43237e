"""Clients: what they compute against other implementations, and a whole deployment for a while.

The second part needs a Lab; without the rights for one it is skipped, with CI=true it fails.

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import unittest

import lab as labs  # first: it says where harness and wire are
import attested
import availability
import checker
import client_programs
import cluster as clusters
import harness
import history
import setters
import wire
import workload

VECTORS = os.path.join(harness.ROOT, "docs", "vectors")


def vectors(name):
    with open(os.path.join(VECTORS, name), encoding="utf-8") as file:
        return json.load(file)


class Formulas(unittest.TestCase):
    def test_paths_lead_to_the_report_data_of_the_vectors(self):
        leaves = 0
        for report in vectors("attest.json")["reports"]:
            for leaf in report["leaves"]:
                path = bytes.fromhex(leaf["path"])
                wanted = bytes.fromhex(report["report_data"])
                args = (bytes.fromhex(leaf["leaf"]), leaf["index"], report["leaf_count"])
                self.assertEqual(wanted, attested._root_data(
                    attested.root_of(*args, path), report["leaf_count"]))
                for bad in (path[:-48], path + bytes(48)):
                    if bad != path:
                        with self.assertRaises(attested.Unbound):
                            attested.root_of(*args, bad)
                leaves += 1
        self.assertGreater(leaves, 5)

    def test_leaves_of_the_vectors(self):
        checked = 0
        for leaf in vectors("attest.json")["leaves"]:
            raw = {k: bytes.fromhex(v) for k, v in leaf.items() if isinstance(v, str)}
            if leaf["purpose"] == attested.SESSION:
                self.assertEqual(attested._root_data(raw["leaf"], 1), attested.report_data(
                    leaf["side"], leaf["kind"], raw["nonce"], raw["exporter"], raw["spki"],
                    raw["statement"]))
                checked += 1
        self.assertGreater(checked, 1)

    def test_certificate_tables(self):
        guid = bytes.fromhex(attested.GUID_VCEK.replace("-", ""))
        entry = guid + (48).to_bytes(4, "little") + (3).to_bytes(4, "little")
        table = entry + bytes(24) + b"vek"
        self.assertEqual({attested.GUID_VCEK: b"vek"}, attested.certificates_of(table))
        for size in range(len(table)):  # every prefix: an answer or ValueError
            try:
                self.assertIn(attested.certificates_of(table[:size]), ({}, ))
            except ValueError as error:
                self.assertIn("behind the table", str(error))

    def test_positions_of_programs_without_json(self):
        done = harness.Done(1, "", "warning\nlast words\n")
        self.assertEqual(("", "last words"), client_programs.words_of(done))
        done = harness.Done(3, json.dumps({"error": {"code": "CHANGED", "text": "x"}}), "")
        self.assertEqual(("CHANGED", "x"), client_programs.words_of(done))


class Exporter(unittest.TestCase):
    """The exporter as openssl(1) prints it at the other end."""

    def test_both_hashes(self):
        with tempfile.TemporaryDirectory() as folder:
            key, crt = (os.path.join(folder, n) for n in ("key", "crt"))
            harness.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt,
                            "-subj", "/CN=x", "-days", "2")
            identity = attested.Identity(crt, key)
            for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"):
                self.check(identity, crt, key, suite)
            identity.close()

    def check(self, identity, crt, key, suite):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", crt, "-key", key,
             "-tls1_3", "-ciphersuites", suite, "-num_tickets", "0", "-Verify", "1", "-naccept",
             "1", "-keymatexport", attested.EXPORTER.decode(), "-keymatexportlen", "32"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            def connect():
                try:
                    return attested.Session("127.0.0.1", port, identity)
                except OSError:
                    return None
            with harness.wait_until(connect, 20, "openssl serves") as session:
                mine, peer = session.exporter, session.peer
                self.assertEqual(suite, session.sock.cipher()[0])
                session.sock.shutdown(socket.SHUT_WR)
            said = server.communicate(b"Q\n", timeout=20)[0].decode(errors="replace")
        finally:
            server.kill()
            server.wait()
        found = re.search(r"Keying material: ([0-9A-F]{64})", said)
        self.assertTrue(found, said)
        self.assertEqual(found[1], mine.hex().upper())
        self.assertEqual(harness.openssl("pkey", "-in", key, "-pubout", "-outform", "DER"), peer)


# --- Owners, against replicas of paper


class PaperHistory:
    def __init__(self):
        self.lines = []

    def call(self, *args):
        self.lines.append(args)
        return len(self.lines)

    def ok(self, call, value):
        self.lines.append(("ok", value))

    def fail(self, call, error):
        self.lines.append(("fail", error))

    def unknown(self, call, error):
        self.lines.append(("unknown", error))


class PaperPlace:
    """Replicas that answer a set as they are told to; one register behind them."""

    def __init__(self):
        self.history, self.answers, self.epoch = PaperHistory(), [], 1
        self.head, self.generation, self.records = b"\1" * 32, 1, [b"first"]

    def names(self):
        return ["coordinator-1", "coordinator-2"]

    def session(self, *_):
        return PaperSession(self)

    def position(self, session):
        return session.position()

    def take(self, manifest):
        self.records.append(manifest)
        self.generation += 1
        self.head = hashlib.sha256(manifest).digest()


class PaperSession:
    def __init__(self, place):
        self.place = place

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def position(self):
        p = self.place
        return {"epoch": p.epoch, "generation": p.generation, "head": p.head, "cluster": bytes(32),
                "is_confirmed": True}

    def ask(self, kind, fields):
        if kind == wire.HISTORY:
            return kind, [0, 0, 0, 0, [[self.place.records[fields[0] - 1], b"", b""]]]
        return self.place.answers.pop(0)(self.place, fields)


def acknowledges(place, fields):
    place.take(fields[0])
    return wire.SET_REPLY, [place.head, place.generation, False, "", ""]


def dies(place, fields):
    raise ConnectionResetError("gone")


def takes_and_dies(place, fields):
    place.take(fields[0])
    raise ConnectionResetError("gone")


def another_wins_and_dies(place, fields):
    place.take(b"another")
    raise ConnectionResetError("gone")


def refuses(code):
    def answer(place, fields):
        raise wire.Refused([code, "no", 0, "", "", "", "", ""])
    return answer


def came_about_and_was_superseded(place, fields):
    place.take(b"mine")
    place.take(b"another")
    raise wire.Refused([setters.CHANGED, "no", 0, "", "", "", "", ""])


def another_won_meanwhile(place, fields):
    place.take(b"another")
    raise wire.Refused([setters.CHANGED, "no", 0, "", "", "", "", ""])


class Key:
    spki = b"key"

    def sign(self, transition):
        return b"signature"


class Owners(unittest.TestCase):
    """What an owner concludes, whatever happens to its set."""

    def outcome(self, *answers, epoch=None):
        place = PaperPlace()
        place.answers = list(answers)
        setter = setters.Setter.__new__(setters.Setter)
        setter.place, setter.label, setter.history = place, "owner", place.history
        setter.identity, setter.rng = None, random.Random(1)
        with PaperSession(place) as session:
            fields = session.position()
            attempt = setters.Attempt(fields, Key(), b"mine", hashlib.sha256(b"mine").digest())
            if epoch:
                place.epoch = epoch
            kind, detail = setter.try_all(session, attempt, place.names())
        return kind, detail, place

    def test_table(self):
        table = (
            ((acknowledges,), "ok"),
            ((refuses(setters.CHANGED),), "fail"),
            ((refuses(62),), "fail"),
            ((dies, acknowledges), "ok"),
            ((takes_and_dies,), "ok"),
            ((another_wins_and_dies,), "fail"),
            ((refuses(11), acknowledges), "ok"),
            ((dies, dies, takes_and_dies), "ok"),
            ((dies, dies, dies, dies), "unknown"),
            ((dies, another_won_meanwhile), "fail"),
            ((dies, came_about_and_was_superseded), "ok"),
            ((dies, refuses(62), refuses(62), refuses(62)), "unknown"),
        )
        for answers, wanted in table:
            kind, detail, place = self.outcome(*answers)
            self.assertEqual(wanted, kind, (answers, detail))
            self.assertEqual([], place.answers, answers)
            self.assertEqual(kind == "ok", b"mine" in place.records)

    def test_an_epoch_that_begins_leaves_it_open(self):
        kind, detail, _ = self.outcome(dies, epoch=2)
        self.assertEqual("unknown", kind)
        self.assertIn("epoch 2", detail)


# --- Everything together


class Deployment(unittest.TestCase):
    def setUp(self):
        why = labs.missing()
        if why and os.environ.get("CI") == "true":
            self.fail(why)
        if why:
            self.skipTest(why)
        self.dir = tempfile.mkdtemp(prefix="contrast-load.")
        self.addCleanup(harness.shutil.rmtree, self.dir, True)

    def test_clients_live_through_the_death_of_the_leader(self):
        path = os.path.join(self.dir, "history.jsonl")
        pace = workload.Pace(setters=(2, 0.6), set_programs=(1, 1.0), verify_programs=(1, 1.0),
                             crowds=(1, 3.0))
        with history.History(path) as recorder, labs.Lab(hosts=3) as room:
            with clusters.Cluster(room, replicas=3, share_owners=("ann",),
                                  on_event=recorder.event) as cluster:
                cluster.found()
                load = workload.Workload(cluster, recorder, 1, self.dir, pace)
                load.start()
                self.wait_sets(path, 6)
                leader = cluster.leader()
                fault = recorder.fault("kill-leader", [f"coordinator-{leader}"])
                cluster.send(leader, signal.SIGKILL)
                self.wait_sets(path, 14)
                cluster.wait_rest()
                recorder.healed(fault)
                load.stop()
                load.final_reads()
        self.judge(path)

    @staticmethod
    def wait_sets(path, count):
        def are_there():
            calls = {line["id"] for line in history.read(path)
                     if line["kind"] == "call" and line["op"] == "set"}
            return count <= sum(line["kind"] == "return" and line["id"] in calls
                                and line["outcome"] == "ok" for line in history.read(path))
        harness.wait_until(are_there, 90, f"{count} manifests are set")

    def judge(self, path):
        bugs = [line["value"] for line in history.read(path)
                if line["kind"] == "event" and line["name"] in ("bug", "final-missing")]
        self.assertEqual([], bugs)
        verdict = checker.check(path)
        self.assertEqual([], verdict.violations)
        figures = verdict.figures
        self.assertEqual(3, figures["finals"])
        self.assertGreaterEqual(figures["generations"], 14)
        for op in ("read", "issue", "set", "status"):
            self.assertGreater(figures["operations"][op]["ok"], 10, op)
        clients_that_worked = self.successful(path)
        for label in ("owner-1", "owner-2", "set-1", "init-1", "verify-coordinator-1",
                      "pod-coordinator-2-1", "waiter-coordinator-3-1", "crowd-1", "sidecar-1"):
            self.assertIn(label, clients_that_worked)
        self.assertFalse([c for c in clients_that_worked if c.startswith("intruder")])
        self.assertEqual(1, len(availability.measure(path)["faults"]))

    @staticmethod
    def successful(path):
        pairing, found = history.Pairing(), set()
        for line in history.read(path):
            call = pairing.take(line)
            if line["kind"] == "return" and line["outcome"] == "ok":
                found.add(call["client"])
        return found


if __name__ == "__main__":
    unittest.main(verbosity=2)
