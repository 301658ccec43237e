"""Frames, messages and sessions, written from docs/wire.md and lib/wire/api.h alone.

    peer = Session("127.0.40.1", 1313, certificate)
    kind, fields = peer.ask(STATUS, [])

It shares no code with the product, so a disagreement about the protocol shows here. It believes
whatever the server says: evidence is asked for (the server wants that before it takes large
frames) but judged by the real programs only. Failures raise OSError, or Refused for API_ERROR.

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import socket
import ssl
import struct

ATTEST_REQUEST, EVIDENCE, ERROR = 1, 2, 3
HISTORY, HISTORY_REPLY, POLICY, POLICY_REPLY, STATUS, STATUS_REPLY = range(16, 22)
PREPARE, PREPARE_REPLY, COMMIT, SET, NEED, PUT_POLICY, SET_REPLY = range(22, 29)
CHECKPOINT, CHECKPOINT_REPLY, RECOVER, RECOVER_REPLY, RECOVER_DATA = range(29, 34)
RECOVER_SHOW, RECOVER_GIVE, RECOVERIES, RECOVERIES_REPLY, RETIRE, RETIRE_REPLY = range(34, 40)
CERTIFICATE, CERTIFICATE_REPLY, JOIN, JOIN_REPLY = range(48, 52)
FOUND_PREPARE, FOUND_PREPARED, FOUND_START, FOUND_STARTED = range(52, 56)

STATUS_FIELDS = (
    "state why name id leader term commit_index applied_index cluster epoch generation head "
    "ledger_size ledger_root voters voters_connected is_confirmed may_stop may_stop_why level "
    "version last_term last_index members alarms"
).split()
MEMBER_FIELDS = (
    "id name address role is_connected match_index last_contact_ms lag version product "
    "measurement chip_id tcb may_stop may_stop_why"
).split()
ALARM_FIELDS = "id name by code text time".split()
ERROR_FIELDS = "code text retry_after_ms verdict_code field expected actual remedy".split()


class Refused(Exception):
    """API_ERROR, by field."""

    def __init__(self, values):
        self.fields = dict(zip(ERROR_FIELDS, values))
        super().__init__(f"error {self.fields['code']}: {self.fields['text']}")


# --- Messages


def _head(size, short, tiny):
    """Shortest msgpack head. tiny: (code, limit) or None; short: codes of 8, 16 and 32 bits."""
    if tiny and size < tiny[1]:
        return bytes([tiny[0] | size])
    if short and size < 1 << 8:
        return struct.pack(">BB", short[0], size)
    if size < 1 << 16:
        return struct.pack(">BH", short[1], size)
    return struct.pack(">BI", short[2], size)


def pack(value):
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if value < 128:
            return bytes([value])
        for code, form, bits in ((0xCC, "B", 8), (0xCD, "H", 16), (0xCE, "I", 32)):
            if value < 1 << bits:
                return struct.pack(">B" + form, code, value)
        return struct.pack(">BQ", 0xCF, value)
    if isinstance(value, str):
        text = value.encode()
        return _head(len(text), (0xD9, 0xDA, 0xDB), (0xA0, 32)) + text
    if isinstance(value, bytes):
        return _head(len(value), (0xC4, 0xC5, 0xC6), None) + value
    if len(value) < 16:
        head = bytes([0x90 | len(value)])
    else:
        head = struct.pack(">BH", 0xDC, len(value))
    return head + b"".join(pack(item) for item in value)


_SIZED = {  # code: (form of the size, kind)
    0xC4: (">B", bytes), 0xC5: (">H", bytes), 0xC6: (">I", bytes),
    0xD9: (">B", str), 0xDA: (">H", str), 0xDB: (">I", str),
    0xDC: (">H", list), 0xDD: (">I", list),
}
_NUMBERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}


def _unpack(data, at):
    code = data[at]
    at += 1
    if code < 0x80:
        return code, at
    if code in (0xC2, 0xC3):
        return code == 0xC3, at
    if code in _NUMBERS:
        form = _NUMBERS[code]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if 0x90 <= code <= 0x9F:
        size, kind = code & 15, list
    elif 0xA0 <= code <= 0xBF:
        size, kind = code & 31, str
    elif code in _SIZED:
        form, kind = _SIZED[code]
        size = struct.unpack_from(form, data, at)[0]
        at += struct.calcsize(form)
    else:
        raise ValueError(f"msgpack byte {code:#x} at {at - 1}")
    if kind is list:
        items = []
        for _ in range(size):
            item, at = _unpack(data, at)
            items.append(item)
        return items, at
    if at + size > len(data):
        raise ValueError("message is cut off")
    raw = data[at : at + size]
    return (raw.decode() if kind is str else bytes(raw)), at + size


def unpack(data):
    value, at = _unpack(data, 0)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the message")
    return value


def frame(kind, body, request=1, version=1):
    return struct.pack(">IBBH", len(body), kind, version, request) + body


# --- Sessions


def connect(host, port, certificate, timeout=20, version=ssl.TLSVersion.TLSv1_3):
    """TLS to a replica. `certificate`: (certificate file, key file) or None for no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # self-signed; who it is follows from evidence
    context.minimum_version = context.maximum_version = version
    if certificate:
        context.load_cert_chain(*certificate)
    raw = socket.create_connection((host, port), timeout)
    try:
        return context.wrap_socket(raw)
    except BaseException:
        raw.close()
        raise


class Session:
    """One connection; requests one after the other."""

    def __init__(self, host, port, certificate, timeout=20):
        self.sock = connect(host, port, certificate, timeout)
        self.last = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, kind, fields):
        self.last += 1
        self.sock.sendall(frame(kind, pack(fields), self.last))

    def _read(self, size):
        data = b""
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                raise ConnectionResetError("closed by the replica")
            data += part
        return data

    def receive(self):
        size, kind, version, _ = struct.unpack(">IBBH", self._read(8))
        if version != 1:
            raise ValueError(f"frame of version {version}")
        fields = unpack(self._read(size))
        if kind == ERROR:
            raise Refused(fields)
        return kind, fields

    def ask(self, kind, fields):
        self.send(kind, fields)
        return self.receive()

    def attest(self, nonce):
        """The replica's evidence, not judged."""
        kind, fields = self.ask(ATTEST_REQUEST, [1, nonce])
        if kind != EVIDENCE:
            raise ValueError(f"frame {kind} instead of evidence")
        return fields

    def status(self):
        _, fields = self.ask(STATUS, [])
        status = dict(zip(STATUS_FIELDS, fields))
        status["members"] = [dict(zip(MEMBER_FIELDS, m)) for m in status["members"]]
        status["alarms"] = [dict(zip(ALARM_FIELDS, a)) for a in status["alarms"]]
        return status


# --- Formulas


def cluster_id(founders):
    """founders: lists [id, name, address, spki]; docs in coordinator/core/entry.h."""
    h = hashlib.sha256(b"contrast-cluster-v1\0" + struct.pack(">I", len(founders)))
    for number, name, address, spki in sorted(founders):
        h.update(struct.pack(">Q", number))
        for part in (name.encode(), address.encode(), spki):
            h.update(struct.pack(">I", len(part)) + part)
    return h.digest()


def transition(cluster, epoch, generation, previous, manifest, policy_hashes):
    return hashlib.sha256(
        b"contrast-transition-v1\0" + cluster + struct.pack(">QQ", epoch, generation) + previous
        + hashlib.sha256(manifest).digest()
        + hashlib.sha256(b"".join(sorted(policy_hashes))).digest()
    ).digest()
