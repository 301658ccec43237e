"""The installer on bad nodes and with bad inputs: what it says, and that the node is as before.

test_installer_bad.py INSTALLER

Each function whose name begins with test_ is one; a node of its own (fake_node.py) is its argument.

SPDX-License-Identifier: Apache-2.0
"""
import base64
import concurrent.futures
import fcntl
import hashlib
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_node import CONFIG_1X, SHIM, Node  # noqa: E402

INSTALLER = sys.argv[1]
QEMU = "@@runtimeBase@@/bin/qemu-system-x86_64"
CONFIG = "/config/contrast-node-install.json"
MAIN = "/host/etc/containerd/config.toml"


def refused(node, code, *says, words=(), **settings):
    """The run fails with this code and these words, the host is as before."""
    before = node.tree(journal=False)
    restarts = node.cri.restarts
    r = node.run(*words, **settings)
    assert r.returncode == code, f"exit {r.returncode}: {r.stderr}"
    last = r.stderr.strip().split("\n")[-1]
    for text in says:
        assert text in last, f"says {last!r}, not {text!r}"
    after = {k: v for k, v in node.tree(journal=False).items()
             if k not in ("/opt", "/opt/edgeless", "/run")}
    changed = [k for k in after if before.get(k) != after[k] and "/contrast-cc-" not in k]
    assert not changed, changed
    assert not [k for k in node.tree() if k.endswith(".contrast-new")]
    assert node.cri.restarts == restarts
    return r


def recovers(node):
    assert node.run().returncode == 0
    assert node.handlers()[0] in node.cri.handlers


# --- Configuration

def test_no_configuration(node):
    os.unlink(node.folder + CONFIG)
    refused(node, 2, "contrast-node-install.json", "No such file")


def test_broken_json(node):
    node.write(CONFIG, '{"files": [')
    refused(node, 2, "contrast-node-install.json: line 1, column")


def test_unknown_keys(node):
    node.configure("one", fils=[])
    refused(node, 2, "fils")


def test_newer_version(node):
    node.configure("one", version=2)
    refused(node, 2, "version: is newer than this installer, which knows 1: update its image")


def test_path_outside(node):
    node.configure("one", files=[{"url": "file:///bin/sh",
                                  "path": "@@runtimeBase@@/../../../etc/cron.d/x"}])
    refused(node, 2, 'files[0].path: must be a plain path: no ".."')


def test_http_without_integrity(node):
    node.configure("one", files=[{"url": "http://127.0.0.1:1/x", "path": QEMU}])
    refused(node, 2, "files[0].integrity: needed for what comes over a network")


def test_missing_payload(node):
    os.unlink(node.folder + "/payload/qemu")
    refused(node, 2, "/payload/qemu: not in the installer's image")
    node.configure("one")
    recovers(node)


def with_integrity(node, data):
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    node.configure("one", files=[{"url": f"file://{node.folder}/payload/qemu", "path": QEMU,
                                  "integrity": "sha256-" + digest}])


def test_wrong_digest(node):
    with_integrity(node, b"other bytes")
    refused(node, 3, "/payload/qemu: wrong bytes: want sha256-", "got sha256-")
    with_integrity(node, b"qemu one")
    recovers(node)


def test_unknown_target_file(node):
    node.write("/target-config/containerd-confg-path", "/etc/containerd/config.toml")
    refused(node, 2, "containerd-confg-path: unknown; there are containerd-config-path")


def test_usage(node):
    refused(node, 2, "--frobnicate: unknown; see --help", words=("--frobnicate",))
    refused(node, 2, "--handler: want contrast-cc-", words=("uninstall", "--handler", "../x"))
    refused(node, 2, "DISCARD_EDITS: want true or false", DISCARD_EDITS="maybe")


def test_termination_message(node):
    """Kubernetes makes the file; it gets one line, also of a wrong setting."""
    node.write("/termination", "")
    node.run(KEEP_RUNTIMES="none")
    assert node.read("/termination").startswith(b"KEEP_RUNTIMES"), node.read("/termination")
    node.run()
    assert node.read("/termination").endswith(b": installed\n"), node.read("/termination")
    node.run()
    assert node.read("/termination").endswith(b": installed, nothing to do\n")


# --- The host

