"""Sessions that bind evidence to their channel: what a pod, an owner and a verifier do in Python.

    with Session(host, port, Identity(crt, key)) as session:
        position = session.position()      # evidence over a fresh nonce, bound to this channel
        certificate = session.certificate(pod)

Written from docs/wire.md alone (section 4), like ../wire.py, which it extends. The exporter comes
from the TLS library's key log (RFC 8446 section 7.5): the log is a file in memory, read once after
each handshake and emptied. A Pod is a guest of the simulated machine: its control connection is
its life. Signatures of reports are judged by the real programs alone; here a report must carry the
leaf that this end computes, else it answers another nonce or another channel (Unbound).

Fails with OSError (nobody there, time over), wire.Refused (API_ERROR), ValueError (Unbound too).

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import hmac
import os
import socket
import ssl
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import harness  # noqa: E402
import wire  # noqa: E402

CLIENT, SERVER = 1, 2
REPLICA, WORKLOAD = 1, 2
SESSION = 1
EXPORTER = b"EXPORTER-contrast-attest"
REPORT_SIZE = 1184
TABLE_MAX = 64 * 1024
GUID_VCEK = "63da758d-e664-4564-adc5-f4b93be8accd"
GUID_ASK = "4ab7b379-bbac-4fe4-a02f-05aef327c782"
GUID_ARK = "c0b406a4-a803-4952-9743-3fb6014cd0ae"
REPLICA_STATEMENT = (
    "cluster epoch id spki term commit_index ledger_size ledger_root head generation root_ca "
    "mesh_ca state is_confirmed confirmed_index"
).split()


class Unbound(ValueError):
    """Evidence for another nonce, another channel, or of nobody."""


# --- Formulas


def _expand_label(name, secret, label, context, size):
    """HKDF-Expand-Label, RFC 8446 section 7.1; one block is enough for what is asked here."""
    label = b"tls13 " + label
    info = struct.pack(">HB", size, len(label)) + label + bytes([len(context)]) + context
    return hmac.new(secret, info + b"\x01", name).digest()[:size]


def exporter_of(cipher, secret):
    """32 bytes by RFC 8446 section 7.5, from EXPORTER_SECRET, without a context."""
    name = "sha384" if cipher.endswith("SHA384") else "sha256"
    empty = hashlib.new(name, b"").digest()
    derived = _expand_label(name, secret, EXPORTER, empty, len(empty))
    return _expand_label(name, derived, b"exporter", empty, 32)


def report_data(side, kind, nonce, exporter, spki, statement):
    leaf = hashlib.sha384(
        b"\0contrast-attest-leaf-v1\0" + bytes([SESSION, side, kind]) + nonce + exporter
        + hashlib.sha384(spki).digest() + hashlib.sha384(statement).digest()).digest()
    return _root_data(leaf, 1)


def _root_data(root, count):
    return hashlib.sha512(b"contrast-attest-root-v1\0" + struct.pack(">I", count) + root).digest()


def root_of(leaf, index, count, path):
    """Climbs a path of RFC 9162 section 2.1.3.2; Unbound when its length is not the tree's."""
    node, last = index, count - 1
    nodes = [path[at : at + 48] for at in range(0, len(path), 48)]
    for sibling in nodes:
        if last == 0:
            raise Unbound("the path is too long")
        if node & 1 or node == last:
            leaf = hashlib.sha384(b"\x01" + sibling + leaf).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            leaf = hashlib.sha384(b"\x01" + leaf + sibling).digest()
        node, last = node >> 1, last >> 1
    if last:
        raise Unbound("the path is too short")
    return leaf


# --- Identities and pods


class Identity:
    """A certificate, its key, and a TLS context whose key log is a file in memory. One thread."""

    def __init__(self, certificate, key):
        self.spki = harness.openssl("pkey", "-in", key, "-pubout", "-outform", "DER")
        self.log = os.memfd_create("keys", os.MFD_CLOEXEC)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE  # self-signed; who it is follows from evidence
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.load_cert_chain(certificate, key)
        self.context.keylog_filename = f"/proc/self/fd/{self.log}"

    def exporter(self, cipher):
        """Of the handshake that was made last with this identity; the log is emptied."""
        size = os.fstat(self.log).st_size
        lines = os.pread(self.log, size, 0).split(b"\n")
        os.ftruncate(self.log, 0)
        secrets = [line.split()[2] for line in lines if line.startswith(b"EXPORTER_SECRET ")]
        if len(secrets) != 1:
            raise ValueError(f"{len(secrets)} exporter secrets in the key log, want 1")
        return exporter_of(cipher, bytes.fromhex(secrets[0].decode()))

    def close(self):
        os.close(self.log)


def _guid(raw):
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def certificates_of(table):
    """DER certificates by GUID (AMD 56421), as simulated hosts hand them out."""
    found, at = {}, 0
    while at + 24 <= len(table) and any(table[at : at + 16]):
        offset, size = struct.unpack_from("<II", table, at + 16)
        if offset + size > len(table):
            raise ValueError("certificate table: an entry ends behind the table")
        found[_guid(table[at : at + 16])] = table[offset : offset + size]
        at += 24
    return found


