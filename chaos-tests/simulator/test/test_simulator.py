#!/usr/bin/env python3
"""The simulated machine from outside: init, serve, launch, and what other tools say of its evidence.

The judges are openssl (chain, signature) and, when it is built, `contrast evidence verify`; the
report's fields are read here from their offsets, not by the code under test.

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import base64
import hashlib
import json
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest

POLICY = b"package agent_policy\n\ndefault CreateContainerRequest := false\n"
DATA = bytes(range(64))
TIMEOUT = 120
args = None


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, timeout=TIMEOUT,
                          check=False, **options)


def simulator(*arguments):
    return run(args.bin / "contrast-snp-simulator", *arguments)


def der_integer(value):
    body = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes([len(body)]) + body


def der_signature(report):
    body = b"".join(der_integer(int.from_bytes(report[at:at + 72], "little"))
                    for at in (0x2A0, 0x2E8))
    return b"\x30" + bytes([len(body)]) + body


def pod_yaml(policy=POLICY, name="web"):
    return f"""# a comment
apiVersion: v1
kind: Service
metadata:
  name: {name}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
spec:
  template:
    metadata:
      annotations:
        io.katacontainers.config.agent.policy: {base64.b64encode(policy).decode()}
    spec:
      containers: []
"""


class Server:
    """A serving machine; ready when it says so."""

    def __init__(self, folder, path, *options):
        self.path = path
        self.process = subprocess.Popen(
            [args.bin / "contrast-snp-simulator", "serve", folder, "--socket", path, *options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise AssertionError("no server: " + self.process.communicate()[1])

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.log = self.process.communicate(timeout=TIMEOUT)[1]
        return self.process.returncode


class Case(unittest.TestCase):
    product = "Milan"

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="contrast-snp-")
        cls.root = pathlib.Path(cls.temporary.name)
        cls.machine = cls.root / "machine"
        cls.measurement = "ab" * 48
        done = simulator("init", cls.machine, "--product", cls.product,
                         "--measurement", cls.measurement)
        if done.returncode != 0:
            raise AssertionError(done.stderr.decode())
        cls.info = json.loads((cls.machine / "machine.json").read_text())
        (cls.root / "pod.yaml").write_text(pod_yaml())

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def serve(self, *options):
        server = Server(self.machine, self.root / "s", *options)
        self.addCleanup(server.stop)
        return server

    def launch(self, *program, pod="pod.yaml", name=None):
        named = ["--name", name] if name else []
        return simulator("launch", "--socket", self.root / "s", "--pod", self.root / pod, *named,
                         "--", *program)

    def report(self, folder="out", **options):
        out = self.root / folder
        out.mkdir(exist_ok=True)
        done = self.launch(args.client, out, DATA.hex(), **options)
        self.assertEqual(done.returncode, 0, done.stderr)
        return (out / "report.bin").read_bytes()


class Product:
    """Run for each product: files, certificates, report."""

    version, family, tcb = 3, (0x19, 0x01), None
    extensions = 11

    def test_files(self):
        for name in ("ark", "ask", "vcek"):
            mode = (self.machine / f"{name}.key.pem").stat().st_mode
            self.assertEqual(stat.S_IMODE(mode), 0o600)
        spki = run("openssl", "x509", "-in", self.machine / "ark.pem", "-noout", "-pubkey").stdout
        der = run("openssl", "pkey", "-pubin", "-outform", "der", input=spki).stdout
        self.assertEqual(self.info["ark_spki_sha256"], hashlib.sha256(der).hexdigest())
        references = json.loads((self.machine / "reference-values.json").read_text())
        self.assertEqual(len(references), 1)
        self.assertEqual(references[0]["ProductName"], self.product)
        self.assertEqual(references[0]["TrustedMeasurement"], self.measurement)
        self.assertEqual(references[0]["SimulatedRoots"], [self.info["ark_spki_sha256"]])
        self.assertEqual(references[0]["AllowedChipIDs"], [self.info["chip_id"]])
        self.assertEqual(references[0]["MinimumTCB"], self.info["tcb"])
        self.assertTrue(references[0]["GuestPolicy"]["SMT"])

    def test_chain_by_openssl(self):
        done = run("openssl", "verify", "-check_ss_sig", "-CAfile", self.machine / "ark.pem",
                   "-untrusted", self.machine / "ask.pem", self.machine / "vcek.pem")
        self.assertEqual(done.returncode, 0, done.stderr)
        for name in ("ark", "ask", "vcek"):
            text = run("openssl", "x509", "-in", self.machine / f"{name}.pem", "-noout",
                       "-text").stdout.decode()
            self.assertIn("Signature Algorithm: rsassaPss", text)
            self.assertIn("Mask Algorithm: mgf1 with sha384", text)
            self.assertIn("Salt Length: 0x30", text)

    def test_leaf_profile(self):
        text = run("openssl", "x509", "-in", self.machine / "vcek.pem", "-noout", "-text",
                   "-nameopt", "RFC2253").stdout.decode()
        self.assertIn("Serial Number: 0 (0x0)", text)
        self.assertIn("CN=SEV-VCEK,O=Advanced Micro Devices,ST=CA,L=Santa Clara,C=US,"
                      "OU=Engineering", text)
        self.assertIn(f"Issuer: CN=SEV-{self.product},", text)
        self.assertEqual(text.count("1.3.6.1.4.1.3704.1."), self.extensions)
        self.assertEqual(text.count("X509v3 "), 1)  # the heading
        der = (self.machine / "vcek.der").read_bytes()
        chip = bytes.fromhex(self.info["chip_id"])[:8 if self.product == "Turin" else 64]
        self.assertIn(bytes([0x04, len(chip)]) + chip, der)

    def test_report_fields(self):
        self.serve()
        r = self.report()
        self.assertEqual(len(r), 1184)
        version, svn, policy = struct.unpack_from("<IIQ", r, 0)
        self.assertEqual((version, svn, policy), (self.version, 0, 0x30000))
        self.assertEqual(struct.unpack_from("<II", r, 0x30), (0, 1))  # VMPL, algorithm
        self.assertEqual(struct.unpack_from("<QI", r, 0x40), (0x25, 0))
        self.assertEqual(r[0x50:0x90], DATA)
        self.assertEqual(r[0x90:0xC0].hex(), self.measurement)
        self.assertEqual(r[0xC0:0xE0], hashlib.sha256(POLICY).digest())
        self.assertEqual(r[0x160:0x180], b"\xff" * 32)
        self.assertEqual(tuple(r[0x188:0x18A]), self.family)
        self.assertEqual(r[0x1A0:0x1E0].hex(), self.info["chip_id"])
        for at in (0x38, 0x180, 0x1E0, 0x1F0):
            self.assertEqual(tuple(r[at:at + 8]), self.tcb, hex(at))
        self.assertNotEqual(r[0x140:0x160], bytes(32))
        self.assertEqual(r[0x330:], bytes(0x4A0 - 0x330))

    def test_report_signature_by_openssl(self):
        self.serve()
        r = self.report()
        (self.root / "signed").write_bytes(r[:0x2A0])
        (self.root / "signature").write_bytes(der_signature(r))
        key = run("openssl", "x509", "-in", self.machine / "vcek.pem", "-noout", "-pubkey").stdout
        (self.root / "vcek.pub").write_bytes(key)
        verify = ["openssl", "dgst", "-sha384", "-verify", self.root / "vcek.pub", "-signature",
                  self.root / "signature", self.root / "signed"]
        self.assertEqual(run(*verify).returncode, 0)
        (self.root / "signed").write_bytes(r[:0x29F] + bytes([r[0x29F] ^ 1]))
        self.assertNotEqual(run(*verify).returncode, 0)
        out = self.root / "out"
        for got, want in (("vek", "vcek"), ("chain0", "ask"), ("chain1", "ark")):
            self.assertEqual((out / f"{got}.der").read_bytes(),
                             (self.machine / f"{want}.der").read_bytes())

    def test_verdict_of_contrast(self):
        command = self.judge()
        done = run(*command, "--trust-root", self.machine / "ark.pem")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        verdict = json.loads(done.stdout)
        self.assertEqual((verdict["verdict"], verdict["simulated"]), ("accepted", True))
        done = run(*command)
        self.assertEqual(done.returncode, 3, "a simulated root must not be trusted by default")


    def judge(self):
        contrast = args.bin / "contrast"
        if not contrast.exists():
            self.assertNotEqual(os.environ.get("CI"), "true", "contrast is not built")
            self.skipTest("contrast is not built")
        self.serve()
        self.report()
        out = self.root / "out"
        return [contrast, "evidence", "verify", "--report", out / "report.bin", "--vek",
                out / "vek.der", "--chain", self.machine / "cert_chain.pem", "--output", "json"]

    def test_reference_values_fit_the_machine(self):
        command = self.judge()
        references = json.loads((self.machine / "reference-values.json").read_text())
        policies = {hashlib.sha256(POLICY).hexdigest(): {"SANs": ["web"], "Role": "coordinator"}}
        manifest = self.root / "manifest.json"
        chip = "11" * 8 + ("00" if self.product == "Turin" else "11") * 56
        for change, code in ({}, 0), ({"TrustedMeasurement": "cd" * 48}, 3), \
                ({"SimulatedRoots": []}, 3), ({"AllowedChipIDs": [chip]}, 3):
            with self.subTest(change):
                manifest.write_text(json.dumps(
                    {"Policies": policies, "ReferenceValues": {"snp": [references[0] | change]}}))
                done = run(*command, "--manifest", manifest)
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)


class Milan(Product, Case):
    tcb = (4, 0, 0, 0, 0, 0, 24, 219)


class Genoa(Product, Case):
    product = "Genoa"
    family = (0x19, 0x11)
    tcb = (10, 0, 0, 0, 0, 0, 23, 84)


class Turin(Product, Case):
    product = "Turin"
    version, family = 5, (0x1A, 0x02)
    tcb = (1, 1, 1, 4, 0, 0, 0, 81)


class Serving(Case):
    def test_one_guest_one_report_id(self):
        self.serve()
        first, second = self.report("a"), self.report("b")
        self.assertNotEqual(first[0x140:0x160], second[0x140:0x160])
        out = self.root / "c"
        out.mkdir()
        script = f'"{args.client}" "{out}" {DATA.hex()} && cp "{out}/report.bin" "{out}/1" && ' \
                 f'"{args.client}" "{out}" {DATA.hex()}'
        self.assertEqual(self.launch("sh", "-c", script).returncode, 0)
        same = [(out / name).read_bytes()[0x140:0x160] for name in ("1", "report.bin")]
        self.assertEqual(same[0], same[1])

    def test_pod_ends_with_its_program(self):
        server = self.serve()
        done = self.launch("sh", "-c", "ls -d $CONTRAST_SNP_SOCKET; echo $CONTRAST_SNP_SOCKET")
        seen, path = done.stdout.decode().split()
        self.assertEqual(seen, path)
        while True:  # the server logs the end of the pod
            line = server.process.stderr.readline()
            self.assertTrue(line, "the server ended")
            if "pod ended: " + path in line:
                break
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(path))

    def test_exit_code_is_the_programs(self):
        self.serve()
        self.assertEqual(self.launch("sh", "-c", "exit 7").returncode, 7)

    def test_signals_end_cleanly(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.serve()
            pod = subprocess.Popen(
                [args.bin / "contrast-snp-simulator", "launch", "--socket", server.path, "--pod",
                 self.root / "pod.yaml", "--", "sh", "-c", "echo up; read end"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.assertEqual(pod.stdout.readline(), b"up\n")
            self.assertEqual(server.stop(number), 0, server.log)
            self.assertEqual([p.name for p in self.root.glob("s*") if p.is_socket()], [])
            pod.communicate(b"\n", timeout=TIMEOUT)

    def test_leftovers_of_a_killed_server(self):
        server = self.serve()
        server.stop(signal.SIGKILL)
        self.assertTrue(server.path.is_socket())
        stale = self.root / "s.pod-0123456789abcdef"
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(stale))
        self.serve()
        self.assertFalse(stale.exists())
        self.report()

    def test_second_server_is_refused(self):
        server = self.serve()
        done = simulator("serve", self.machine, "--socket", server.path)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"a server answers there already", done.stderr)
        self.report()

    def test_busy_and_latency(self):
        self.serve("--busy-rate", "50", "--report-latency", "1")
        done = self.launch(args.client, self.root, DATA.hex(), "60")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreater(int(done.stdout.split()[1]), 0)

    def test_always_busy(self):
        self.serve("--busy-rate", "100")
        script = "import os,socket,sys\n" \
                 "s = socket.socket(socket.AF_UNIX); s.connect(os.environ['CONTRAST_SNP_SOCKET'])\n" \
                 "s.sendall(b'SNPR' + bytes([0,0,0,1]) + bytes(64))\n" \
                 "sys.stdout.buffer.write(s.recv(8))\n"
        self.assertEqual(self.launch(sys.executable, "-c", script).stdout, b"SNPA\0\0\0\1")

    def test_a_host_that_hands_out_no_certificates(self):
        script = "import os,socket,sys\n" \
                 "s = socket.socket(socket.AF_UNIX); s.connect(os.environ['CONTRAST_SNP_SOCKET'])\n" \
                 "s.sendall(b'SNPR' + bytes([0,0,0,1]) + bytes(64))\n" \
                 "head = s.recv(12, socket.MSG_WAITALL)\n" \
                 "s.recv(int.from_bytes(head[8:], 'big'), socket.MSG_WAITALL)\n" \
                 "print(len(head), int.from_bytes(s.recv(4, socket.MSG_WAITALL), 'big'))\n"
        for options, is_empty in ((("--certificates", "none"), True),
                                  (("--certificates", "table"), False), ((), False)):
            server = self.serve(*options)
            size = int(self.launch(sys.executable, "-c", script).stdout.split()[1])
            self.assertEqual(is_empty, size == 0, size)
            server.stop()

    def test_throttled_between_two_signals(self):
        server = self.serve()
        script = "import os,socket,sys\n" \
                 "s = socket.socket(socket.AF_UNIX); s.connect(os.environ['CONTRAST_SNP_SOCKET'])\n" \
                 "s.sendall(b'SNPR' + bytes([0,0,0,1]) + bytes(64))\n" \
                 "sys.stdout.buffer.write(s.recv(8, socket.MSG_WAITALL))\n"
        for number, word, answer in ((signal.SIGUSR1, "always busy", b"SNPA\0\0\0\1"),
                                     (signal.SIGUSR2, "busy as configured", b"SNPA\0\0\0\0")):
            server.process.send_signal(number)
            self.assertTrue(any(word in line for line in server.process.stderr))
            self.assertEqual(self.launch(sys.executable, "-c", script).stdout, answer)

    def test_behaviour_changes_at_a_signal(self):
        server = self.serve()
        script = "import os,socket,sys\n" \
                 "s = socket.socket(socket.AF_UNIX); s.connect(os.environ['CONTRAST_SNP_SOCKET'])\n" \
                 "s.sendall(b'SNPR' + bytes([0,0,0,1]) + bytes(64))\n" \
                 "sys.stdout.buffer.write(s.recv(8, socket.MSG_WAITALL))\n"
        for text, word, status in (("0 100 0\n", "100 % busy", 1), ("0 0 100\n", "100 % refused", 2),
                                   ("0 0 101\n", "nothing is changed", 2),
                                   ("200 0 0\n", "200 ms", 0)):
            (self.machine / "processor").write_text(text)
            server.process.send_signal(signal.SIGHUP)
            self.assertTrue(any(word in line for line in server.process.stderr))
            begin = time.monotonic()
            self.assertEqual(self.launch(sys.executable, "-c", script).stdout,
                             b"SNPA\0\0\0" + bytes([status]))
            if text.startswith("200"):
                self.assertGreaterEqual(time.monotonic() - begin, 0.2)
        (self.machine / "processor").unlink()
        server.process.send_signal(signal.SIGHUP)
        self.assertTrue(any("nothing is changed" in line for line in server.process.stderr))

    def test_latency_does_not_block_other_sockets(self):
        server = self.serve("--report-latency", "60000")
        pod = subprocess.Popen(
            [args.bin / "contrast-snp-simulator", "launch", "--socket", server.path, "--pod",
             self.root / "pod.yaml", "--", args.client, self.root, DATA.hex()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.assertEqual(self.launch("true").returncode, 0)
            self.assertIsNone(pod.poll())
        finally:
            pod.kill()
            pod.wait()

    def exchange(self, path, data):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(TIMEOUT)
            s.connect(str(path))
            s.sendall(data)
            answer = b""
            try:
                while part := s.recv(4096):
                    answer += part
            except ConnectionResetError:  # cut off with bytes of ours unread
                pass
            return answer

    def test_hostile_clients(self):
        server = self.serve()
        self.assertEqual(self.exchange(server.path, b"GET / HTTP/1.1\r\n\r\n"), b"SNPP\0\0\0\2")
        launch = b"SNPL" + bytes([0, 0, 0, 2]) + bytes(88)
        self.assertEqual(self.exchange(server.path, launch), b"SNPP\0\0\0\2")
        launch = b"SNPL" + bytes([0, 0, 0, 1]) + bytes(80) + (1 << 16).to_bytes(8, "big")
        self.assertEqual(self.exchange(server.path, launch), b"SNPP\0\0\0\2")  # no bit 17
        launch = b"SNPL" + bytes([0, 0, 0, 1]) + bytes(88)
        answer = self.exchange(server.path, launch + b"more")  # cut off, the pod with it
        self.assertIn(answer[:8], (b"SNPP\0\0\0\0", b""))
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(server.path))
            s.sendall(launch)
            head = s.recv(12, socket.MSG_WAITALL)
            pod = s.recv(struct.unpack(">I", head[8:])[0], socket.MSG_WAITALL).decode()
            for word in (b"XXXX", b"SNPX", b"SNPL", b"Y", b"SNQ"):
                self.assertEqual(self.exchange(pod, word), b"SNPA\0\0\0\2")
            key = b"SNPK" + bytes([0, 0, 0, 9]) + bytes(32)
            self.assertEqual(self.exchange(pod, key), b"SNPA\0\0\0\2")
            key = b"SNPK" + bytes([0, 0, 0, 1]) + bytes(32)
            self.exchange(pod, key + b"more")  # out of turn: cut off
            bad = b"SNPR" + bytes([0, 0, 0, 9]) + bytes(64)
            self.assertEqual(self.exchange(pod, bad), b"SNPA\0\0\0\2")
            good = b"SNPR" + bytes([0, 0, 0, 1]) + DATA
            with socket.socket(socket.AF_UNIX) as p:  # several requests on one connection
                p.connect(pod)
                for _ in range(2):
                    for piece in (key[:1], key[1:7], key[7:39], key[39:]):
                        p.sendall(piece)
                    got = p.recv(12 + 64, socket.MSG_WAITALL)
                    self.assertEqual(got[:44], b"SNPA\0\0\0\0\0\0\0\x40" + bytes(32))
                    self.assertNotEqual(got[44:], bytes(32))
                    p.sendall(good)
                    got = p.recv(12 + 1184, socket.MSG_WAITALL)
                    self.assertEqual(got[12 + 0x50:12 + 0x90], DATA)
                    size = struct.unpack(">I", p.recv(4, socket.MSG_WAITALL))[0]
                    self.assertEqual(len(p.recv(size, socket.MSG_WAITALL)), size)
        self.report()

    def test_pod_yaml_errors(self):
        self.serve()
        cases = {
            "malformed": ("kind: [Pod\n", ":"),
            "no workload": ("kind: ConfigMap\n", "no workload"),
            "no annotation": ("kind: Pod\nmetadata:\n  name: a\n", "has no \"io.kata"),
            "bad base64": ("kind: Pod\nmetadata:\n  annotations:\n"
                           "    io.katacontainers.config.agent.policy: '*'\n", ":4:"),
            "two workloads": (pod_yaml() + "---\n" + pod_yaml(name="other"), "--name"),
        }
        for name, (text, want) in cases.items():
            with self.subTest(name):
                (self.root / "bad.yaml").write_text(text)
                done = self.launch("true", pod="bad.yaml")
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("bad.yaml", done.stderr.decode())
                self.assertIn(want, done.stderr.decode())

    def test_pod_by_name_and_kind(self):
        self.serve()
        other = b"another policy"
        annotation = f"io.katacontainers.config.agent.policy: {base64.b64encode(other).decode()}"
        (self.root / "two.yaml").write_text(
            pod_yaml() + "---\nkind: Pod\nmetadata:\n  name: alone\n  annotations: {" +
            annotation + "}\n")
        report = self.report(pod="two.yaml", name="alone")
        self.assertEqual(report[0xC0:0xE0], hashlib.sha256(other).digest())
        report = self.report(pod="two.yaml", name="web")
        self.assertEqual(report[0xC0:0xE0], hashlib.sha256(POLICY).digest())
        self.assertEqual(self.launch("true", pod="two.yaml", name="none").returncode, 2)


POLICY_BIT, MEASUREMENT_BIT, SVN_BIT, TCB_BIT = 1, 8, 16, 32
TCB = int.from_bytes(bytes((4, 0, 0, 0, 0, 0, 24, 219)), "little")  # of a Milan


class Keys(Case):
    """What a guest gets as its key, through the product's issuer and the machine's processor."""

    def key(self, *launch_options, root=0, fields=POLICY_BIT | MEASUREMENT_BIT, vmpl=0, svn=0,
            tcb=0, pod="pod.yaml", socket_name="s", refused=None):
        out = self.root / "key"
        out.mkdir(exist_ok=True)
        (out / "key.bin").unlink(missing_ok=True)
        done = simulator("launch", "--socket", self.root / socket_name, "--pod", self.root / pod,
                         *launch_options, "--", args.client, out, "key", root, fields, vmpl, svn,
                         tcb)
        if refused is not None:
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn(refused, done.stderr.decode())
            self.assertFalse((out / "key.bin").exists())
            return None
        self.assertEqual(done.returncode, 0, done.stderr)
        key = (out / "key.bin").read_bytes()
        self.assertEqual(len(key), 32)
        self.expect_hidden(key, done.stdout + done.stderr)
        return key

    def expect_hidden(self, secret, log):
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            self.assertNotIn(form, log)

    def test_the_same_guest_gets_the_same_key(self):
        server = self.serve()
        first = self.key()
        self.assertEqual(self.key(), first)
        server.stop()
        self.expect_hidden(first, server.log.encode())
        self.expect_hidden((self.machine / "chip.secret").read_bytes(), server.log.encode())
        self.serve("--report-latency", "1")  # the machine was off
        self.assertEqual(self.key(), first)

    def test_host_data_does_not_enter(self):
        self.serve()
        (self.root / "other.yaml").write_text(pod_yaml(policy=b"another policy"))
        for fields in (0, POLICY_BIT | MEASUREMENT_BIT, 63):
            self.assertEqual(self.key(fields=fields, pod="other.yaml"), self.key(fields=fields))

    def test_selected_fields_change_it_and_others_do_not(self):
        self.serve()
        image = ("--measurement", "cd" * 48)
        policy = ("--guest-policy", "0x20000")
        base = {fields: self.key(fields=fields) for fields in (0, 1, 8, 9, 16, 32, 63)}
        self.assertEqual(len(set(base.values())), len(base))
        for fields, key in base.items():
            self.assertEqual(self.key(*image, fields=fields) == key, not fields & MEASUREMENT_BIT)
            self.assertEqual(self.key(*policy, fields=fields) == key, not fields & POLICY_BIT)
            self.assertEqual(self.key(fields=fields, tcb=TCB) == key, not fields & TCB_BIT)
            self.assertNotEqual(self.key(fields=fields, vmpl=1), key)

    def test_another_image_is_in_the_report_too(self):
        self.serve()
        out = self.root / "image"
        out.mkdir()
        done = simulator("launch", "--socket", self.root / "s", "--pod", self.root / "pod.yaml",
                         "--measurement", "cd" * 48, "--guest-policy", "0x20000", "--",
                         args.client, out, DATA.hex())
        self.assertEqual(done.returncode, 0, done.stderr)
        report = (out / "report.bin").read_bytes()
        self.assertEqual(report[0x90:0xC0], b"\xcd" * 48)
        self.assertEqual(struct.unpack_from("<Q", report, 8)[0], 0x20000)
        self.assertEqual(self.report()[0x90:0xC0], b"\xab" * 48)

    def test_two_chips_differ(self):
        self.serve()
        first = self.key()
        other = self.root / "other-machine"
        done = simulator("init", other, "--measurement", self.measurement)
        self.assertEqual(done.returncode, 0, done.stderr)
        mode = (other / "chip.secret").stat().st_mode
        self.assertEqual(stat.S_IMODE(mode), 0o600)
        server = Server(other, self.root / "s2")
        self.addCleanup(server.stop)
        self.assertNotEqual(self.key(socket_name="s2"), first)
        self.assertEqual(self.key(), first)

    def test_a_second_machine_below_the_same_root(self):
        other, old = self.root / "sister", self.root / "old-sister"
        for folder, options in ((other, ()), (old, ("--microcode", "100"))):
            done = simulator("init", folder, "--measurement", self.measurement, "--root",
                             self.machine, *options)
            self.assertEqual(done.returncode, 0, done.stderr)
            info = json.loads((folder / "machine.json").read_text())
            self.assertEqual(self.info["ark_spki_sha256"], info["ark_spki_sha256"])
            self.assertNotEqual(self.info["chip_id"], info["chip_id"])
            for name in ("cert_chain.pem", "ark.der", "ask.der"):
                self.assertEqual((self.machine / name).read_bytes(), (folder / name).read_bytes())
            done = run("openssl", "verify", "-CAfile", self.machine / "ark.pem", "-untrusted",
                       self.machine / "ask.pem", folder / "vcek.pem")
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(100, json.loads((old / "machine.json").read_text())
                         ["tcb"]["MicrocodeVersion"])
        done = simulator("init", self.root / "no", "--product", "Genoa", "--root", self.machine)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"another product", done.stderr)

    def test_refusals(self):
        self.serve()
        above = {"vmrk": {"root": 1}, "svn": {"svn": 1}, "svn not selected": {"fields": 0, "svn": 1},
                 "tcb": {"fields": TCB_BIT, "tcb": TCB + (1 << 56)},
                 "reserved tcb byte": {"tcb": 1 << 32}}
        for name, spec in above.items():
            with self.subTest(name):
                self.key(**spec, refused="wrong parameter (status 0x16)")
        self.key(fields=TCB_BIT, tcb=TCB - (1 << 56))  # an older TCB may be named

    def test_throttled_host(self):
        self.serve("--busy-rate", "100")
        self.key(refused="the host throttles derived keys")


class Usage(Case):
    def expect(self, code, text, *arguments):
        done = simulator(*arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(text, done.stderr.decode())

    def test_usage(self):
        new = self.root / "new"
        self.expect(2, "want a command")
        self.expect(2, "want a command", "fly")
        self.expect(2, "is not Milan", "init", new, "--product", "Rome")
        self.expect(2, "96 hexadecimal", "init", new, "--measurement", "ab")
        self.expect(2, "has no meaning", "init", new, "--socket", "s")
        self.expect(2, "unknown or lacks", "init", new, "--measuremet", "ab")
        self.expect(2, "has no meaning", "init", new, "--guest-policy", "1")
        self.expect(2, "has no meaning", "serve", self.machine, "--guest-policy", "1")
        self.expect(2, "has no meaning", "serve", self.machine, "--root", "d")
        self.expect(2, "0 to 255", "init", new, "--microcode", "256")
        launch = ("launch", "--socket", "s", "--pod", "p")
        self.expect(2, "96 hexadecimal", *launch, "--measurement", "ab", "--", "true")
        for number in ("x", "", "0", "-1", "0x1ffffffffffffffff", "12z"):
            self.expect(2, "want a number", *launch, "--guest-policy", number, "--", "true")
        self.expect(2, "given twice", "init", new, "--product", "Milan", "--product", "Milan")
        self.expect(2, "is not empty", "init", self.machine)
        self.expect(2, "wants --socket", "serve", self.machine)
        self.expect(2, "0 to 100", "serve", self.machine, "--socket", "s", "--busy-rate", "101")
        self.expect(2, "0 to 60000", "serve", self.machine, "--socket", "s",
                    "--report-latency", "x")
        self.expect(2, "want table or none", "serve", self.machine, "--socket", "s",
                    "--certificates", "some")
        self.expect(2, "leave room for pods", "serve",
                    self.machine, "--socket", "/" + "s" * 100)
        self.expect(2, "not the folder of a machine", "serve", self.root, "--socket", "s")
        self.expect(2, "wants -- PROGRAM", "launch", "--socket", "s", "--pod", "p")
        self.expect(1, "No such file", "launch", "--socket", self.root / "none", "--pod",
                    self.root / "pod.yaml", "--", "true")
        self.assertFalse(new.exists())

    def test_missing_program(self):
        self.serve()
        done = self.launch("/none/such/program")
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"/none/such/program", done.stderr)

    def test_a_file_in_the_way_is_kept(self):
        path = self.root / "file"
        path.write_text("x")
        self.expect(2, "not a socket", "serve", self.machine, "--socket", path)
        self.assertEqual(path.read_text(), "x")

    def test_damaged_folder(self):
        text = (self.machine / "machine.json").read_text()
        copy = self.root / "copy"
        run("cp", "-r", self.machine, copy)
        for old, new, want in (('"chip_id": "', '"chip_id": "zz', "chip_id"),
                               ('"SNPVersion": 24', '"SNPVersion": 256', "tcb.SNPVersion"),
                               ('"product": "Milan"', '"product": 1', "product"),
                               ("{", "", "machine.json:2:")):
            (copy / "machine.json").write_text(text.replace(old, new, 1))
            self.expect(2, want, "serve", copy, "--socket", "s")
        (copy / "machine.json").write_text(text)
        (copy / "chip.secret").write_bytes(bytes(31))
        self.expect(2, "chip.secret: has 31 bytes, want 32", "serve", copy, "--socket", "s")
        (copy / "chip.secret").write_bytes(bytes(32))
        run("cp", self.machine / "ask.der", copy / "vcek.der")
        self.expect(2, "vcek.der: holds another key", "serve", copy, "--socket", "s")


def main():
    global args
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", type=pathlib.Path, required=True)
    parser.add_argument("--client", type=pathlib.Path, required=True)
    args, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