def test_broken_toml(node):
    node.write(MAIN, "version = 2\n[plugins\n")
    refused(node, 2, "/etc/containerd/config.toml:2:")


def test_duplicated_tables(node):
    node.write(MAIN, CONFIG_1X + '[plugins."io.containerd.grpc.v1.cri".containerd]\n')
    refused(node, 2, "/etc/containerd/config.toml:9:")


def test_containerd_refuses(node):
    """What containerd says of the new file is told; it was never put in place."""
    node.write("/bin/containerd", "#!/bin/sh\ncase $1 in --config) echo bad file >&2; exit 1;; "
               "*) echo containerd x 1.6.20 0;; esac\n", 0o755)
    refused(node, 2, "containerd refuses the new configuration: containerd: exit code 1: bad file")


def test_old_containerd(node):
    """A snapshotter of a runtime is ignored by 1.6: refused, unless told otherwise."""
    files = [{"url": f"file://{node.folder}/payload/shim", "path": f"@@runtimeBase@@/{name}"}
             for name in ("bin/cloud-hypervisor-snp", "share/kata-containers-igvm.img",
                          "share/kata-containers.img")]
    node.configure("one", platform="AKS-CLH-SNP", files=files, kata={})
    refused(node, 2, "1.7")
    r = node.run(ACCEPT_OLD_CONTAINERD="true")
    assert r.returncode == 0 and " WARN " in r.stderr, r.stderr
    assert b"tardev-" in node.read(MAIN)


def test_journal_of_a_newer_installer(node):
    node.install()
    journal = node.journal()
    journal["version"] = 2
    node.write("/host/opt/edgeless/.contrast/journal.json", json.dumps(journal))
    node.configure("two")
    refused(node, 2, "journal.json: version: another installer wrote it", "use a newer image")


def test_damaged_journal(node):
    node.install()
    path = "/host/opt/edgeless/.contrast/journal.json"
    node.write(path, node.read(path)[:-20])
    node.configure("two")
    refused(node, 2, "journal.json:", "move it away")
    os.unlink(node.folder + path)
    recovers(node)


def test_dangling_link(node):
    os.unlink(node.folder + MAIN)
    os.symlink("/nowhere/config.toml", node.folder + MAIN)
    refused(node, 2, "/etc/containerd/config.toml: a symbolic link that leads nowhere")


def test_link_out_of_the_mount(node):
    """An absolute link is the host's: what lies at that path in the container stays as it is."""
    node.write("/outside/config.toml", CONFIG_1X)
    os.unlink(node.folder + MAIN)
    os.symlink(node.folder + "/outside/config.toml", node.folder + MAIN)
    refused(node, 2, "a symbolic link that leads nowhere on the host")
    os.unlink(node.folder + MAIN)
    os.symlink("../" * 20 + node.folder[1:] + "/outside/config.toml", node.folder + MAIN)
    refused(node, 2, "a symbolic link that leads nowhere on the host")
    assert node.read("/outside/config.toml").decode() == CONFIG_1X


def test_folder_is_a_link_out(node):
    os.makedirs(node.folder + "/outside")
    os.symlink(node.folder + "/outside", node.root + "/opt")
    refused(node, 1, "/opt")
    assert not os.listdir(node.folder + "/outside")


def test_link_within_the_mount(node):
    """The link stays, its target is edited."""
    os.makedirs(node.root + "/etc/real")
    shutil.move(node.folder + MAIN, node.root + "/etc/real/config.toml")
    os.symlink("/etc/real/config.toml", node.folder + MAIN)
    node.cri.folder = node.root + "/etc/real"
    recovers(node)
    assert os.readlink(node.folder + MAIN) == "/etc/real/config.toml"
    r = node.run("uninstall")
    assert r.returncode == 0, r.stderr
    assert node.read("/host/etc/real/config.toml").decode() == CONFIG_1X


def test_lock_is_held(node):
    with open(node.root + "/run/lock/contrast-node-installer.lock", "w", encoding="ascii") as lock:
        lock.write("process 77 of pod-x\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused(node, 1, "another installer works on this host: process 77 of pod-x",
                LOCK_TIMEOUT_S="1")
        r = node.run("--dry-run")  # looks without the lock
        assert r.returncode == 3, r.stderr
    recovers(node)


