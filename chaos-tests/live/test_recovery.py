"""A deployment that died goes on: from a sealed checkpoint, and from a survivor.

Two of three share owners, each with a workspace of its own. What must not change: root CA, workload
secrets, history. What must: epoch and mesh CA. And every way to abuse it is refused with its reason.

SPDX-License-Identifier: Apache-2.0
"""

import base64
import hashlib
import json
import os
import shutil
import signal
import struct
import time
import unittest

import wire
from harness import LiveTest, openssl, policy_of, program, read, wait_until, write
from test_renewal import Sidecar

OWNERS = ("alice", "bob", "carol")


class Recovery(LiveTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = {name: cls.make_share_key(name) for name in (*OWNERS, "mallory")}

    @classmethod
    def make_share_key(cls, name):
        """(private, public) PEM of an RSA key."""
        private, public = (os.path.join(cls.site.dir, f"share-{name}.{end}") for end in
                           ("pem", "pub.pem"))
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", private)
        os.chmod(private, 0o600)
        openssl("pkey", "-in", private, "-pubout", "-out", public)
        return private, public

    # --- Workspaces and commands

    def shared(self, *numbers, peers=3):
        """A founded deployment with three share owners, and a workspace for each."""
        c = self.cluster(peers=peers)
        added = [part for name in OWNERS for part in
                 ("--add-seedshare-owner-key", self.keys[name][1])]
        manifest = json.loads(c.manifest())
        manifest["SeedshareOwnerPubKeys"] = []  # the one that generate made by itself
        write(c.path("manifest.json"), json.dumps(manifest))
        self.site.must(c.contrast("generate", "--skip-images", *added, c.app))
        self.assertEqual(3, len(json.loads(c.manifest())["SeedshareOwnerPubKeys"]))
        c.start_all(*numbers)
        self.expect(0, c.set(numbers[0], options=["--replicas", str(len(numbers))]))
        c.wait_voters(numbers[0], len(numbers))
        self.expect(0, c.verify(numbers[0]))
        return c

    def workspace(self, c, name):
        path = os.path.join(self.site.dir, f"{c.label}-{name}")
        if not os.path.exists(path):
            shutil.copytree(c.app, path)
        return path

    def recover(self, c, name, number, *options, workspace=None, key=None):
        """Again while the replica's seats are taken by sessions that led to nothing."""
        argv = [program("contrast"), "recover", "--workspace", workspace or self.workspace(c, name),
                "-c", c.user(number), "--share-key", key or self.keys[name][0], *options]
        found = []

        def settled():
            found.append(self.site.run(argv))
            return not any(w in found[-1].err for w in ("sessions are open", "being opened"))
        wait_until(settled, 60, "the replica has a seat")
        return found[-1]

    @staticmethod
    def session_of(done):
        """The id that the first owner passes on."""
        words = (done.out + done.err).replace("=", " ").split()
        return words[words.index("--session") + 1]

    def kill_all(self, c):
        for number in list(c.replicas):
            self.kill(c, number)

    @staticmethod
    def kill(c, number):
        c.replicas[number].signal(signal.SIGKILL)
        c.replicas[number].wait(10)
        del c.replicas[number]

    @staticmethod
    def checkpoint(c):
        return c.path("verify", "checkpoint")

    def secret_of(self, c, name, number):
        """The workload secret that a pod gets."""
        self.expect(0, c.initializer(name, c.path("web.yaml"), number))
        return read(c.pod(name, "secrets", "workload-secret-seed"))

    def epoch(self, c, number):
        return (c.status(number) or {"epoch": 0})["epoch"]

    # --- From a checkpoint

    def test_from_a_checkpoint(self):
        c = self.shared(1, 2, 3)
        before = self.secret_of(c, "before", 1)
        sidecar = Sidecar(c, "sidecar", c.path("backend.yaml"), 1)
        sidecar.wait_generation(1)
        root = read(c.path("verify", "coordinator-root-ca.pem"))
        mesh = read(c.path("verify", "mesh-ca.pem"))
        for name in OWNERS:
            self.workspace(c, name)
        self.kill_all(c)
        c.start_all(1, 2, 3)
        first = self.expect(0, self.recover(c, "alice", 1, "--checkpoint", self.checkpoint(c)),
                            "1 of 2")
        session = self.session_of(first)
        self.not_alone(c, session)
        for _ in range(2):  # who did not see the answer asks again
            self.expect(0, self.recover(c, "bob", 1, "--session", session), "epoch 2")
        self.assertEqual(2, self.epoch(c, 1))
        c.wait_voters(1, 3, seconds=40)
        self.expect(0, c.verify(1, 2, 3, options=["--all"]), "epoch 2")
        self.assertEqual(root, read(c.path("verify", "coordinator-root-ca.pem")))
        self.assertNotEqual(mesh, read(c.path("verify", "mesh-ca.pem")))
        self.assertEqual(before, self.secret_of(c, "after", 2))
        wait_until(lambda: sidecar.set()[2] == read(c.path("verify", "mesh-ca.pem")), 60,
                   "the sidecar renews below the new mesh CA")
        sidecar.process.end()
        c.edit_web(5)
        self.expect(0, c.set(3))
        self.goes_on_after_another_death(c)

    def not_alone(self, c, session):
        """One owner is not two, however often that one comes."""
        self.expect(0, self.recover(c, "alice", 1, "--session", session), "1 of 2")
        self.assertEqual("empty", c.status(1)["state"])

    def goes_on_after_another_death(self, c):
        """The checkpoint of a later epoch; the older one does not pass any more."""
        self.expect(0, c.verify(2))
        old = os.path.join(self.site.dir, f"{c.label}-alice", "verify", "checkpoint")
        workspaces = {n: os.path.join(self.site.dir, f"{c.label}-{n}-2") for n in OWNERS}
        for path in workspaces.values():
            shutil.copytree(c.app, path)
        self.kill_all(c)
        c.start_all(2)
        self.expect(4, self.recover(c, "alice", 2, "--checkpoint", old,
                                    workspace=workspaces["alice"]), "epoch")
        first = self.expect(0, self.recover(c, "carol", 2, "--checkpoint", self.checkpoint(c),
                                            workspace=workspaces["carol"]))
        self.expect(0, self.recover(c, "bob", 2, "--session", self.session_of(first),
                                    workspace=workspaces["bob"]), "epoch 3")
        self.assertEqual(2, c.status(2)["generation"])

    def test_what_the_owners_refuse(self):
        """Judged at the owner's machine, before anything is signed."""
        c = self.shared(1, peers=1)
        old = os.path.join(self.site.dir, f"{c.label}.old")
        shutil.copy(self.checkpoint(c), old)
        early = self.workspace(c, "early")  # saw the first manifest alone
        c.edit_web(7)
        self.expect(0, c.set(1))
        self.expect(0, c.verify(1))
        alice = self.workspace(c, "alice")
        new = self.checkpoint(c)
        self.kill_all(c)
        c.start_all(1)
        self.expect(4, self.recover(c, "alice", 1, "--checkpoint", old), "generation")
        self.expect(3, self.recover(c, "alice", 1, "--checkpoint", self.foreign_checkpoint()),
                    "another deployment")
        self.assertIn(self.recover(c, "alice", 1, "--checkpoint", new,
                                   key=self.keys["mallory"][0]).code, (1, 2))
        first = self.expect(0, self.recover(c, "early", 1, "--checkpoint", self.cut(new),
                                            workspace=early, key=self.keys["alice"][0]))
        self.expect(3, self.recover(c, "bob", 1, "--session", self.session_of(first)), "failed")
        self.kill_all(c)
        self.start_changed(c)
        self.expect(3, self.recover(c, "alice", 1, "--checkpoint", new, workspace=alice), "policy")

    def foreign_checkpoint(self):
        other = self.shared(5, peers=5)
        path = os.path.join(self.site.dir, "foreign.checkpoint")
        shutil.copy(self.checkpoint(other), path)
        self.kill_all(other)
        return path

    def cut(self, path):
        """The same header, and a payload with one bit changed: only k shares together can tell."""
        changed = bytearray(read(path))
        changed[len(changed) // 2 + 6000] ^= 1
        write(path + ".changed", bytes(changed))
        return path + ".changed"

    def start_changed(self, c, number=1):
        """A replica that runs under another policy: one line more."""
        path = c.path("coordinator.yaml")
        before = read(path)
        policy = policy_of(path)
        write(path, before.replace(base64.b64encode(policy),
                                   base64.b64encode(policy + b"# one line more\n")))
        self.assertNotEqual(policy, policy_of(path))
        c.start_all(number)
        write(path, before)

    def test_a_recipient_that_dies(self):
        """Nothing has happened before the last contribution: a higher epoch, at any replica."""
        c = self.shared(1, peers=2)
        for name in OWNERS:
            self.workspace(c, name)
        self.kill_all(c)
        c.start_all(1)
        first = self.expect(0, self.recover(c, "alice", 1, "--checkpoint", self.checkpoint(c)))
        self.kill(c, 1)
        c.start_all(1, 2)
        lost = self.recover(c, "bob", 1, "--session", self.session_of(first))
        self.assertNotEqual(0, lost.code)
        again = self.expect(0, self.recover(c, "alice", 2, "--checkpoint", self.checkpoint(c)),
                            "epoch       3")
        self.expect(0, self.recover(c, "carol", 2, "--session", self.session_of(again)), "epoch 3")
        wait_until(lambda: self.epoch(c, 1) == 3, 40, "the other one joins")

    def test_killed_at_each_step(self):
        """SIGKILL between any two answers: the next try, under a higher epoch, finds everything."""
        c = self.shared(1, peers=1)
        c.edit_web(11)
        self.expect(0, c.set(1))
        file = read(self.checkpoint(c))
        before = c.status(1)
        steps = ("open", "half", "whole", "one", "all")
        for epoch, last in enumerate(steps, 2):
            self.kill_all(c)
            c.start_all(1)
            with c.session(1, timeout=60) as session:
                session.attest(os.urandom(32))
                self.steps_until(session, file, epoch, last)
        wait_until(lambda: self.epoch(c, 1) == 1 + len(steps), 30, "the last try goes through")
        after = c.status(1)
        for field in ("cluster", "generation", "head"):
            self.assertEqual(before[field], after[field])
        self.assertEqual(before["ledger_size"] + 1, after["ledger_size"])
        self.expect(0, c.verify(1), f"epoch {1 + len(steps)}")

    def steps_until(self, session, file, epoch, last):
        header, _ = split(file)
        if last in ("open", "half"):
            _, reply = session.ask(wire.RECOVER, [2, epoch, header, len(file)])
            if last == "half":
                end = (len(header) + len(file)) // 2
                session.ask(wire.RECOVER_DATA, [reply[0], len(header), file[len(header):end]])
            return
        reply = self.raw_open(session, file, epoch)
        names = {"whole": (), "one": ("carol",), "all": ("carol", "bob")}[last]
        for name in names:
            session.ask(wire.RECOVER_GIVE, [
                reply[0], pkcs1(self.keys[name][0]), open_share(self.keys[name][0], header),
                self.sign(name, reply)])

    def test_another_root_ca(self):
        """A file that anybody can seal, and a deployment that went on from one: its root CA is not the
        one that was verified."""
        c = self.shared(1, peers=1)
        bob = self.workspace(c, "bob")
        os.unlink(os.path.join(bob, "coordinator-root-ca.pem"))  # this workspace verified, no more
        forged = bytearray(read(self.checkpoint(c)))
        forged[len(split(bytes(forged))[0]) - 1] ^= 1
        path = os.path.join(self.site.dir, "forged")
        write(path, bytes(forged))
        self.expect(3, self.recover(c, "bob", 1, "--checkpoint", path), "another root CA")
        root = c.path("verify", "coordinator-root-ca.pem")
        other = read(self.site.certificate[0])
        write(root, other)
        self.expect(3, c.verify(1), "another root CA")
        self.assertEqual(other, read(root))
        os.unlink(root)
        self.expect(0, c.verify(1))

    # --- From a survivor

    def test_from_a_survivor(self):
        c = self.shared(1, 2, 3)
        root = read(c.path("verify", "coordinator-root-ca.pem"))
        for name in OWNERS:
            self.workspace(c, name)
        self.expect(3, self.recover(c, "alice", 1, "--from-survivor"), "quorum")
        self.kill(c, 2)
        c.replicas[3].signal(signal.SIGSTOP)
        old = c.replicas[3]
        wait_until(lambda: not c.status(1)["is_confirmed"], 20, "the survivor has no quorum")
        first = self.expect(0, self.recover(c, "alice", 1, "--from-survivor"), "1 of 2")
        self.expect(0, self.recover(c, "carol", 1, "--session", self.session_of(first)), "epoch 2")
        self.assertEqual(root, read(os.path.join(self.workspace(c, "carol"), "verify",
                                                 "coordinator-root-ca.pem")))
        c.start_all(2, 4)
        c.wait_voters(1, 3, seconds=100)  # a joiner may ask the stopped one first, 20 s each time
        self.expect(0, c.verify(1))
        old.signal(signal.SIGCONT)
        self.wakes_into_a_world_that_went_on(c, old)

    def wakes_into_a_world_that_went_on(self, c, old):
        """The old member: refused by whoever saw epoch 2, and gone when it looks around."""
        done = c.verify(3)
        self.assertIn(done.code, (1, 4), str(done))  # 1: it has gone already
        if done.code == 4:
            self.assertIn("epoch", done.out + done.err)
        wait_until(lambda: not old.is_alive(), 40, "the old member sees that it is superseded")
        self.assertIn("superseded", old.text())

    def test_a_quorum_that_was_only_cut_off(self):
        """It lives, has a leader, and nobody could tell the share owners: two epochs at a time, until
        the old one hears of the new."""
        c = self.shared(2, peers=2)
        for name in OWNERS:
            self.workspace(c, name)
        c.peers = 1  # the recipient knows nobody else
        c.start_all(1)
        first = self.expect(0, self.recover(c, "alice", 1, "--checkpoint", self.checkpoint(c)))
        self.expect(0, self.recover(c, "bob", 1, "--session", self.session_of(first)), "epoch 2")
        old = c.replicas[2]
        if old.is_alive():
            self.assertIn(self.verify_as(c, "bob", 2).code, (1, 4))  # 1: it has gone already
        wait_until(lambda: not old.is_alive(), 60, "the old quorum sees that it is superseded")
        self.assertIn("superseded by epoch 2", old.text())
        self.expect(0, self.verify_as(c, "bob", 1), "Epoch 2")

    def test_an_older_state_supersedes_nobody(self):
        """Share owners of an older manifest, with a checkpoint of theirs: a higher epoch, and less
        than what was acknowledged. Who holds more keeps it."""
        c = self.shared(2, peers=2)
        old = os.path.join(self.site.dir, f"{c.label}.old")
        shutil.copy(self.checkpoint(c), old)
        for name in OWNERS:
            self.workspace(c, name)
        c.edit_web(9)
        self.expect(0, c.set(2))
        live = c.replicas[2]
        c.peers = 1
        c.start_all(1)
        first = self.expect(0, self.recover(c, "alice", 1, "--checkpoint", old))
        self.expect(0, self.recover(c, "bob", 1, "--session", self.session_of(first)), "epoch 2")
        wait_until(lambda: "recovered from an older state" in live.text(), 60, "it looked around")
        self.assertTrue(live.is_alive())
        self.expect(0, c.verify(2), "generation 2")

    def verify_as(self, c, name, number):
        return self.site.run([program("contrast"), "verify", "--workspace", self.workspace(c, name),
                              "-c", c.user(number)])

    # --- What a replica refuses, whoever asks

    def test_what_a_replica_refuses(self):
        c = self.shared(1, peers=1)
        file = read(self.checkpoint(c))
        self.raw_with_a_quorum(c)
        self.kill_all(c)
        c.start_all(1)
        with c.session(1) as session:
            session.attest(os.urandom(32))
            self.raw_offers(session, file)
            reply = self.raw_open(session, file, 2)
            self.raw_gifts(session, file, reply)
        self.raw_changed_payload(c, file)

    def raw_with_a_quorum(self, c):
        with c.session(1) as session:
            self.refused(session, wire.RECOVER, [1, 2, b"", 0], "a quorum answers")
            self.refused(session, wire.RECOVER, [2, 2, b"x", 100], "belongs to a deployment")

    def raw_offers(self, session, file):
        header, _ = split(file)
        size = len(file)
        self.refused(session, wire.RECOVER, [1, 2, b"", 0], "no state")
        self.refused(session, wire.RECOVER, [2, 2, header[:-1], size], "")
        self.refused(session, wire.RECOVER, [2, 2, header, size + 1], "header makes it")
        self.refused(session, wire.RECOVER, [2, 1, header, size], "not above")

    def refused(self, session, kind, fields, *words):
        """Asks again while the pace of opening sessions says so."""
        for _ in range(50):
            try:
                session.ask(kind, fields)
            except wire.Refused as why:
                text = why.fields["text"]
                if "are being opened" in text:
                    wait_a_moment(why)
                    continue
                for word in words:
                    self.assertIn(word, text)
                return
            self.fail(f"not refused: {kind} {words}")
        self.fail("the pace never lets it through")

    def raw_open(self, session, file, epoch):
        header, _ = split(file)
        for _ in range(50):
            try:
                _, reply = session.ask(wire.RECOVER, [2, epoch, header, len(file)])
                break
            except wire.Refused as why:
                wait_a_moment(why)
        at = reply[14]
        while at < len(file):
            _, reply = session.ask(wire.RECOVER_DATA, [reply[0], at, file[at:at + 500000]])
            at = reply[14]
        return reply

    def raw_gifts(self, session, file, reply):
        header, _ = split(file)
        shares = {n: open_share(self.keys[n][0], header) for n in OWNERS}
        wrong = bytes([shares["alice"][0]]) + bytes(32)
        good = self.sign("alice", reply)
        give = lambda name, share, signature: [reply[0], pkcs1(self.keys[name][0]), share, signature]
        cases = (
            (give("mallory", shares["alice"], self.sign("mallory", reply)), "share owners"),
            (give("alice", wrong, good), ""),
            (give("alice", shares["bob"], good), ""),
            (give("alice", b"", good), ""),
            (give("alice", shares["alice"], self.sign("bob", reply)), "signature"),
            (give("alice", shares["alice"], self.sign("alice", reply, epoch=3)), "signature"),
            ([bytes(16), *give("alice", shares["alice"], good)[1:]], "no recovery session"),
        )
        for fields, word in cases:
            self.refused(session, wire.RECOVER_GIVE, fields, word)
        _, now = session.ask(wire.RECOVER_SHOW, [reply[0]])
        self.assertEqual([False] * 3, [given for _, given in now[16]])
        _, now = session.ask(wire.RECOVER_GIVE, give("alice", shares["alice"], good))
        self.assertEqual(("open", 1), (now[17], sum(given for _, given in now[16])))

    def raw_changed_payload(self, c, file):
        """Good shares, good signatures, one bit of the payload changed: nothing comes of it."""
        changed = bytearray(file)
        changed[-20] ^= 1
        with c.session(1, timeout=60) as session:
            session.attest(os.urandom(32))
            reply = self.raw_open(session, bytes(changed), 4)
            self.give_all(session, file, reply)
            wait_until(lambda: self.failed(session, reply[0]), 20, "the recovery failed")
            self.assertIn(session.status()["state"], ("empty", "joining"))

    def test_while_the_deployment_lives(self):
        """A replica that may not join, and may look: it refuses while a quorum answers, and when
        somebody else was recovered first. Nobody lives: its own evidence does not pass."""
        c = self.shared(1, peers=4)
        file = read(self.checkpoint(c))
        header, _ = split(file)
        for name in OWNERS:
            self.workspace(c, name)
        self.start_changed(c, 4)
        with c.session(4, timeout=60) as session:
            session.attest(os.urandom(32))
            self.refused(session, wire.RECOVER, [2, 2, header, len(file)], "a quorum answers")
            self.kill(c, 1)
            reply = self.raw_open(session, file, 2)
            self.give_all(session, file, reply)
            wait_until(lambda: self.failed(session, reply[0]), 30, "the recovery failed")
            self.refused(session, wire.RECOVER_SHOW, [reply[0]], "does not satisfy the manifest")
            c.start_all(1)
            first = self.expect(0, self.recover(c, "alice", 1, "--checkpoint", self.checkpoint(c)))
            self.expect(0, self.recover(c, "bob", 1, "--session", self.session_of(first)))
            self.refused(session, wire.RECOVER, [2, 9, header, len(file)], "epoch 2", "already")

    def give_all(self, session, file, reply):
        header, _ = split(file)
        for name in ("alice", "bob"):
            session.ask(wire.RECOVER_GIVE, [
                reply[0], pkcs1(self.keys[name][0]), open_share(self.keys[name][0], header),
                self.sign(name, reply)])

    @staticmethod
    def failed(session, which):
        try:
            session.ask(wire.RECOVER_SHOW, [which])
        except wire.Refused:
            return True
        return False

    def test_a_deployment_that_somebody_made_up(self):
        """A checkpoint of one's own, with one's own share owners, onto a replica of another owner:
        its environment names who may have signed the first manifest."""
        theirs = self.shared(1, peers=1)
        file = read(self.checkpoint(theirs))
        self.kill_all(theirs)
        ours = self.cluster(peers=1)
        ours.trust["CONTRAST_OWNER_KEY_DIGESTS"] = "ab" * 32
        ours.start_all(1)
        with ours.session(1, timeout=60) as session:
            session.attest(os.urandom(32))
            reply = self.raw_open(session, file, 2)
            self.give_all(session, file, reply)
            wait_until(lambda: self.failed(session, reply[0]), 20, "the recovery failed")
            self.refused(session, wire.RECOVER_SHOW, [reply[0]], "CONTRAST_OWNER_KEY_DIGESTS")
            self.assertIn(session.status()["state"], ("empty", "joining"))

    def sign(self, name, reply, **changes):
        """A share owner's signature over the recovery of this reply (docs/wire.md)."""
        return openssl("dgst", "-sha384", "-sigopt", "rsa_padding_mode:pss", "-sigopt",
                       "rsa_pss_saltlen:48", "-sign", self.keys[name][0],
                       data=b"contrast-recover-v1\0" + recovery_hash(reply, **changes))

    # --- Retiring, and who must go first

    def test_retire(self):
        c = self.shared(1, 2, 3)
        c.start_all(4)
        wait_until(lambda: len(c.members(1, "leader", "voter", "standby")) == 4, 30, "four members")
        self.expect(0, self.site.run([program("contrast"), "members", "retire", "coordinator-4",
                                      "--force", "--workspace", c.app, "-c", c.user(1)]))
        wait_until(lambda: len(c.members(1, "leader", "voter", "standby")) == 3, 30, "three members")
        self.retire_refused(c)

    def retire_refused(self, c):
        status = c.status(1)
        owner, stranger = c.path("workload-owner.pem"), self.certificate_key()
        with c.session(1) as session:
            session.attest(os.urandom(32))
            good = self.order(owner, status, status["id"])
            self.refused(session, wire.RETIRE, self.order(stranger, status, status["id"]))
            self.refused(session, wire.RETIRE, [status["id"] ^ 1, *good[1:]])  # signed for another
            self.refused(session, wire.RETIRE,
                         self.order(owner, dict(status, epoch=9), status["id"]))
            self.refused(session, wire.RETIRE, self.order(owner, status, 12345), "no member")
        self.assertEqual(3, len(c.members(1, "leader", "voter", "standby")))

    def certificate_key(self):
        return self.site.certificate[1]

    @staticmethod
    def order(key, status, number):
        """An owner's word that this replica has to go (docs/wire.md)."""
        signed = (b"contrast-retire-v1\0" + status["cluster"]
                  + struct.pack(">QQ", status["epoch"], number))
        digest = "-sha256" if b"prime256v1" in openssl("pkey", "-in", key, "-noout",
                                                       "-text") else "-sha384"
        return [number, openssl("pkey", "-in", key, "-pubout", "-outform", "DER"),
                openssl("dgst", digest, "-sign", key, data=signed)]


def wait_a_moment(refused):
    """What the replica advised."""
    deadline = time.monotonic() + max(refused.fields["retry_after_ms"], 100) / 1000
    wait_until(lambda: time.monotonic() >= deadline, 60, "the pace allows another one")


def split(file):
    """(all before the ciphertext, ciphertext with tag)"""
    size = 12 + struct.unpack_from(">I", file, 8)[0]
    return file[:size], file[size:]


def open_share(key, header):
    """The share of this private key: number and 32 bytes."""
    fields = wire.unpack(header[12:])
    digest = hashlib.sha256(pkcs1(key)).digest()
    label = b"contrast-share-v1\0" + fields[0]
    for owner, _, sealed in fields[11]:
        if owner == digest:
            return openssl("pkeyutl", "-decrypt", "-inkey", key, "-pkeyopt",
                           "rsa_padding_mode:oaep", "-pkeyopt", "rsa_oaep_md:sha256", "-pkeyopt",
                           "rsa_mgf1_md:sha256", "-pkeyopt", f"rsa_oaep_label:{label.hex()}",
                           data=sealed)
    raise AssertionError("no share for this key")


def pkcs1(key):
    return openssl("rsa", "-in", key, "-RSAPublicKey_out", "-outform", "DER")


def recovery_hash(reply, epoch=None):
    (_, mode, cluster, new, previous, generation, head, index, size, root, recipient) = reply[:11]
    return hashlib.sha256(
        b"contrast-recovery-v1\0" + cluster + struct.pack(">QQBQ", epoch or new, previous, mode,
                                                          generation)
        + head + struct.pack(">QQ", index, size) + root + recipient).digest()


if __name__ == "__main__":
    unittest.main()