def _read(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionResetError("closed by the machine")
        data += part
    return data


def _sized(sock, limit):
    size = struct.unpack(">I", _read(sock, 4))[0]
    if size > limit:
        raise ValueError(f"the machine announces {size} bytes, limit {limit}")
    return _read(sock, size)


class Pod:
    """A guest of the simulated machine, from its launch to close(). docs/simulator.md."""

    def __init__(self, machine, host_data, measurement=bytes(48), policy=0, timeout=20):
        self.timeout = timeout
        self.control = self._connect(machine)
        try:
            self.control.sendall(b"SNPL" + struct.pack(">I", 1) + host_data + measurement
                                 + struct.pack(">Q", policy))
            head = _read(self.control, 8)
            if head != b"SNPP" + bytes(4):
                raise ConnectionRefusedError(f"launch refused: {head!r}")
            self.path = _sized(self.control, 4096).decode()
        except BaseException:
            self.control.close()
            raise

    def _connect(self, path):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(self.timeout)
        try:
            sock.connect(path)
        except BaseException:
            sock.close()
            raise
        return sock

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.control.close()

    def report(self, data):
        """(report, certificate table). OSError when the processor is busy or refuses."""
        with self._connect(self.path) as sock:
            sock.sendall(b"SNPR" + struct.pack(">I", 1) + data)
            magic, status = struct.unpack(">4sI", _read(sock, 8))
            if magic != b"SNPA" or status:
                raise BlockingIOError(f"security processor: {magic!r}, status {status}")
            return _sized(sock, REPORT_SIZE), _sized(sock, TABLE_MAX)


# --- Sessions


class Session(wire.Session):
    """A connection that knows its exporter."""

    def __init__(self, host, port, identity, timeout=5):
        raw = socket.create_connection((host, port), timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        os.ftruncate(identity.log, 0)
        try:
            self.sock = identity.context.wrap_socket(raw)
        except BaseException:
            raw.close()
            raise
        self.last = 0
        self.identity = identity
        try:
            self.exporter = identity.exporter(self.sock.cipher()[0])
            self.peer = self._peer_spki()
        except BaseException:
            self.close()
            raise

    def _peer_spki(self):
        """The SubjectPublicKeyInfo in the server's certificate (RFC 5280 section 4.1)."""
        certificate = _inside(self.sock.getpeercert(True))[0][1]
        fields = [whole for _, whole in _inside(_whole(certificate)[0])]
        return fields[6]  # version, serial, algorithm, issuer, validity, subject, key

    def position(self):
        """What the replica says of itself over a nonce of this moment, by REPLICA_STATEMENT."""
        nonce = os.urandom(32)
        evidence = self.attest(nonce)
        report, _, _, _, count, index, path, kind, statement = evidence
        if kind != REPLICA or not 1 <= count <= 1024 or index >= count:
            raise Unbound(f"kind {kind}, leaf {index} of {count}")
        leaf = hashlib.sha384(
            b"\0contrast-attest-leaf-v1\0" + bytes([SESSION, SERVER, REPLICA]) + nonce
            + self.exporter + hashlib.sha384(self.peer).digest()
            + hashlib.sha384(statement).digest()).digest()
        if report[0x50:0x90] != _root_data(root_of(leaf, index, count, path), count):
            raise Unbound("the report answers another nonce, channel or statement")
        fields = dict(zip(REPLICA_STATEMENT, wire.unpack(statement)))
        if fields["spki"] != self.peer:
            raise Unbound("the statement names another key than the channel's")
        return fields

    def evidence(self, pod, nonce):
        """Fields of API_EVIDENCE for this session's TLS key."""
        statement = wire.pack([self.identity.spki])
        report, table = pod.report(report_data(CLIENT, WORKLOAD, nonce, self.exporter,
                                               self.identity.spki, statement))
        found = certificates_of(table)
        chain = [[found[guid]] for guid in (GUID_ASK, GUID_ARK) if guid in found]
        return [report, found.get(GUID_VCEK, b""), chain, b"", 1, 0, b"", WORKLOAD, statement]

    def certificate(self, pod, change=None):
        """Fields of API_CERTIFICATE_REPLY. `change(fields)` spoils the evidence, for attackers."""
        self.send(wire.CERTIFICATE, [])
        self.prove(pod, change)
        return self.take_certificate()

    def prove(self, pod, change=None):
        """Answers the request for evidence that is to come."""
        kind, fields = self.receive()
        if kind != wire.ATTEST_REQUEST:
            raise ValueError(f"frame {kind} instead of a request for evidence")
        evidence = self.evidence(pod, fields[1])
        if change:
            evidence = change(evidence)
        self.sock.sendall(wire.frame(wire.EVIDENCE, wire.pack(evidence), self.last))

    def take_certificate(self):
        kind, fields = self.receive()
        if kind != wire.CERTIFICATE_REPLY:
            raise ValueError(f"frame {kind} instead of a certificate")
        names = "chain mesh_ca root_ca secret generation index serial not_after".split()
        return dict(zip(names, fields))


# --- DER


def _whole(data, at=0):
    """The whole value that begins at `at`, and where it ends."""
    size, head = data[at + 1], 2
    if size & 0x80:
        head += size & 0x7F
        size = int.from_bytes(data[at + 2 : at + head], "big")
    end = at + head + size
    if end > len(data):
        raise ValueError("DER is cut off")
    return data[at:end], end


def _inside(data):
    """(tag, whole value) of each value inside a constructed one."""
    value, _ = _whole(data)
    head = 2 + (value[1] & 0x7F if value[1] & 0x80 else 0)
    at, found = head, []
    while at < len(value):
        whole, at = _whole(value, at)
        found.append((whole[0], whole))
    return found