def test_no_host(node):
    refused(node, 2, "HOST_MOUNT: /none: No such file or directory; mount the host's root",
            HOST_MOUNT="/none")


def test_no_containerd(node):
    node.cri.listener.close()
    os.unlink(node.cri.socket_path)
    os.unlink(node.folder + "/bin/containerd")
    refused(node, 1, "which containerd runs here?", PATH=node.folder + "/bin")


def in_namespace(node, script, code, *says):
    """A private mount namespace: `script`, then the installer ($0)."""
    before = node.tree(journal=False)
    r = subprocess.run(["unshare", "--mount", "sh", "-ec", script + '; exec "$0"', INSTALLER],
                       env={**node.environment(), "R": node.root}, capture_output=True, text=True,
                       timeout=60, check=False)
    if r.returncode != code:
        raise AssertionError(f"exit {r.returncode}: {r.stderr}")
    last = r.stderr.strip().split("\n")[-1]
    assert all(s in last for s in says), last
    left = {k: v for k, v in node.tree(journal=False).items() if k != "/opt"}
    assert {k: v for k, v in left.items() if k in before} == before
    recovers(node)


def can_unshare():
    """A machine that does not allow it is no machine that CI runs on."""
    can = subprocess.run(["unshare", "--mount", "true"], capture_output=True,
                         check=False).returncode == 0
    assert can or os.environ.get("CI") != "true", "no private mount namespaces"
    return can


def test_read_only_etc(node):
    if can_unshare():
        in_namespace(node, 'mount --bind "$R/etc" "$R/etc"; mount -o remount,ro,bind "$R/etc"', 1,
                     "/etc/containerd/", "Read-only file system; mount it for writing")


def test_full_disk(node):
    if can_unshare():
        in_namespace(node, 'mkdir -p "$R/opt"; mount -t tmpfs -o size=128k none "$R/opt"', 1,
                     "/opt/edgeless/contrast-cc-metal-qemu-snp-", "No space left on device; free")


# --- Rolling back, restarts, several runtimes

def test_handler_not_listed(node):
    """Back to what was there, one more restart, exit 1, both told."""
    before = node.read(MAIN)
    node.cri.hide = {"contrast-cc-fixed"}
    node.configure("one", runtimeHandlerName="contrast-cc-fixed")
    r = node.run(CONFIRM_TIMEOUT_S="1")
    assert r.returncode == 1, r.stderr
    assert "rolled back, the node is as before: " in r.stderr and "does not list" in r.stderr
    assert node.read(MAIN) == before
    assert node.cri.restarts == 3
    node.cri.hide = set()
    recovers(node)


def test_dry_run_writes_nothing(node):
    os.rmdir(node.root + "/run/lock")
    before = node.tree()
    for words in (("--dry-run",), ("status",), ("--dry-run", "--output", "json")):
        r = node.run(*words)
        assert r.returncode == 3, r.stderr
        assert "+runtime_type = " in r.stdout.replace("\\n", "\n")
    assert node.tree() == before
    assert not os.path.exists(node.root + "/run/lock")
    assert json.loads(r.stdout)["changes"] is True
    node.install()
    assert node.run("status").returncode == 0
    assert node.run("uninstall", "--dry-run").returncode == 3


def test_uninstall_of_nothing(node):
    before = node.tree()
    r = node.run("uninstall")
    assert r.returncode == 0 and "nothing to do" in r.stderr, r.stderr
    r = node.run("uninstall", "--handler", "contrast-cc-x-1")
    assert r.returncode == 0 and "contrast-cc-x-1: uninstalled, nothing to do" in r.stderr
    assert node.tree() == before and node.cri.restarts == 1


def test_uninstall_without_containerd(node):
    """What is not there needs no daemon to be removed; what is, needs one to confirm it."""
    node.cri.listener.close()
    os.unlink(node.cri.socket_path)
    r = node.run("uninstall")
    assert r.returncode == 0 and "nothing to do" in r.stderr, r.stderr


