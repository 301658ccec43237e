"""A small name service of the tests: A records that change at once, over UDP and TCP.

    service = Dns("10.90.250.1");  service.set("coordinator-1.coordinator", "10.90.1.1")

A name has one or more addresses, given in turn; AAAA and other types of a known name are answered
with nothing, an unknown name with NXDOMAIN. TTL is 0. Faults, for all names:

    mode "good"  "servfail"  "silent" (no answer)  "refused" (nobody listens)
    delay_s      every answer comes so much later
    wrong        an address that every A question is answered with

A question that cannot be read is not answered. Nothing here resolves anything elsewhere. One
thread; sockets are made in the thread and namespace that makes the object.

SPDX-License-Identifier: Apache-2.0
"""

import heapq
import itertools
import os
import selectors
import socket
import struct
import threading
import time

PORT = 53
NAME_MAX = 255
CLIENTS_MAX = 256  # TCP connections
QUESTION_MAX = 512
TYPE_A, CLASS_IN = 1, 1
NO_ERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


class Bad(ValueError):
    """A message that is no question."""


def parse_question(data):
    """(id, flags, name in lower case, type, bytes of the question) of a query with one question."""
    if len(data) < 12 or len(data) > QUESTION_MAX:
        raise Bad(f"{len(data)} bytes")
    number, flags, questions = struct.unpack_from(">HHH", data)
    if flags & 0xF800 or questions != 1:  # an answer, another opcode
        raise Bad("not a query with one question")
    labels, at = [], 12
    while True:
        if at >= len(data):
            raise Bad("the name is cut off")
        size = data[at]
        at += 1
        if size == 0:
            break
        if size > 63 or at + size > len(data) or at + size - 12 > NAME_MAX:
            raise Bad("a label is too long")
        labels.append(data[at:at + size])
        at += size
    if at + 4 > len(data):
        raise Bad("type and class are cut off")
    kind, space = struct.unpack_from(">HH", data, at)
    if space != CLASS_IN:
        raise Bad("not of the class IN")
    try:
        name = b".".join(labels).decode("ascii").lower()
    except UnicodeDecodeError as why:
        raise Bad("the name is not ASCII") from why
    return number, flags, name, kind, data[12:at + 4]


def make_answer(question, code, addresses):
    """The message; the addresses as A records of the question's name."""
    number, flags, _, _, raw = question
    head = struct.pack(">HHHHHH", number, 0x8480 | flags & 0x0100 | code, 1, len(addresses), 0, 0)
    records = b"".join(struct.pack(">HHHIH", 0xC00C, TYPE_A, CLASS_IN, 0, 4)
                       + socket.inet_aton(a) for a in addresses)
    return head + raw + records


