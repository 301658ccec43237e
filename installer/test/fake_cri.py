"""A container runtime for tests of the installer: CRI's Version and Status over HTTP/2 on a Unix
socket, and a restart.

It reads config.toml and the drop-ins as containerd would and lists their runtimes, from the last
restart on; a restart makes the socket anew. The HTTP/2 is as much as unary gRPC needs (RFC 9113,
gRPC over HTTP/2): a request is told by its message, Status with "verbose" set, else Version.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import socket
import struct
import threading
import tomllib

DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_STREAM, END_HEADERS, ACK = 1, 4, 1
PLUGINS = {"io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"}


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """HPACK, never indexed, a new name, without Huffman's code (RFC 7541, 6.2.3)."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


def varint(n):
    out = b""
    while n >= 0x80:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


class FakeCri:
    """`folder` is config.toml's; RESTART_COMMAND is self.restart_command."""

    def __init__(self, root, version, folder="/etc/containerd"):
        self.root, self.version, self.folder = root, version, root + folder
        self.socket_path = root + "/run/containerd/containerd.sock"
        self.fifos = [root + "/run/restart.ask", root + "/run/restart.done"]
        self.handlers, self.restarts, self.is_broken, self.listener = [], 0, False, None
        self.hide, self.is_closed, self.waiting = set(), False, None
        self.restart_command = "echo . >%s && read x <%s" % tuple(self.fifos)

    def start(self):
        os.makedirs(os.path.dirname(self.socket_path), exist_ok=True)
        for path in self.fifos:
            os.mkfifo(path)
        self.restart()
        self.waiting = threading.Thread(target=self.serve_restarts, daemon=True)
        self.waiting.start()

    def close(self):
        self.is_closed = True
        with open(self.fifos[0], "w", encoding="ascii"):
            self.listener.close()
        self.waiting.join()

    def read_handlers(self):
        files = [self.folder + "/config.toml"]
        drop_ins = self.folder + "/conf.d"
        if not self.version.startswith("1.") and os.path.isdir(drop_ins):
            files += [os.path.join(drop_ins, f) for f in sorted(os.listdir(drop_ins))
                      if f.endswith(".toml")]
        names = {"runc"}
        for path in files:
            with open(path, "rb") as f:
                for plugin, table in tomllib.load(f).get("plugins", {}).items():
                    if plugin in PLUGINS:
                        names |= set(table.get("containerd", {}).get("runtimes", {}))
        return sorted(names - self.hide)

    def restart(self):
        self.restarts += 1
        if self.listener is not None:
            self.listener.close()
            os.unlink(self.socket_path)
        self.handlers = self.read_handlers()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.socket_path)
        self.listener.listen(8)
        threading.Thread(target=self.serve, args=(self.listener,), daemon=True).start()

    def serve_restarts(self):
        while True:
            with open(self.fifos[0], encoding="ascii") as asked:
                asked.read()
            if self.is_closed:
                return
            self.restart()
            with open(self.fifos[1], "w", encoding="ascii") as done:
                done.write("done\n")

    def serve(self, listener):
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:
                try:
                    self.talk(connection)
                except (OSError, EOFError, BrokenPipeError):
                    pass

    def talk(self, connection):
        stream = connection.makefile("rb")
        if stream.read(24) != b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":
            return
        connection.sendall(frame(SETTINGS, 0, 0))
        bodies = {}
        while True:
            head = stream.read(9)
            if len(head) < 9:
                return
            size = int.from_bytes(head[:3], "big")
            kind, flags, number = struct.unpack(">BBI", head[3:])
            payload = stream.read(size)
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                connection.sendall(frame(PING, ACK, 0, payload))
            elif kind == DATA:
                bodies[number] = bodies.get(number, b"") + payload
            if kind in (DATA, HEADERS) and flags & END_STREAM:
                connection.sendall(self.answer(number, bodies.get(number, b"")[5:]))

    def answer(self, stream, message):
        body = self.status() if b"\x08\x01" in message else self.told_version()
        head = b"\x88" + literal(b"content-type", b"application/grpc")
        return (frame(HEADERS, END_HEADERS, stream, head)
                + frame(DATA, 0, stream, b"\0" + struct.pack(">I", len(body)) + body)
                + frame(HEADERS, END_HEADERS | END_STREAM, stream, literal(b"grpc-status", b"0")))

    def told_version(self):
        return field(1, "0.1.0") + field(2, "containerd") + field(3, self.version) + field(4, "v1")

    def status(self):
        condition = field(1, "RuntimeReady") + field(2, 0 if self.is_broken else 1)
        config = json.dumps({"containerd": {"runtimes": {h: {} for h in self.handlers}}})
        out = field(1, field(1, condition)) + field(2, field(1, "config") + field(2, config))
        if not self.version.startswith("1."):
            out += b"".join(field(3, field(1, h)) for h in self.handlers)
        return out
