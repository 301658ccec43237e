#!/usr/bin/env -S python3 -B
"""Images that umoci and skopeo made, in every coding, from a registry without a mirror.

    codings.py CONTRAST

gzip, zstd and plain layers, Docker's schema 2 and an index of two architectures. What the policy
says of each is compared with what others say: the digest with `skopeo inspect`, names of layers by
containerd's rule over the config's diff_ids, root hashes with `contrast layer hash` (which tests
of its own compare with veritysetup) of what skopeo copied, the process with the config.
SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import os
import re
import sys

import oci
import stage

sys.path.append(os.path.join(stage.ROOT, "cli", "registry", "test"))
import real_registry  # noqa: E402

NAMES = ("gzip", "zstd", "docker", "plain", "index")
POLICY = re.compile(rb"io\.katacontainers\.config\.agent\.policy: (\S+)")


def pod(host):
    text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: codings\nspec:\n"
    text += "  runtimeClassName: contrast-cc\n  containers:\n"
    return text + "".join(f"  - name: {n}\n    image: {host}/t/{n}:1\n" for n in NAMES)


def containers_of(text):
    """The policy's containers by name."""
    rego = base64.b64decode(POLICY.search(text)[1]).decode()
    data = json.JSONDecoder().raw_decode(rego[rego.index("policy_data := ") + 15:])[0]
    return {c.get("name"): c for c in data["containers"]}


def layers_of(test, maker, name):
    """[{id, root}], bottom first, of what skopeo copies out of the registry."""
    folder = test.path("copy-" + name)
    maker.run("skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
              "--override-arch", "amd64", maker.url(name), "dir:" + folder)

    def part(descriptor):
        return os.path.join(folder, descriptor["digest"].split(":")[1])
    manifest = json.loads(stage.read(os.path.join(folder, "manifest.json")))
    diff_ids = json.loads(stage.read(part(manifest["config"])))["rootfs"]["diff_ids"]
    layers, chain = [], ""
    for layer, diff in zip(manifest["layers"], diff_ids):
        chain = diff if not chain else oci.digest_of(f"{chain} {diff}".encode())
        done = test.contrast("layer", "hash", "--output", "json", part(layer))
        test.check(done.code == 0 and done.json()["diff_id"] in diff, f"{name}: a layer", done.err)
        layers.append({"id": oci.digest_of(chain.encode()).split(":")[1],
                       "root": done.json()["root_hash"]})
    return layers


def judge(test, maker, name, container, text):
    digest = stage.read(maker.path(name + ".digest")).decode()
    pinned = f"127.0.0.1:{maker.port}/t/{name}:1@{digest}"
    test.check(pinned.encode() in text, f"{name}: pinned to {digest}", text)
    test.check(pinned in container["images"], f"{name}: the image's name", container["images"])
    layers, expected = container["layers"], layers_of(test, maker, name)
    test.check(layers == expected[::-1] and len(layers) >= 2, f"{name}: layers, top first",
               f"{layers}\n{expected}")
    test.check(container["args"][0] == f"/opt/{name if name != 'index' else 'indexamd64'}1" and
               container["uid"] == 1000, f"{name}: the process", json.dumps(container))
    print(f"  {name}: {digest[:19]}, {len(layers)} layers")


def main():
    with stage.Stage("codings", need=real_registry.TOOLS + ("openssl",)) as test:
        folder = test.path("maker")
        os.mkdir(folder)
        maker = real_registry.Maker(folder)
        child = maker.serve()
        test.open.callback(lambda: (child.terminate(), child.wait(timeout=stage.RUN_SECONDS)))
        maker.all()
        test.port = maker.port
        host = f"127.0.0.1:{maker.port}"
        work = test.workspace("pods", {"pod.yaml": pod(host)})
        plain = test.generate(work, "pod.yaml", "coordinator.yaml")
        test.check(plain.code != 0 and "does not speak TLS" in plain.err,
                   "a registry without TLS is not spoken to unasked", plain.err)
        done = test.generate(work, "--insecure-registry", host, "pod.yaml", "coordinator.yaml")
        if test.check(done.code == 0, "a policy", done.err):
            text = stage.read(os.path.join(work, "pod.yaml"))
            containers = containers_of(text)
            for name in NAMES:
                judge(test, maker, name, containers[name], text)
            test.check("layers" not in containers[""], "no sandbox of layers unasked", containers[""])
        done = test.generate(work, "--insecure-registry", host, "--pause-image", f"{host}/t/gzip:1",
                             "pod.yaml", "coordinator.yaml")
        if test.check(done.code == 0, "a policy with a pause image", done.err):
            sandbox = containers_of(stage.read(os.path.join(work, "pod.yaml")))[""]
            test.check(sandbox.get("layers") == layers_of(test, maker, "gzip")[::-1],
                       "the sandbox has the pause image's layers", json.dumps(sandbox))
    return test.code()


if __name__ == "__main__":
    sys.exit(main())
