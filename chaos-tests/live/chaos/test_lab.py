"""The hosts out of namespaces: who reaches whom, with and without each fault; nothing is left.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import glob
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import lab as labs
import dns
import harness
import leaks
from harness import read, wait_until, write

PORT = 4242
PATIENCE_S = 0.4  # a connection that takes longer counts as one that is cut


class Echo(threading.Thread):
    """Sends back whatever comes, on one host."""

    def __init__(self, host):
        super().__init__(daemon=True)
        with host.inside():
            self.listener = socket.create_server(("0.0.0.0", PORT))
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def exchange(connection, size=1):
    """Sends so much and reads it back; seconds."""
    begin = time.monotonic()
    sender = threading.Thread(target=connection.sendall, args=(bytes(size),), daemon=True)
    sender.start()
    while size:
        size -= len(connection.recv(size))
    sender.join()
    return time.monotonic() - begin


class Network(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = labs.Lab(5)
        cls.echoes = [Echo(host) for host in cls.lab.hosts.values()]

    @classmethod
    def tearDownClass(cls):
        for echo in cls.echoes:
            echo.close()
        cls.lab.close()

    def tearDown(self):
        self.lab.heal()
        self.expect_all(True)

    def reaches(self, a, b, timeout=PATIENCE_S):
        """True, False for silence, or "reset"."""
        try:
            with self.lab.host(a).connect(self.lab.host(b).address, PORT, timeout) as c:
                c.settimeout(timeout)
                exchange(c)
                return True
        except TimeoutError:
            return False
        except ConnectionRefusedError:
            return "reset"

    def expect(self, answer, *pairs):
        for a, b in pairs:
            patience = 10 if answer is True else PATIENCE_S  # the hosts look for each other first
            self.assertEqual(answer, self.reaches(a, b, patience), f"from {a} to {b}")

    def expect_all(self, answer):
        self.expect(answer, (1, 2), (2, 1), (1, 3), (5, 1), (4, 6), (6, 4))

    def open(self, a, b):
        connection = self.lab.host(a).connect(self.lab.host(b).address, PORT)
        connection.settimeout(PATIENCE_S)
        self.addCleanup(connection.close)
        exchange(connection)
        return connection

    # --- Cuts

    def test_a_cut_is_silent_and_only_where_it_is(self):
        heal = self.lab.cut(1, 5)
        self.expect(False, (1, 5), (5, 1))
        self.expect(True, (1, 4), (2, 5), (5, 6))
        heal()
        self.expect(True, (1, 5), (5, 1))

    def test_a_cut_ends_connections_that_are_open(self):
        connection = self.open(1, 2)
        heal = self.lab.cut(1, 2)
        with self.assertRaises(TimeoutError):
            exchange(connection)
        heal()
        connection.settimeout(10)  # TCP sends it again
        self.assertEqual(1, len(connection.recv(1)))

    def test_one_way(self):
        """The answer of the handshake is lost in one direction, its begin in the other; datagrams
        tell the two apart."""
        self.lab.cut(1, 2, one_way=True)
        self.assertFalse(self.datagram_arrives(1, 2))
        self.assertTrue(self.datagram_arrives(2, 1))
        self.expect(False, (1, 2), (2, 1))

    def datagram_arrives(self, a, b):
        with self.lab.host(b).inside():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with self.lab.host(a).inside():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver, sender:
            receiver.bind((self.lab.host(b).address, 0))
            receiver.settimeout(PATIENCE_S)
            sender.sendto(b"x", receiver.getsockname())
            try:
                return receiver.recv(1) == b"x"
            except TimeoutError:
                return False

    def test_a_reset_is_told_at_once(self):
        connection = self.open(1, 5)
        heal = self.lab.cut(1, 5, how="reset")
        self.expect("reset", (1, 5), (5, 1))
        with self.assertRaises(ConnectionResetError):
            exchange(connection)
        heal()
        self.expect(True, (1, 5))

    def test_faults_that_overlap_end_each_by_itself(self):
        first, second = self.lab.cut(1, 2), self.lab.partition([1, 3], [2, 4])
        first()
        first()
        self.expect(False, (1, 2), (1, 4))
        second()
        self.expect(True, (1, 2), (1, 4))

    def test_groups(self):
        self.lab.partition([1, 3], [2, 4], [5])
        self.expect(False, (1, 2), (3, 4), (5, 1), (2, 5))
        self.expect(True, (1, 3), (2, 4), (1, 6), (5, 6))

    def test_isolated(self):
        self.lab.isolate(3)
        self.expect(False, (3, 4), (1, 3), (6, 3))
        self.expect(True, (1, 2), (4, 6))

    def test_a_new_address_is_cut_too(self):
        host = self.lab.host(4)
        self.lab.cut(4, 1, one_way=True)
        old = host.address
        new = host.readdress()
        self.assertNotEqual(old, new)
        self.expect(False, (1, 4))
        self.expect(True, (2, 4))
        self.lab.heal()
        with self.assertRaises(OSError):
            self.lab.host(1).connect(old, PORT, PATIENCE_S)

    def test_bridges(self):
        heal = self.lab.bridge(1)
        self.expect(False, (1, 2), (1, 3), (6, 2))
        self.expect(True, (3, 4), (5, 6))
        heal()
        self.expect(True, (1, 2), (1, 3))
        self.lab.uplink(1)
        self.expect(True, (1, 2), (2, 1))
        self.expect(False, (1, 3), (6, 1))

    def test_half_open(self):
        old = self.open(1, 2)
        heal = self.lab.half_open(1, 2)
        with self.assertRaises(TimeoutError):
            exchange(old)
        self.expect(True, (1, 2), (2, 1))
        new = self.open(1, 2)
        second = self.lab.half_open(1, 2)
        with self.assertRaises(TimeoutError):
            exchange(new)
        second()
        heal()

    def test_flapping(self):
        seen = set()
        heal = self.lab.flap(lambda: self.lab.cut(1, 2, how="reset"), 0.2, 0.2)
        wait_until(lambda: seen.add(self.reaches(1, 2)) or {True, "reset"} <= seen, 20,
                   "it is cut, and not")
        heal()
        self.expect(True, *[(1, 2)] * 10)

    # --- Lines that are bad

    def test_a_delay_reaches_open_connections(self):
        connection = self.open(1, 3)
        connection.settimeout(10)
        heal = self.lab.slow(1, 3, delay_ms=150)
        self.assertGreaterEqual(exchange(connection), 0.3)
        self.assertGreaterEqual(exchange(self.open_slowly(1, 3)), 0.3)
        self.expect(True, (1, 2))
        heal()
        exchange(connection)

    def open_slowly(self, a, b):
        connection = self.lab.host(a).connect(self.lab.host(b).address, PORT, 10)
        connection.settimeout(10)
        self.addCleanup(connection.close)
        return connection

    def test_a_delay_in_one_direction(self):
        connection = self.open_slowly(1, 3)
        self.lab.slow(1, 3, one_way=True, delay_ms=200)
        self.assertGreaterEqual(exchange(connection), 0.2)

    def test_a_narrow_line(self):
        connection = self.open_slowly(1, 3)
        self.lab.slow(1, 3, rate_kbit=800)
        self.assertGreaterEqual(exchange(connection, 50000), 0.5)

    def test_loss_costs_packets_and_no_bytes(self):
        connection = self.open_slowly(1, 3)
        connection.settimeout(60)
        self.lab.slow(1, 3, loss=0.05, duplicate=0.05, reorder=0.05, delay_ms=2)
        exchange(connection, 300000)
        self.assertGreater(self.retransmitted(connection), 0)

    @staticmethod
    def retransmitted(connection):
        """tcpi_total_retrans of linux/tcp.h."""
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return struct.unpack_from("I", info, 100)[0]

    def test_a_line_that_loses_all_is_a_cut(self):
        heal = self.lab.slow(1, 3, loss=1)
        self.expect(False, (1, 3), (3, 1))
        heal()

    def test_a_line_that_swallows(self):
        self.lab.slow(1, 3, swallow_kb=20)
        connection = self.open(1, 3)
        with self.assertRaises(TimeoutError):
            exchange(connection, 200000)
        self.expect(True, (1, 3))

    def test_a_line_that_stalls(self):
        connection = self.open_slowly(1, 3)
        self.lab.slow(1, 3, stall_ms=300, period_ms=400)
        self.assertGreater(max(exchange(connection) for _ in range(8)), 0.1)

    # --- Names

    def resolve(self, name):
        done = self.lab.host(1).call(["getent", "ahostsv4", name], timeout=30)
        return sorted({line.split()[0] for line in done.out.splitlines()})

    def test_names(self):
        self.lab.dns.set("pod.test", self.lab.host(2))
        self.assertEqual([self.lab.host(2).address], self.resolve("pod.test"))
        self.lab.dns.set("POD.test", ["10.1.2.3", "10.1.2.4"])
        self.assertEqual(["10.1.2.3", "10.1.2.4"], self.resolve("pod.test"))
        self.lab.dns.forget("pod.test")
        self.assertEqual([], self.resolve("pod.test"))

    def test_a_name_service_in_trouble(self):
        self.lab.dns.set("pod.test", "10.1.2.3")
        for mode in ("servfail", "silent", "refused"):
            self.lab.dns.mode = mode
            before = self.lab.dns.asked
            self.assertEqual([], self.resolve("pod.test"), mode)
            self.assertEqual(mode == "refused", self.lab.dns.asked == before)
        self.lab.dns.be_good()
        self.lab.dns.wrong = "10.9.9.9"
        self.assertEqual(["10.9.9.9"], self.resolve("pod.test"))
        self.lab.heal()
        self.lab.dns.delay_s = 0.5
        begin = time.monotonic()
        self.assertEqual(["10.1.2.3"], self.resolve("pod.test"))
        self.assertGreaterEqual(time.monotonic() - begin, 0.5)

    # --- Disks

    def test_disks(self):
        disk = self.lab.disk("disk", 128)
        path = os.path.join(disk.path, "file")

        def can_write():
            try:
                with open(path, "wb") as f:
                    f.write(bytes(10000))
                return True
            except OSError:
                return False
        self.assertTrue(can_write())
        kept = disk.copy()
        for fault in (disk.fill, disk.read_only):
            os.path.exists(path) and os.unlink(path)
            heal = fault()
            self.assertFalse(can_write(), fault.__name__)
            heal()
            self.assertTrue(can_write())
        with open(path, "wb") as f:
            f.write(b"newer")
        disk.restore(kept)
        self.assertEqual(bytes(10000), read(path))


class Questions(unittest.TestCase):
    """The parser of the name service."""

    good = (struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0)
            + b"\x03pod\x04TEST\x00" + struct.pack(">HH", 1, 1))

    def test_a_question(self):
        number, _, name, kind, raw = dns.parse_question(self.good + b"whatever follows")
        self.assertEqual((7, "pod.test", 1, self.good[12:]), (number, name, kind, raw))

    def test_no_prefix_is_a_question(self):
        for size in range(len(self.good)):
            with self.assertRaises(dns.Bad):
                dns.parse_question(self.good[:size])

    def test_what_is_no_question(self):
        def changed(at, data):
            return self.good[:at] + data + self.good[at + len(data):]
        bad = {"an answer": changed(2, b"\x81"), "an update": changed(2, b"\x29"),
               "no question": changed(5, b"\0"), "two questions": changed(5, b"\2"),
               "a pointer": changed(12, b"\xc0\x0c"), "a label over the end": changed(12, b"\x3f"),
               "another class": changed(len(self.good) - 1, b"\3"),
               "not ASCII": changed(13, b"\xff"),
               "a long name": self.good[:12] + b"\x3f" + bytes(63) + b"\x3f" + bytes(63)
               + b"\x3f" + bytes(63) + b"\x3f" + bytes(63) + b"\0\0\1\0\1",
               "too long": self.good + bytes(600)}
        for what, data in bad.items():
            with self.subTest(what), self.assertRaises(dns.Bad):
                dns.parse_question(data)

    def test_any_changed_byte_is_judged(self):
        for at in range(len(self.good)):
            for value in range(256):
                try:
                    dns.parse_question(self.good[:at] + bytes([value]) + self.good[at + 1:])
                except dns.Bad:
                    pass

    def test_over_both_transports(self):
        service = dns.Dns("127.0.0.1", 0)
        self.addCleanup(service.close)
        service.set("pod.test", "10.1.2.3")
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.create_connection(("127.0.0.1", service.port), 5)
        with udp, tcp:
            udp.settimeout(5)
            udp.sendto(b"nonsense", ("127.0.0.1", service.port))
            udp.sendto(self.good, ("127.0.0.1", service.port))
            by_udp = udp.recv(512)
            tcp.sendall((struct.pack(">H", len(self.good)) + self.good) * 2)
            by_tcp = b""
            while len(by_tcp) < 2 * (2 + len(by_udp)):
                by_tcp += tcp.recv(512)
        self.assertTrue(by_udp.endswith(socket.inet_aton("10.1.2.3")))
        self.assertEqual((struct.pack(">H", len(by_udp)) + by_udp) * 2, by_tcp)


class Leaks(unittest.TestCase):
    """Secrets in logs, in every form that harness.py knows."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir, self.logs = folder.name, os.path.join(folder.name, "logs")
        os.makedirs(os.path.join(self.dir, "pod"))
        os.mkdir(self.logs)
        self.secret = bytes(range(100, 132))
        write(os.path.join(self.dir, "pod", "workload-secret-seed"), self.secret.hex())

    def find(self, data):
        write(os.path.join(self.logs, "a.log"), data)
        return leaks.find(self.dir, self.logs)

    def test_every_form_is_found(self):
        for form in harness.forms_of(b"\xff" + self.secret[1:]):
            write(os.path.join(self.dir, "pod", "workload-secret-seed"),
                  (b"\xff" + self.secret[1:]).hex())
            for around in (b"%s", b"key=%s.\n", b"AAAAAAAA%sZZZZZZ", b"\n%s\n"):
                said, count = self.find(around % form)
                self.assertEqual((1, 1), (len(said), count), around % form)

    def test_what_is_no_secret_is_not(self):
        for data in (b"", self.secret.hex().encode()[:-1], b"a" * 10000, self.secret[:-1],
                     b"\xff\xfe" + self.secret[1:]):
            self.assertEqual(([], 1), self.find(data))

    def test_keys_and_core_files(self):
        key = os.path.join(self.dir, "pod", "key.pem")
        harness.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-out", key)
        write(os.path.join(self.dir, "core.12"), b"")
        said, count = self.find(harness.private_number(key).hex().upper())
        self.assertEqual((2, 2), (len(said), count), said)


