"""What runs beside the replicas: owners' folders, pods, and pods that must not get in.

Made by cluster.Cluster: workspace(), pod(), intruder(). Programs are the real ones; they run on a
host of the Lab and are ended by the Lab.

SPDX-License-Identifier: Apache-2.0
"""

import base64
import glob
import json
import os
import re
import secrets
import shutil
import subprocess

import lab as labs  # first: it says where harness is
import harness
from harness import MESH, RAFT, read, write
from machines import OLD

DEBUG_POLICY = "0xb0000"  # SMT, the bit that is always set, and debugging


class Workspace:
    """One owner's folder."""

    def __init__(self, cluster, name, path):
        self.cluster, self.name, self.dir = cluster, name, path

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def manifest(self):
        return read(self.path("manifest.json"))

    def contrast(self, command, *args, timeout=90):
        return self.cluster.contrast(self.dir, command, *args, timeout=timeout,
                                     name=f"{self.name}-{command}")

    def edit_web(self, number):
        """A new version of the application, and with it a new manifest."""
        text = read(self.path("web.yaml"), "r")
        new = re.sub(r"daemon off;( worker_processes \d+;)?",
                     f"daemon off; worker_processes {number};", text)
        if new == text:
            raise AssertionError("web.yaml says so already")
        write(self.path("web.yaml"), new)
        self.cluster._must(self.contrast("generate", "--skip-images", self.dir))

    def set(self, *options, at=(), timeout=90):
        return self.contrast("set", "-c", self.cluster.user(*at), *options, self.dir,
                             timeout=timeout)

    def verify(self, *options, at=(), timeout=90):
        return self.contrast("verify", "-c", self.cluster.user(*at), *options, timeout=timeout)

    def recover(self, name, *options, at, timeout=120):
        """One share owner's part."""
        return self.contrast("recover", "-c", self.cluster.user(*at), "--share-key",
                             self.cluster.share_key(name)[0], *options, timeout=timeout)


class Pod:
    """contrast-initializer on a host, once or as a sidecar."""

    def __init__(self, cluster, name, host, coordinator, yaml, renews, env, disk):
        self.cluster, self.name, self.host = cluster, name, host
        self.dir = disk.path if disk else os.path.join(cluster.lab.dir, "pods", name)
        os.makedirs(self.dir, exist_ok=True)
        self.env = dict(cluster.trust, COORDINATOR_HOST=f"{coordinator}:{MESH}",
                        CONTRAST_DIR=self.dir, **env)
        if renews:
            self.env.update(CONTRAST_RENEW="true", CONTRAST_RENEW_CHECK_S="1")
        self.yaml = yaml if os.path.isabs(yaml) else cluster.app_file(yaml)
        self.log = os.path.join(cluster.lab.logs, f"pod-{name}.log")
        self.process = None

    def start(self):
        argv = self.cluster.launch_argv(self.host, [harness.program("contrast-initializer")],
                                        self.yaml)
        self.process = self.cluster.lab.host(self.host).run(argv, self.env, self.log)
        return self

    def wait(self, seconds=60):
        """Exit code; None and the end of it when the time is over."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.child.kill()
            self.process.child.wait()
            return None

    def run(self, seconds=60):
        return self.start().wait(seconds)

    def file(self, *names):
        return os.path.join(self.dir, *names)

    def text(self):
        return read(self.log).decode(errors="replace") if os.path.exists(self.log) else ""

    def status(self):
        """What a sidecar says of itself, or None."""
        try:
            return json.loads(read(self.file("renewal-status.json")))
        except FileNotFoundError:
            return None

    def remove(self):
        """Its folder goes; the secrets in it are not looked for any more."""
        shutil.rmtree(self.dir, ignore_errors=True)


class Intruder:
    """A pod and a replica that differ in one thing from what the manifest permits."""

    kinds = ("policy", "debug", "measurement", "chip", "firmware")

    def __init__(self, cluster, name, host, kind):
        self.cluster, self.name, self.kind = cluster, name, kind
        self.host = cluster.lab.host(host)
        machine, options = host, []
        if kind == "debug":
            options = ["--guest-policy", DEBUG_POLICY]
        elif kind == "measurement":
            options = ["--measurement", secrets.token_hex(48)]
        elif kind == "chip":
            machine = cluster.machines.foreign()
        elif kind == "firmware":
            machine = OLD
        elif kind != "policy":
            raise ValueError(f"kind '{kind}'")
        self.pod = cluster.pod(name, host)
        self.pod.process = self.host.run(
            cluster.launch_argv(machine, [harness.program("contrast-initializer")],
                                self._yaml("backend.yaml"), *options), self.pod.env, self.pod.log)
        env = cluster.environment(cluster.replicas[min(cluster.replicas)], name)
        spare = self.host.spare()
        env.update(CONTRAST_LISTEN=spare, CONTRAST_ADDRESS=f"{spare}:{RAFT}")
        env.pop("CONTRAST_STATE_DIR", None)
        self.replica = self.host.run(
            cluster.launch_argv(machine, [harness.program("contrast-coordinator")],
                                self._yaml("coordinator.yaml"), *options), env,
            os.path.join(cluster.lab.logs, f"intruder-{name}.log"))

    def _yaml(self, name):
        """The pod's file, under another policy where that is the difference."""
        path = self.cluster.app_file(name)
        if self.kind != "policy":
            return path
        text, policy = read(path), harness.policy_of(path)
        changed = text.replace(base64.b64encode(policy),
                               base64.b64encode(policy + b"# one line more\n"))
        if changed == text:
            raise AssertionError(f"{name}: its policy was not found")
        other = os.path.join(self.cluster.lab.dir, f"{self.name}-{name}")
        write(other, changed)
        return other

    def was_member(self):
        """Whether a replica of the cluster lists it."""
        return any(member["name"] == self.name for status in self.cluster.statuses().values()
                   if status for member in status["members"])

    def has_key(self):
        return bool(glob.glob(self.pod.file("tls-config*", "certChain.pem")))

    def end(self):
        """Ends both. 0 when one of them got what it wanted, else the pod's exit code, or 1."""
        got_in = self.was_member() or self.has_key()
        labs.end_all([self.pod.process, self.replica])
        return 0 if got_in or self.pod.process.child.returncode == 0 else (
            self.pod.process.child.returncode or 1)
