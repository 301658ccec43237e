#!/usr/bin/env python3
"""Runs of the registry client as processes: many on one cache, killed, on a damaged cache, on a full
disk; layers shared, layers in parallel, and the memory that all this takes.

    check_fetch.py REGISTRY_FETCH [unittest's arguments]

The registry is a thread of this program, on loopback. SPDX-License-Identifier: Apache-2.0
"""
import glob
import gzip
import hashlib
import http.server
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

PATIENCE_S = 100  # for a program that hangs; nothing waits so long that works
MEMORY_KIB = 64 << 10
OCI = "application/vnd.oci.image."
PROGRAM = ""


def header(name, size=0):
    """A ustar header, made by hand: there are hundreds of thousands of them."""
    fields = bytearray(512)
    fields[0:len(name)] = name.encode()
    fields[100:108], fields[108:116], fields[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    fields[124:136], fields[136:148] = b"%011o\0" % size, b"00000000000\0"
    fields[148:156], fields[156:157] = b"        ", b"0"
    fields[257:265] = b"ustar\00000"
    fields[148:156] = b"%06o\0 " % sum(fields)
    return bytes(fields)


def entry(name, content):
    return header(name, len(content)) + content + bytes(-len(content) % 512)


class Blob:
    """Pieces, each repeated; so half a gigabyte needs no memory."""

    def __init__(self, *pieces):
        self.pieces = pieces
        self.size = sum(len(p) * n for p, n in pieces)
        digest = hashlib.sha256()
        for part in self:
            digest.update(part)
        self.digest = "sha256:" + digest.hexdigest()

    def __iter__(self):
        for piece, count in self.pieces:
            for _ in range(count):
                yield piece


class Layer:
    """A tar of such pieces, and the blob that it is served as: plain, or one gzip member a piece."""

    def __init__(self, *pieces, zipped=False):
        tar = Blob(*pieces)
        self.diff_id = tar.digest
        self.kind = "layer.v1.tar+gzip" if zipped else "layer.v1.tar"
        self.blob = tar if not zipped else Blob(*((gzip.compress(p, 6, mtime=0), n)
                                                   for p, n in pieces))


def small_layer(seed, size=200000):
    return Layer((entry(f"data{seed}", random.Random(seed).randbytes(size)) + bytes(1024), 1),
                 zipped=seed % 2 == 0)


def layer_of_files(seed, count):
    names = (header(f"layer{seed}/folder{i // 100}/file{i}") for i in range(count))
    return Layer((b"".join(names), 1), (bytes(1024), 1), zipped=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S

    def log_message(self, *args):
        pass

    def head(self, status, size):
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def do_GET(self):
        registry = self.server.registry
        what, name = self.path.split("/")[-2:]
        image = "/".join(self.path.split("/")[2:-2])
        if what == "manifests":
            if image == "late":
                registry.reached.wait(PATIENCE_S)
            elif image.startswith("missing"):
                registry.reached.set()
            body = registry.manifests.get(image) or registry.documents.get(name)
            if body is None:
                return self.head(404, 0)
            self.head(200, len(body))
            return self.wfile.write(body)
        with registry.lock:
            registry.asked[name] = registry.asked.get(name, 0) + 1
        if name in registry.documents:
            self.head(200, len(registry.documents[name]))
            return self.wfile.write(registry.documents[name])
        if name not in registry.blobs:
            registry.reached.wait(PATIENCE_S)  # for what else has to be under way
            return self.head(404, 0)
        self.send_blob(registry, registry.blobs[name])

    def send_blob(self, registry, blob):
        """Up to where the test wants it to stop; then it waits for the test."""
        self.head(200, blob.size)
        stop = registry.stops.get(blob.digest)
        if stop is not None:
            self.wfile.write(next(iter(blob))[:1000])
            self.wfile.flush()
            registry.reached.set()
            stop.wait(PATIENCE_S)
            self.close_connection = True
            return
        for piece in blob:
            self.wfile.write(piece)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, address):
        pass  # programs that are killed are what this is about


class Registry:
    def __init__(self):
        self.lock = threading.Lock()
        self.manifests, self.documents, self.blobs = {}, {}, {}
        self.asked, self.stops, self.reached = {}, {}, threading.Event()
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.registry = self
        self.host = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        for stop in self.stops.values():
            stop.set()
        self.server.shutdown()
        self.server.server_close()

    def put(self, name, layers):
        config = json.dumps({"os": "linux", "architecture": "amd64", "config": {"User": name},
                             "rootfs": {"diff_ids": [la.diff_id for la in layers]}}).encode()
        config_digest = "sha256:" + hashlib.sha256(config).hexdigest()
        self.documents[config_digest] = config
        for layer in layers:
            self.blobs[layer.blob.digest] = layer.blob
        self.manifests[name] = json.dumps({
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
            "config": {"mediaType": OCI + "config.v1+json", "digest": config_digest,
                       "size": len(config)},
            "layers": [{"mediaType": OCI + la.kind, "digest": la.blob.digest,
                        "size": la.blob.size} for la in layers]}).encode()
        return f"{self.host}/{name}:1"

    def stop_at(self, layer):
        self.stops[layer.blob.digest] = threading.Event()

    def go_on(self, layer):
        self.stops.pop(layer.blob.digest).set()

    def count(self, layer):
        return self.asked.get(layer.blob.digest, 0)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="contrast-fetch-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.cache = os.path.join(self.folder, "cache")
        self.registry = Registry()
        self.addCleanup(self.registry.close)

    def start(self, *arguments, cache=True, **options):
        command = [PROGRAM, "--host", self.registry.host, *arguments]
        if cache:
            command[1:1] = ["--cache", self.cache]
        env = dict(os.environ, no_proxy="127.0.0.1", DOCKER_CONFIG=self.folder)
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, **options)

    def end(self, child, want=0):
        try:
            out, err = child.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            out, err = child.communicate()
        self.assertEqual(child.returncode, want, err)
        lines = out.splitlines()
        self.memory = lines[-1].split() if lines else []
        return lines[:-1], err

    def run_one(self, *arguments, want=0, **options):
        return self.end(self.start(*arguments, **options), want)

    def files(self, kind="*"):
        return sorted(glob.glob(os.path.join(self.cache, "v1", kind, "*")))


    def one(self, kind):
        """Of documents the config: what a tag means is asked for in each run."""
        for path in self.files(kind):
            with open(path) as f:
                if kind != "documents" or '"rootfs"' in f.read():
                    return path
        raise RuntimeError(f"no file of {kind}")