class Ends(unittest.TestCase):
    def traces(self, tag):
        """What there is of a Lab."""
        found = glob.glob(f"/run/netns/{tag}-*") + glob.glob(f"/etc/netns/{tag}-*")
        found += glob.glob(f"{labs.CGROUPS}/*/{tag}-*")
        found += [line for line in read("/proc/self/mounts", "r").splitlines() if tag in line]
        return found

    def test_nothing_is_left(self):
        with labs.Lab(2) as lab:
            lab.disk("disk")
            process = lab.host(1).run(["sleep", "1000"])
            child = lab.host(2).popen(["sleep", "1000"])  # not told to the Lab
            self.assertTrue(self.traces(lab.tag))
        self.assertFalse(process.is_alive())
        self.assertEqual(-signal.SIGKILL, child.wait(5))
        self.assertEqual([], self.traces(lab.tag))
        self.assertFalse(os.path.exists(lab.dir))
        lab.close()

    def test_what_a_killed_runner_left_is_removed(self):
        self.kill_a_runner(lambda x: None)

    def test_also_when_its_lock_says_nothing(self):
        self.kill_a_runner(lambda x: write(f"{labs.LOCKS}-{x}.lock", ""))

    def kill_a_runner(self, before_removal):
        script = ("import lab, time\nl = lab.Lab(2)\nl.disk('disk')\n"
                  "p = l.host(1).run(['sleep', '1000'])\n"
                  "print(l.tag, l.dir, p.child.pid, flush=True)\ntime.sleep(1000)\n")
        runner = subprocess.Popen([sys.executable, "-B", "-c", script], stdout=subprocess.PIPE,
                                  text=True, cwd=os.path.dirname(os.path.abspath(__file__)))
        tag, folder, pid = runner.stdout.readline().split()
        runner.kill()
        runner.wait()
        runner.stdout.close()
        self.assertTrue(self.traces(tag))
        self.assertTrue(os.path.exists(f"/proc/{pid}"))
        before_removal(tag.rsplit("-", 1)[1])
        labs.Lab(1).close()
        self.assertEqual([], self.traces(tag))
        self.assertFalse(os.path.exists(folder))
        wait_until(lambda: not os.path.exists(f"/proc/{pid}")
                   or " Z " in read(f"/proc/{pid}/stat", "r"), 10, "its program is gone")

    def test_one_that_lives_is_left_alone(self):
        with labs.Lab(1) as first:
            with labs.Lab(1) as second:
                self.assertNotEqual(first.tag, second.tag)
                self.assertEqual(0, second.host(1).call(["true"]).code)
            self.assertEqual(0, first.host(1).call(["true"]).code)
            self.assertTrue(self.traces(first.tag))

    def test_a_failed_set_up_leaves_nothing(self):
        with self.assertRaises(ValueError):
            labs.Lab(0)
        before = set(glob.glob("/run/netns/*"))
        broken = labs.TABLE
        labs.TABLE = "no table"
        try:
            with self.assertRaises(AssertionError):
                labs.Lab(1)
        finally:
            labs.TABLE = broken
        self.assertEqual(set(), {p for p in glob.glob("/run/netns/*")
                                 if f"ct-{os.getpid()}-" in p} - before)


if __name__ == "__main__":
    labs.need()
    unittest.main(verbosity=2)
