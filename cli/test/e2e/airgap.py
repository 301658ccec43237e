#!/usr/bin/env -S python3 -B
"""Without the network: mirrors, the cache alone, and caches that were carried over or damaged.

    airgap.py CONTRAST

The policy is the same whichever way the images came; what the cache cannot prove is not used.
SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import shutil
import sys

import oci
import stage

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  runtimeClassName: contrast-cc
  initContainers:
    - name: wait # of another registry
      image: ghcr.io/a/wait:2
  containers:
    - name: web
      image: nginx:1.27
    - name: side
      image: docker.io/library/redis
"""
NAME = "web.yaml"


class Site:
    """Runs of the same files under other circumstances."""

    def __init__(self, test):
        self.test, self.count, self.expected = test, 0, None

    def run(self, what, *options, cache=None, text=POD, mirrors=True):
        self.count += 1
        work = self.test.workspace(f"{self.count}", {NAME: text})
        env = {"XDG_CACHE_HOME": self.test.path(cache)} if cache else None
        done = self.test.generate(work, *options, NAME, "coordinator.yaml", mirrors=mirrors,
                                  env=env)
        return done, stage.read(os.path.join(work, NAME))

    def good(self, what, *options, **more):
        done, text = self.run(what, *options, **more)
        self.test.check(done.code == 0, what, done.err)
        if self.expected is None:
            self.expected = text
        self.test.check(text == self.expected, what + ": another result", done.err)
        return done

    def bad(self, what, codes, *words, options=(), **more):
        done, text = self.run(what, *options, **more)
        self.test.check(done.code in codes, f"{what}: exit {done.code}, want {codes}", done.err)
        self.test.check(text.decode() == more.get("text", POD), what + ": nothing is written")
        for word in words:
            self.test.check(word in done.err, f"{what}: the message has '{word}'", done.err)
        print(f"  {what}: {(done.err.strip().splitlines() or ['(no message)'])[-1][:240]}")
        return done


def images(folder):
    """The files of a cache, by name."""
    top = os.path.join(folder, "contrast", "images")
    return sorted(os.path.join(root, f) for root, _, files in os.walk(top) for f in files)


def mirrors(test, site):
    """The hosts are asked nowhere else: their names do not lead anywhere here."""
    site.good("through mirrors, cold cache")
    site.good("through mirrors, warm cache")
    site.good("without a cache", "--no-cache")
    wrong = [o.replace("/docker.io", "/elsewhere") for o in test.mirrors()]
    site.bad("a mirror that lacks the image", (1, 2), "library/nginx", options=wrong,
             cache="cold1", mirrors=False)
    for value in ("docker.io", "=http://127.0.0.1", "docker.io=ftp://127.0.0.1/x", "docker.io="):
        site.bad(f"--registry-mirror '{value}'", (2,), "mirror",
                 options=("--registry-mirror", value), mirrors=False)


def pinned(test):
    """The files of POD with the digests that a first run writes."""
    text = POD
    for reference in re.findall(r"image: (\S+)", POD):
        text = text.replace(reference + "\n", f"{reference}@{test.stand_in(reference)}\n")
    return text


def offline(test, site, hub):
    site.bad("offline, cold cache", (1, 2), "offline", options=("--offline",), cache="cold2")
    site.bad("offline, without a cache", (2,), "cache", options=("--offline", "--no-cache"))
    site.good("once more with the network")
    hub.close()
    site.good("offline, warm cache", "--offline")
    shutil.copytree(test.path("cache"), test.path("carried"))
    site.good("offline, a cache carried over", "--offline", cache="carried")
    site.bad("offline, another tag", (1, 2), "nginx:1.28", options=("--offline",),
             text=POD.replace("nginx:1.27", "nginx:1.28"))


def damaged(test, site):
    """Each file of the cache in turn: cut, and with one bit changed. Nothing of it is believed."""
    whole = images(test.path("cache"))
    test.check(len(whole) >= 8, f"the cache has {len(whole)} files")
    for path in whole:
        data = stage.read(path)
        for how, bad in (("cut", data[:len(data) // 2]), ("empty", b""),
                         ("changed", bytes([data[len(data) // 2] ^ 1]).join(
                             [data[:len(data) // 2], data[len(data) // 2 + 1:]]))):
            stage.write(path, bad)
            done, text = site.run("damaged", "--offline")
            name = os.path.basename(path)
            test.check(done.code in (1, 2, 3) or text == site.expected,
                       f"cache file {name} {how}: another policy", done.err)
            test.check(done.code == 0 or "offline" in done.err,
                       f"cache file {name} {how}: the message says that it is missing", done.err)
            stage.write(path, data)
    site.good("offline, the cache mended", "--offline")


def no_folder(test, site):
    """Where the cache cannot be made: as a file stands in its place, even root cannot."""
    stage.write(test.path("afile"), "")
    site.bad("a cache that cannot be made", (1, 2), test.path("afile"), cache="afile")
    site.good("a cache that cannot be made, and is not wanted", "--no-cache", cache="afile")


def digests(test, site):
    """All names with digests and all layers known: nobody is asked."""
    text = pinned(test)
    done, after = site.run("digests, warm", text=text)
    test.check(done.code == 0, "digests, warm cache", done.err)
    missing = text.replace(test.stand_in("nginx:1.27"), "sha256:" + "3" * 64)
    site.bad("a digest that the registry does not have", (1, 2),
             "web.yaml:12:14: spec.containers[0].image", text=missing, cache="cold3")
    # The tag moves on: the digest in the file wins.
    moved = test.catalogue.image("docker.io", "library/nginx", "moved")
    oci.push(test.port, "docker.io/library/nginx", "1.27", moved)
    done, again = site.run("the tag moved", text=text, cache="cold4")
    test.check(done.code == 0 and again == after, "a tag that moved: the digest wins", done.err)


def main():
    with stage.Stage("air gap") as test:
        hub = test.hub()
        for reference in re.findall(r"image: (\S+)", POD):
            test.stand_in(reference)
        site = Site(test)
        mirrors(test, site)
        no_folder(test, site)
        digests(test, site)
        # The moved tag is put back.
        test.digests.clear()
        test.stand_in("nginx:1.27")
        offline(test, site, hub)
        damaged(test, site)
    return test.code()


if __name__ == "__main__":
    sys.exit(main())
