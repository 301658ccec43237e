"""What the end-to-end tests of `contrast generate` stand on.

    with Stage("real files", need=("docker-registry",)) as stage:
        hub = stage.hub()                        a registry with everything that the texts name
        work = stage.workspace("a", {"web.yaml": text})
        done = stage.generate(work, "web.yaml", "coordinator.yaml")
        stage.check(done.code == 0, "what should hold", done.err)
    sys.exit(stage.code())

The program runs in an environment of its own: home, cache, docker's configuration and temporary
folder lie in one folder, which goes away at the end; no proxy. A program that dies of a signal or
that a sanitizer complains about fails the test, whatever was asked. Missing tools: exit 77, under
CI=true 1. SPDX-License-Identifier: Apache-2.0
"""
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import hub as hubs
import oci

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "../../.."))
DATA = os.path.abspath(os.environ.get("CONTRAST_TESTDATA") or
                       os.path.join(ROOT, "../shared/testdata"))
RUN_SECONDS = 120
ZERO_DIGEST = "sha256:" + "0" * 64
CRASH = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehavior|runtime error:|check failed")
IMAGE = re.compile(r"""(?:^[ ]*(?:-[ ]+)?|[{,][ ]*)["']?image["']?[ ]*:[ ]*(["']?)([^\s"',}]+)\1""",
                   re.M)

COORDINATOR = """\
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: coordinator
spec:
  serviceName: coordinator
  selector:
    matchLabels: {app: coordinator}
  template:
    metadata:
      labels: {app: coordinator}
      annotations:
        contrast.edgeless.systems/pod-role: coordinator
    spec:
      runtimeClassName: contrast-cc
      containers:
        - name: coordinator
          image: ghcr.io/contrast-ha/coordinator:0.1.0
"""
REFERENCES = [{
    "ProductName": "Milan", "TrustedMeasurement": "ab" * 48, "GuestPolicy": {"SMT": True},
    "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 0, "SNPVersion": 24,
                   "MicrocodeVersion": 219}}]


def leave(why):
    print("skipped: " + why)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def image_names(text):
    """The references behind `image:`, each once, in order."""
    return list(dict.fromkeys(m[2] for m in IMAGE.finditer(text)))


def split_reference(reference):
    """(host, repository, tag) as containerd reads it; the tag is "latest" where there is none."""
    name = reference.partition("@")[0]
    head, slash, rest = name.partition("/")
    if not slash or not ("." in head or ":" in head or head == "localhost"):
        head, rest = "docker.io", name
    rest, _, tag = rest.partition(":")
    if head == "docker.io" and "/" not in rest:
        rest = "library/" + rest
    return head, rest, tag or "latest"


class Done:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.seconds = code, out, seconds
        self.err = err.decode(errors="replace")

    def text(self):
        return self.out.decode(errors="replace")

    def json(self):
        return json.loads(self.out)


class Catalogue:
    """Images that stand in for real ones: standins.json by "host/repository", else by default."""

    DEFAULT = {"config": {"Entrypoint": ["/usr/bin/app"], "Env": ["PATH=/usr/bin:/bin"]}}
    PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    GROUP = "root:x:0:\nnogroup:x:65534:\n"

    def __init__(self):
        with open(os.path.join(HERE, "standins.json"), encoding="utf-8") as f:
            self.known = json.load(f)

    def image(self, host, name, tag):
        entry = self.known.get(f"{host}/{name}", self.DEFAULT)
        passwd, group = entry.get("files") or (
            self.PASSWD + "".join(line + "\n" for line in entry.get("passwd", [])),
            self.GROUP + "".join(line + "\n" for line in entry.get("group", [])))
        base = {"etc/": None, "etc/passwd": passwd.encode(), "etc/group": group.encode()}
        top = {"opt/": None, "opt/image": f"{host}/{name}:{tag}\n".encode()}
        return oci.Image([oci.layer(base), oci.layer(top)], entry["config"],
                         entry.get("coding", "gzip"))


