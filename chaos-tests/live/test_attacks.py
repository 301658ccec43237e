"""What strangers try: clients without evidence at a replica that is not founded, and a server without
evidence at the command line. Each was possible once.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import select
import ssl
import socket
import threading
import unittest

import harness
import wire
from harness import LiveTest

BUSY, NOT_FOUNDED, DENIED, SIGNATURE, FORK = 4, 10, 60, 62, 80


class Strangers(LiveTest):
    """One replica without a cluster; it must answer, and live."""

    def setUp(self):
        super().setUp()
        self.alone = self.cluster(1)

    def manifest(self, change):
        manifest = json.loads(self.alone.manifest())
        change(manifest)
        return json.dumps(manifest).encode()

    def refused(self, kind, fields):
        with self.alone.session(1) as session:
            session.attest(os.urandom(32))
            with self.assertRaises(wire.Refused) as refused:
                session.ask(kind, fields)
            self.assertEqual("empty", session.status()["state"])
        return refused.exception.fields

    def test_more_roots_than_a_founding_holds(self):
        def change(manifest):
            values = manifest["ReferenceValues"]["snp"]
            more = dict(values[0], SimulatedRoots=[f"{n:064x}" for n in range(1, 65)])
            values.append(more)
        reply = self.refused(wire.PREPARE, [self.manifest(change), 1])
        self.assertIn("simulated roots", reply["text"])

    def test_text_that_is_cut_inside_a_character(self):
        for key in ("\u00fc" * 300, "x" + "\u00fc" * 300, "\u20ac" * 300):
            self.refused(wire.PREPARE, [json.dumps({key: 1}, ensure_ascii=False).encode(), 1])

    def test_an_owner_that_the_environment_does_not_name(self):
        def change(manifest):
            manifest["WorkloadOwnerKeyDigests"] = ["ab" * 32]
        reply = self.refused(wire.PREPARE, [self.manifest(change), 1])
        self.assertEqual(SIGNATURE, reply["code"])

    def test_set_before_the_founding(self):
        reply = self.refused(wire.SET, [self.alone.manifest(), bytes(32), b"key", b"signature"])
        self.assertEqual(NOT_FOUNDED, reply["code"])

    def test_foundings_are_bounded(self):
        """2 session threads prepare 4 each; whoever asks for more hears so at once."""
        sessions = [self.alone.session(1) for _ in range(12)]
        try:
            for session in sessions:
                session.attest(os.urandom(32))
                session.send(wire.PREPARE, [self.alone.manifest(), 3])
            busy = 0
            waiting = {session.sock: session for session in sessions}
            while busy < 4:
                readable, _, _ = select.select(list(waiting), [], [], 10)
                self.assertTrue(readable, f"{busy} of 12 were refused")
                for sock in readable:
                    with self.assertRaises(wire.Refused) as refused:
                        waiting.pop(sock).receive()
                    self.assertEqual(BUSY, refused.exception.fields["code"])
                    busy += 1
        finally:
            for session in sessions:
                session.close()
        self.assertIsNotNone(self.alone.status(1))


class Impostor:
    """A server without evidence: answers the n-th frame with the n-th of its frames."""

    def __init__(self, address, certificate, frames):
        self.frames = frames
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(*certificate)
        self.socket = context.wrap_socket(socket.create_server(address), server_side=True)
        self.socket.settimeout(30)
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        try:
            with self.socket.accept()[0] as peer:
                for answer in self.frames:
                    head = self.read(peer, 8)
                    self.read(peer, int.from_bytes(head[:4], "big"))
                    peer.sendall(answer)
                while peer.recv(4096):
                    pass
        except OSError:
            pass

    @staticmethod
    def read(peer, size):
        data = b""
        while len(data) < size:
            part = peer.recv(size - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return data

    def end(self):
        self.thread.join(60)
        self.socket.close()


class Impostors(LiveTest):
    def ask(self, command, frames, app, port):
        address = self.site.addresses.of(1)
        server = Impostor((address, port), self.site.certificate, frames)
        try:
            return self.site.run([harness.program("contrast"), command, "--workspace", app, "-c",
                                  f"{address}:{port}"])
        finally:
            server.end()

    def test_a_code_is_no_proof(self):
        """Exit 3 and 4 need evidence; whoever has none cannot cause them."""
        for port, code in ((1401, FORK), (1402, DENIED), (1403, 41)):
            with self.subTest(code):
                error = wire.frame(wire.ERROR, wire.pack(
                    [code, "\x1b[2Jall is well", 0, "", "", "", "", ""]), 0)
                done = self.ask("verify", [error], self.site.app, port)
                self.expect(1, done, "all is well")
                self.assertNotIn("\x1b", done.out + done.err)

    def test_words_of_a_stranger_stay_words(self):
        evil = "\x1b[2J\x9b1m\nverified"
        status = [evil, evil, evil, 7, 0, 0, 0, 0, bytes(32), 0, 0, bytes(32), 0, bytes(48), 1, 1,
                  True, False, evil, 1, 1, 0, 0,
                  [[7, evil, evil, evil, True, 0, 0, 0, 1, evil, bytes(48), bytes(64), bytes(8),
                    False, evil]],
                  [[7, evil, evil, evil, evil, 0]]]
        frames = [wire.frame(kind, wire.pack(fields), 0) for kind, fields in (
            (wire.EVIDENCE, []),
            (wire.HISTORY_REPLY, [bytes(32), 0, 0, 1, [], "", ""]),
            (wire.STATUS_REPLY, status))]
        empty = os.path.join(self.site.dir, "no-workspace")
        os.makedirs(empty, exist_ok=True)
        done = self.expect(0, self.ask("status", frames, empty, 1404), "NOT VERIFIED")
        for character in "\x1b\x9b":
            self.assertNotIn(character, done.out)
        self.assertNotIn("\nverified", done.out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