def without_state(lines):
    return [line.replace(":cached", "").replace(":fetched", "") for line in lines]


class Cache(Case):
    def images(self, count=3):
        layers = [small_layer(seed) for seed in range(count + 1)]
        names = [self.registry.put(f"image{i}", [layers[i], layers[i + 1]]) for i in range(count)]
        return names, layers

    def test_many_processes_on_a_cold_cache(self):
        names, layers = self.images()
        first = layers[0]
        self.registry.stop_at(first)  # until all are under way
        children = [self.start(*names) for _ in range(6)]
        self.registry.reached.wait(PATIENCE_S)
        self.registry.go_on(first)
        outputs = [without_state(self.end(child)[0]) for child in children]
        self.assertEqual(len(outputs[0]), len(names))
        for output in outputs:
            self.assertEqual(output, outputs[0])
        self.assertEqual([f for f in self.files() if ".tmp-" in f], [])
        lines, _ = self.run_one("--offline", *names)
        self.assertEqual(without_state(lines), outputs[0])
        self.assertNotIn("fetched", "".join(lines))

    def test_killed_in_the_middle(self):
        names, layers = self.images(1)
        self.registry.stop_at(layers[1])
        child = self.start("--workers", "1", *names)
        self.assertTrue(self.registry.reached.wait(PATIENCE_S))
        child.send_signal(signal.SIGKILL)
        child.communicate()
        self.assertEqual(len(self.files("layers")), 1)
        # What a process leaves that is killed while it writes.
        torn = self.files("layers")[0] + ".tmp-AbCdEf"
        with open(torn, "w") as f:
            f.write("half a")
        self.registry.go_on(layers[1])
        lines, err = self.run_one(*names)
        self.assertIn(":cached", lines[0])
        self.assertIn(":fetched", lines[0])
        self.assertEqual([self.registry.count(la) for la in layers], [1, 2])
        self.assertNotIn("WARN", err)
        # Hours later it is swept up; a young one could be another process's.
        self.assertTrue(os.path.exists(torn))
        os.utime(torn, (1, 1))
        self.run_one(*names)
        self.assertFalse(os.path.exists(torn))

    def damage(self, path, how):
        with open(path, "rb") as f:
            data = f.read()
        other = [p for p in self.files("layers") if p != path][0]
        if how == "folder":
            os.unlink(path)
            os.mkdir(path)
        elif how == "link":
            shutil.move(path, path + ".moved")
            os.symlink(path + ".moved", path)
        elif how == "mode":
            os.chmod(path, 0o666)
        elif how == "other":
            shutil.copyfile(other, path)
        else:
            with open(path, "wb") as f:
                f.write({"empty": b"", "cut": data[:-1], "altered": data[:-9] + b"x" + data[-8:],
                         "longer": data + b" "}[how])

    def test_damage(self):
        names, _ = self.images(1)
        want = without_state(self.run_one(*names)[0])
        for kind in ("documents", "layers", "tags"):
            for how in ("empty", "cut", "altered", "longer", "other", "folder", "link", "mode"):
                with self.subTest(kind=kind, how=how):
                    shutil.rmtree(self.cache)
                    self.run_one(*names)
                    self.damage(self.one(kind), how)
                    lines, err = self.run_one(*names)
                    self.assertEqual(without_state(lines), want)
                    if kind != "tags":  # which only matter offline
                        self.assertIn("fetched again", err)

    def test_damaged_tag_offline(self):
        names, _ = self.images(1)
        self.run_one(*names)
        path = self.files("tags")[0]
        with open(path) as f:
            good = f.read()
        _, err = self.run_one("--offline", *names)
        self.assertRegex(err, r"is taken for what it was at 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ, sha256:")
        for text in ("", good.split()[0], good + "x", good.replace(" ", "  "), good.upper(),
                     good + "0" * 20, good[:-20]):
            with open(path, "w") as f:
                f.write(text)
            _, err = self.run_one("--offline", *names, want=2)
            self.assertIn("the cache has not seen this tag", err)

    def test_others_may_write(self):
        names, _ = self.images(1)
        self.run_one(*names)
        for path in (self.cache, os.path.join(self.cache, "v1"),
                     os.path.join(self.cache, "v1", "layers")):
            for mode in (0o777, 0o770):
                os.chmod(path, mode)
                _, err = self.run_one(*names, want=2)
                self.assertIn(f"others own {path} or may write to it", err)
            os.chmod(path, 0o700)
        if os.geteuid() == 0:
            os.chown(os.path.join(self.cache, "v1"), 12345, 12345)
            self.run_one(*names, want=2)

    def test_full_disk(self):
        names, _ = self.images(1)

        def no_room():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

        want = without_state(self.run_one(*names, cache=False)[0])
        lines, err = self.run_one(*names, preexec_fn=no_room, restore_signals=False)
        self.assertEqual(without_state(lines), want)
        self.assertEqual(err.count("not everything is kept"), 1)
        self.assertEqual(self.files("layers") + self.files("documents"), [])
        lines, _ = self.run_one(*names)
        self.assertEqual(without_state(lines), want)

    def test_stale_tag(self):
        names, layers = self.images(1)
        old = self.run_one(*names)[0][0].split()[1]
        pinned = names[0] + "@" + old
        self.registry.documents[old] = self.registry.manifests["image0"]
        _, err = self.run_one(pinned)
        self.assertNotIn("WARN", err)
        self.registry.put("image0", layers[:1])
        self.registry.documents[old], first = self.registry.documents[old], old
        new = self.run_one(*names)[0][0].split()[1]
        self.assertNotEqual(new, old)
        lines, err = self.run_one(pinned)
        self.assertEqual(lines[0].split()[1], first)
        self.assertIn("the tag meant another image at 20", err)
        self.assertIn(new, err)


