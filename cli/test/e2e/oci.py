"""Container images in memory: layers, documents, digests, and their way into a registry.

    image = Image([layer({"etc/passwd": b"root:x:0:0::/:/bin/sh\\n"})], {"Entrypoint": ["/app"]})
    digest = push(port, "docker.io/library/nginx", "1.27", image)

The same arguments give the same bytes. A registry on loopback is spoken to over one connection per
push, by the distribution specification's own requests: that is how the odd ones get in, too (plain
layers, a compression that skopeo would undo). SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import http.client
import io
import json
import shutil
import subprocess
import tarfile
import zlib

KIND = "application/vnd.oci.image."
LIMIT_SECONDS = 60


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(files):
    """A plain tar of {path: bytes, or None for a folder}; owner root, time 0."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(files):
            info = tarfile.TarInfo(path)
            if files[path] is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                info.size, info.mode = len(files[path]), 0o644
                tar.addfile(info, io.BytesIO(files[path]))
    return out.getvalue()


def gzip(data):
    """Without a name and a time."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def zstd(data):
    """By the zstd program; None where it is not installed."""
    if shutil.which("zstd") is None:
        return None
    return subprocess.run(["zstd", "-q", "-c"], input=data, capture_output=True, check=True,
                          timeout=LIMIT_SECONDS).stdout


CODERS = {"gzip": (gzip, "+gzip"), "zstd": (zstd, "+zstd"), "plain": (bytes, "")}


class Image:
    """`layers`: plain tars, bottom first. `config`: the object below "config" in the document."""

    def __init__(self, layers, config, coding="gzip", architecture="amd64"):
        encode, suffix = CODERS[coding]
        self.blobs = [encode(tar) for tar in layers]
        self.config = json.dumps({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in layers]},
        }).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": KIND + "manifest.v1+json",
            "config": {"mediaType": KIND + "config.v1+json", "digest": digest_of(self.config),
                       "size": len(self.config)},
            "layers": [{"mediaType": KIND + "layer.v1.tar" + suffix, "digest": digest_of(blob),
                        "size": len(blob)} for blob in self.blobs],
        }).encode()
        self.digest = digest_of(self.manifest)


class Client:
    """The write half of the distribution specification, for one repository."""

    def __init__(self, port, name, headers=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)
        self.base = "/v2/" + name
        self.headers = headers or {}

    def ask(self, method, path, body=None, headers=None, size=None):
        """`body`: bytes, or an iterable of `size` bytes in all."""
        headers = dict(self.headers, **(headers or {}))
        if size is not None:
            headers["Content-Length"] = str(size)
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text.decode(errors='replace')}")
        return answer

    def put_blob(self, data, digest=None, size=None):
        digest = digest or digest_of(data)
        place = self.ask("POST", self.base + "/blobs/uploads/").headers["Location"]
        place = place[place.index("/v2/"):]
        place += ("&" if "?" in place else "?") + "digest=" + digest
        self.ask("PUT", place, data, {"Content-Type": "application/octet-stream"},
                 len(data) if size is None else size)

    def put_manifest(self, tag, body, kind=KIND + "manifest.v1+json"):
        self.ask("PUT", f"{self.base}/manifests/{tag}", body, {"Content-Type": kind})

    def close(self):
        self.connection.close()


def push(port, name, tag, image, headers=None):
    """Returns the digest of the manifest."""
    client = Client(port, name, headers)
    try:
        for blob in image.blobs + [image.config]:
            client.put_blob(blob)
        client.put_manifest(tag, image.manifest)
    finally:
        client.close()
    return image.digest


def push_index(port, name, tag, images, headers=None):
    """An index of images by architecture, all in one repository; returns its digest."""
    entries = []
    client = Client(port, name, headers)
    try:
        for architecture, image in images.items():
            for blob in image.blobs + [image.config]:
                client.put_blob(blob)
            client.put_manifest(image.digest, image.manifest)
            entries.append({"mediaType": KIND + "manifest.v1+json", "size": len(image.manifest),
                            "digest": image.digest,
                            "platform": {"os": "linux", "architecture": architecture}})
        body = json.dumps({"schemaVersion": 2, "mediaType": KIND + "index.v1+json",
                           "manifests": entries}).encode()
        client.put_manifest(tag, body, KIND + "index.v1+json")
    finally:
        client.close()
    return digest_of(body)