class Stage:
    def __init__(self, title, need=("docker-registry", "openssl"), data=None):
        for tool in need:
            if shutil.which(tool) is None:
                leave(f"{title}: no {tool}; scripts/deps --test installs it")
        if data is not None and not os.path.isdir(os.path.join(DATA, data)):
            leave(f"{title}: no folder {os.path.join(DATA, data)}; set CONTRAST_TESTDATA")
        if len(sys.argv) < 2:
            sys.exit(f"usage: {sys.argv[0]} CONTRAST [...]")
        self.title, self.program = title, os.path.abspath(sys.argv[1])
        self.arguments = sys.argv[2:]
        self.checks, self.failures = 0, []
        self.catalogue, self.digests, self.hosts = Catalogue(), {}, []
        self.port, self.own = 0, []
        self.open = contextlib.ExitStack()

    # --- life

    def __enter__(self):
        self.folder = os.path.realpath(tempfile.mkdtemp(prefix="contrast-e2e-"))
        self.open.callback(shutil.rmtree, self.folder, ignore_errors=True)
        for name in ("home", "docker", "tmp", "keys"):
            os.mkdir(os.path.join(self.folder, name))
        keep = {k: v for k, v in os.environ.items()
                if not k.lower().endswith("_proxy") and not k.startswith(("XDG_", "LC_", "LANG"))}
        self.env = dict(keep, HOME=self.path("home"), DOCKER_CONFIG=self.path("docker"),
                        TMPDIR=self.path("tmp"), XDG_CACHE_HOME=self.path("cache"), LC_ALL="C",
                        XDG_RUNTIME_DIR=self.path("tmp"))
        self.make_keys()
        return self

    def __exit__(self, kind, *_):
        self.open.close()
        if kind is None:
            self.summary()

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def tool(self, *command, data=None):
        done = subprocess.run(command, input=data, capture_output=True, env=self.env,
                              cwd=self.folder, timeout=RUN_SECONDS)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def make_keys(self):
        """Of both kinds of owners, so that no run has to make them."""
        self.tool("openssl", "ecparam", "-genkey", "-noout", "-name", "secp384r1",
                  "-out", "keys/owner.key")
        self.tool("openssl", "ec", "-in", "keys/owner.key", "-pubout", "-out", "keys/owner.pem")
        self.tool("openssl", "genrsa", "-out", "keys/share.key", "2048")
        self.tool("openssl", "rsa", "-in", "keys/share.key", "-pubout", "-out", "keys/share.pem")
        write(self.path("keys", "references.json"), json.dumps(REFERENCES))

    # --- registry

    def hub(self, auth=None):
        """A registry; its folder goes away with the stage."""
        folder = tempfile.mkdtemp(prefix="hub", dir=self.folder)
        hub = self.open.enter_context(hubs.Hub(folder, auth))
        self.port = hub.port
        return hub

    def stand_in(self, reference, headers=None):
        """Pushes the image that stands in for `reference`, once; returns its digest."""
        host, name, tag = split_reference(reference)
        key = (self.port, host, name, tag)
        if key not in self.digests:
            image = self.catalogue.image(host, name, tag)
            self.digests[key] = oci.push(self.port, f"{host}/{name}", tag, image, headers)
            if host not in self.hosts:
                self.hosts.append(host)
        return self.digests[key]

    def own_images(self):
        """Those that generate puts into pods when no option says otherwise."""
        if not self.own:
            text = self.contrast("generate", "--help").text()
            self.own = re.findall(r"-image IMAGE +default (\S+)", text)
        return self.own

    def stand_in_all(self, text, headers=None):
        """The text with each digest replaced by that of the image that stands in for it. Names
        that are no image's are left for the program to refuse."""
        for reference in image_names(text) + self.own_images():
            if not re.fullmatch(r"[a-z0-9][a-zA-Z0-9._:/@-]*", reference):
                continue
            digest = self.stand_in(reference, headers)
            if "@" in reference:
                text = text.replace(reference, reference.partition("@")[0] + "@" + digest)
        return text

    def mirrors(self, port=None):
        """Options: every host that was stood in for is asked at our registry."""
        options = []
        for host in self.hosts:
            options += ["--registry-mirror",
                        f"{host}=http://127.0.0.1:{port or self.port}/{host}"]
        return options

    # --- runs

    def workspace(self, name, files=None):
        """A folder with a Coordinator and the files given."""
        folder = self.path("w", name)
        os.makedirs(folder)
        if self.port:
            self.stand_in_all(COORDINATOR)
        write(os.path.join(folder, "coordinator.yaml"), COORDINATOR)
        for path, text in (files or {}).items():
            os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
            write(os.path.join(folder, path), text)
        return folder

    def contrast(self, *arguments, cwd=None, data=None, env=None, program=None, out_path=None):
        """Standard output goes to out_path where one is given."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, \
                tempfile.TemporaryFile() as source:
            source.write(data or b"")
            source.seek(0)
            started = time.monotonic()
            command = program if isinstance(program, list) else [program or self.program]
            with open(out_path, "wb") if out_path else contextlib.nullcontext(out) as target:
                child = subprocess.Popen([*command, *arguments], stdin=source, stdout=target,
                                         stderr=err, cwd=cwd or self.folder,
                                         env=dict(self.env, **(env or {})))
            code = self.wait(child)
            seconds = time.monotonic() - started
            out.seek(0)
            err.seek(0)
            done = Done(code, out.read(), err.read(), seconds)
        self.check_alive(arguments, done)
        return done

    @staticmethod
    def wait(child):
        """The exit code; a child that takes too long is ended, which counts as a crash."""
        try:
            return child.wait(timeout=RUN_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()

    def check_alive(self, arguments, done):
        if done.code < 0 or done.code > 4 or CRASH.search(done.err):
            self.check(False, f"crash of contrast {' '.join(arguments)}: {done.code}", done.err)

    def generate(self, folder, *arguments, mirrors=True, progress="none", **more):
        options = ["--progress", progress, "-w", self.path("keys", "owner.pem"),
                   "--add-seedshare-owner-key", self.path("keys", "share.pem")]
        if not os.path.exists(os.path.join(folder, "manifest.json")):
            options += ["--reference-values", self.path("keys", "references.json")]
        if mirrors:
            options += self.mirrors()
        return self.contrast("generate", *options, *arguments, cwd=folder, **more)

    def has_judge(self):
        """The program with the agent's engine, for `policy check`: cargo builds it."""
        path = os.path.join(os.path.dirname(self.program), "contrast-policy-judge")
        return os.path.exists(path) or "CONTRAST_POLICY_JUDGE" in os.environ

    # --- verdict

    def check(self, good, what, detail=""):
        self.checks += 1
        if not good:
            self.failures.append(what)
            print("FAILED: " + what)
            for line in str(detail).strip().splitlines()[-30:]:
                print("    | " + line)
        return good

    def summary(self):
        print(f"{self.title}: {self.checks} checks, {len(self.failures)} failed")

    def code(self):
        return 1 if self.failures or not self.checks else 0
