"""Debian's docker-registry on loopback, and a token server that it trusts.

    with Hub(folder) as hub: ... hub.port ...          everybody may read and write
    with Hub(folder, auth=hub_htpasswd(folder)) ...    Basic: USER and PASSWORD
    with TokenServer(folder) as tokens, Hub(folder, auth=tokens.auth()) ...

`close()` ends a registry early; then `asked()` knows every request.

The port is the one that the system gives; docker-registry says it in its log. Children are ended by
their id, and a registry that does not come up ends the test with its log.
SPDX-License-Identifier: Apache-2.0
"""
import base64
import http.server
import json
import os
import re
import subprocess
import threading
import time
import urllib.parse

USER, PASSWORD = "reader", "let me see"
# bcrypt of PASSWORD, the only form that docker-registry takes.
HTPASSWD = "reader:$2b$04$NY4E9Gg/yAHLlVZ8zpRtLOQmx6WHtAT5h9GYPn8WBsGxNwOiN.OQm\n"
LIMIT_SECONDS = 30


def hub_htpasswd(folder):
    path = os.path.join(folder, "htpasswd")
    with open(path, "w", encoding="ascii") as f:
        f.write(HTPASSWD)
    return {"htpasswd": {"realm": "test", "path": path}}


def basic(user=USER, password=PASSWORD):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Hub:
    def __init__(self, folder, auth=None):
        self.folder = folder
        self.log = []
        config = {"version": 0.1, "log": {"level": "info", "formatter": "text"},
                  "storage": {"filesystem": {"rootdirectory": os.path.join(folder, "store")}},
                  "http": {"addr": "127.0.0.1:0", "draintimeout": "10s"}}
        if auth:
            config["auth"] = auth
        self.config = os.path.join(folder, "registry.yml")
        with open(self.config, "w", encoding="utf-8") as f:
            json.dump(config, f)  # JSON is YAML
        self.port = 0

    def __enter__(self):
        self.child = subprocess.Popen(["docker-registry", "serve", self.config],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.PIPE, text=True, errors="replace")
        timer = threading.Timer(LIMIT_SECONDS, self.child.kill)
        timer.start()
        for line in self.child.stderr:
            self.log.append(line)
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        timer.cancel()
        if self.port == 0:
            self.child.wait()
            raise RuntimeError("docker-registry: " + "".join(self.log[-5:]))
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        return self

    def read_log(self):
        """To its end, or the registry would wait for us."""
        for line in self.child.stderr:
            self.log.append(line)

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.reader.join(timeout=LIMIT_SECONDS)

    def asked(self):
        """(method, path, status) of all requests, once the registry has ended."""
        found = re.findall(r'http\.request\.method=(\w+) .*?http\.request\.uri=("?)(\S+?)\2 '
                           r'.*?http\.response\.status=(\d+)', "".join(self.log))
        return [(method, path, int(status)) for method, _, path, status in found]


def encode_url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """A token server as in the distribution project's documents: GET with Basic, POST with an
    identity token. Tokens are RS256, signed by openssl with a key whose certificate the registry
    has. `asked` lists what came in."""

    SERVICE, ISSUER, IDENTITY = "test-registry", "test-issuer", "identity-of-reader"

    def __init__(self, folder):
        self.key = os.path.join(folder, "token.key")
        self.certificate = os.path.join(folder, "token.crt")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=test-issuer", "-keyout", self.key, "-out",
                        self.certificate], check=True, capture_output=True, timeout=LIMIT_SECONDS)
        self.asked = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.port = self.server.server_address[1]

    def auth(self):
        return {"token": {"realm": f"http://127.0.0.1:{self.port}/token", "service": self.SERVICE,
                          "issuer": self.ISSUER, "rootcertbundle": self.certificate}}

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=LIMIT_SECONDS)

    def token(self, scopes):
        """Grants what is asked for: "repository:NAME:pull,push"."""
        now = int(time.time())
        with open(self.certificate, encoding="ascii") as f:
            der = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END", f.read(), re.S)[1]
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        header = {"alg": "RS256", "typ": "JWT", "x5c": ["".join(der.split())]}
        claims = {"iss": self.ISSUER, "aud": self.SERVICE, "sub": USER, "iat": now, "nbf": now - 60,
                  "exp": now + 300, "jti": str(len(self.asked)), "access": access}
        text = ".".join(encode_url(json.dumps(part).encode()) for part in (header, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key],
                                   input=text.encode(), capture_output=True, check=True,
                                   timeout=LIMIT_SECONDS).stdout
        return text + "." + encode_url(signature)

    def handler(self):
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def answer(self, status, body):
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def grant(self, how, is_known, scopes):
                server.asked.append((how, is_known, scopes))
                if not is_known:
                    self.answer(401, {"details": "incorrect username or password"})
                    return
                token = server.token(scopes)
                self.answer(200, {"token": token, "access_token": token, "expires_in": 300})

            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                self.grant("basic", self.headers.get("Authorization") == basic(),
                           query.get("scope", []))

            def do_POST(self):
                size = min(int(self.headers.get("Content-Length", 0)), 65536)
                form = urllib.parse.parse_qs(self.rfile.read(size).decode())
                self.grant("identity", form.get("refresh_token") == [server.IDENTITY],
                           form.get("scope", []))

        return Handler
