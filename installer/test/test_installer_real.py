#!/usr/bin/env -S python3 -B
"""The installer as a whole, on a node with a real containerd (Debian's 1.6.20).

    test_installer_real.py FOLDER_OF_PROGRAMS [-k NAME]

Each test has a containerd of its own (private_node.py). After each step the daemon itself is asked:
its CRI plugin is ok, runc is there, and our handler is listed or gone. Needs root and the programs
containerd and ctr; without them it is skipped, or fails with CI=true.

What users complained about, and the test that keeps it from us ("real" is test_containerd_real.py,
which edits files only and asks containerd what they mean):

    complaint (kata-containers, unless named otherwise)                  test
    packaging 307: the user's configuration is overwritten               test_307_..., real
    3229: no configuration -> one with kata alone, CRI dead              test_3229_..., real
    11072: uninstall does not restart containerd                         test_11072_...
    10167: deploy, clean up, deploy leaves the node unavailable          test_10167_..., real
    operator 481: repeated runs end in `imports = [ , ]` or dangle       test_481_..., real
    13141: a stale import after an upgrade kills containerd              test_13141_..., real
    5868: "Text file busy" on a second install                           test_5868_...
    3429, 7733: clean-up fails when a file is gone already               test_3429_7733_..., real
    10809, 12478, 12488: templates of k3s stale or without effect        test_12488_..., real
    12626: on k3s the restart kills the installer                        test_12626_...
    dragonfly 294: a restart without need, so a loop of restarts         test_294_..., real
    10648: policies break with containerd 2                              cli/policy/test (rules)
    the peer's uninstall loses what was edited later                     test_later_edits_...

SPDX-License-Identifier: Apache-2.0
"""
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

from private_node import PrivateNode, read, write

PROGRAMS = ""
CRI = "io.containerd.grpc.v1.cri"
RUNC = f'[plugins."{CRI}".containerd.runtimes.runc]\n  runtime_type = "io.containerd.runc.v2"\n'
TEXT = f"""# This node is ours.  Keep the spaces.
version = 2

[plugins."{CRI}"]
  sandbox_image = "registry.k8s.io/pause:3.6" # pinned
  [plugins."{CRI}".containerd]
    snapshotter = "overlayfs"
{RUNC}# the end"""
SHIM = "bin/containerd-shim-contrast-cc-v2"
FIRST = {SHIM: b"#!/bin/sh\nexit 0\n", "bin/qemu-system-x86_64": b"\x7fELF one",
         "share/kata-kernel": b"kernel" * 9999, "share/kata-containers.img": b"image" * 99999}
SECOND = {**FIRST, "share/kata-kernel": b"kernel, newer"}
THIRD = {**FIRST, "share/kata-kernel": b"kernel, newest"}
PREFIX = "contrast-cc-metal-qemu-snp-"


