#!/usr/bin/env python3
"""A registry for tests, on loopback: good, or misbehaving in the way that the repository names.

    registry_server.py [CERT KEY]    prints "PORT OTHER_PORT [TLS_PORT]", ends when its input ends

    /v2/MODE/app/manifests/1         an image of two layers, gzip and plain tar
    /count/KIND/MODE                 how often: manifest, blob, token, elsewhere, leak
    /digest/MODE                     the digest of MODE's manifest
    /ids/MODE                        the snapshotter's names of MODE's layers, topmost first

Every mode serves the same image unless a method or an entry of SPECIAL says otherwise.

SPDX-License-Identifier: Apache-2.0
"""
import base64
import gzip
import hashlib
import http.server
import io
import json
import random
import select
import socket
import ssl
import sys
import tarfile
import threading
import urllib.parse

PATIENCE_S = 60  # a hang ends by itself, whatever the client does
OCI = "application/vnd.oci.image."
ACCEPTED = (OCI + "manifest.v1+json", OCI + "index.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.distribution.manifest.list.v2+json")
USER = "Basic " + base64.b64encode(b"alice:secret").decode()
BASIC = ("basic", "redirect", "redirect_same")
BEARER = ("bearer", "anon", "identity", "expire", "forbidden", "token_busy", "token_refuses")


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files):
    """Of a text in place of bytes, a symbolic link to it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname, content = tarfile.SYMTYPE, content, b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def layer_ids(diff_ids):
    """The snapshotter's names, topmost first: hashes of chain ids."""
    chain, ids = "", []
    for diff_id in diff_ids:
        chain = digest_of(f"{chain} {diff_id}".encode()) if chain else diff_id
        ids.insert(0, hashlib.sha256(chain.encode()).hexdigest())
    return ids