def test_user_restarts(node):
    """restart-systemd-unit: false. What containerd still has in memory is not removed."""
    node.write("/target-config/restart-systemd-unit", "false\n")
    r = node.run()
    assert r.returncode == 0 and "containerd must be restarted" in r.stderr, r.stderr
    assert node.cri.restarts == 1
    node.cri.restart()
    r = node.run()
    assert r.returncode == 0 and "nothing to do" in r.stderr, r.stderr
    name = node.handlers()[0]
    r = node.run("uninstall")
    assert r.returncode == 0 and "must be restarted" in r.stderr, r.stderr
    assert node.handlers() == [name]
    node.cri.restart()
    assert node.run("uninstall").returncode == 0
    assert node.handlers() == []
    assert node.cri.restarts == 3
    assert node.read(MAIN).decode() == CONFIG_1X


def test_several_platforms(node):
    """Each platform keeps its own newest ones."""
    node.install()
    node.configure("one", platform="Metal-QEMU-SNP-GPU")
    node.install()
    node.configure("two", platform="Metal-QEMU-SNP-GPU")
    node.install()
    assert len(node.handlers()) == 2
    for name in node.handlers():
        r = node.run("uninstall", "--handler", name)
        assert r.returncode == 0, r.stderr
    assert node.read(MAIN).decode() == CONFIG_1X


def test_downgrade(node):
    """The older one is the newest then; what it replaced goes first."""
    keep = {"KEEP_RUNTIMES": "2"}
    node.settings = keep
    names = []
    for version in ("one", "two", "one"):
        node.configure(version)
        node.install()
        names.append((set(node.handlers()) - set(names) or {names[0]}).pop()
                     if names else node.handlers()[0])
    node.configure("three")
    node.install()
    assert names[0] in node.handlers() and names[1] not in node.handlers(), node.handlers()


def test_nothing_is_written_twice(node):
    node.install()
    before = {k: os.lstat(node.root + k) for k in node.tree()}
    node.install()
    after = {k: os.lstat(node.root + k) for k in node.tree()}
    assert {k: (s.st_ino, s.st_mtime_ns) for k, s in before.items()} == \
        {k: (s.st_ino, s.st_mtime_ns) for k, s in after.items()}
    assert node.cri.restarts == 2


def test_repair(node):
    """Files of the runtime that somebody changed, removed or made unreadable come back."""
    node.install()
    want = node.tree()
    base = f"{node.root}/opt/edgeless/{node.handlers()[0]}/"
    with open(base + "bin/qemu-system-x86_64", "ab") as f:
        f.write(b"more")
    os.chmod(base + "bin/containerd-shim-contrast-cc-v2", 0o600)
    os.unlink(base + "etc/configuration-qemu-snp.toml")
    node.install()
    assert node.tree() == want
    assert node.cri.restarts == 2  # none of that needs one


def test_owner_and_mode(node):
    os.chmod(node.folder + MAIN, 0o640)
    os.chown(node.folder + MAIN, 1234, 4321)
    before = node.tree()
    node.install()
    path = "/etc/containerd/config.toml"
    assert node.tree()[path][:3] == before[path][:3]
    assert node.run("uninstall").returncode == 0
    assert node.tree()[path] == before[path]


def test_hand_edit_survives_a_kill(node):
    """A killed run's edit, then the user's own: a rollback gives back the user's."""
    node.configure("one", runtimeHandlerName="contrast-cc-fixed")
    node.install()
    journal = node.journal()
    text = node.read(MAIN)
    journal.update(phase="swapping", handler="contrast-cc-fixed", edits=[{
        "path": "/etc/containerd/config.toml", "before": "00" * 32,
        "after": hashlib.sha256(text).hexdigest(), "mode": 0o644, "uid": 0, "gid": 0}])
    node.write("/host/opt/edgeless/.contrast/journal.json", json.dumps(journal))
    mine = CONFIG_1X + "# mine\n"
    node.write(MAIN, mine)
    node.cri.hide = {"contrast-cc-fixed"}
    r = node.run(CONFIRM_TIMEOUT_S="1")
    assert r.returncode == 1 and "rolled back" in r.stderr, r.stderr
    assert node.read(MAIN).decode() == mine


# --- The web

