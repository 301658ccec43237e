#!/usr/bin/env -S python3 -B
"""Our changes of containerd's configuration, judged by containerd itself.

    test_containerd_real.py CONTAINERD_EDIT [-k NAME]

`containerd config dump` says what a file means: runc must be there, our handlers there or gone.
A private daemon (own root, state and socket, ended by its pid) says whether the CRI plugin loads.
Needs root and the program `containerd`; without them it is skipped, or fails with CI=true.

Debian has no containerd 2.x. Its own code for configurations judges the drop-ins when CONTAINERD_2X
names the program that Go makes of it, in about two minutes:

    (cd installer/test/containerd-2x && go build -o ../../../build/containerd-2x .)

2.0.5, 2.1.4 (the one in go.mod) and 2.4.2 agree.

What users complained about, and the test that keeps it from us:

    complaint                                                            test
    packaging 307: the user's configuration is overwritten               test_307_...
    3229: no configuration -> one with kata alone, CRI dead              test_3229_...
    10167: deploy, clean up, deploy leaves the node unavailable          test_10167_...
    operator 481: repeated runs end in `imports = [ , ]` or dangle       test_481_...
    13141: a stale import after an upgrade kills containerd              test_13141_...
    3429, 7733: clean-up fails when a file is gone already               test_3429_7733_...
    10809, 12478, 12488: templates of k3s stale or without effect        test_12488_...
    contrast 1264, 1848: "No runtime for ... is configured" on k3s       test_12488_...
    dragonfly 294: restart without need                                  test_294_...
    a drop-in takes runc away on 1.x                                     test_drop_in_...

Complaints about restarts, busy files and killed pods are in the tests of the whole installer.

SPDX-License-Identifier: Apache-2.0
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    import tomllib
except ImportError:
    tomllib = None

EDIT = ""
A, B = "contrast-cc-aks-aaaaaaaa", "contrast-cc-aks-bbbbbbbb"
CRI = "io.containerd.grpc.v1.cri"
RUNC = f'[plugins."{CRI}".containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n'
BOOTED = b"containerd successfully booted"

# Layouts of a file that containerd 1.6 serves.
LAYOUTS = {
    "empty": "",
    "comment without an end": "# nothing here",
    "version alone": "version = 2",
    "runc": "version = 2\n" + RUNC,
    "legacy": "oom_score = 0\n[plugins.cri.containerd]\n  snapshotter = \"overlayfs\" # mine\n",
    "legacy with runc": "[plugins]\n  [plugins.cri]\n    [plugins.cri.containerd]\n      "
                        "[plugins.cri.containerd.runtimes.runc]\n        runtime_type = "
                        "\"io.containerd.runc.v2\"\n",
    "flags are on": f"version = 2\n[plugins.'{CRI}'.containerd] # here\n"
                    "  disable_snapshot_annotations = true # why\n"
                    "\tdiscard_unpacked_layers=true\n" + RUNC,
    "flags are off": f"version = 2\n['plugins' . \"{CRI}\" . containerd]\n"
                     "disable_snapshot_annotations = false\n" + RUNC,
    "dotted keys": f"version = 2\n[plugins]\n'{CRI}'.containerd.snapshotter = \"overlayfs\"\n"
                   f"\"{CRI}\".containerd.runtimes.runc.runtime_type = \"io.containerd.runc.v2\"\n",
    "windows": "version = 2\r\n# note\r\n" + RUNC.replace("\n", "\r\n"),
    "runtimes first": f"version = 2\n{RUNC}[plugins.\"{CRI}\".containerd]\n"
                      "snapshotter = \"overlayfs\"",
    "other runtime": f"version = 2\n{RUNC}[plugins.\"{CRI}\".containerd.runtimes.kata]\n"
                     "runtime_type = \"io.containerd.kata.v2\"\n",
    "imports nothing": "imports = [ # none\n]\nversion = 2\n" + RUNC,
}


def run(*args, check=True):
    return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          check=check)


class Node:
    """A folder with a config.toml, and the containerd that reads it."""

    def __init__(self, text):
        self.folder = tempfile.mkdtemp(prefix="contrast-containerd-")
        self.main = os.path.join(self.folder, "etc", "config.toml")
        os.mkdir(os.path.dirname(self.main))
        self.default = os.path.join(self.folder, "default.toml")
        # /opt/containerd is the machine's; a private daemon must not make it.
        text_of_default = run("containerd", "config", "default").stdout.decode()
        assert '"/opt/containerd"' in text_of_default
        with open(self.default, "w") as f:
            f.write(text_of_default.replace("/opt/containerd", self.folder + "/opt"))
        if text is not None:
            self.write(self.main, text)

    def close(self):
        shutil.rmtree(self.folder)

    def write(self, path, text):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(text.encode())

    def bytes(self, path=None):
        path = path or self.main
        if not os.path.exists(path):
            return None
        with open(path, "rb") as f:
            return f.read()

    def path(self, *parts):
        return os.path.join(self.folder, "etc", *parts)

    def edit(self, verb, handler, *more, daemon=None, snapshotter=True):
        """Returns the files that changed, relative to the folder of config.toml."""
        daemon = daemon or run("containerd", "--version").stdout.decode()
        options = ["accept-old", "default=" + self.default]
        if snapshotter:
            options += [f"snapshotter=tardev-{handler}",
                        f"address={self.folder}/tardev-{handler}.sock"]
        done = run(EDIT, verb, self.main, handler, daemon, *options, *more, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{verb}: {done.stderr.decode()}")
        return [os.path.relpath(p, self.folder + "/etc")
                for p in done.stdout.decode().splitlines()]

    def install(self, handler, *more, **options):
        return self.edit("install", handler, *more, **options)

    def remove(self, handler, *more, **options):
        return self.edit("remove", handler, *more, **options)

    def dump(self, path=None):
        """The effective configuration, as containerd merges it."""
        done = run("containerd", "-c", path or self.main, "config", "dump", check=False)
        if done.returncode != 0:
            raise AssertionError(f"config dump: {done.stderr.decode()}\n{self.bytes()}")
        return tomllib.loads(done.stdout.decode())

    def cri(self, path=None):
        return self.dump(path)["plugins"][CRI]["containerd"]

    def runtimes(self, path=None):
        return set(self.cri(path)["runtimes"])

    def plugins(self):
        """Starts a private daemon: {(type, id): status}."""
        address = os.path.join(self.folder, "c.sock")
        daemon = subprocess.Popen(
            ["containerd", "--config", self.main, "--root", self.folder + "/root", "--state",
             self.folder + "/state", "--address", address],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            log = b""
            for line in daemon.stderr:
                log += line
                if BOOTED in line:
                    break
            else:
                raise AssertionError("containerd did not start: " + log.decode()[-2000:])
            rows = run("ctr", "--address", address, "plugins", "ls").stdout.decode().splitlines()
            return {tuple(r.split()[:2]): r.split()[-1] for r in rows[1:] if r.strip()}
        finally:
            daemon.terminate()
            daemon.communicate(timeout=60)


class RealTest(unittest.TestCase):
    def node(self, text):
        node = Node(text)
        self.addCleanup(node.close)
        return node

    def private(self, text):
        """The text with the one path that a private daemon must not share."""
        node = self.node(text)
        opt = '"io.containerd.internal.v1.opt"' if "version" in text else "opt"
        with open(node.main, "a") as f:
            f.write(f'\n[plugins.{opt}]\npath = "{node.folder}/opt"\n')
        return node

    def assert_alive(self, node, *handlers):
        plugins = node.plugins()
        self.assertEqual(plugins[("io.containerd.grpc.v1", "cri")], "ok")
        for handler in handlers:
            self.assertEqual(plugins[("io.containerd.snapshotter.v1", "tardev-" + handler)], "ok")

    # --- every layout

    def test_dump_of_every_layout(self):
        """Install, second handler, upgrade, removal: effective runtimes right at every stage."""
        for name, text in LAYOUTS.items():
            with self.subTest(name):
                node = self.node(text)
                others = node.runtimes()
                node.install(A)
                self.assertEqual(node.runtimes(), others | {A})
                self.assertIn("runc", node.runtimes())
                cri = node.cri()
                self.assertFalse(cri["disable_snapshot_annotations"])
                self.assertFalse(cri["discard_unpacked_layers"])
                self.assertEqual(cri["runtimes"][A]["runtime_type"],
                                 "io.containerd.contrast-cc.v2")
                self.assertEqual(cri["runtimes"][A]["options"]["ConfigPath"],
                                 "/opt/edgeless/test/etc/configuration-clh-snp.toml")
                self.assertIn("tardev-" + A, node.dump()["proxy_plugins"])
                node.install(B)
                self.assertEqual(node.runtimes(), others | {A, B})
                node.remove(A)
                self.assertEqual(node.runtimes(), others | {B})
                node.remove(B)
                self.assertEqual(node.bytes(), text.encode())

    def test_meaning_is_kept(self):
        """What the file meant before, it means after: only our tables and two flags differ."""
        for name, text in LAYOUTS.items():
            with self.subTest(name):
                node = self.node(text)
                before = node.dump()
                node.install(A)
                after = node.dump()
                containerd = after["plugins"][CRI]["containerd"]
                del containerd["runtimes"][A]
                del after["proxy_plugins"]["tardev-" + A]
                old = before["plugins"][CRI]["containerd"]
                for flag in ("disable_snapshot_annotations", "discard_unpacked_layers"):
                    containerd[flag] = old[flag]
                if "runtimes." not in text:  # runc is spelled out now; its defaults stay
                    options = containerd["runtimes"]["runc"].pop("options")
                    self.assertFalse(any(options.values()))
                    self.assertFalse(any(old["runtimes"]["runc"].pop("options").values()))
                self.assertEqual(after, before)

    def test_daemon_of_every_layout(self):
        for name, text in LAYOUTS.items():
            with self.subTest(name):
                node = self.private(text)
                before = node.bytes()
                node.install(A)
                node.install(B)
                self.assert_alive(node, A, B)
                node.remove(A)
                node.remove(B)
                self.assertEqual(node.bytes(), before)

    def test_upgrade_and_downgrade(self):
        node = self.private("version = 2\n" + RUNC)
        before = node.bytes()
        node.install(A)
        first = node.bytes()
        node.install(B)
        node.remove(A)
        self.assert_alive(node, B)
        self.assertEqual(node.runtimes(), {"runc", B})
        node.install(A)
        node.remove(B)
        self.assertEqual(node.bytes(), first)
        self.assert_alive(node, A)
        node.remove(A)
        self.assertEqual(node.bytes(), before)
        self.assert_alive(node)

    # --- complaints

    def test_307_the_users_file_is_kept(self):
        """Comments, order and every byte of the user's stand where they stood."""
        text = ("# managed by us\nversion = 2\n\n  # indented\n[debug]   # trailing\n"
                f"level='info'\n{RUNC}\n\n# the end")
        node = self.node(text)
        node.install(A)
        self.assertTrue(node.bytes().startswith(text.encode()))
        node.remove(A)
        self.assertEqual(node.bytes(), text.encode())

    def test_307_a_broken_file_is_not_replaced(self):
        for text in ("version = 2\n[plugins\n", "version = 2\n[a]\n[a]\n", "\x00", "version = 3\n"):
            node = self.node(text)
            with self.assertRaisesRegex(AssertionError, "config.toml:"):
                node.install(A)
            self.assertEqual(node.bytes(), text.encode())
            self.assertEqual(os.listdir(node.path()), ["config.toml"])

    def test_3229_no_configuration(self):
        """Without a file we start from containerd's default: CRI and runc live; then it is gone."""
        node = self.node(None)
        node.install(A)
        self.assertEqual(node.runtimes(), {"runc", A})
        self.assert_alive(node, A)
        node.remove(A)
        self.assertIsNone(node.bytes())

    def test_3229_no_runtimes_named(self):
        """One table of ours in a file without runtimes would displace the default runc."""
        node = self.private("version = 2\n")
        node.install(A)
        self.assertEqual(node.runtimes(), {"runc", A})
        self.assert_alive(node, A)

    def test_10167_again_and_again(self):
        node = self.private("version = 2\n" + RUNC)
        before = node.bytes()
        for _ in range(5):
            node.install(A)
            node.remove(A)
            self.assertEqual(node.bytes(), before)
        node.install(A)
        self.assert_alive(node, A)

    def test_481_imports(self):
        """Repeated runs with a daemon of 2.x; containerd's own parser reads every stage."""
        for imports in ("", "imports = []\n", "imports = [ ]\n", 'imports = ["/nowhere/*.toml"]\n',
                        "imports = [\n  '/nowhere/*.toml', # keep\n]\n", "imports = [ # none\n]\n"):
            with self.subTest(imports):
                node = self.node(imports + "version = 2\n" + RUNC)
                before = node.bytes()
                for _ in range(3):
                    node.install(A, daemon="2.0.1")
                    self.assertIn(f"{node.path()}/conf.d/{A}.toml", node.dump()["imports"])
                    node.install(B, daemon="2.0.1")
                    node.dump()
                    node.remove(A, daemon="2.0.1")
                    self.assertIn(f"{node.path()}/conf.d/{B}.toml", node.dump()["imports"])
                    node.remove(B, daemon="2.0.1")
                    self.assertEqual(node.bytes(), before)
                    self.assertEqual(os.listdir(node.path("conf.d")), [])
                    node.dump()

    def test_13141_stale_import(self):
        """The drop-in is gone, by hand or by a crash between two edits: containerd still starts."""
        node = self.private("version = 2\n" + RUNC)
        before = node.bytes()
        node.install(A, daemon="2.0.1")
        os.unlink(node.path("conf.d", A + ".toml"))
        self.assertEqual(node.runtimes(), {"runc"})
        self.assert_alive(node)
        node.remove(A, daemon="2.0.1")
        self.assertEqual(node.bytes(), before)

    def test_13141_half_done(self):
        """After each single edit of install and removal the daemon reads the file; run again: done."""
        node = self.node("version = 2\n" + RUNC)
        before = node.bytes()
        self.assertEqual(node.install(A, "steps=1", daemon="2.0.1"), [f"conf.d/{A}.toml"])
        self.assertEqual(node.runtimes(), {"runc"})
        self.assertEqual(node.install(A, daemon="2.0.1"), ["config.toml"])
        self.assertEqual(node.remove(A, "steps=1", daemon="2.0.1"), ["config.toml"])
        self.assertEqual(node.runtimes(), {"runc"})
        self.assertEqual(node.remove(A, daemon="2.0.1"), [f"conf.d/{A}.toml"])
        self.assertEqual(node.bytes(), before)

    def test_3429_7733_what_is_gone_already(self):
        node = self.node("version = 2\n" + RUNC)
        node.install(A)
        os.unlink(node.main)
        self.assertEqual(node.remove(A), [])
        self.assertEqual(node.remove(A, daemon="2.0.1"), [])
        self.assertIsNone(node.bytes())

    def test_294_nothing_to_do_is_no_change(self):
        for text in list(LAYOUTS.values()) + [None]:
            node = self.node(text)
            self.assertTrue(node.install(A))
            self.assertEqual(node.install(A), [])
            node.remove(A)
            self.assertEqual(node.remove(A), [])

    def test_drop_in_is_not_for_1_x(self):
        """Why: with the drop-in of 2.x this daemon's CRI plugin fails. So we never write one here."""
        node = self.private("version = 2\n" + RUNC)
        node.install(A, daemon="2.0.1")
        self.assertNotIn("runc", node.runtimes())
        self.assertEqual(node.plugins()[("io.containerd.grpc.v1", "cri")], "error")
        node.install(A)  # for the daemon that runs: the import goes, the tables are in place
        self.assertEqual(node.runtimes(), {"runc", A})
        self.assertIsNone(node.bytes(node.path("conf.d", A + ".toml")))
        self.assert_alive(node, A)

    # --- k3s and RKE2

    K3S_BASE = (f'version = 2\n[plugins."{CRI}"]\n  enable_selinux = false\n'
                f'[plugins."{CRI}".containerd]\n  snapshotter = "overlayfs"\n'
                f'  disable_snapshot_annotations = true\n{RUNC}')

    def render(self, node, base):
        """As k3s does: the template with the base in its place, or the base alone."""
        template = node.bytes(node.path("config.toml.tmpl"))
        text = template.decode() if template is not None else '{{ template "base" . }}\n'
        node.write(node.main, text.replace('{{ template "base" . }}', base))

    def test_12488_k3s_template(self):
        """Our template holds new tables only: what k3s changes in its base comes through."""
        node = self.node(self.K3S_BASE)
        self.assertEqual(node.install(A, "flavor=k3s", snapshotter=False), ["config.toml.tmpl"])
        self.render(node, self.K3S_BASE)
        self.assertEqual(node.runtimes(), {"runc", A})
        self.assertEqual(node.install(A, "flavor=k3s", snapshotter=False), [])
        self.render(node, self.K3S_BASE + f'[plugins."{CRI}".cni]\nbin_dir = "/new"\n')
        self.assertEqual(node.dump()["plugins"][CRI]["cni"]["bin_dir"], "/new")
        self.assertEqual(node.runtimes(), {"runc", A})
        node.install(B, "flavor=k3s", snapshotter=False)
        self.render(node, self.K3S_BASE)
        self.assertEqual(node.runtimes(), {"runc", A, B})
        node.remove(A, "flavor=k3s")
        node.remove(B, "flavor=k3s")
        self.assertIsNone(node.bytes(node.path("config.toml.tmpl")))

    def test_12488_k3s_table_that_the_base_has(self):
        """A second header of a table ends containerd: what needs one is refused, with the reason."""
        node = self.node(self.K3S_BASE)
        with self.assertRaisesRegex(AssertionError, "a template cannot change tables of its base"):
            node.install(A, "flavor=k3s")
        self.assertEqual(os.listdir(node.path()), ["config.toml"])

    def test_12488_template_of_the_user(self):
        mine = '# mine\n{{ template "base" . }}\n\n[debug]\n  level = "debug"'
        node = self.node(self.K3S_BASE)
        node.write(node.path("config.toml.tmpl"), mine)
        node.install(A, "flavor=rke2", snapshotter=False)
        self.render(node, self.K3S_BASE)
        self.assertEqual(node.runtimes(), {"runc", A})
        self.assertEqual(node.dump()["debug"]["level"], "debug")
        node.remove(A, "flavor=rke2")
        self.assertEqual(node.bytes(node.path("config.toml.tmpl")), mine.encode())