class Store:
    """Blobs by digest, and the manifest of each mode."""

    def __init__(self):
        self.blobs, self.tops = {}, {}
        noise = random.Random(1).randbytes(300000)
        one = tar_of([("bin/app", noise)])
        two = tar_of([("etc/passwd", b"root:x:0:0::/:/bin/sh\n"), ("etc/group", b"root:x:0:\n")])
        zipped = gzip.compress(one, mtime=0)
        self.layers = [("layer.v1.tar+gzip", zipped, one), ("layer.v1.tar", two, two)]
        self.good = self.image(self.layers)
        self.specials()

    def put(self, data):
        self.blobs[digest_of(data)] = data
        return {"digest": digest_of(data), "size": len(data)}

    def config(self, diff_ids, arch="amd64"):
        return json.dumps({"os": "linux", "architecture": arch,
                           "config": {"User": "1000", "Env": ["A=b"]},
                           "rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()

    def image(self, layers, config=None, change=lambda m: m):
        config = config or self.config([digest_of(tar) for _, _, tar in layers])
        manifest = {
            "schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
            "config": {"mediaType": OCI + "config.v1+json", **self.put(config)},
            "layers": [{"mediaType": OCI + kind, **self.put(blob)} for kind, blob, _ in layers]}
        return json.dumps(change(manifest)).encode()

    def index(self, entries):
        return json.dumps({"schemaVersion": 2, "mediaType": OCI + "index.v1+json",
                           "manifests": entries}).encode()

    def entry(self, manifest, arch, kind="manifest.v1+json"):
        return {"mediaType": OCI + kind, "platform": {"os": "linux", "architecture": arch},
                **self.put(manifest)}

    def of_files(self, *layers):
        tars = [tar_of(files) for files in layers]
        return self.image([("layer.v1.tar", tar, tar) for tar in tars])

    def users(self):
        """What layers do to each other's files."""
        a, b = b"a:x:1:1::/:/a\n", b"b:x:2:2::/:/b\n"
        base = [("etc/passwd", a), ("etc/group", a)]
        long = "x" * 120
        return {
            "replaced": self.of_files(base, [("etc/passwd", b)], [("etc/other", b)]),
            "removed": self.of_files(base, [("etc/.wh.passwd", b"")]),
            "opaque": self.of_files(base, [("etc/.wh..wh..opq", b""), ("etc/passwd", b)]),
            "gone": self.of_files(base, [(".wh.etc", b"")]),
            "again": self.of_files(base, [("etc/.wh.passwd", b"")], base),
            "link": self.of_files(base, [("etc/passwd", "../lib/passwd")]),
            "long_link": self.of_files(base, [("bin/sh", long)]),
        }

    def specials(self):
        (kind, zipped, one), plain = self.layers
        ids = [digest_of(one), digest_of(plain[2])]

        def foreign(m):
            m["layers"][1]["urls"] = ["https://elsewhere.example/x"]
            return m

        def wrong_size(m):
            m["config"]["size"] += 1
            return m
        arm = self.image(self.layers, self.config(ids, "arm64"))
        cut = zipped[:-100]
        members = gzip.compress(one[:70000], mtime=0) + gzip.compress(one[70000:], mtime=0)
        statement = self.image([("layer.v1.tar", b"{}", b"{}")])  # as buildkit's attestations
        unknown = self.entry(statement, "unknown")
        unknown["platform"]["os"] = "unknown"
        signature = dict(self.entry(statement, "amd64"), artifactType="application/x-signature")
        bomb = gzip.compress(bytes(400 << 20), 9, mtime=0)
        nested = self.index([self.entry(self.good, "amd64")])
        for _ in range(4):
            nested = self.index([self.entry(nested, "amd64", "index.v1+json")])
        self.tops = {
            "index": self.index([self.entry(arm, "arm64"), self.entry(self.good, "amd64")]),
            "arm_index": self.index([self.entry(arm, "arm64")]),
            "arm": arm,
            "nested": nested,
            "foreign": self.image(self.layers, change=foreign),
            "wrong_size": self.image(self.layers, change=wrong_size),
            "diff_count": self.image(self.layers, self.config(ids[:1])),
            "diff_id": self.image(self.layers, self.config([ids[1], ids[1]])),
            "cut_gzip": self.image([(kind, cut, one), plain]),
            "no_gzip": self.image([(kind, b"<html>not a layer</html>" * 40, one), plain]),
            "members": self.image([(kind, members, one), plain]),
            "trailing": self.image([(kind, zipped + b"some more", one), plain]),
            "attested": self.index([unknown, signature, self.entry(self.good, "amd64")]),
            "artifact": self.image(self.layers, change=lambda m: dict(m, config=dict(
                m["config"], mediaType="application/vnd.oci.empty.v1+json"))),
            "bomb": self.image([(kind, bomb, bytes(0))]),
            **self.users(),
            "schema1": b'{"schemaVersion":1,"name":"a","fsLayers":[]}',
            "html": b"<html>welcome to the hotel</html>",
        }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", length=None, close=False, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        if close:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def note(self, kind, mode):
        with self.server.lock:
            count = self.server.count
            count[kind, mode] = count.get((kind, mode), 0) + 1
            return count[kind, mode]

    # ---- who may ----

    def challenge(self, mode):
        if mode in BASIC:
            return self.answer(401, b"{}", WWW_Authenticate='Basic realm="test"')
        realm = f"http://127.0.0.1:{self.server.server_port}/token/{mode}"
        if mode == "token_refuses":
            realm += "?x=y"
        self.answer(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"log in"}]}',
                    WWW_Authenticate=f'Bearer realm="{realm}",service="test registry"')

    def is_let_in(self, mode):
        given = self.headers.get("Authorization", "")
        if mode in BASIC:
            return given == USER
        if mode not in BEARER:
            return True
        with self.server.lock:
            left = self.server.tokens.get(given, 0)
            self.server.tokens[given] = left - 1
        return left > 0

    def serve_token(self, mode, fields):
        nth = self.note("token", mode)
        scope = f"repository:{mode}/app:pull"
        if fields.get("scope") != [scope] or fields.get("service") != ["test registry"]:
            return self.answer(400)
        if mode == "token_busy" and nth == 1:
            return self.answer(503, Retry_After="2")
        user = self.headers.get("Authorization")
        if mode == "token_refuses" or (mode == "bearer" and user != USER):
            return self.answer(401)
        if mode == "identity" and (fields.get("grant_type") != ["refresh_token"] or
                                   fields.get("refresh_token") != ["refresh/1+2"]):
            return self.answer(401)
        token = f"t-{mode}-{nth}"
        with self.server.lock:
            self.server.tokens["Bearer " + token] = 1 if mode == "expire" else 1 << 30
        name = "access_token" if mode == "identity" else "token"
        self.answer(200, json.dumps({name: token, "expires_in": 60}).encode())

    # ---- routes ----

    def do_POST(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        self.serve_token(url.path.split("/")[2], urllib.parse.parse_qs(body))

    def do_CONNECT(self):
        """A proxy's tunnel, to loopback alone."""
        self.note("connect", self.path)
        host, port = self.path.split(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as there:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: there, there: self.connection}
            while True:
                for ready in select.select(list(ends), [], [], PATIENCE_S)[0]:
                    data = ready.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    ends[ready].sendall(data)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.scheme:  # as a proxy
            self.note("proxy", url.netloc)
        parts = url.path.split("/")
        if parts[1] == "count":
            return self.answer(200, str(self.server.count.get(tuple(parts[2:4]), 0)).encode())
        if parts[1] == "digest":
            return self.answer(200, digest_of(self.top(parts[2])).encode())
        if parts[1] == "ids":
            config = json.loads(self.top(parts[2]))["config"]["digest"]
            found = json.loads(self.server.store.blobs[config])["rootfs"]["diff_ids"]
            return self.answer(200, " ".join(layer_ids(found)).encode())
        if parts[1] == "token":
            return self.serve_token(parts[2], urllib.parse.parse_qs(url.query))
        if parts[1] == "elsewhere":
            self.note("elsewhere", parts[2])
            if "Authorization" in self.headers:
                self.note("leak", parts[2])
            return self.blob_good(self.server.store.blobs[parts[3]])
        if parts[1] == "stranger":
            realm = f"http://127.0.0.1:{self.server.server_port}/token/stranger"
            return self.answer(401, WWW_Authenticate=f'Bearer realm="{realm}",service="s"')
        if parts[1] == "gone":
            return self.answer(403, b"<Error>expired</Error>")
        if parts[1:2] != ["v2"] or len(parts) < 6:
            return self.answer(404)
        mode = parts[-4]
        self.mode = mode
        self.nth = self.note("manifest" if parts[-2] == "manifests" else "blob", mode)
        if not self.is_let_in(mode):
            return self.challenge(mode)
        if mode == "forbidden":
            return self.answer(403, b'{"errors":[{"code":"DENIED","message":"not yours"}]}')
        if parts[-2] == "manifests":
            return self.manifest(mode, parts[-1])
        if parts[-1] not in self.server.store.blobs:
            return self.answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')
        data = self.server.store.blobs[parts[-1]]
        is_layer = data[:1] != b"{"
        method = getattr(self, "blob_" + mode, self.blob_good) if is_layer else self.blob_good
        method(data)

    # ---- manifests ----

    def top(self, mode):
        return self.server.store.tops.get(mode, self.server.store.good)

    def manifest(self, mode, name):
        accept = self.headers.get("Accept", "")
        if not all(kind in accept for kind in ACCEPTED):
            return self.answer(406)
        if mode == "silent":
            self.server.ended.wait(PATIENCE_S)
            self.close_connection = True
            return None
        if mode == "busy" and self.nth <= 2:
            return self.answer(429, Retry_After="7")
        if mode == "down":
            return self.answer(503, b"<html>bad gateway</html>")
        if mode == "gateway" and self.nth <= 3:
            return self.answer(504, b"<html>timeout</html>")
        if mode == "patience":
            return self.answer(429, Retry_After="100000")
        if mode == "teapot":
            return self.answer(418)
        if mode == "missing":
            return self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no"}]}')
        if mode == "endless":
            return self.answer(200, b" " * (5 << 20))
        if mode == "loop":
            return self.answer(302, Location=self.path)
        if mode == "to_file":
            return self.answer(302, Location="file:///etc/passwd")
        if mode == "to_user":
            return self.answer(302, Location="http://a:b@127.0.0.1:1/")
        if mode == "headers":
            return self.answer(200, b"{}", **{f"X_{i}": "y" * 900 for i in range(90)})
        if mode == "wrong_type":
            return self.answer(200, self.top(mode), Content_Type=OCI + "index.v1+json")
        body = self.top(mode)
        if name.startswith("sha256:"):
            body = self.server.store.blobs.get(name, body)
        if mode == "altered":
            body = body.replace(b"}", b" }", 1)
        self.answer(200, body)

    # ---- blobs ----

    def blob_good(self, data):
        start = self.headers.get("Range")
        if start is None:
            return self.answer(200, data)
        at = int(start[len("bytes="):-1])
        if at >= len(data):
            return self.answer(416)
        self.answer(206, data[at:], Content_Range=f"bytes {at}-{len(data) - 1}/{len(data)}")

    def blob_torn(self, data):
        """100 000 bytes at a time, then the connection breaks."""
        start = self.headers.get("Range")
        at = int(start[len("bytes="):-1]) if start else 0
        if len(data) - at <= 100000:
            return self.blob_good(data)
        headers = {"Content_Range": f"bytes {at}-{len(data) - 1}/{len(data)}"} if start else {}
        self.answer(206 if start else 200, data[at:at + 100000], len(data) - at, True, **headers)

    def blob_torn_no_range(self, data):
        if self.nth % 2 == 1 or len(data) < 100000:
            return self.answer(200, data)
        self.answer(200, data[:100000], len(data), True)

    def blob_torn_always(self, data):
        self.answer(200, data[:1000], len(data), True)

    def blob_wrong_range(self, data):
        if "Range" not in self.headers and len(data) > 100000:
            return self.answer(200, data[:100000], len(data), True)
        self.answer(206, data[5:], Content_Range=f"bytes 5-{len(data) - 1}/{len(data)}")

    def blob_corrupt(self, data):
        if data[:2] == b"\x1f\x8b":
            return self.answer(200, data)
        self.answer(200, data.replace(b"root", b"evil"))

    def blob_short(self, data):
        self.answer(200, data[:-1])

    def blob_long(self, data):
        self.answer(200, data + b"x")

    def chunked(self, data):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))

    def blob_long_chunked(self, data):
        self.chunked(data + b"x")

    def blob_short_chunked(self, data):
        if "Range" in self.headers:
            return self.answer(416)
        self.chunked(data[:-1])

    def blob_stall(self, data):
        """Silence, until the client asks for the rest."""
        if "Range" in self.headers or len(data) < 100000:
            return self.blob_good(data)
        self.answer(200, data[:1000], len(data))
        self.wfile.flush()
        self.server.ended.wait(PATIENCE_S)
        self.close_connection = True

    def blob_drip(self, data):
        """A byte now and then, until the client asks for the rest."""
        if "Range" in self.headers or len(data) < 100000:
            return self.blob_good(data)
        self.answer(200, b"", len(data))
        for byte in data[:PATIENCE_S * 10]:
            self.wfile.write(bytes([byte]))
            if self.server.ended.wait(0.1):
                break
        self.close_connection = True

    def blob_torn_busy(self, data):
        """Torn, then busy, then the rest."""
        if len(data) < 100000 or self.nth >= 4:
            return self.blob_good(data)
        if self.nth == 3:
            return self.answer(429, Retry_After="3")
        self.answer(200, data[:100000], len(data), True)

    def blob_moved(self, data):
        """Where it lies now can be read for a moment only: the second time, one is sent elsewhere."""
        if self.nth == 2:
            return self.answer(307, Location=f"http://127.0.0.1:{self.server.other}/gone")
        self.blob_good(data)

    def blob_stranger(self, data):
        self.answer(307, Location=f"http://127.0.0.1:{self.server.other}/stranger/x")

    def blob_redirect(self, data):
        other = self.server.other
        self.answer(307, Location=f"http://127.0.0.1:{other}/elsewhere/redirect/{digest_of(data)}")

    def blob_downgrade(self, data):
        self.answer(307, Location=f"http://127.0.0.1:{self.server.other}/elsewhere/downgrade/"
                                  f"{digest_of(data)}")

    def blob_redirect_same(self, data):
        self.answer(302, Location=f"/elsewhere/redirect_same/{digest_of(data)}")

    def blob_no_http(self, data):
        self.wfile.write(b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n")
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, address):
        pass  # clients that leave are what some tests are about


def start(like=None):
    server = Server(("127.0.0.1", 0), Handler)
    names = ("store", "lock", "count", "tokens", "ended")
    made = (Store, threading.Lock, dict, dict, threading.Event)
    for name, make in zip(names, made):
        setattr(server, name, getattr(like, name) if like else make())
    server.other = 0
    return server


def main(args):
    first = start()
    servers = [first, start(first)]
    first.other = servers[1].server_port
    if args:
        secure = start(first)
        secure.other = first.other
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args[0], args[1])
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        servers.append(secure)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(*(s.server_port for s in servers), flush=True)
    sys.stdin.read()
    first.ended.set()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