class Dns:
    def __init__(self, address, port=PORT):
        self.address = address
        self.lock = threading.Lock()
        self.names = {}
        self.turn = 0
        self.asked = 0     # questions that were understood
        self.be_good()
        self.sockets = {}
        self.clients = {}  # socket -> bytes that came
        self.late, self.order = [], itertools.count()
        self.selector = selectors.DefaultSelector()
        self.waker, self.wake = os.pipe()
        self.selector.register(self.waker, selectors.EVENT_READ, self._on_wake)
        self.is_over = False
        udp, tcp = self._listen_both(port)
        self.port = udp.getsockname()[1]
        tcp.listen(64)
        self.selector.register(udp, selectors.EVENT_READ, self._on_datagram)
        self.selector.register(tcp, selectors.EVENT_READ, self._on_client)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _listen_both(self, port):
        """With port 0 one that is free for both: the one that UDP is given may be taken for TCP."""
        tries = 16 if port == 0 else 1
        while True:
            tries -= 1
            udp = self._listen(socket.SOCK_DGRAM, port)
            try:
                return udp, self._listen(socket.SOCK_STREAM, udp.getsockname()[1])
            except OSError:
                udp.close()
                if tries == 0:
                    raise

    def _listen(self, kind, port):
        made = socket.socket(socket.AF_INET, kind)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((self.address, port))
        except OSError:
            made.close()
            raise
        made.setblocking(False)
        self.sockets[kind] = made
        return made

    # What the owner of the object says

    def set(self, name, where):
        """`where`: an address, an object with one, or a list of these."""
        many = where if isinstance(where, (list, tuple)) else [where]
        addresses = [getattr(one, "address", one) for one in many]
        with self.lock:
            self.names[name.lower()] = addresses

    def forget(self, name):
        with self.lock:
            self.names.pop(name.lower(), None)

    def lookup(self, name):
        """Addresses of a name, by whoever needs no resolver; empty: unknown."""
        with self.lock:
            return list(self.names.get(name.lower(), ()))

    def be_good(self):
        self.mode, self.delay_s, self.wrong = "good", 0.0, None

    def close(self):
        if self.is_over:
            return
        self.is_over = True
        os.write(self.wake, b"x")
        self.thread.join()
        for one in [*self.sockets.values(), *self.clients]:
            one.close()
        self.selector.close()
        os.close(self.waker)
        os.close(self.wake)

    # The thread

    def _run(self):
        while not self.is_over:
            due = self.late[0][0] - time.monotonic() if self.late else None
            for key, _ in self.selector.select(max(0, due) if due is not None else None):
                key.data(key.fileobj)
            while self.late and self.late[0][0] <= time.monotonic():
                heapq.heappop(self.late)[2]()

    def _on_wake(self, pipe):
        os.read(pipe, 1)

    def _answer(self, data):
        """The answer to a message, or None."""
        try:
            question = parse_question(data)
        except Bad:
            return None
        self.asked += 1
        if self.mode == "silent":
            return None
        if self.mode == "servfail":
            return make_answer(question, SERVFAIL, [])
        with self.lock:
            known = self.names.get(question[2])
            self.turn += 1
            turn = self.turn
        if known is None:
            return make_answer(question, NXDOMAIN, [])
        if question[3] != TYPE_A:
            return make_answer(question, NO_ERROR, [])
        if self.wrong:
            return make_answer(question, NO_ERROR, [self.wrong])
        first = turn % len(known) if known else 0
        return make_answer(question, NO_ERROR, known[first:] + known[:first])

    def _after_delay(self, call):
        if self.delay_s > 0:
            heapq.heappush(self.late, (time.monotonic() + self.delay_s, next(self.order), call))
        else:
            call()

    def _on_datagram(self, udp):
        data, peer = udp.recvfrom(QUESTION_MAX + 1)
        if self.mode == "refused":
            return
        answer = self._answer(data)
        if answer:
            self._after_delay(lambda: _try(lambda: udp.sendto(answer, peer)))

    def _on_client(self, tcp):
        client, _ = tcp.accept()
        if self.mode == "refused" or len(self.clients) >= CLIENTS_MAX:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        client.setblocking(False)
        self.clients[client] = b""
        self.selector.register(client, selectors.EVENT_READ, self._on_bytes)

    def _on_bytes(self, client):
        try:
            data = client.recv(4096)
        except OSError:
            data = b""
        if not data or len(self.clients[client]) + len(data) > 4 * QUESTION_MAX:
            self._drop(client)
            return
        self.clients[client] += data
        while len(self.clients[client]) >= 2:
            size = struct.unpack_from(">H", self.clients[client])[0]
            if len(self.clients[client]) < 2 + size:
                return
            message = self.clients[client][2:2 + size]
            self.clients[client] = self.clients[client][2 + size:]
            answer = self._answer(message)
            if answer:
                packet = struct.pack(">H", len(answer)) + answer
                self._after_delay(lambda p=packet: _try(lambda: client.sendall(p)))

    def _drop(self, client):
        self.selector.unregister(client)
        del self.clients[client]
        client.close()


def _try(call):
    """A client that went away is no matter of ours."""
    try:
        call()
    except OSError:
        pass
