"""A host between two programs: lies to the first callers, then passes everything on.

    with Liar((address, port), honest=(address, 7777), lies=[CLOSE, raw(b"..."), frames(wire...)]):

One lie for each connection, in their order, to whoever calls; a lie ends with the connection.
Afterwards bytes go both ways between caller and `honest`, unseen, as in a network. `told` counts
the lies, `passed` the connections that were passed on.

SPDX-License-Identifier: Apache-2.0
"""

import socket
import ssl
import struct
import threading

PATIENCE_S = 20


def close(peer, _context):
    """A reset instead of an answer."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def raw(data):
    """These bytes, whatever the caller speaks."""
    def lie(peer, _context):
        peer.recv(65536)  # what it says first
        peer.sendall(data)
    return lie


def frames(*answers):
    """TLS with a key of its own, and the n-th of these for the n-th frame of the caller."""
    def lie(peer, context):
        with context.wrap_socket(peer, server_side=True) as tls:
            for answer in answers:
                size = int.from_bytes(read(tls, 8)[:4], "big")
                read(tls, size)
                tls.sendall(answer)
    return lie


def read(sock, size):
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data


class Liar:
    def __init__(self, address, certificate, lies, honest):
        self.lies, self.honest = list(lies), honest
        self.told = self.passed = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.context.load_cert_chain(*certificate)
        self.server = socket.create_server(address)
        self.address = f"{address[0]}:{address[1]}"
        self.threads = [self._start(self._accept)]
        self.open = []

    @staticmethod
    def _start(run, *arguments):
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        thread.start()
        return thread

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for sock in self.open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        for thread in self.threads:
            thread.join(PATIENCE_S)

    def _accept(self):
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            peer.settimeout(PATIENCE_S)
            if self.lies:
                self.told += 1
                self.threads.append(self._start(self._lie, self.lies.pop(0), peer))
            else:
                self.passed += 1
                self._pass(peer)

    def _lie(self, lie, peer):
        try:
            with peer:
                lie(peer, self.context)
        except OSError:
            pass

    def _pass(self, peer):
        try:
            other = socket.create_connection(self.honest, PATIENCE_S)
        except OSError:
            peer.close()
            return
        self.open += [peer, other]
        self.threads += [self._start(self._pump, peer, other), self._start(self._pump, other, peer)]

    @staticmethod
    def _pump(source, target):
        source.settimeout(None)
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass
