#!/usr/bin/env python3
"""Debian's docker-registry on loopback with images that umoci and skopeo made, for tests.

    real_registry.py DIR     prints "PORT", or "missing: TOOL ..."; ends when its input ends

Repositories t/gzip, t/zstd, t/docker (schema 2), t/plain (uncompressed layers), t/index (arm64 and
amd64, and an attestation before them), t/bare (tars without end blocks) and t/artifact (no image), tag
1 each. DIR/NAME.digest is what `skopeo inspect` says of NAME. Nothing outside DIR
and loopback is touched. SPDX-License-Identifier: Apache-2.0
"""
import gzip
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import urllib.request

TOOLS = ("docker-registry", "skopeo", "umoci")
OCI = "application/vnd.oci.image."


class Maker:
    def __init__(self, folder):
        self.folder = folder
        self.port = 0
        self.direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.env = dict(os.environ, no_proxy="127.0.0.1", TMPDIR=folder, HOME=folder,
                        XDG_DATA_HOME=folder, XDG_RUNTIME_DIR=folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def run(self, *command):
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode()}")
        return done.stdout.decode()

    def serve(self):
        """docker-registry names the port that it got in its log."""
        with open(self.path("registry.yml"), "w") as f:
            f.write("version: 0.1\nlog: {level: info, formatter: text}\n"
                    f"storage: {{filesystem: {{rootdirectory: {self.path('store')}}}}}\n"
                    "http: {addr: '127.0.0.1:0'}\n")
        child = subprocess.Popen(["docker-registry", "serve", self.path("registry.yml")],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, env=self.env)
        for line in child.stderr:
            found = re.search(rb"listening on 127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        # Its log is read to the end, or it would wait for us.
        threading.Thread(target=child.stderr.read, daemon=True).start()
        return child

    # ---- images ----

    def rootfs(self, name, layer, rootfs):
        """A layer's files; each image has its own bytes, or skopeo would reuse another's blob."""
        seed = int.from_bytes(hashlib.sha256(f"{name}{layer}".encode()).digest()[:4], "big")
        os.makedirs(os.path.join(rootfs, "opt"), exist_ok=True)
        with open(os.path.join(rootfs, "opt", f"{name}{layer}"), "wb") as f:
            f.write(random.Random(seed).randbytes(150000))
        if layer == 1:
            os.makedirs(os.path.join(rootfs, "etc"), exist_ok=True)
            with open(os.path.join(rootfs, "etc", "passwd"), "w") as f:
                f.write(f"{name}:x:1000:1000::/:/bin/sh\n")

    def image(self, name):
        self.run("umoci", "init", "--layout", name)
        self.run("umoci", "new", "--image", f"{name}:1")
        for layer in (1, 2):
            bundle = f"{name}.bundle{layer}"
            self.run("umoci", "unpack", "--rootless", "--image", f"{name}:1", bundle)
            self.rootfs(name, layer, self.path(bundle, "rootfs"))
            self.run("umoci", "repack", "--image", f"{name}:1", bundle)
        self.run("umoci", "config", "--image", f"{name}:1", "--config.user", "1000",
                 "--config.env", "A=b", "--config.entrypoint", f"/opt/{name}1",
                 "--architecture", "amd64", "--os", "linux")

    def copy(self, *arguments):
        self.run("skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
                 "--dest-tls-verify=false", *arguments)

    def url(self, name):
        return f"docker://127.0.0.1:{self.port}/t/{name}:1"

    def push(self, name, data):
        """By hand: skopeo compresses whatever it pushes."""
        base = f"http://127.0.0.1:{self.port}/v2/t/{name}/blobs/uploads/"
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        start = self.direct.open(urllib.request.Request(base, method="POST"), timeout=60)
        place = start.headers["Location"]
        place += ("&" if "?" in place else "?") + "digest=" + digest
        headers = {"Content-Type": "application/octet-stream"}
        self.direct.open(urllib.request.Request(place, data, headers, method="PUT"),
                         timeout=60).read()
        return {"digest": digest, "size": len(data)}

    def put_manifest(self, name, body, kind):
        url = f"http://127.0.0.1:{self.port}/v2/t/{name}/manifests/1"
        self.direct.open(urllib.request.Request(url, json.dumps(body).encode(),
                                                {"Content-Type": OCI + kind}, method="PUT"),
                         timeout=60).read()

    def plain(self):
        self.image("plain")
        self.copy("--dest-decompress", "oci:plain:1", "dir:plain.dir")
        with open(self.path("plain.dir", "manifest.json")) as f:
            manifest = json.load(f)
        for part in [manifest["config"]] + manifest["layers"]:
            with open(self.path("plain.dir", part["digest"].split(":")[1]), "rb") as f:
                part.update(self.push("plain", f.read()))
        manifest["mediaType"] = OCI + "manifest.v1+json"
        self.put_manifest("plain", manifest, "manifest.v1+json")

    def push_json(self, name, body):
        return self.push(name, json.dumps(body).encode())

    def artifact(self, name, manifest):
        """What buildkit and oras put beside images: no container image at all."""
        manifest = {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                    "config": {"mediaType": "application/vnd.oci.empty.v1+json",
                               **self.push_json(name, {})},
                    "layers": [{"mediaType": "application/vnd.in-toto+json",
                                **self.push_json(name, {"subject": manifest})}]}
        return manifest

    def bare(self):
        """Some tools leave the two zero blocks away; tar, containerd and the indexer read on."""
        layers, diff_ids = [], []
        for layer in (1, 2):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as tar:
                for name in ["etc/passwd"] if layer == 1 else ["opt/bare"]:
                    info = tarfile.TarInfo(name)
                    content = b"bare:x:1000:1000::/:/bin/sh\n"
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
            data = out.getvalue()[:1024]  # a header and a block
            diff_ids.append("sha256:" + hashlib.sha256(data).hexdigest())
            layers.append({"mediaType": OCI + "layer.v1.tar+gzip",
                           **self.push("bare", gzip.compress(data, mtime=0))})
        config = {"os": "linux", "architecture": "amd64", "config": {"User": "1000"},
                  "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        self.put_manifest("bare", {
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", "layers": layers,
            "config": {"mediaType": OCI + "config.v1+json", **self.push_json("bare", config)}},
            "manifest.v1+json")

    def index(self):
        attestation = json.dumps(self.artifact("index", "amd64")).encode()
        self.put_manifest("index", json.loads(attestation), "manifest.v1+json")
        entries = [{"mediaType": OCI + "manifest.v1+json", "size": len(attestation),
                    "digest": "sha256:" + hashlib.sha256(attestation).hexdigest(),
                    "platform": {"os": "unknown", "architecture": "unknown"},
                    "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}]
        for arch in ("arm64", "amd64"):
            name = "index" + arch
            self.image(name)
            self.run("umoci", "config", "--image", f"{name}:1", "--architecture", arch)
            self.copy(f"oci:{name}:1", self.url("index"))
            raw = self.run("skopeo", "inspect", "--raw", "--tls-verify=false",
                           self.url("index")).encode()
            entries.append({"mediaType": OCI + "manifest.v1+json", "size": len(raw),
                            "digest": "sha256:" + hashlib.sha256(raw).hexdigest(),
                            "platform": {"os": "linux", "architecture": arch}})
        self.put_manifest("index", {"schemaVersion": 2, "mediaType": OCI + "index.v1+json",
                                    "manifests": entries}, "index.v1+json")

    def all(self):
        self.image("gzip")
        self.copy("oci:gzip:1", self.url("gzip"))
        self.image("docker")
        self.copy("--format", "v2s2", "oci:docker:1", self.url("docker"))
        self.image("zstd")
        self.copy("--dest-decompress", "oci:zstd:1", "dir:zstd.dir")
        self.copy("--dest-compress", "--dest-compress-format", "zstd", "dir:zstd.dir",
                  self.url("zstd"))
        self.plain()
        self.index()
        self.bare()
        self.put_manifest("artifact", self.artifact("artifact", "x"), "manifest.v1+json")
        for name in ("gzip", "docker", "zstd", "plain", "index", "bare"):
            raw = self.run("skopeo", "inspect", "--raw", "--tls-verify=false", self.url(name))
            with open(self.path(name + ".digest"), "w") as f:
                f.write("sha256:" + hashlib.sha256(raw.encode()).hexdigest())


def main(args):
    missing = [t for t in TOOLS if shutil.which(t) is None]
    if missing:
        print("missing:", *missing, flush=True)
        return 0
    maker = Maker(args[0])
    child = maker.serve()
    try:
        maker.all()
        print(maker.port, flush=True)
        sys.stdin.read()
    finally:
        child.terminate()
        child.wait(timeout=60)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