class Server:
    """Behaviours by path; `asked` counts them."""

    def __init__(self, payload, certificate=None):
        outer = self
        self.asked = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # pylint: disable=invalid-name
                outer.asked[self.path] = outer.asked.get(self.path, 0) + 1
                outer.answer(self, outer.asked[self.path], payload)

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
            self.scheme = "https"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def url(self, path):
        return f"{self.scheme}://localhost:{self.http.server_address[1]}{path}"

    @staticmethod
    def answer(request, count, payload):
        name = request.path
        if name == "/redirect":
            request.send_response(302)
            request.send_header("Location", "/good")
            request.end_headers()
            return
        if name == "/down":
            request.send_response(302)
            request.send_header("Location", "http://localhost:1/good")
            request.end_headers()
            return
        if name == "/stall":
            request.send_response(200)
            request.send_header("Content-Length", str(len(payload)))
            request.end_headers()
            request.wfile.write(payload[:1000])
            request.wfile.flush()
            request.rfile.read(1)  # until the other side goes
            return
        if name == "/missing" or name == "/busy" and count == 1:
            request.send_error(404 if name == "/missing" else 503)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(payload)))
        request.end_headers()
        is_torn = name == "/torn" and count == 1
        request.wfile.write(payload[:len(payload) // 2] if is_torn else payload)


def from_web(node, server, path, data):
    digest = base64.b64encode(hashlib.sha384(data).digest()).decode()
    node.configure("one", files=[
        {"url": server.url(path), "path": QEMU, "integrity": "sha384-" + digest},
        {"url": f"file://{node.folder}/payload/shim", "path": SHIM, "executable": True}])


def test_http(node):
    data = b"over the web " * 50000
    server = Server(data)
    for path, asked in (("/good", 1), ("/redirect", 1), ("/torn", 2), ("/busy", 2)):
        from_web(node, server, path, data)
        r = node.run()
        assert r.returncode == 0, r.stderr
        assert server.asked[path] == asked
        name = node.handlers()[0]
        assert node.read(f"/host/opt/edgeless/{name}/bin/qemu-system-x86_64") == data
        assert node.run("uninstall").returncode == 0
    from_web(node, server, "/missing", data)
    refused(node, 2, server.url("/missing"), "404")
    assert server.asked["/missing"] == 1
    from_web(node, server, "/good", b"other")
    refused(node, 3, "wrong bytes: want sha384-")
    server.http.shutdown()


def test_sigterm(node):
    """While a server sends nothing: exit 1 at once, nothing half-written, the next run goes on."""
    data = b"slow " * 50000
    server = Server(data)
    from_web(node, server, "/stall", data)
    with subprocess.Popen([INSTALLER], env=node.environment(), stderr=subprocess.PIPE,
                          text=True) as program:
        for line in program.stderr:
            if "from http://" in line:
                break
        program.terminate()
        told = program.stderr.read()
        assert program.wait(timeout=60) == 1, told
    assert "stopped by a signal" in told, told
    assert not [k for k in node.tree() if k.endswith(".contrast-new")]
    assert node.read(MAIN).decode() == CONFIG_1X
    from_web(node, server, "/good", data)
    recovers(node)
    server.http.shutdown()


def test_https(node):
    """Verified by the authorities of SSL_CERT_FILE; a redirect never leaves https."""
    os.chmod(node.folder, 0o755)  # the one who fetches is nobody
    key, certificate = node.folder + "/key.pem", node.folder + "/cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "2", "-subj", "/CN=localhost", "-addext",
                    "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    os.chmod(certificate, 0o644)
    data = b"x" * 100000
    server = Server(data, (certificate, key))
    from_web(node, server, "/good", data)
    refused(node, 1, server.url("/good"), "certificate")
    from_web(node, server, "/down", data)
    refused(node, 2, server.url("/down"), SSL_CERT_FILE=certificate)
    from_web(node, server, "/redirect", data)
    r = node.run(SSL_CERT_FILE=certificate)
    assert r.returncode == 0, r.stderr
    server.http.shutdown()


def run_one(function):
    node = Node(INSTALLER)
    try:
        function(node)
    finally:
        node.close()


def main():
    tests = {k: v for k, v in globals().items() if k.startswith("test_")}
    if len(sys.argv) > 2:
        tests = {k: v for k, v in tests.items() if sys.argv[2] in k}
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
        runs = {name: pool.submit(run_one, function) for name, function in tests.items()}
        for name, run in runs.items():
            problem = run.exception()
            failures += 1 if problem else 0
            print(f"{'FAILED' if problem else 'ok'} {name} {str(problem)[:1500] if problem else ''}",
                  flush=True)
    print(f"{len(tests) - failures} passed, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
