"""A node of its own for one test: a host's root below /tmp and a containerd that only it knows.

    node = PrivateNode(PROGRAMS, text_of_config)     layout: "plain" or "k3s"
    node.install(payload) -> Done(code, output)      RESTART_COMMAND comes back to this process
    node.restarts                                    how often it did

The daemon has root, state and socket of its own, and is ended by its pid. What the next restarts do
is a list of words: "dead" (the daemon does not come back), "old" (it comes back with the
configuration it had at the start), "fail" (the command fails, the daemon is not touched), "kill"
(the installer is killed, then the daemon restarts, as on k3s); none: it restarts.

SPDX-License-Identifier: Apache-2.0
"""
import base64
import collections
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import threading

import node_cri

BOOTED = b"containerd successfully booted"
STATE = "opt/edgeless/.contrast"
Done = collections.namedtuple("Done", "code output")
Entry = collections.namedtuple("Entry", "mode inode mtime_ns content")
OPT = '\n[plugins."io.containerd.internal.v1.opt"]\n  path = "%s/opt-containerd"\n'
LAYOUTS = {
    "plain": ("etc/containerd", "run/containerd/containerd.sock"),
    "k3s": ("var/lib/rancher/k3s/agent/etc/containerd", "run/k3s/containerd/containerd.sock"),
}
BASE = '{{ template "base" . }}'