class Parallel(Case):
    def test_shared_layers_once(self):
        layers = [small_layer(seed) for seed in range(4)]
        names = [self.registry.put(f"image{i}", layers[:2] + [layers[2 + i % 2]])
                 for i in range(6)]
        lines, _ = self.run_one("--workers", "8", *names, cache=False)
        self.assertEqual([self.registry.count(la) for la in layers], [1] * 4)
        self.assertEqual(lines[0].split()[2:], lines[2].split()[2:])
        self.assertNotEqual(lines[0].split()[2:], lines[1].split()[2:])

    def test_a_failure_ends_the_others(self):
        """One layer is silent for longer than anybody waits here, another one is lost."""
        silent, lost = small_layer(1), small_layer(2)
        names = [self.registry.put("silent", [silent]), self.registry.put("lost", [lost])]
        del self.registry.blobs[lost.blob.digest]
        self.registry.stop_at(silent)
        for order in (names, names[::-1]):
            self.registry.reached.clear()
            _, err = self.run_one("--workers", "2", *order, want=2, cache=False)
            self.assertIn(f"registry-fetch: NOT_FOUND: {names[1]}: image {names[1]}", err)
        self.assertEqual(self.registry.count(silent), 2)

    def test_the_first_failure_is_reported(self):
        """Also when it comes last: the second one's answer is there before the first is asked for."""
        good = self.registry.put("good", [small_layer(1)])
        late = f"{self.registry.host}/late:1"
        names = [good, late] + [f"{self.registry.host}/missing{i}:1" for i in range(6)]
        for _ in range(3):
            self.registry.reached.clear()
            _, err = self.run_one("--workers", "8", *names, want=2, cache=False)
            self.assertIn(f"registry-fetch: NOT_FOUND: {late}: image {late}", err)
        self.assertLessEqual(sum(self.registry.asked.values()), 3)  # configs, and no layer

    def test_progress_lines(self):
        layers = [small_layer(seed) for seed in range(4)]
        name = self.registry.put("image", layers)
        _, err = self.run_one("--workers", "4", "--progress", name, cache=False)
        events = [json.loads(line) for line in err.splitlines()]
        self.assertEqual({e["layer"] for e in events if e["state"] == "done"}, {1, 2, 3, 4})
        for event in events:
            self.assertEqual(event["image"], name)
            if event["state"] == "done":
                self.assertEqual(event["bytes"], event["total"])

    def assert_memory(self, what):
        kib, build = int(self.memory[1]), self.memory[2]
        print(f"{what}: {kib} KiB at the most ({build})", file=sys.stderr)
        if build == "plain":
            self.assertLessEqual(kib, MEMORY_KIB)

    def test_memory_of_a_large_layer(self):
        noise = random.Random(1)
        block = b"".join(noise.randbytes(256) + bytes(768) for _ in range(1024))
        count = (500 << 20) // len(block) + 1
        layer = Layer((header("large", len(block) * count), 1), (block, count), (bytes(1024), 1),
                      zipped=True)
        name = self.registry.put("large", [layer])
        self.run_one(name, cache=False)
        self.assert_memory(f"one layer of {len(block) * count >> 20} MiB")

    def test_memory_of_many_layers(self):
        """Together they need several times what there is: they take turns."""
        layers = [layer_of_files(seed, 60000) for seed in range(16)]
        name = self.registry.put("many", layers)
        alone, _ = self.run_one("--workers", "1", name, cache=False)
        self.assert_memory("16 layers of 60 000 files, one at a time")
        for workers in ("8", "16"):
            lines, _ = self.run_one("--workers", workers, name, cache=False)
            self.assertEqual(lines, alone)
            self.assert_memory(f"16 layers of 60 000 files, {workers} at a time")


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
