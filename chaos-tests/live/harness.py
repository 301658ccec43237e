"""Real programs on loopback: one simulated machine, one application, clusters of replicas.

    machine    contrast-snp-simulator serve, started once for a test file
    workspace  the examples after `contrast generate`, copied for each test
    replicas   contrast-coordinator at 127.0.X.1, .2, ... with the standard ports

X is held by a file lock, so runs beside each other do not meet. Everything that is started is
ended by its id, after each test, also after a failed one; all output goes to files in one folder
and is searched for secrets before the folder goes. Waiting is polling with a bound.

Environment: CONTRAST_BIN (folder of the programs), LIVE_KEEP=1 (leave the folders behind).

SPDX-License-Identifier: Apache-2.0
"""

import base64
import fcntl
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import wire

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BIN = os.environ.get("CONTRAST_BIN", os.path.join(ROOT, "build", "dev", "bin"))
USER, MESH, RAFT = 1313, 7777, 7443
VOTING = ("leader", "voter")
PROGRAMS = ("contrast", "contrast-coordinator", "contrast-initializer", "contrast-snp-simulator")


def wait_until(condition, seconds, what):
    """Asks until the answer is true, and returns it; AssertionError when the time is over."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= end:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.05)


def program(name):
    return os.path.join(BIN, name)


def read(path, mode="rb"):
    with open(path, mode) as f:
        return f.read()


def write(path, data):
    with open(path, "wb" if isinstance(data, bytes) else "w") as f:
        f.write(data)


def openssl(*args, data=None):
    done = subprocess.run(["openssl", *args], input=data, capture_output=True, timeout=30)
    if done.returncode != 0:
        raise AssertionError(f"openssl {args[0]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


def policy_of(yaml_path):
    """The decoded runtime policy of the first pod in a YAML."""
    found = re.search(rb'io\.katacontainers\.config\.agent\.policy: *"?([A-Za-z0-9+/=]+)',
                      read(yaml_path))
    return base64.b64decode(found.group(1))


# --- Network and processes


class Addresses:
    """127.0.X.*, held as long as this object is open."""

    def __init__(self):
        for x in range(16, 240):
            handle = os.open(f"/tmp/contrast-live-{x}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.x, self.handle = x, handle
                return
            except OSError:
                os.close(handle)
        raise AssertionError("no free loopback network")

    def of(self, number):
        return f"127.0.{self.x}.{number}"

    def close(self):
        os.close(self.handle)


class Process:
    """A program with its output in a file."""

    def __init__(self, argv, log, env=None, cwd=None):
        self.log = log
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd,
                env=dict(os.environ, **(env or {})), preexec_fn=allow_core)

    def is_alive(self):
        return self.child.poll() is None

    def signal(self, number):
        if self.is_alive():
            self.child.send_signal(number)

    def wait(self, seconds):
        return self.child.wait(timeout=seconds)

    def end(self):
        """Ends it, also when it is stopped, and gives its exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()

    def text(self):
        return read(self.log).decode(errors="replace")


def allow_core():
    """As generous as the system lets it be: only the program itself may forbid core files."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


class Done:
    """A finished command."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"exit {self.code}\n{self.out}\n{self.err}"


# --- One test file


