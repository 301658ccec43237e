"""A node for tests of the installer: a host's root in a temporary folder, a payload, a
configuration, containerd's program (a shell script) and its CRI (fake_cri).

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_cri import FakeCri  # noqa: E402

CONFIG_1X = """\
# the user's own
version = 2
root = "/var/lib/containerd"

[plugins."io.containerd.grpc.v1.cri".containerd] # keep
  default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""
CONFIG_2X = """\
version = 3
# the user's own

[plugins.'io.containerd.cri.v1.runtime'.containerd]
  default_runtime_name = 'runc'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
"""
PROGRAM = """#!/bin/sh
case "$*" in
--version) echo "containerd github.com/containerd/containerd %s 0" ;;
"config default") cat "$FAKE_CONTAINERD_DEFAULT" ;;
esac
"""
SHIM = "@@runtimeBase@@/bin/containerd-shim-contrast-cc-v2"
NO_FILES = {"kernel": "", "initrd": "", "image": "", "firmware": ""}


class Node:
    def __init__(self, installer, version="1.6.20", config=None):
        self.installer, self.version = installer, version
        top = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.mkdtemp(prefix="contrast-node-", dir=top)
        self.root = self.folder + "/host"
        self.text = config or (CONFIG_1X if version.startswith("1.") else CONFIG_2X)
        for path in ("/host/etc/containerd", "/host/run/lock", "/config", "/payload", "/bin"):
            os.makedirs(self.folder + path)
        self.write("/host/etc/containerd/config.toml", self.text)
        self.write("/bin/containerd", PROGRAM % version, 0o755)
        self.cri = FakeCri(self.root, version)
        self.cri.start()
        self.settings = {}
        self.configure("one")

    def write(self, path, text, mode=0o644):
        path = self.folder + path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text.encode() if isinstance(text, str) else text)
        os.chmod(path, mode)

    def read(self, path):
        with open(self.folder + path, "rb") as f:
            return f.read()

    def configure(self, payload, **more):
        """A payload and the configuration that installs it."""
        self.write("/payload/shim", payload.encode() * 100000, 0o644)
        self.write("/payload/qemu", b"qemu " + payload.encode())
        document = {
            "platform": "Metal-QEMU-SNP",
            "files": [{"url": f"file://{self.folder}/payload/shim", "path": SHIM,
                       "executable": True},
                      {"url": f"file://{self.folder}/payload/qemu",
                       "path": "@@runtimeBase@@/bin/qemu-system-x86_64", "executable": True}],
            "kata": NO_FILES,
        }
        document.update(more)
        self.write("/config/contrast-node-install.json", json.dumps(document))

    def environment(self, **more):
        return {"PATH": f"{self.folder}/bin:/usr/bin:/bin", "HOST_MOUNT": self.root,
                "CONFIG_DIR": self.folder + "/config",
                "TARGET_CONFIG_DIR": self.folder + "/target-config", "NODE_COMMAND": "",
                "RESTART_COMMAND": self.cri.restart_command, "KEEP_RUNTIMES": "1",
                "CONFIRM_TIMEOUT_S": "60", "TERMINATION_LOG": self.folder + "/termination",
                "ASAN_OPTIONS": "detect_leaks=0:verify_asan_link_order=0",
                **self.settings, **more}

    def run(self, *words, **more):
        r = subprocess.run([self.installer, *words], env=self.environment(**more),
                           capture_output=True, text=True, timeout=120, check=False)
        if "AddressSanitizer" in r.stderr or "runtime error:" in r.stderr:
            raise AssertionError(r.stderr)
        return r

    def install(self):
        r = self.run()
        assert r.returncode == 0, r.stderr
        return self

    def handlers(self):
        """Of ours, with a folder of their own."""
        folder = self.root + "/opt/edgeless"
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(n for n in names if n.startswith("contrast-cc-"))

    def tree(self, journal=True):
        """{path: (mode, owner, content)} of the host but /run; of the journal all but times and
        inodes; without `journal` also without the backups."""
        out = {}
        for folder, folders, files in os.walk(self.root):
            if folder == self.root:
                folders.remove("run")
            for name in folders + files:
                path = os.path.join(folder, name)
                st = os.lstat(path)
                relative = path[len(self.root):]
                if not journal and "/.contrast" in relative:
                    continue
                if stat.S_ISLNK(st.st_mode):
                    content = os.readlink(path)
                elif stat.S_ISREG(st.st_mode):
                    with open(path, "rb") as f:
                        content = f.read()
                    if name == "journal.json":
                        content = plain_journal(content)
                else:
                    content = None
                out[relative] = (st.st_mode, st.st_uid, st.st_gid, content)
        return out

    def journal(self):
        return json.loads(self.read("/host/opt/edgeless/.contrast/journal.json"))

    def save(self):
        shutil.copytree(self.root, self.folder + "/saved", symlinks=True,
                        ignore=lambda d, n: ["run"] if d == self.root else [])

    def restore(self):
        """The host as it was saved, and containerd restarted with that."""
        for name in os.listdir(self.root):
            if name != "run":
                shutil.rmtree(os.path.join(self.root, name))
        shutil.copytree(self.folder + "/saved", self.root, symlinks=True, dirs_exist_ok=True)
        self.cri.restart()

    def close(self):
        self.cri.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def plain_journal(text):
    try:
        journal = json.loads(text)
    except json.JSONDecodeError:
        return text
    journal.pop("restart_ms")
    for runtime in journal["runtimes"]:
        runtime.pop("installed")
        for file in runtime["files"]:
            file.pop("inode")
            file.pop("mtime_ns")
    return journal
