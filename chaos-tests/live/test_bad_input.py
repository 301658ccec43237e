"""What `contrast set` and `contrast verify` must refuse, and that a refusal changes nothing.

One cluster serves all tests; each checks the head before and after.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import shutil
import unittest

import harness
import owner
import wire
from harness import LiveTest, openssl, read, write


class BadInput(LiveTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = harness.Cluster(cls.site, "shared")
        try:
            cls.shared.start_all(1, 2, 3)
            cls.site.must(cls.shared.set(1))
            cls.site.must(cls.shared.verify(1))
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.shared.end()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.before = self.heads()

    def heads(self):
        return [(s["generation"], s["head"]) for s in map(self.shared.status, (1, 2, 3)) if s]

    def unchanged(self):
        self.assertEqual(3, len(self.before))
        self.assertEqual(self.before, self.heads())

    def workspace(self):
        """A copy of the owner's workspace, to spoil."""
        path = os.path.join(self.site.dir, f"copy-{self._testMethodName}")
        shutil.copytree(self.shared.app, path)
        return path

    def contrast(self, command, app, *args, at=1):
        return self.site.run([harness.program("contrast"), command, "--workspace", app, "-c",
                              self.shared.user(at), *args])

    def changed(self, change):
        """A workspace with another manifest: `change` edits the parsed one."""
        app = self.workspace()
        path = os.path.join(app, "manifest.json")
        manifest = json.loads(read(path))
        change(manifest)
        write(path, json.dumps(manifest, indent=2))
        return app

    @staticmethod
    def add_name(manifest, name="another.example"):
        for entry in manifest["Policies"].values():
            if entry.get("Role") != "coordinator":
                entry["SANs"].append(name)

    def foreign_key(self, app):
        path = os.path.join(app, "foreign-owner.pem")
        write(path, openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"))
        os.chmod(path, 0o600)
        return path

    # Manifests that are none

    def refuse_manifest(self, content, *words):
        app = self.workspace()
        bad = os.path.join(app, "bad.json")
        write(bad, content)
        done = self.expect(2, self.contrast("set", app, "-m", bad, app), *words)
        self.assertEqual("", done.out)
        self.unchanged()

    def test_manifest_null(self):
        self.refuse_manifest(b"null", "bad.json")

    def test_manifest_empty(self):
        self.refuse_manifest(b"", "bad.json")

    def test_manifest_of_17_mib(self):
        self.refuse_manifest(b'{"Policies": {}, "x": "' + b"y" * (17 << 20) + b'"}', "bad.json")

    def test_manifest_cut_off(self):
        self.refuse_manifest(self.shared.manifest()[:-40], "bad.json")

    def test_manifest_missing(self):
        app = self.workspace()
        self.expect(2, self.contrast("set", app, "-m", os.path.join(app, "none.json"), app),
                    "none.json")
        self.unchanged()

    def test_policy_without_yaml(self):
        app = self.workspace()
        self.expect(2, self.contrast("set", app, os.path.join(app, "web.yaml")))
        self.unchanged()

    def test_malformed_manifest_past_the_cli(self):
        """The server parses too: a client of our own sends what `contrast` would not."""
        manifests = {"null": b"null", "empty": b"", "not JSON": b"\xff\xfe{}",
                     "deep": b"[" * 5000}
        for name, manifest in manifests.items():
            with self.subTest(name), self.shared.session(2) as session:
                session.attest(os.urandom(32))
                head = session.status()["head"]
                with self.assertRaises(wire.Refused):
                    session.ask(wire.SET, [manifest, head, b"k", b"s"])
                session.status()
        self.unchanged()

    # Sets that are not permitted

    def test_stale_transition(self):
        app = self.changed(self.add_name)
        self.expect(3, self.contrast("set", app, "--latest-transition", "00" * 32, app),
                    "changed since you looked")
        self.unchanged()

    def test_stale_transition_past_the_cli(self):
        app = self.changed(self.add_name)
        key = owner.Owner(os.path.join(app, "workload-owner.pem"))
        with self.shared.session(3) as session, self.assertRaises(wire.Refused) as refused:
            owner.set_manifest(session, app, key, previous=bytes(32))
        self.assertIn("changed since you looked", str(refused.exception))
        self.unchanged()

    def test_foreign_key(self):
        app = self.changed(self.add_name)
        self.expect(3, self.contrast("set", app, "--workload-owner-key", self.foreign_key(app),
                                     app))
        self.unchanged()

    def test_foreign_key_past_the_cli(self):
        app = self.changed(self.add_name)
        key = owner.Owner(self.foreign_key(app))
        with self.shared.session(1) as session, self.assertRaises(wire.Refused) as refused:
            owner.set_manifest(session, app, key)
        self.assertEqual(62, refused.exception.fields["code"])
        self.unchanged()

    def test_signature_over_another_manifest(self):
        app = self.changed(self.add_name)
        key = owner.Owner(os.path.join(app, "workload-owner.pem"))
        with self.shared.session(1) as session:
            session.attest(os.urandom(32))
            status = session.status()
            signature = key.sign(wire.transition(
                status["cluster"], 1, status["generation"] + 1, status["head"],
                self.shared.manifest(), owner.hashes_of(self.shared.manifest())))
            with self.assertRaises(wire.Refused) as refused:
                session.ask(wire.SET, [read(os.path.join(app, "manifest.json")), status["head"],
                                       key.spki, signature])
        self.assertEqual(62, refused.exception.fields["code"])
        self.unchanged()

    def test_policy_that_was_not_asked_for(self):
        app = self.changed(lambda m: m["Policies"].update({"ab" * 32: {
            "SANs": ["new"], "WorkloadSecretID": "new"}}))
        key = owner.Owner(os.path.join(app, "workload-owner.pem"))
        wanted = {bytes.fromhex("ab" * 32): b"another policy"}
        with self.shared.session(1) as session, self.assertRaises(wire.Refused) as refused:
            session.attest(os.urandom(32))
            status = session.status()
            manifest = read(os.path.join(app, "manifest.json"))
            following = wire.transition(status["cluster"], 1, status["generation"] + 1,
                                        status["head"], manifest, owner.hashes_of(manifest))
            owner.upload(session, wanted, wire.SET,
                         [manifest, status["head"], key.spki, key.sign(following)])
        self.assertIn("not asked for", str(refused.exception))
        self.unchanged()

    def refuse_for_members(self, change):
        """Through the CLI and past it: a manifest that no member satisfies, refused with names."""
        app = self.changed(change)
        self.expect(3, self.contrast("set", app, app), "coordinator-1")
        key = owner.Owner(os.path.join(app, "workload-owner.pem"))
        with self.shared.session(2) as session, self.assertRaises(wire.Refused) as refused:
            owner.set_manifest(session, app, key)
        for name in ("coordinator-1", "coordinator-2", "coordinator-3"):
            self.assertIn(name, str(refused.exception))
        self.unchanged()

    def test_manifest_with_another_measurement(self):
        def change(manifest):
            manifest["ReferenceValues"]["snp"][0]["TrustedMeasurement"] = "ab" * 48
        self.refuse_for_members(change)

    def test_manifest_with_another_chip(self):
        def change(manifest):
            manifest["ReferenceValues"]["snp"][0]["AllowedChipIDs"] = ["cd" * 64]
        self.refuse_for_members(change)

    def test_second_founding(self):
        app = self.workspace()
        key = owner.Owner(os.path.join(app, "workload-owner.pem"))
        with self.shared.session(1) as session, self.assertRaises(wire.Refused) as refused:
            owner.found(session, app, key, 3)
        self.assertEqual(64, refused.exception.fields["code"])
        self.unchanged()

    # What must succeed

    def test_same_set_again(self):
        app = self.workspace()
        for at in (1, 2, 3):
            self.expect(0, self.contrast("set", app, app, at=at), "was active before")
        self.unchanged()

    def test_dry_run(self):
        app = self.changed(self.add_name)
        self.expect(0, self.contrast("set", app, "--dry-run", app))
        self.unchanged()

    # Verification

    def remember(self, change):
        """A workspace that remembers another last position than it should: the exit code is 4, and
        what it remembers stays."""
        app = self.workspace()
        path = os.path.join(app, "verify", "last-position.json")
        position = json.loads(read(path))
        change(position)
        write(path, json.dumps(position))
        done = self.expect(4, self.contrast("verify", app))
        self.assertEqual(position, json.loads(read(path)))
        return done

    def test_verify_of_a_cluster_that_was_rolled_back(self):
        def change(position):
            position["confirmed_index"] += 1000
        self.remember(change)

    def test_verify_of_a_cluster_that_was_forked(self):
        def change(position):
            position["ledger_root"] = "00" * 48
        self.remember(change)

    def test_verify_of_a_history_that_lost_its_head(self):
        def change(position):
            position["head"] = "11" * 32
        self.remember(change)

    def test_verify_against_another_manifest(self):
        app = self.changed(self.add_name)
        self.expect(3, self.contrast("verify", app), "Policies")
        self.unchanged()

    def test_verify_by_an_owner_that_did_not_found(self):
        def change(manifest):
            manifest["WorkloadOwnerKeyDigests"] = ["ef" * 32]
        app = self.changed(change)
        shutil.rmtree(os.path.join(app, "verify"))
        self.expect(3, self.contrast("verify", app))

    def test_verify_of_a_cluster_that_somebody_else_founded(self):
        other = harness.Cluster(self.site, "other", peers=0)
        self.clusters.append(other)
        for name in ("workload-owner.pem", "manifest.json"):
            os.unlink(other.path(name))
        reference = os.path.join(self.site.dir, "machine", "reference-values.json")
        self.site.must(other.contrast(
            "generate", "--skip-images", "--reference-values", reference, other.app))
        other.trust["CONTRAST_OWNER_KEY_DIGESTS"] = ",".join(
            json.loads(other.manifest())["WorkloadOwnerKeyDigests"])
        other.start_all(8)
        self.expect(0, other.set(8, options=["--replicas", "1"]))
        self.expect(0, other.verify(8))
        app = self.workspace()
        for step in ("with what it remembers", "without"):
            with self.subTest(step):
                self.expect(3, self.contrast("verify", app, at=8))
            shutil.rmtree(os.path.join(app, "verify"), ignore_errors=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
