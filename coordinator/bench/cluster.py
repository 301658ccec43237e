"""A cluster on loopback for measuring: one simulated machine, one or three replicas, one application.

    with Cluster(build folder) as c:  c.found()  ->  c.leader(), c.launch(...), c.kill(n), c.start(n)

The addresses are 127.0.8.1 to .3 with the standard ports. All output goes to files in a folder of
its own. Everything that is started is ended by its id in the end, and every wait has a bound.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
USER, MESH, RAFT = 1313, 7777, 7443
REPLICAS = (1, 2, 3)
VOTING = ("leader", "voter")


class Failed(Exception):
    """A measurement that cannot go on; the text says why."""


def wait_until(condition, seconds, what, pause=0.02):
    """Asks until the answer is true, and returns it; Failed when the time is over."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() >= end:
            raise Failed(f"after {seconds} s still not: {what}")
        time.sleep(pause)


def address(number, port):
    return f"127.0.8.{number}:{port}"


class Cluster:
    def __init__(self, build, keep=False, replicas=REPLICAS, latency_ms=0):
        self.build = build
        self.bin = os.path.join(build, "bin")
        self.bench = os.path.join(build, "bench")
        self.keep = keep
        self.numbers = replicas
        self.latency_ms = latency_ms
        self.dir = tempfile.mkdtemp(prefix="contrast-bench.")
        self.app = os.path.join(self.dir, "app")
        self.socket = os.path.join(self.dir, "snp.sock")
        self.children = []
        self.replicas = {}
        self.manifests = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self.keep:
            print(f"bench: the folder stays: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir)

    # --- Programs

    def program(self, name):
        return os.path.join(self.bin, name)

    def spawn(self, argv, log, env=None, stdout=None):
        """A child with its output in dir/log (or on the pipe `stdout`)."""
        with open(os.path.join(self.dir, log), "ab") as out:
            child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=out,
                                     stdout=out if stdout is None else stdout,
                                     env=dict(os.environ, **(env or {})))
        self.children.append(child)
        return child

    def run(self, argv, seconds=60, env=None):
        """Runs a command to its end and gives its stdout; Failed unless it exits with 0."""
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=seconds, env=dict(os.environ, **(env or {})))
        except subprocess.TimeoutExpired:
            raise Failed(f"{' '.join(argv[:2])}: no end within {seconds} s") from None
        if done.returncode != 0:
            raise Failed(f"{' '.join(argv[:2])}: exit {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    def contrast(self, command, *args, seconds=60):
        return self.run([self.program("contrast"), command, "--workspace", self.app, *args],
                        seconds)

    def in_pod(self, pod, argv):
        return [self.program("contrast-snp-simulator"), "launch", "--socket", self.socket,
                "--pod", os.path.join(self.app, pod), "--", *argv]

    def trust(self):
        """What a pod's environment says: the owner, and the simulated root that may be trusted."""
        with open(os.path.join(self.app, "manifest.json"), encoding="utf-8") as f:
            manifest = json.load(f)
        roots = manifest["ReferenceValues"]["snp"][0]["SimulatedRoots"]
        return {"CONTRAST_KDS_URL": "off",
                "CONTRAST_OWNER_KEY_DIGESTS": ",".join(manifest["WorkloadOwnerKeyDigests"]),
                "CONTRAST_PERMITTED_ROOTS": ",".join(roots)}

    # --- Set-up

    def prepare(self):
        """The machine and the application."""
        machine = os.path.join(self.dir, "machine")
        simulator = self.program("contrast-snp-simulator")
        self.run([simulator, "init", machine])
        self.simulator = self.spawn(
            [simulator, "serve", machine, "--socket", self.socket,
             "--report-latency", str(self.latency_ms)],
            "simulator.log")
        wait_until(lambda: os.path.exists(self.socket), 10, "the simulated machine listens")
        os.mkdir(self.app)
        examples = os.path.join(ROOT, "deployments", "examples")
        for name in os.listdir(examples):
            shutil.copy(os.path.join(examples, name), self.app)
        self.contrast("generate", "--skip-images", "--reference-values",
                      os.path.join(machine, "reference-values.json"), self.app)

    def start(self, number):
        """Starts a replica, empty."""
        env = dict(self.trust(), CONTRAST_NAME=f"coordinator-{number}",
                   CONTRAST_LISTEN=f"127.0.8.{number}", CONTRAST_ADDRESS=address(number, RAFT),
                   CONTRAST_PEERS=",".join(address(n, MESH) for n in self.numbers))
        self.replicas[number] = self.spawn(
            self.in_pod("coordinator.yaml", [self.program("contrast-coordinator")]),
            f"coordinator-{number}.log", env)

    def found(self):
        """All replicas with one manifest."""
        self.prepare()
        for number in self.numbers:
            self.start(number)
        for number in self.numbers:
            wait_until(lambda n=number: self.answers(n), 20, f"coordinator-{number} listens")
        self.contrast("set", "--replicas", str(len(self.numbers)), "-c", address(1, USER), self.app)
        wait_until(lambda: self.is_whole(1), 20, "every replica votes", 0.1)

    def change_manifest(self):
        """Another manifest than the active one: the web service gets another argument."""
        self.manifests += 1
        path = os.path.join(self.app, "web.yaml")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        old = "daemon off;" if self.manifests == 1 else \
            f"daemon off; worker_processes {self.manifests - 1};"
        if old not in text:
            raise Failed(f"web.yaml does not contain '{old}'")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(old, f"daemon off; worker_processes {self.manifests};"))
        self.contrast("generate", "--skip-images", self.app)

    # --- Looking

    def answers(self, number):
        if self.replicas[number].poll() is not None:
            raise Failed(f"coordinator-{number} ended: {self.tail(number)}")
        with contextlib.suppress(Failed):
            self.status(number)
            return True
        return False

    def tail(self, number):
        with open(os.path.join(self.dir, f"coordinator-{number}.log"), encoding="utf-8",
                  errors="replace") as f:
            return f.read()[-1500:]

    def status(self, number):
        """The status document through this replica."""
        try:
            done = subprocess.run(
                [self.program("contrast"), "status", "--workspace", self.app, "-c",
                 address(number, USER), "--output", "json"],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
            return json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError) as why:
            raise Failed(f"coordinator-{number} gives no status: {why}") from why

    def members(self, number):
        with contextlib.suppress(Failed):
            return self.status(number).get("members", [])
        return []

    def is_whole(self, number, without_id=None):
        members = self.members(number)
        return (sum(m["role"] in VOTING for m in members) == len(self.numbers)
                and any(m["role"] == "leader" for m in members)
                and without_id not in [m["id"] for m in members])

    def leader(self):
        """Number and id of the leader."""
        def find():
            for number in self.numbers:
                for m in self.members(number):
                    if m["role"] == "leader":
                        return int(m["name"][-1]), m["id"]
            return None
        return wait_until(find, 20, "a leader is known", 0.1)

    # --- Doing

    def kill(self, number):
        """With -9; gives the time of it (monotonic, ns)."""
        child = self.replicas[number]
        at = time.monotonic_ns()
        child.kill()
        child.wait()
        return at

    def generate_load(self, number, *args, seconds=120):
        """Runs bench-certificates as a pod against this replica's mesh API."""
        argv = [os.path.join(self.bench, "bench-certificates"), "--target", address(number, MESH),
                "--output", "json", *args]
        return json.loads(self.run(self.in_pod("web.yaml", argv), seconds, self.trust()))

    def attestation_argv(self, *args):
        """The command that runs bench-attestation as a pod; its environment is trust()."""
        argv = [os.path.join(self.bench, "bench-attestation"), "--output", "json", *args]
        return self.in_pod("web.yaml", argv)

    def measure_attestation(self, *args, seconds=120):
        return json.loads(self.run(self.attestation_argv(*args), seconds, self.trust()))

    def pids(self):
        pids = {f"coordinator-{n}": child.pid for n, child in self.replicas.items()}
        return dict(pids, simulator=self.simulator.pid)
