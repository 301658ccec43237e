"""Hostile peers at the three ports: the connection ends, the replica goes on serving.

SPDX-License-Identifier: Apache-2.0
"""

import os
import socket
import ssl
import struct
import unittest

import harness
import wire
from harness import LiveTest, MESH, RAFT, USER, wait_until

PORTS = (USER, MESH, RAFT)
UNAUTHENTICATED = 64 * 1024  # bytes of a frame's body, docs/wire.md section 2
AUTHENTICATED = (1 << 20) + UNAUTHENTICATED


class RawSockets(LiveTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.shared = harness.Cluster(cls.site, "shared", peers=1)
        try:
            cls.shared.start_all(1)
            cls.site.must(cls.shared.set(1, options=["--replicas", "1"]))
            wait_until(lambda: harness.tcp_is_open(cls.shared.address(1), RAFT), 10, "Raft port")
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.shared.end()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.host = self.shared.address(1)
        self.pid = self.shared.replicas[1].child.pid
        self.serves()
        self.open_before = self.descriptors()

    def tearDown(self):
        self.serves()
        wait_until(lambda: self.descriptors() <= self.open_before + 1, 15,
                   f"descriptors back from {self.descriptors()} to {self.open_before}")
        super().tearDown()

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def serves(self):
        self.assertTrue(self.shared.replicas[1].is_alive(), self.shared.replicas[1].text()[-3000:])
        status = self.shared.status(1)
        self.assertTrue(status and status["is_confirmed"], status)

    def tcp(self, port):
        return socket.create_connection((self.host, port), 15)

    def tls(self, port, **options):
        return wire.connect(self.host, port, self.site.certificate, **options)

    def closed(self, sock):
        """Nothing but the end comes, or an alert; no frame."""
        try:
            data = sock.recv(4096)
        except (ConnectionError, ssl.SSLError):
            data = b""
        finally:
            sock.close()
        self.assertEqual(b"", data)

    # Below TLS

    def test_garbage(self):
        for port in PORTS:
            for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(8192),
                            b"\x16\x03\x01\xff\xff" * 9, bytes(70000)):
                with self.subTest(port=port, start=garbage[:4]):
                    sock = self.tcp(port)
                    try:
                        sock.sendall(garbage)
                        while True:  # at most an alert, then the end
                            data = sock.recv(4096)
                            if not data:
                                break
                            self.assertEqual(0x15, data[0])
                    except ConnectionError:
                        pass
                    finally:
                        sock.close()

    def test_connect_and_leave(self):
        for port in PORTS:
            for _ in range(20):
                self.tcp(port).close()

    def test_many_that_never_speak(self):
        held = [self.tcp(port) for port in PORTS for _ in range(60)]
        try:
            self.serves()
        finally:
            for sock in held:
                sock.close()

    def test_reset_in_the_middle(self):
        for port in (USER, MESH):
            sock = self.tls(port)
            sock.sendall(wire.frame(wire.STATUS, wire.pack([])))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    # TLS

    def test_tls_1_2(self):
        for port in PORTS:
            with self.subTest(port), self.assertRaises((ssl.SSLError, ConnectionError)):
                self.tls(port, version=ssl.TLSVersion.TLSv1_2).close()

    def test_no_client_certificate(self):
        for port in PORTS:
            with self.subTest(port):
                try:
                    sock = wire.connect(self.host, port, None)
                    sock.sendall(wire.frame(wire.STATUS, wire.pack([])))
                except (ssl.SSLError, ConnectionError):
                    continue
                self.closed(sock)

    def test_unknown_key_at_the_raft_port(self):
        try:
            sock = self.tls(RAFT)
            sock.sendall(wire.frame(1, b"\x90"))
        except (ssl.SSLError, ConnectionError):
            return
        self.closed(sock)

    # Frames

    def refuse_bytes(self, *parts, ports=(USER, MESH)):
        for port in ports:
            with self.subTest(port):
                sock = self.tls(port)
                try:
                    for part in parts:
                        sock.sendall(part)
                except (ConnectionError, ssl.SSLError):
                    pass
                self.closed(sock)

    def test_oversized_frame(self):
        for size in (UNAUTHENTICATED + 1, 1 << 24, 0xFFFFFFFF):
            self.refuse_bytes(struct.pack(">IBBH", size, wire.STATUS, 1, 1))

    def test_oversized_frame_after_evidence(self):
        with self.shared.session(1) as session:
            session.attest(os.urandom(32))
            session.sock.sendall(struct.pack(">IBBH", AUTHENTICATED + 1, wire.SET, 1, 1))
            with self.assertRaises((ConnectionError, ssl.SSLError)):
                session.receive()

    def test_other_version(self):
        for version in (0, 2, 255):
            self.refuse_bytes(wire.frame(wire.STATUS, wire.pack([]), version=version))

    def test_unknown_request(self):
        for kind in (0, 15, wire.STATUS_REPLY, 200, 255):
            self.refuse_bytes(wire.frame(kind, wire.pack([])))

    def test_request_of_the_other_port(self):
        user_only = (wire.PREPARE, wire.COMMIT, wire.SET)
        mesh_only = (wire.CERTIFICATE, wire.JOIN, wire.FOUND_PREPARE, wire.FOUND_START)
        for kind in user_only:
            self.refuse_bytes(wire.frame(kind, wire.pack([])), ports=(MESH,))
        for kind in mesh_only:
            self.refuse_bytes(wire.frame(kind, wire.pack([])), ports=(USER,))

    def test_frames_out_of_turn(self):
        for kind in (wire.PUT_POLICY, wire.EVIDENCE, wire.NEED):
            self.refuse_bytes(wire.frame(kind, wire.pack([b"x"])))

    def test_policy_instead_of_evidence(self):
        with self.shared.session(1, MESH) as session:
            kind, _ = session.ask(wire.CERTIFICATE, [])
            self.assertEqual(wire.ATTEST_REQUEST, kind)
            session.send(wire.PUT_POLICY, [b"x"])
            with self.assertRaises((ConnectionError, ssl.SSLError)):
                session.receive()

    def test_malformed_messages_are_answered(self):
        """A frame in turn with a bad body is an error, not the end of the connection."""
        bodies = (b"", b"\x91", b"\xc1", b"\x91\xc4\xff", wire.pack([1, 2]), wire.pack(["x"]),
                  b"\x91\xcd\x00\x01", b"\x91\x01\x00", b"\x91" * 40)
        for body in bodies:
            with self.subTest(body=body), self.shared.session(1) as session:
                session.sock.sendall(wire.frame(wire.HISTORY, body))
                with self.assertRaises(wire.Refused) as refused:
                    session.receive()
                self.assertIn(refused.exception.fields["code"], (20, 22))
                session.status()

    # Evidence

    def test_no_certificate_for_garbage(self):
        for body in (b"", b"\x90", os.urandom(3000)):
            with self.subTest(body=body[:4]), self.shared.session(1, MESH) as session:
                session.ask(wire.CERTIFICATE, [])
                session.sock.sendall(wire.frame(wire.EVIDENCE, body))
                with self.assertRaises((wire.Refused, ConnectionError)):
                    session.receive()

    def relay(self, request, fields, source):
        """Evidence over the very nonce that replica 1 asks for, taken from a session elsewhere."""
        with self.shared.session(1, MESH) as session:
            _, (_, nonce) = session.ask(request, fields)
            with source.session(source.first) as other:
                evidence = other.attest(nonce)
            session.send(wire.EVIDENCE, evidence)
            with self.assertRaises(wire.Refused) as refused:
                session.receive()
        self.assertEqual(60, refused.exception.fields["code"], refused.exception)
        return refused.exception.fields["verdict_code"]

    def test_no_certificate_and_no_admission_for_relayed_evidence(self):
        """A genuine coordinator's evidence, at the wrong end of a man in the middle."""
        bystander = harness.Cluster(self.site, "bystander", peers=0)
        self.clusters.append(bystander)
        bystander.start_all(2)
        bystander.first = 2
        self.assertEqual("ATTEST-KIND", self.relay(wire.CERTIFICATE, [], bystander))
        join = ["coordinator-9", "127.0.0.1:9", b"e"]
        self.assertEqual("SNP-REPORT-DATA", self.relay(wire.JOIN, join, bystander))
        self.shared.first = 1
        self.assertIn(self.relay(wire.JOIN, join, self.shared),
                      ("ATTEST-REFLECTION", "SNP-REPORT-DATA"))

    def test_fresh_evidence_for_each_nonce(self):
        with self.shared.session(1) as session:
            first = session.attest(bytes(32))
            second = session.attest(bytes([1]) * 32)
        report_data = [evidence[0][0x50:0x90] for evidence in (first, second)]
        self.assertNotEqual(*report_data)


if __name__ == "__main__":
    unittest.main(verbosity=2)