class Site:
    """What a test file shares: folder, addresses, simulated machine, generated application."""

    def __init__(self):
        missing = [name for name in PROGRAMS if not os.path.exists(program(name))]
        if missing:
            raise AssertionError(f"not in {BIN}: {', '.join(missing)}")
        self.dir = tempfile.mkdtemp(prefix="contrast-live.")
        self.logs = os.path.join(self.dir, "logs")
        os.mkdir(self.logs)
        self.count = 0
        self.addresses = Addresses()
        self.machine = None
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def _set_up(self):
        self.socket = os.path.join(self.dir, "snp.sock")
        machine = os.path.join(self.dir, "machine")
        self.must(self.run([program("contrast-snp-simulator"), "init", machine]))
        self.machine = Process(
            [program("contrast-snp-simulator"), "serve", machine, "--socket", self.socket],
            os.path.join(self.logs, "simulator.log"))
        wait_until(lambda: os.path.exists(self.socket), 10, "the simulated machine listens")
        self.app = os.path.join(self.dir, "app")
        os.mkdir(self.app)
        examples = os.path.join(ROOT, "deployments", "examples")
        for name in os.listdir(examples):
            shutil.copy(os.path.join(examples, name), self.app)
        self.must(self.run([
            program("contrast"), "generate", "--skip-images", "--workspace", self.app,
            "--reference-values", os.path.join(machine, "reference-values.json"), self.app]))
        self.certificate = self.make_certificate("peer")

    @staticmethod
    def must(done):
        if done.code != 0:
            raise AssertionError(str(done))

    def make_certificate(self, name):
        """A self-signed P-256 certificate, as every client has one."""
        key, crt = (os.path.join(self.dir, f"{name}.{end}") for end in ("key", "crt"))
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", key, "-out", crt, "-subj", "/CN=live", "-days", "2")
        return crt, key

    def run(self, argv, env=None, timeout=90):
        """Runs a command; its output is kept for the search for secrets."""
        self.count += 1
        name = f"{self.count:03}-{os.path.basename(argv[0])}"
        out_path, err_path = (os.path.join(self.logs, f"{name}.{end}") for end in ("out", "err"))
        with open(out_path, "wb") as out, open(err_path, "wb") as err:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                  cwd=self.dir, env=dict(os.environ, **(env or {})),
                                  timeout=timeout, preexec_fn=allow_core, check=False)
        return Done(done.returncode, read(out_path).decode(), read(err_path).decode())

    def close(self):
        if self.machine:
            self.machine.end()
        self.addresses.close()
        if os.environ.get("LIVE_KEEP"):
            print(f"kept: {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


class Cluster:
    """Replicas by number, from 1; one workspace of its owner."""

    def __init__(self, site, label, peers=4):
        self.site = site
        self.label = label
        self.peers = peers
        self.app = os.path.join(site.dir, f"app-{label}")
        shutil.copytree(site.app, self.app)
        manifest = json.loads(self.manifest())
        self.trust = {
            "CONTRAST_OWNER_KEY_DIGESTS": ",".join(manifest["WorkloadOwnerKeyDigests"]),
            "CONTRAST_PERMITTED_ROOTS": ",".join(
                manifest["ReferenceValues"]["snp"][0]["SimulatedRoots"]),
            "CONTRAST_SESSION_THREADS": "2",
            "CONTRAST_KDS_URL": "off",
        }
        self.replicas = {}
        self.others = []

    # Files of the workspace

    def path(self, *names):
        return os.path.join(self.app, *names)

    def manifest(self):
        return read(self.path("manifest.json"))

    def edit_web(self, number):
        """A new version of the application, and with it a new manifest."""
        text = read(self.path("web.yaml"), "r")
        new = re.sub(r"daemon off;( worker_processes \d+;)?",
                     f"daemon off; worker_processes {number};", text)
        if new == text:
            raise AssertionError("web.yaml does not say 'daemon off;'")
        write(self.path("web.yaml"), new)
        self.site.must(self.contrast("generate", "--skip-images", self.app))

    # Programs

    def address(self, number):
        return self.site.addresses.of(number)

    def user(self, *numbers):
        return ",".join(f"{self.address(n)}:{USER}" for n in numbers)

    def start(self, number, name=None, at=None):
        """Starts coordinator-`number`; `at` puts it on another address."""
        at = at or number
        env = dict(
            self.trust,
            CONTRAST_NAME=name or f"coordinator-{number}",
            CONTRAST_LISTEN=self.address(at),
            CONTRAST_ADDRESS=f"{self.address(at)}:{RAFT}",
            CONTRAST_PEERS=",".join(f"{self.address(n)}:{MESH}" for n in range(1, self.peers + 1)))
        log = os.path.join(self.site.logs, f"{self.label}-coordinator-{at}.log")
        process = Process(
            [program("contrast-snp-simulator"), "launch", "--socket", self.site.socket, "--pod",
             self.path("coordinator.yaml"), "--", program("contrast-coordinator")],
            log, env, self.site.dir)
        self.replicas[at] = process
        return process

    def start_all(self, *numbers):
        for number in numbers:
            self.start(number)
        for number in numbers:
            self.wait_serving(number)

    def wait_serving(self, number):
        def serves():
            if not self.replicas[number].is_alive():
                raise AssertionError(f"replica {number} ended with {self.replicas[number].wait(1)}:\n"
                                     f"{self.replicas[number].text()}")
            return self.status(number)
        return wait_until(serves, 20, f"replica {number} serves")

    def contrast(self, command, *args, timeout=90):
        return self.site.run([program("contrast"), command, "--workspace", self.app, *args],
                             timeout=timeout)

    def set(self, *numbers, options=(), manifest=None, timeout=90):
        options = [*options, *(["-m", manifest] if manifest else [])]
        return self.contrast("set", "-c", self.user(*numbers), *options, self.app, timeout=timeout)

    def verify(self, *numbers, options=()):
        return self.contrast("verify", "-c", self.user(*numbers), *options)

    def initializer_call(self, name, yaml, coordinator):
        folder = self.pod(name)
        os.makedirs(folder, exist_ok=True)
        env = dict(self.trust, COORDINATOR_HOST=f"{self.address(coordinator)}:{MESH}",
                   CONTRAST_DIR=folder)
        return [program("contrast-snp-simulator"), "launch", "--socket", self.site.socket, "--pod",
                yaml, "--", program("contrast-initializer")], env

    def initializer(self, name, yaml, coordinator, timeout=60):
        argv, env = self.initializer_call(name, yaml, coordinator)
        return self.site.run(argv, env, timeout)

    def start_initializer(self, name, yaml, coordinator):
        argv, env = self.initializer_call(name, yaml, coordinator)
        log = os.path.join(self.site.logs, f"{self.label}-{name}.log")
        self.others.append(Process(argv, log, env, self.site.dir))
        return self.others[-1]

    def pod(self, name, *names):
        return os.path.join(self.site.dir, f"pods-{self.label}", name, *names)

    # What a replica says of itself, over the tests' own client

    def session(self, number, port=USER, timeout=20):
        return wire.Session(self.address(number), port, self.site.certificate, timeout)

    def status(self, number, timeout=20):
        """Status, or None when nobody answers."""
        try:
            with self.session(number, timeout=timeout) as session:
                return session.status()
        except (OSError, ValueError, wire.Refused):
            return None

    def members(self, number, *roles):
        status = self.status(number)
        return [m for m in status["members"] if m["role"] in roles] if status else []

    def leader(self, *numbers):
        """Number of the leader that one of these replicas names, confirmed by a quorum."""
        for number in numbers:
            status = self.status(number)
            if status and status["is_confirmed"]:
                for m in status["members"]:
                    if m["role"] == "leader":
                        return int(m["address"].split(":")[0].split(".")[3])
        return None

    def wait_leader(self, *numbers):
        return wait_until(lambda: self.leader(*numbers), 20, "a leader is confirmed")

    def wait_voters(self, number, count, seconds=20):
        wait_until(lambda: len(self.members(number, *VOTING)) == count, seconds,
                   f"{count} voters seen by replica {number}")

    def end(self):
        codes = {}
        for number, process in self.replicas.items():
            was_alive = process.is_alive()
            codes[number] = (was_alive, process.end())
        for process in self.others:
            process.end()
        return codes


# --- Secrets and core files


def forms_of(secret):
    """Raw, hex and base64, also where base64 starts in the middle of something longer."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for skip in range(3):
        part = secret[skip:]
        part = part[: len(part) - len(part) % 3]
        yield base64.b64encode(part)
        yield base64.urlsafe_b64encode(part)


def private_number(pem_path):
    """The private value of an EC key, and the whole DER."""
    text = openssl("pkey", "-in", pem_path, "-noout", "-text").decode()
    found = re.search(r"priv:\n((?:\s+[0-9a-f:]+\n)+)", text)
    return bytes.fromhex(re.sub(r"[\s:]", "", found.group(1)))


def secrets_in(folder):
    """(name, bytes) of every secret that the programs left in files below `folder`."""
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            if name in ("key.pem", "workload-owner.pem", "foreign-owner.pem"):
                yield full, private_number(full)
                lines = read(full).split(b"\n")
                yield full, base64.b64decode(b"".join(x for x in lines if b"-" not in x))
            elif name == "workload-secret-seed":
                yield full, bytes.fromhex(read(full).decode().strip())


def find_leaks(site):
    """What leaked, a sentence each (logs, core files), and how many secrets were looked for."""
    secrets = list(secrets_in(site.dir))
    logs = [os.path.join(site.logs, name) for name in sorted(os.listdir(site.logs))]
    leaks = []
    for log in logs:
        text = read(log)
        for name, secret in secrets:
            if any(form in text for form in forms_of(secret)):
                leaks.append(f"{os.path.basename(log)} contains the secret of {name}")
    for path, _, names in os.walk(site.dir):
        leaks += [f"core file {path}/{n}" for n in names if re.fullmatch(r"(vg)?core(\..*)?", n)]
    return leaks, len(secrets)


class LiveTest(unittest.TestCase):
    """A test with clusters; afterwards nothing runs, nothing leaked, no sanitizer spoke."""

    site = None

    @classmethod
    def setUpClass(cls):
        cls.site = Site()

    @classmethod
    def tearDownClass(cls):
        cls.site.close()

    def setUp(self):
        self.clusters = []
        self.crash_is_expected = False

    def cluster(self, *numbers, peers=4):
        label = f"{self._testMethodName}-{len(self.clusters)}"
        cluster = Cluster(self.site, label, peers)
        self.clusters.append(cluster)
        cluster.start_all(*numbers)
        return cluster

    def founded(self, *numbers, peers=4):
        cluster = self.cluster(*numbers, peers=peers)
        self.expect(0, cluster.set(numbers[0]))
        cluster.wait_voters(numbers[0], len(numbers))
        return cluster

    def expect(self, code, done, *words):
        """Exit code, and words that stand somewhere in the output, in any case."""
        self.assertEqual(code, done.code, str(done))
        for word in words:
            self.assertIn(word.lower(), (done.out + done.err).lower(), str(done))
        return done

    def tearDown(self):
        failed = any(error for _, error in self._outcome.errors if error) if hasattr(
            self._outcome, "errors") else not self._outcome.success
        codes = [cluster.end() for cluster in self.clusters]
        if failed:
            self.show_logs()
            return
        for cluster, ends in zip(self.clusters, codes):
            for number, (was_alive, code) in ends.items():
                if was_alive:
                    self.assertEqual(0, code, f"end of replica {number}:\n"
                                     f"{cluster.replicas[number].text()[-3000:]}")
        self.check_logs()

    def check_logs(self):
        leaks, _ = find_leaks(self.site)
        self.assertEqual([], leaks)
        if not self.crash_is_expected:
            for name in os.listdir(self.site.logs):
                text = read(os.path.join(self.site.logs, name))
                end = text[-3000:].decode(errors="replace")
                for word in (b"Sanitizer", b"runtime error:", b"check failed"):
                    self.assertNotIn(word, text, f"{name}:\n{end}")

    def show_logs(self):
        for cluster in self.clusters:
            for number, process in cluster.replicas.items():
                print(f"--- {cluster.label}, replica {number}\n{process.text()[-3000:]}")


def tcp_is_open(host, port):
    try:
        socket.create_connection((host, port), 2).close()
        return True
    except OSError:
        return False


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest()
