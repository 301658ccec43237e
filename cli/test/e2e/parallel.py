#!/usr/bin/env -S python3 -B
"""Four runs at once on one cold cache, and one of them is killed in the middle of a layer.

    parallel.py CONTRAST

The one to be killed gets its layer through a gate of ours, which lets half of it pass, holds the
rest, and says so: no time is guessed. The other three run beside it and after it, give the same
policy, and leave a cache that works without the network. SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import http.client
import http.server
import os
import subprocess
import sys
import threading

import oci
import stage

IMAGE = "big.example.com/team/app:1"
POD = f"""\
apiVersion: v1
kind: Pod
metadata:
  name: app
spec:
  runtimeClassName: contrast-cc
  containers:
    - name: app
      image: {IMAGE}
    - name: web
      image: nginx:1.27
"""
LAYERS, LAYER_SIZE = 4, 3_000_000


class Gate:
    """Passes requests on to the registry; of a blob over 1 MB only half, then `reached` is set and
    the rest waits for `open`."""

    def __init__(self, port):
        self.reached, self.open = threading.Event(), threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler(port))
        self.port = self.server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()

    def handler(self, port):
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                upstream.request("GET", self.path, headers=headers)
                answer = upstream.getresponse()
                body = answer.read()
                upstream.close()
                self.send_response(answer.status)
                for key in ("Content-Type", "Docker-Content-Digest", "Content-Range"):
                    if answer.headers[key]:
                        self.send_header(key, answer.headers[key])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.pass_on(body)
                except OSError:
                    self.close_connection = True  # the other side was killed

            def pass_on(self, body):
                if len(body) > 1 << 20:
                    self.wfile.write(body[:len(body) // 2])
                    self.wfile.flush()
                    gate.reached.set()
                    gate.open.wait(timeout=stage.RUN_SECONDS)
                    body = body[len(body) // 2:]
                self.wfile.write(body)

        return Handler


def big_image(test):
    layers = [oci.layer({f"opt/{i}": hashlib.shake_256(b"%d" % i).digest(LAYER_SIZE)})
              for i in range(LAYERS)]
    layers.insert(0, oci.layer({"etc/passwd": b"root:x:0:0::/:/bin/sh\n"}))
    host, name, tag = stage.split_reference(IMAGE)
    test.hosts.append(host)
    image = oci.Image(layers, {"Entrypoint": ["/opt/0"]})
    test.digests[(test.port, host, name, tag)] = oci.push(test.port, f"{host}/{name}", tag, image)


def start(test, name, port):
    """A run that goes on beside the others."""
    work = test.workspace(name, {"pod.yaml": POD})
    command = [test.program, "generate", "--progress", "none", "-w", test.path("keys", "owner.pem"),
               "--add-seedshare-owner-key", test.path("keys", "share.pem"), "--reference-values",
               test.path("keys", "references.json"), *test.mirrors(port), "pod.yaml",
               "coordinator.yaml"]
    with open(test.path(name + ".err"), "wb") as err:
        child = subprocess.Popen(command, cwd=work, env=test.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=err)
    return child, work, test.path(name + ".err")


def finish(test, name, run):
    child, work, log = run
    try:
        code = child.wait(timeout=stage.RUN_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        code = child.wait()
    err = stage.read(log).decode(errors="replace")
    test.check(code == 0 and not stage.CRASH.search(err), f"{name}: exit {code}", err)
    return stage.read(os.path.join(work, "pod.yaml"))


def cache_files(test):
    top = test.path("cache")
    return [os.path.join(root, f) for root, _, files in os.walk(top) for f in files]


def main():
    with stage.Stage("parallel") as test:
        hub = test.hub()
        big_image(test)
        test.stand_in("nginx:1.27")
        with Gate(hub.port) as gate:
            victim, work, _ = start(test, "victim", gate.port)
            test.check(gate.reached.wait(timeout=stage.RUN_SECONDS), "the gate was reached")
            runs = {n: start(test, n, hub.port) for n in ("one", "two", "three")}
            victim.kill()
            test.check(victim.wait() == -9, "it was killed in the middle of a layer")
            test.check(stage.read(os.path.join(work, "pod.yaml")).decode() == POD and
                       sorted(os.listdir(work)) == ["coordinator.yaml", "pod.yaml"],
                       "who was killed wrote nothing")
            texts = {n: finish(test, n, run) for n, run in runs.items()}
        test.check(len(set(texts.values())) == 1, "all give the same policy")
        after = start(test, "again", hub.port)
        test.check(finish(test, "the killed one again", after) == texts["one"], "the same again")
        hub.close()
        again = test.workspace("offline", {"pod.yaml": POD})
        done = test.generate(again, "--offline", "pod.yaml", "coordinator.yaml")
        test.check(done.code == 0 and stage.read(os.path.join(again, "pod.yaml")) == texts["one"],
                   "offline afterwards", done.err)
        asked = [p for m, p, s in hub.asked() if m == "GET" and "/blobs/" in p]
        print(f"  {len(cache_files(test))} files in the cache; {len(asked)} blobs were asked for")
        leftovers = [f for f in cache_files(test) if "tmp" in os.path.basename(f).lower()]
        test.check(not leftovers, "no temporary file is left", leftovers)
    return test.code()


if __name__ == "__main__":
    sys.exit(main())
