#!/usr/bin/env -S python3 -B
"""`contrast generate` stays below 64 MiB whatever the layers, and leaves no temporary file.

    memory.py CONTRAST

One image has a layer of 500 MB; others are fetched beside it, in every coding, three with the
widest window that zstd layers may have, and three with very many files. A sanitizer's own memory is
no part of the promise: such a build is held to what it needs for an image of some bytes plus 64 MiB
and a quarter for red zones. The promise itself is then checked with a plain build beside it
(release, clang), if there is one that is not older than the sources.
SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zlib

import builds
import oci
import stage

LIMIT = 64 << 20
BIG = 500_000_000
CHUNK = 4_000_000
FILES = 190_000  # each in a folder of its own
WINDOW_LOG = 25  # 32 MiB: no layer may ask for more
# Starts the program from a process that is itself small: what a child inherits counts as its own.
SMALL = """
import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
sys.stderr.write("peak %d\\n" % (usage.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))
"""
# Nothing is kept after free() that is not ours to count.
SANITIZER = {"ASAN_OPTIONS": "quarantine_size_mb=0:detect_leaks=0"}
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  runtimeClassName: contrast-cc
  containers:
"""


def chunk():
    """Half of it cannot be compressed, so that no bound on ratios is met."""
    noise = hashlib.shake_256(b"layer").digest(CHUNK // 2)
    return noise + b"configuration = default\n" * (CHUNK // 48)


def big_image(encode, suffix, size, times=1):
    """A tar with one file of about `size` bytes, member by member, each of `times` chunks: neither
    it nor its blob is ever whole in memory. (digest, diff_id, bytes, suffix, a maker of pieces)"""
    piece = chunk() * times
    count = size // len(piece)
    info = tarfile.TarInfo("opt/data")
    info.size = count * len(piece)
    head = info.tobuf(tarfile.USTAR_FORMAT)
    tail = b"\0" * (-info.size % 512) + b"\0" * 1024
    packed = [encode(head), encode(piece), encode(tail)]

    def blob():
        yield packed[0]
        for _ in range(count):
            yield packed[1]
        yield packed[2]
    digest, diff = hashlib.sha256(), hashlib.sha256(head)
    total = 0
    for part in blob():
        digest.update(part)
        total += len(part)
    for _ in range(count):
        diff.update(piece)
    diff.update(tail)
    return ("sha256:" + digest.hexdigest(), "sha256:" + diff.hexdigest(), total, suffix, blob)


def many_files(encode, suffix, count, mark):
    """A layer with an index that is large for its size; the same tuple as of big_image."""
    info = tarfile.TarInfo("usr/share/%s/000000/file-with-a-name-of-common-length" % mark)
    head = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    at = head.index(b"000000/file")
    total = sum(head[:148]) + sum(head[156:]) + 8 * 32 - 6 * 48
    tar = bytearray()
    for i in range(count):
        digits = b"%06d" % i
        head[at:at + 6] = digits
        head[148:156] = b"%06o\0 " % (total + sum(digits))
        tar += head
    tar += b"\0" * 1024
    blob = encode(bytes(tar))
    return oci.digest_of(blob), oci.digest_of(tar), len(blob), suffix, lambda: iter([blob])


def push_big(port, name, layers):
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/opt/data"]},
        "rootfs": {"type": "layers", "diff_ids": [layer[1] for layer in layers]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": oci.KIND + "manifest.v1+json",
        "config": {"mediaType": oci.KIND + "config.v1+json", "size": len(config),
                   "digest": oci.digest_of(config)},
        "layers": [{"mediaType": oci.KIND + "layer.v1.tar" + layer[3], "digest": layer[0],
                    "size": layer[2]} for layer in layers]}).encode()
    client = oci.Client(port, name)
    for digest, _, size, _, blob in layers:
        client.put_blob(blob(), digest, size)
    client.put_blob(config)
    client.put_manifest("1", manifest)
    client.close()


def zstd_wide(data):
    return subprocess.run(["zstd", "-q", "-c", f"--zstd=wlog={WINDOW_LOG}"], input=data, check=True,
                          capture_output=True, timeout=stage.RUN_SECONDS).stdout


def gzip_fast(data):
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def pod(name, images):
    text = POD.format(name=name)
    for i, image in enumerate(images):
        text += f"    - name: c{i}\n      image: {image}\n"
    return text


def run(test, name, images, program):
    work = test.workspace(name, {"pod.yaml": pod(name, images)})
    before = os.stat(test.path("tmp")).st_mtime_ns
    env = dict(SANITIZER, XDG_CACHE_HOME=test.path("cache-" + name))
    done = test.generate(work, "pod.yaml", "coordinator.yaml", env=env,
                         program=[sys.executable, "-SEc", SMALL, program])
    peak = int(done.err.rstrip().rpartition("peak ")[2])
    test.check(done.code == 0, name + ": a policy", done.err)
    test.check(os.stat(test.path("tmp")).st_mtime_ns == before, name + ": no temporary files")
    size = sum(os.path.getsize(os.path.join(root, f)) for root, _, files in
               os.walk(test.path("cache-" + name)) for f in files)
    test.check(size < 1 << 20, f"{name}: the cache has {size} bytes")
    print(f"  {name:34} {peak / (1 << 20):6.1f} MiB, {done.seconds:5.1f} s")
    return peak


def measure(test, label, program):
    sanitized = builds.is_sanitized(program)
    small = run(test, label + "-small", ["m.example.com/m/small:1"], program)
    limit = LIMIT * 5 // 4 + small if sanitized else LIMIT
    names = ["all"] if sanitized else ["one", "zstd", "files", "all"]
    for name in names:
        images = ["small", "one", "many", "zstd", "files"] if name == "all" else [name]
        peak = run(test, f"{label}-{name}", [f"m.example.com/m/{i}:1" for i in images], program)
        test.check(peak <= limit, f"{label}-{name}: {peak >> 20} MiB, at most {limit >> 20}")


def main():
    with stage.Stage("memory", need=("docker-registry", "openssl", "zstd")) as test:
        test.hub()
        test.hosts.append("m.example.com")
        oci.push(test.port, "m.example.com/m/small", "1", test.catalogue.image("m", "s", "1"))
        one = big_image(gzip_fast, "+gzip", BIG)
        push_big(test.port, "m.example.com/m/one", [one])
        push_big(test.port, "m.example.com/m/zstd", [
            big_image(zstd_wide, "+zstd", BIG // 5, times) for times in (10, 11, 12)])
        push_big(test.port, "m.example.com/m/many", [
            big_image(encode, suffix, CHUNK * n) for n, (encode, suffix) in enumerate(
                [(gzip_fast, "+gzip"), (zstd_wide, "+zstd"), (bytes, ""), (gzip_fast, "+gzip")],
                4)])
        push_big(test.port, "m.example.com/m/files", [
            many_files(gzip_fast, "+gzip", FILES, mark) for mark in ("one", "two", "three")])
        print(f"  the layer of 500 MB has {one[2] >> 20} MiB as a blob")
        measure(test, "dev" if builds.is_sanitized(test.program) else "plain", test.program)
        if builds.is_sanitized(test.program):
            plain = [path for _, path in builds.others(test.program)
                     if not builds.is_sanitized(path)]
            if plain:
                measure(test, "plain", plain[0])
            else:
                print("  no plain build beside this one: build the preset release")
    return test.code()


if __name__ == "__main__":
    sys.exit(main())
