"""What a live containerd says over CRI, without any of our code: HTTP/2 and protobuf by hand.

    status("/run/containerd/containerd.sock") -> (is_ready, {handlers})

SPDX-License-Identifier: Apache-2.0
"""
import json
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def header(name, value):
    """HPACK, RFC 7541 6.2.2: literal without indexing, new name, no Huffman; both below 127 bytes."""
    return bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def read_exactly(s, size):
    out = b""
    while len(out) < size:
        part = s.recv(size - len(out))
        if not part:
            raise ConnectionError("the server closed the connection")
        out += part
    return out


def call(path, method, message, timeout_s=10):
    """The message of the answer."""
    headers = b"".join(header(*h) for h in (
        (":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", method),
        ("content-type", "application/grpc"), ("te", "trailers")))
    body = b"\0" + struct.pack(">I", len(message)) + message
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout_s)
        s.connect(path)
        s.sendall(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 30)) +
                  frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 30)) +
                  frame(HEADERS, END_HEADERS, 1, headers) + frame(DATA, END_STREAM, 1, body))
        answer = b""
        while True:
            head = read_exactly(s, 9)
            size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            payload = read_exactly(s, size)
            if kind == DATA:
                answer += payload
            elif kind in (SETTINGS, PING) and not flags & ACK:
                s.sendall(frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind == GOAWAY:
                raise ConnectionError("GOAWAY")
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                return answer[5:]


def fields(message):
    """(number, value) of each field; value is an int or bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
            continue
        assert tag & 7 == 2, tag
        size = varint()
        yield tag >> 3, message[at:at + size]
        at += size


def status(path):
    is_ready, handlers = False, set()
    for number, value in fields(call(path, "/runtime.v1.RuntimeService/Status", b"\x08\x01")):
        if number == 1:
            for _, condition in fields(value):
                parts = dict(fields(condition))
                is_ready |= parts.get(1) == b"RuntimeReady" and parts.get(2) == 1
        elif number == 2:
            entry = dict(fields(value))
            if entry[1] == b"config":
                handlers = set(json.loads(entry[2])["containerd"]["runtimes"])
    return is_ready, handlers