LAYOUTS_2X = {
    "version 3": "version = 3\n",
    "version 3, imports": "version = 3\nimports = [ # none\n  '/nowhere/*.toml',\n]\n[debug]\n",
    "version 3, flags are on": "version = 3\n[plugins.'io.containerd.cri.v1.images']\n"
                               "disable_snapshot_annotations = true\n"
                               "discard_unpacked_layers = true\n",
    "version 3, runtimes": "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd]\n"
                           "default_runtime_name = 'crun'\n[plugins.'io.containerd.cri.v1.runtime'."
                           "containerd.runtimes.crun]\nruntime_type = 'io.containerd.runc.v2'\n",
    "version 2": "version = 2\n",
    "version 2, runtimes": f"version = 2\n[plugins.\"{CRI}\"]\nsandbox_image = \"pause:x\"\n{RUNC}"
                           f"[plugins.\"{CRI}\".containerd.runtimes.runc.options]\n"
                           "SystemdCgroup = true\n",
    "version 2, flags are on": f"version = 2\n[plugins.\"{CRI}\".containerd]\n"
                               "disable_snapshot_annotations = true\n",
    "no version": "oom_score = 0\n",
    "empty": "",
    "missing": None,
}


class NewTest(unittest.TestCase):
    """Drop-ins, as containerd 2.x merges and migrates them."""

    program = os.environ.get("CONTAINERD_2X")

    def setUp(self):
        if not self.program:
            self.skipTest("CONTAINERD_2X names no program")
        self.version = run(self.program, "--version").stdout.decode()

    def node(self, text):
        node = Node(text)
        self.addCleanup(node.close)
        with open(node.default, "wb") as f:
            f.write(run(self.program, "config", "default").stdout)
        return node

    def dump(self, node):
        path = node.main if os.path.exists(node.main) else node.default
        # The dump of 2.0 leaves out what its daemon does to files of version 2.
        verb = "migrate" if " 2.0." in self.version else "dump"
        done = run(self.program, "-c", path, "config", verb, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return tomllib.loads(done.stdout.decode())

    def runtimes(self, node):
        plugins = self.dump(node)["plugins"]
        return plugins["io.containerd.cri.v1.runtime"]["containerd"]["runtimes"]

    def assert_serves(self, node, *handlers):
        config = self.dump(node)
        images = config["plugins"]["io.containerd.cri.v1.images"]
        self.assertFalse(images["disable_snapshot_annotations"])
        self.assertFalse(images["discard_unpacked_layers"])
        for handler in handlers:
            snapshotter = "tardev-" + handler
            self.assertEqual(self.runtimes(node)[handler]["snapshotter"], snapshotter)
            self.assertEqual(self.runtimes(node)[handler]["options"]["ConfigPath"],
                             "/opt/edgeless/test/etc/configuration-clh-snp.toml")
            self.assertEqual(images["runtime_platforms"][handler]["snapshotter"], snapshotter)
            self.assertIn(snapshotter, config["proxy_plugins"])

    def test_every_layout(self):
        for name, text in LAYOUTS_2X.items():
            with self.subTest(name):
                node = self.node(text)
                before, meant = node.bytes(), self.dump(node)
                others = self.runtimes(node)
                node.install(A, daemon=self.version)
                self.assert_serves(node, A)
                node.install(B, daemon=self.version)
                self.assert_serves(node, A, B)
                left = self.runtimes(node)
                del left[A], left[B]
                self.assertEqual(left, others)  # runc with all its options, and the user's own
                node.remove(A, daemon=self.version)
                self.assert_serves(node, B)
                node.remove(B, daemon=self.version)
                self.assertEqual(node.bytes(), before)
                self.assertEqual(self.dump(node), meant)

    K3S_BASE = ("version = 3\n%s[plugins.'io.containerd.cri.v1.images']\n  snapshotter = "
                "\"overlayfs\"\n  disable_snapshot_annotations = %s\n[plugins.'io.containerd.cri.v1"
                ".runtime'.containerd.runtimes.runc]\n  runtime_type = \"io.containerd.runc.v2\"\n")

    def test_k3s_imports_a_folder(self):
        """The base says true, and cannot be changed; the drop-in says false."""
        node = self.node("")
        folder = node.path("config-v3.toml.d")
        node.write(node.main, self.K3S_BASE % (f'imports = ["{folder}/*.toml"]\n', "true"))
        self.assertEqual(node.install(A, "flavor=k3s", daemon=self.version),
                         [f"config-v3.toml.d/{A}.toml"])
        self.assert_serves(node, A)
        self.assertEqual(set(self.runtimes(node)), {"runc", A})
        node.remove(A, "flavor=k3s", daemon=self.version)
        self.assertEqual(os.listdir(folder), [])

    def test_k3s_template(self):
        base = self.K3S_BASE % ("", "false")
        node = self.node(base)
        template = node.path("config-v3.toml.tmpl")
        node.install(A, "flavor=rke2", daemon=self.version)
        node.install(B, "flavor=rke2", daemon=self.version)
        text = node.bytes(template).decode().replace('{{ template "base" . }}', base)
        node.write(node.main, text)
        self.assert_serves(node, A, B)
        node.remove(A, "flavor=rke2", daemon=self.version)
        node.remove(B, "flavor=rke2", daemon=self.version)
        self.assertIsNone(node.bytes(template))

    def test_upgrade_of_the_daemon(self):
        """In place for 1.x, then 2.x takes over: before and after the next run of the installer."""
        node = self.node("version = 2\n" + RUNC)
        before = node.bytes()
        node.install(A, daemon="1.7.22")
        self.assertEqual(set(self.runtimes(node)), {"runc", A})
        node.install(A, daemon=self.version)
        self.assertEqual(set(self.runtimes(node)), {"runc", A})
        self.assert_serves(node, A)
        node.remove(A, daemon=self.version)
        self.assertEqual(node.bytes(), before)


def skip(why):
    print(f"{'failed' if os.environ.get('CI') == 'true' else 'skipped'}: {why}")
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        print("usage: test_containerd_real.py CONTAINERD_EDIT [unittest's options]")
        sys.exit(2)
    EDIT = sys.argv.pop(1)
    if tomllib is None:
        skip("tomllib needs Python 3.11")
    if shutil.which("containerd") is None or shutil.which("ctr") is None:
        skip("containerd is not installed (scripts/deps --test)")
    if os.geteuid() != 0:
        skip("a private containerd needs root")
    if " 1.6." not in run("containerd", "--version").stdout.decode():
        skip("the expectations are those of containerd 1.6")
    unittest.main(verbosity=2)