class InstallerTest(unittest.TestCase):
    def node(self, text=TEXT, layout="plain", is_started=True):
        node = PrivateNode(PROGRAMS, text, layout)
        self.addCleanup(node.close)
        if is_started:
            node.boot()
        self.start = node.bytes()
        return node

    def run_ok(self, node, done, restarts):
        """The run succeeded, with so many restarts since the last look."""
        self.assertEqual(done.code, 0, done.output)
        self.assertEqual(node.restarts, restarts, done.output)
        node.restarts = 0

    def install(self, node, payload, restarts=1, **more):
        before = set(node.handlers()) if os.path.exists(node.host + "/opt/edgeless") else set()
        done = node.install(payload, **more)
        self.run_ok(node, done, restarts)
        new = set(node.handlers()) - before
        return new.pop() if new else None

    def uninstall(self, node, handler, restarts=1):
        done = node.run("uninstall", "--handler", handler)
        self.run_ok(node, done, restarts)
        return done

    def assert_serves(self, node, *handlers):
        """As the daemon says it: alive, with runc and exactly these of ours."""
        is_ready, listed = node.cri()
        self.assertTrue(is_ready)
        self.assertEqual(listed, {"runc", *handlers})
        self.assertEqual(node.plugins()[("io.containerd.grpc.v1", "cri")], "ok", node.log_tail())

    def assert_as_before(self, node):
        self.assertEqual(node.bytes(), self.start)

    # --- the life of a runtime

    def test_install_upgrade_uninstall(self):
        node = self.node()
        self.assert_serves(node)
        first = self.install(node, FIRST)
        self.assertTrue(first.startswith(PREFIX))
        self.assert_serves(node, first)
        for path, content in FIRST.items():
            installed = os.path.join(node.host, "opt/edgeless", first, path)
            self.assertEqual(read(installed), content)
            self.assertEqual(os.stat(installed).st_mode & 0o7777,
                             0o755 if path.startswith("bin/") else 0o644)
        one = node.bytes()
        second = self.install(node, SECOND)
        self.assert_serves(node, first, second)
        self.uninstall(node, second)
        self.assert_serves(node, first)
        self.assertEqual(node.bytes(), one)
        self.uninstall(node, first)
        self.assert_serves(node)
        self.assert_as_before(node)
        self.assertEqual(node.handlers(), [])

    def test_uninstall_of_the_first_first(self):
        node = self.node()
        first, second = self.install(node, FIRST), self.install(node, SECOND)
        self.uninstall(node, first)
        self.assert_serves(node, second)
        self.uninstall(node, second)
        self.assert_serves(node)
        self.assert_as_before(node)

    def test_downgrade(self):
        """The old payload again: its runtime is still there, and is the newest now."""
        node = self.node()
        first, second = self.install(node, FIRST), self.install(node, SECOND)
        self.assertIsNone(self.install(node, FIRST, restarts=0))
        self.assert_serves(node, first, second)

    def test_old_runtimes_go(self):
        """KEEP_RUNTIMES newest stay; one whose shim runs stays as well, until it has ended."""
        node = self.node()
        node.env["KEEP_RUNTIMES"] = "1"
        first = self.install(node, FIRST)
        shim = self.run_from(node, first)
        second = self.install(node, SECOND)
        self.assert_serves(node, first, second)
        self.assertEqual(node.handlers(), sorted([first, second]))
        self.end(shim)
        third = self.install(node, THIRD)
        self.assert_serves(node, third)
        self.assertEqual(node.handlers(), [third])
        self.uninstall(node, third)
        self.assert_as_before(node)

    def test_dry_run_and_status(self):
        node = self.node()
        node.configure(FIRST)
        tree = node.tree()
        for args in (("--dry-run",), ("status",), ("status", "--output", "json")):
            done = node.run(*args)
            self.assertEqual(done.code, 3, done.output)
            self.assertIn("containerd.runtimes." + PREFIX, done.output)
            self.assertEqual(node.tree(), tree)
        self.install(node, FIRST)
        self.assertEqual(node.run("status").code, 0)

    # --- complaints

    def test_307_every_byte_of_the_user_stays(self):
        node = self.node(TEXT.replace("\n", "\r\n"))
        handler = self.install(node, FIRST)
        self.assertTrue(read(node.main).startswith(node.original))
        self.assert_serves(node, handler)
        self.uninstall(node, handler)
        self.assert_as_before(node)

    def test_307_a_broken_file_is_not_touched(self):
        node = self.node()
        for text in ("version = 2\n[a\n", TEXT + "\n[x]\n[x]\n", "\0", "version = 9\n"):
            write(node.main, text.encode())
            tree = node.bytes()
            done = node.install(FIRST)
            self.assertEqual(done.code, 2, done.output)
            self.assertIn("/etc/containerd/config.toml", node.termination())
            self.assertEqual(node.bytes(), tree)
            self.assertEqual(node.restarts, 0)

    def test_307_a_backup_for_each_content(self):
        node = self.node()
        first = self.install(node, FIRST)
        self.uninstall(node, first)
        self.install(node, FIRST)
        folder = os.path.join(node.host, "opt/edgeless/.contrast/backup")
        contents = [read(os.path.join(folder, name)) for name in os.listdir(folder)]
        self.assertIn(node.original, contents)
        self.assertEqual(len(contents), len(set(contents)))

    def test_3229_no_configuration(self):
        """What `containerd config default` says is written, so that runc stays; then it goes."""
        node = self.node(text=None)
        self.assert_serves(node)
        handler = self.install(node, FIRST)
        self.assertIn(b"[plugins]", read(node.main))
        self.assert_serves(node, handler)
        self.uninstall(node, handler)
        self.assertFalse(os.path.exists(node.main))
        self.assert_serves(node)

    def test_11072_uninstall_restarts(self):
        node = self.node()
        handler = self.install(node, FIRST)
        old = node.daemon.pid
        self.uninstall(node, handler)
        self.assertNotEqual(node.daemon.pid, old)
        self.assert_serves(node)

    def test_10167_481_again_and_again(self):
        for imports in ("imports = []\n", "imports = [\n]\n", 'imports = ["/nowhere/*.toml"]\n'):
            node = self.node(imports + TEXT)
            for _ in range(2):
                handler = self.install(node, FIRST)
                self.assert_serves(node, handler)
                self.uninstall(node, handler)
                self.assert_serves(node)
                self.assert_as_before(node)

    def test_13141_our_import_never_dangles(self):
        """The runtime's folder is lost: containerd starts, and the next run brings it back."""
        node = self.node()
        handler = self.install(node, FIRST)
        shutil.rmtree(os.path.join(node.host, "opt/edgeless", handler))
        node.stop()
        node.boot()
        self.assert_serves(node, handler)
        self.assertEqual(self.install(node, FIRST, restarts=0), handler)
        self.assert_serves(node, handler)

    def run_from(self, node, handler):
        """A process with the name that a shim has on the host."""
        path = f"opt/edgeless/{handler}/{SHIM}"
        busy = os.path.join(node.host, path)
        shutil.copy("/bin/sleep", busy + ".new")
        os.rename(busy + ".new", busy)
        shim = subprocess.Popen(["/" + path, "3600"], executable=busy)
        self.addCleanup(self.end, shim)
        return shim

    def end(self, process):
        if process.poll() is None:
            process.kill()
            process.wait()

    def test_5868_text_file_busy(self):
        """A program that runs is replaced, not written to: the process keeps the old file."""
        node = self.node()
        name = {"runtimeHandlerName": PREFIX + "00000000"}
        payload = {**FIRST, SHIM: read("/bin/sleep")}
        handler = self.install(node, payload, **name)
        busy = os.path.join(node.host, "opt/edgeless", handler, SHIM)
        shim = subprocess.Popen([f"/opt/edgeless/{handler}/{SHIM}", "3600"], executable=busy)
        self.addCleanup(self.end, shim)
        with self.assertRaises(OSError):
            open(busy, "r+b").close()  # ETXTBSY: it is busy indeed
        inode = os.stat(busy).st_ino
        self.install(node, {**payload, SHIM: b"#!/bin/sh\n"}, restarts=0, **name)
        self.assertEqual(read(busy), b"#!/bin/sh\n")
        self.assertEqual(os.stat(f"/proc/{shim.pid}/exe").st_ino, inode)
        self.assertIsNone(shim.poll())
        self.assert_serves(node, handler)

    def test_uninstall_while_a_shim_runs(self):
        node = self.node()
        handler = self.install(node, FIRST)
        shim = self.run_from(node, handler)
        tree = node.tree()
        done = node.run("uninstall", "--handler", handler)
        self.assertEqual(done.code, 1, done.output)
        self.assertIn(f"{shim.pid} containerd-shim-contrast-cc-v2", node.termination())
        self.assertEqual(node.tree(), tree)
        self.assertEqual(node.restarts, 0)
        self.assert_serves(node, handler)
        self.end(shim)
        self.uninstall(node, handler)
        self.assert_as_before(node)

    def test_3429_7733_what_is_gone_already(self):
        node = self.node()
        handler = self.install(node, FIRST)
        shutil.rmtree(os.path.join(node.host, "opt/edgeless", handler))
        write(node.main, node.original)
        self.uninstall(node, handler)  # one restart: the daemon still has the runtime
        self.assert_serves(node)
        self.uninstall(node, handler, restarts=0)
        self.assert_as_before(node)

    def test_12488_k3s(self):
        """The template has new tables only, and what k3s changes in its base comes through."""
        node = self.node(layout="k3s")
        handler = self.install(node, FIRST)
        self.assert_serves(node, handler)
        template = os.path.join(os.path.dirname(node.main), "config.toml.tmpl")
        self.assertIn(b'{{ template "base" . }}', read(template))
        self.assertNotIn(b"sandbox_image", read(template))
        node.original += b"\n[debug]\n  level = 'info'\n"  # k3s was upgraded
        node.stop()
        node.boot()
        self.assert_serves(node, handler)
        self.assertIn(b"[debug]", read(node.main))
        self.assertIsNone(self.install(node, FIRST, restarts=0))
        self.uninstall(node, handler)
        self.assert_serves(node)
        self.assertFalse(os.path.exists(template))

    def test_12626_the_restart_kills_the_installer(self):
        for layout in ("plain", "k3s"):
            with self.subTest(layout):
                node = self.node(layout=layout)
                node.next_restarts = ["kill"]
                done = node.install(FIRST)
                self.assertEqual(done.code, -signal.SIGKILL, done.output)
                journal = node.journal()
                self.assertEqual(journal["phase"], "restarting")
                self.assertGreater(journal["restart_ms"], 0)
                done = node.run("install")
                self.assertEqual(done.code, 0, done.output)
                self.assertEqual(node.journal()["phase"], "idle")
                self.assert_serves(node, node.handlers()[0])
                node.restarts = 0
                self.assertIsNone(self.install(node, FIRST, restarts=0))
                self.uninstall(node, node.handlers()[0])
                self.assert_serves(node)

    def test_294_nothing_to_do(self):
        """A second run reads only: every inode and time stays, and nothing is restarted."""
        for layout in ("plain", "k3s"):
            with self.subTest(layout):
                node = self.node(layout=layout)
                handler = self.install(node, FIRST)
                tree, pid = node.tree(), node.daemon.pid
                for _ in range(2):
                    done = node.install(FIRST)
                    self.run_ok(node, done, 0)
                    self.assertIn("nothing to do", done.output)
                    self.assertEqual(node.tree(), tree)
                self.assertEqual(node.daemon.pid, pid)
                self.assert_serves(node, handler)

    def test_later_edits_of_the_user_stay(self):
        node = self.node()
        handler = self.install(node, FIRST)
        with open(node.main, "ab") as f:
            f.write(b"\n[debug]\n  level = 'info' # later\n")
        self.uninstall(node, handler)
        self.assertEqual(read(node.main), node.original + b"\n[debug]\n  level = 'info' # later\n")

    def test_links_of_the_host(self):
        """/var/run is a link to /run on most nodes: it is followed on the host, not in the pod."""
        node = self.node()
        os.mkdir(os.path.join(node.host, "var"))
        os.symlink("/run", os.path.join(node.host, "var/run"))
        node.env["CRI_SOCKET"] = "/var/run/containerd/containerd.sock"
        self.assert_serves(node, self.install(node, FIRST))

    def test_health(self):
        """contrast-node-health, as the kubelet's probe asks it."""
        node = self.node()
        handler = self.install(node, FIRST)
        program = os.path.join(PROGRAMS, "contrast-node-health")
        env = {**node.environment(), "HEALTH_ADDRESS": "127.0.0.1:0"}
        health = subprocess.Popen([program], env=env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(health.stderr.close)
        self.addCleanup(self.end, health)
        port = int(health.stderr.readline().decode().rsplit("port ", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.addCleanup(connection.close)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        page = json.loads(answer.read())
        self.assertEqual((answer.status, page["ok"], page["handler"]), (200, True, handler))
        health.send_signal(signal.SIGTERM)
        self.assertEqual(health.wait(30), 0)

    # --- what goes wrong

    def roll_back(self, words, reason):
        node = self.node()
        node.env["CONFIRM_TIMEOUT_S"] = "2"
        node.next_restarts = list(words)
        done = node.install(FIRST)
        self.assertEqual(done.code, 1, done.output)
        self.assertIn("rolled back, the node is as before", node.termination())
        self.assertIn(reason, node.termination())
        self.assertEqual(node.restarts, 2, done.output)
        self.assertEqual(read(node.main), node.original)
        self.assert_serves(node)
        self.assertEqual(node.journal()["phase"], "idle")
        node.restarts = 0
        done = node.run("install")
        self.run_ok(node, done, 1)
        self.assert_serves(node, node.handlers()[0])
        self.uninstall(node, node.handlers()[0])
        self.assert_as_before(node)

    def test_containerd_is_dead_after_the_restart(self):
        self.roll_back(["dead"], "CRI does not answer")

    def test_the_restart_fails(self):
        self.roll_back(["fail"], "exit code 5")

    def test_the_handler_is_not_listed(self):
        self.roll_back(["old"], "CRI is up, but does not list the handler")

    def test_roll_back_of_an_upgrade(self):
        """The runtime that was there serves again, as it did."""
        node = self.node()
        first = self.install(node, FIRST)
        text = read(node.main)
        node.env["CONFIRM_TIMEOUT_S"] = "2"
        node.next_restarts = ["dead"]
        done = node.install(SECOND)
        self.assertEqual(done.code, 1, done.output)
        self.assertEqual(read(node.main), text)
        self.assert_serves(node, first)

    def test_roll_back_of_an_uninstallation(self):
        """What could not be taken off is still whole: the runtime's files are there, too."""
        node = self.node()
        first = self.install(node, FIRST)
        text, tree = read(node.main), node.bytes()
        node.env["CONFIRM_TIMEOUT_S"] = "2"
        node.next_restarts = ["dead"]
        done = node.run("uninstall", "--handler", first)
        self.assertEqual(done.code, 1, done.output)
        self.assertEqual(read(node.main), text)
        self.assertEqual(node.bytes(), tree)
        self.assert_serves(node, first)

    def test_containerd_never_comes_back(self):
        """Nothing helps; the files are those of before, and the message has both reasons."""
        node = self.node()
        node.env["CONFIRM_TIMEOUT_S"] = "1"
        node.next_restarts = ["dead", "dead"]
        done = node.install(FIRST)
        self.assertEqual(done.code, 1, done.output)
        self.assertIn("rolling back failed, too", node.termination())
        self.assertEqual(read(node.main), node.original)
        self.assertEqual(node.restarts, 2)
        node.boot()
        node.restarts = 0
        done = node.run("install")
        self.assertEqual(done.code, 0, done.output)
        self.assert_serves(node, node.handlers()[0])

    def test_a_configuration_that_containerd_refuses(self):
        """Good TOML that containerd does not take, edited since it started: nothing is touched."""
        node = self.node()
        write(node.main, b"imports = ['/nowhere/one.toml']\n" + node.original)
        before = node.bytes()
        done = node.install(FIRST)
        self.assertEqual(done.code, 2, done.output)
        self.assertIn("containerd refuses the new configuration", node.termination())
        self.assertEqual(node.bytes(), before)
        self.assertEqual(node.restarts, 0)
        self.assert_serves(node)

    def test_wrong_bytes(self):
        node = self.node()
        node.configure(FIRST)
        write(os.path.join(node.folder, "p/share/kata-kernel"), b"another")
        done = node.run("install")
        self.assertEqual(done.code, 3, done.output)
        self.assertIn("wrong bytes", node.termination())
        self.assertIn("kata-kernel", node.termination())
        self.assert_as_before(node)
        self.assertEqual(node.restarts, 0)

    def test_a_daemon_that_is_too_old(self):
        """containerd 1.6 knows no snapshotter of a runtime: refused, with what to do."""
        node = self.node()
        node.configure({**FIRST, "bin/cloud-hypervisor-snp": b"\x7fELF",
                        "share/kata-containers-igvm.img": b"igvm"}, platform="Metal-CLH-SNP",
                       kata={})
        before = node.bytes()
        done = node.run("install")
        self.assertNotEqual(done.code, 0, done.output)
        self.assertIn("1.7", node.termination())
        self.assertEqual(node.bytes(), before)


def skip(why):
    print(f"{'failed' if os.environ.get('CI') == 'true' else 'skipped'}: {why}")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print("usage: test_installer_real.py FOLDER_OF_PROGRAMS [unittest's options]")
        sys.exit(2)
    PROGRAMS = os.path.abspath(sys.argv.pop(1))
    if shutil.which("containerd") is None or shutil.which("ctr") is None:
        skip("containerd is not installed (scripts/deps --test)")
    if os.geteuid() != 0:
        skip("a private containerd needs root")
    if " 1.6." not in subprocess.run(["containerd", "--version"], stdout=subprocess.PIPE,
                                     check=True).stdout.decode():
        skip("the expectations are those of containerd 1.6")
    unittest.main(verbosity=2)