class PrivateNode:
    def __init__(self, programs, text, layout="plain"):
        self.programs = programs
        self.folder = tempfile.mkdtemp(prefix="node-", dir="/tmp")
        self.host = os.path.join(self.folder, "h")
        config, socket = LAYOUTS[layout]
        self.layout = layout
        self.socket = os.path.join(self.host, socket)
        self.main = os.path.join(self.host, config, "config.toml")
        for path in (os.path.dirname(self.main), os.path.dirname(self.socket),
                     os.path.join(self.host, "run/lock"), os.path.join(self.folder, "c"),
                     os.path.join(self.folder, "t")):
            os.makedirs(path)
        self.original = (text + OPT % self.folder).encode() if text is not None else None
        self.start_file = os.path.join(self.folder, "start.toml")
        self.daemon = self.installer = None
        self.log = []
        self.restarts = 0
        self.next_restarts = []
        self.env = {"PATH": self.make_default() + ":" + os.environ["PATH"]}
        if self.original is not None:
            write(self.main, self.original)
            write(self.start_file, self.original)
        self.open_hook()

    def close(self):
        os.write(self.ask, b"q")
        self.thread.join()
        self.stop()
        for fd in (self.ask, self.answer):
            os.close(fd)
        shutil.rmtree(self.folder)

    # --- the daemon

    def make_default(self):
        """A containerd whose default has no path of this machine's; the folder it is in."""
        program, folder = shutil.which("containerd"), os.path.join(self.folder, "bin")
        text = subprocess.run([program, "config", "default"], check=True,
                              stdout=subprocess.PIPE).stdout.decode()
        assert '"/opt/containerd"' in text
        self.default = os.path.join(self.folder, "default.toml")
        write(self.default, text.replace("/opt/containerd", self.folder + "/opt").encode())
        write(os.path.join(folder, "containerd"),
              f'#!/bin/sh\n[ "$*" = "config default" ] && exec cat {self.default}\n'
              f'exec {program} "$@"\n'.encode())
        os.chmod(os.path.join(folder, "containerd"), 0o755)
        return folder

    def start(self, config=None):
        if not os.path.exists(self.main):
            config = self.default
        self.log, booted = [], threading.Event()
        self.daemon = subprocess.Popen(
            ["containerd", "--config", config or self.main, "--root", self.folder + "/root",
             "--state", self.folder + "/state", "--address", self.socket],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def drain(stream, log):
            for line in stream:
                log.append(line)
                if BOOTED in line:
                    booted.set()
            booted.set()
            stream.close()

        threading.Thread(target=drain, args=(self.daemon.stderr, self.log), daemon=True).start()
        if not booted.wait(60):
            raise AssertionError("containerd hangs: " + self.log_tail())

    def stop(self):
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(60)
            self.daemon = None

    def render(self):
        """As k3s does at each start: the template with the base in its place, or the base alone."""
        template = os.path.join(os.path.dirname(self.main), "config.toml.tmpl")
        text = read(template) or BASE.encode()
        write(self.main, text.replace(BASE.encode(), self.original))

    def boot(self, config=None):
        if self.layout == "k3s":
            self.render()
        self.start(config)

    def log_tail(self):
        return b"".join(self.log).decode(errors="replace")[-3000:]

    # --- RESTART_COMMAND: a line of shell, and a thread that hears it

    def open_hook(self):
        for name in ("ask", "answer"):
            path = os.path.join(self.folder, name)
            os.mkfifo(path)
            setattr(self, name, os.open(path, os.O_RDWR))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def hook(self):
        return f"echo >{self.folder}/ask; read r <{self.folder}/answer; exit $r"

    def serve(self):
        while os.read(self.ask, 1) != b"q":
            self.restarts += 1
            os.write(self.answer, b"%d\n" % self.restart())

    def restart(self):
        word = self.next_restarts.pop(0) if self.next_restarts else ""
        if word == "fail":
            return 5
        if word == "kill":
            self.installer.kill()
            self.installer.wait()
        self.stop()
        if word != "dead":
            self.boot(self.start_file if word == "old" else None)
        return 0

    # --- the installer

    def configure(self, payload, **more):
        """payload: {path below the runtime's folder: bytes}. Programs are those below bin/."""
        files = []
        for path, content in payload.items():
            source = os.path.join(self.folder, "p", path)
            write(source, content)
            digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
            files.append({"url": "file://" + source, "path": "@@runtimeBase@@/" + path,
                          "integrity": "sha256-" + digest, "executable": path.startswith("bin/")})
        config = {"version": 1, "platform": "Metal-QEMU-SNP", "files": files,
                  "kata": {"initrd": "", "firmware": ""}, **more}
        write(os.path.join(self.folder, "c/contrast-node-install.json"),
              json.dumps(config).encode())

    def environment(self):
        env = {"HOST_MOUNT": self.host,
               "CONFIG_DIR": self.folder + "/c", "TARGET_CONFIG_DIR": self.folder + "/t",
               "NODE_COMMAND": "", "RESTART_COMMAND": self.hook(),
               "TERMINATION_LOG": self.folder + "/termination", "CONFIRM_TIMEOUT_S": "20",
               "LOCK_TIMEOUT_S": "60"}
        env.update(self.env)
        return {name: value for name, value in env.items() if value is not None}

    def run(self, *args):
        write(self.folder + "/termination", b"")
        self.installer = subprocess.Popen(
            [os.path.join(self.programs, "contrast-node-installer"), *args], env=self.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = self.installer.stdout.read().decode(errors="replace")
        self.installer.stdout.close()
        return Done(self.installer.wait(), output)

    def install(self, payload, **more):
        self.configure(payload, **more)
        return self.run("install")

    def termination(self):
        return read(self.folder + "/termination").decode()

    # --- what is there

    def handlers(self):
        """The runtimes' folders, by name."""
        base = os.path.join(self.host, "opt/edgeless")
        return sorted(n for n in os.listdir(base) if not n.startswith("."))

    def journal(self):
        return json.loads(read(os.path.join(self.host, STATE, "journal.json")))

    def cri(self):
        """(is_ready, {handlers}), as the daemon itself says."""
        return node_cri.status(self.socket)

    def plugins(self):
        rows = subprocess.run(["ctr", "--address", self.socket, "plugins", "ls"], check=True,
                              stdout=subprocess.PIPE, timeout=60).stdout.decode().splitlines()
        return {tuple(r.split()[:2]): r.split()[-1] for r in rows[1:] if r.strip()}

    def tree(self):
        """Every file and folder of the host but /run: {path: Entry}."""
        out = {}
        for folder, names, files in os.walk(self.host):
            if folder == self.host:
                names.remove("run")
            for path in [folder] + [os.path.join(folder, f) for f in files]:
                s = os.lstat(path)
                out[os.path.relpath(path, self.host)] = Entry(
                    s.st_mode, s.st_ino, s.st_mtime_ns, None if path == folder else read(path))
        return out

    def bytes(self):
        """The same without inodes and times, and without the installer's own folder."""
        return {p: (e.mode, e.content) for p, e in self.tree().items()
                if not (p + "/").startswith("opt/")}


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)


def read(path):
    if not os.path.exists(path):
        return None
    with open(path, "rb") as f:
        return f.read()
