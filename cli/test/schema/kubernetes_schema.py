#!/usr/bin/env -S python3 -B
"""What we print for Kubernetes, judged by the API server's own code (main.go).

    kubernetes_schema.py CONTRAST FOLDER [-k NAME]

Builds the judge in FOLDER: Go takes the modules of go.mod, a few minutes the first time. Without Go,
or without the modules, the test is skipped; with CI=true it fails.

What the judge takes: `contrast coordinator` and `contrast runtime` with their options, and what
`contrast generate` makes of deployments/examples and of every file of testdata/k8s that the judge
takes as it is. Broken fields, one at a time, show that it can refuse.

SPDX-License-Identifier: Apache-2.0
"""
import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, "../../.."))
DATA = os.path.abspath(os.environ.get("CONTRAST_TESTDATA") or
                       os.path.join(ROOT, "../shared/testdata"))
GO_LEAST = (1, 22)
BUILD_SECONDS, RUN_SECONDS = 1500, 120
INTEGRITY = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
REFERENCES = [{
    "ProductName": "Milan", "TrustedMeasurement": "ab" * 48, "GuestPolicy": {"SMT": True},
    "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 0, "SNPVersion": 24,
                   "MicrocodeVersion": 219}}]
# (what is broken, replaced text, its replacement): of the Coordinator, then of the runtime
BROKEN = {
    "coordinator": [
        ("a field that nobody knows", "  podManagementPolicy:", "  podManagmentPolicy:"),
        ("a text for a number", "  replicas: 3", "  replicas: three"),
        ("a value outside of its list", "podManagementPolicy: Parallel",
         "podManagementPolicy: AtOnce"),
        ("labels that the selector does not find", "      app: coordinator\n  template:",
         "      app: other\n  template:"),
        ("a probe of a port without a name", "              port: user-api\n            periodSec",
         "              port: no_such!\n            periodSec"),
        ("a name of a port with 16 bytes", "- name: user-api\n              containerPort",
         "- name: user-api-is-long\n              containerPort"),
        ("no image", "          image: ghcr", "          args: [x] # ghcr"),
        ("a request above its limit", "requests: {cpu: 250m, memory: 512Mi}",
         "requests: {cpu: 250m, memory: 513Mi}"),
        ("a weight of 101", "weight: 100", "weight: 101"),
        ("a field twice", "  replicas: 3\n", "  replicas: 3\n  replicas: 3\n"),
        ("two limits of disruption", "  maxUnavailable: 1\n",
         "  maxUnavailable: 1\n  minAvailable: 1\n"),
        ("a protocol that there is not", "{protocol: UDP, port: 53}", "{protocol: DNS, port: 53}"),
    ],
    "runtime": [
        ("a handler with capitals", "\nhandler: contrast", "\nhandler: Contrast"),
        ("overhead that is no quantity", "    memory: 640Mi", "    memory: 640MiB"),
        ("a privileged container that may not escalate", "            privileged: true\n",
         "            privileged: true\n            allowPrivilegeEscalation: false\n"),
        ("a mount of no volume", "{name: config, mountPath", "{name: conf, mountPath"),
        ("a volume without its kind", "hostPath: {path: /, type: Directory}",
         "hostPath: {path: /, type: Folder}"),
        ("a label that is no text", "kubernetes.io/arch: amd64", "kubernetes.io/arch: true"),
        ("a data key with a slash", "  contrast-node-install.json:", "  a/install.json:"),
        ("no unavailable node", "maxUnavailable: 1", "maxUnavailable: 0"),
    ],
}
CONTRAST = JUDGE = ""


def leave(why):
    print("skipped: " + why)
    sys.exit(1 if os.environ.get("CI") == "true" else 77)


def run(*args, cwd=None, seconds=RUN_SECONDS):
    return subprocess.run(args, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=seconds)


def build(folder):
    """The judge's path."""
    if shutil.which("go") is None:
        leave("Go is not installed")
    version = re.match(r"go(\d+)\.(\d+)", run("go", "env", "GOVERSION").stdout)
    if version is None or tuple(map(int, version.groups())) < GO_LEAST:
        leave("Go is older than %d.%d" % GO_LEAST)
    done = run("go", "mod", "download", cwd=HERE, seconds=BUILD_SECONDS)
    if done.returncode != 0:
        leave("the modules are not to be had: " + done.stderr.strip()[-300:])
    judge = os.path.join(os.path.abspath(folder), "kubernetes-schema")
    done = run("go", "build", "-mod=readonly", "-o", judge, ".", cwd=HERE, seconds=BUILD_SECONDS)
    if done.returncode != 0:
        print(done.stderr[-2000:])
        sys.exit(1)
    return judge


def config(platform):
    """contrast-node-install.json for a platform."""
    clh = "-CLH-" in platform
    paths = ["bin/containerd-shim-contrast-cc-v2", "share/kata-containers.img"]
    paths += ["bin/cloud-hypervisor-snp", "share/kata-containers-igvm.img",
              "bin/tardev-snapshotter"] if clh else [
                  "bin/qemu-system-x86_64", "share/kata-kernel", "share/kata-initrd.zst",
                  "snp/share/OVMF.fd"]
    return json.dumps({"platform": platform, "files": [
        {"url": "file:///payload/" + path, "path": "@@runtimeBase@@/" + path,
         "integrity": INTEGRITY, "executable": path.startswith("bin/")} for path in paths]})


class Schema(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="contrast-schema-")
        self.addCleanup(shutil.rmtree, self.folder)

    def put(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def contrast(self, *args):
        done = run(CONTRAST, *args, cwd=self.folder)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def judge(self, *paths):
        return run(JUDGE, *paths, cwd=self.folder)

    def expect_taken(self, count, *paths):
        done = self.judge(*paths)
        self.assertIn(f"{count} taken, 0 refused", done.stdout)
        self.assertEqual(0, done.returncode)

    def runtime(self, platform, *args):
        return self.contrast("runtime", "--config", self.put("install.json", config(platform)),
                             *args)

    def test_the_coordinator(self):
        for i, args in enumerate(([], ["--replicas", "1"], ["--replicas", "5"], ["-n", "123"],
                                  ["-n", "shop", "--runtime-class", "true", "--image", "1:2"],
                                  ["--output", "json"])):
            with self.subTest(args):
                self.expect_taken(5, self.put(f"{i}.yaml", self.contrast("coordinator", *args)))

    def test_the_runtime(self):
        for platform in ("AKS-CLH-SNP", "Metal-CLH-SNP", "Metal-QEMU-SNP", "Metal-QEMU-SNP-GPU",
                         "K3s-QEMU-SNP", "K3s-QEMU-SNP-GPU", "RKE2-QEMU-SNP"):
            with self.subTest(platform):
                self.expect_taken(3, self.put("a.yaml", self.runtime(platform)))
                self.expect_taken(2, self.put("b.yaml", self.runtime(platform, "--uninstall")))
        self.expect_taken(3, self.put("c.yaml", self.runtime(
            "Metal-QEMU-SNP", "-n", "123", "--target-config", "target", "--node-selector",
            "example.com/snp=true", "--node-selector", "a=", "--output", "json")))

    def test_broken_fields_are_refused(self):
        texts = {"coordinator": self.contrast("coordinator"),
                 "runtime": self.runtime("Metal-QEMU-SNP")}
        for command, table in BROKEN.items():
            for what, old, new in table:
                with self.subTest(what):
                    self.assertIn(old, texts[command])
                    done = self.judge(self.put("a.yaml", texts[command].replace(old, new, 1)))
                    self.assertEqual(1, done.returncode, done.stdout)
                    self.assertIn("REFUSED", done.stdout)

    def generate(self, *names):
        return run(CONTRAST, "generate", "--skip-images", "--reference-values", "values.json",
                   "--cache", "cache", *names, cwd=self.folder)

    def test_what_generate_makes_of_the_examples(self):
        self.put("values.json", json.dumps(REFERENCES))
        names = []
        for path in sorted(glob.glob(os.path.join(ROOT, "deployments/examples/*.yaml"))):
            names.append(os.path.basename(path))
            shutil.copy(path, self.folder)
        self.put("runtime.yaml", self.runtime("Metal-QEMU-SNP"))
        done = self.generate(*names, "runtime.yaml")
        self.assertEqual(0, done.returncode, done.stderr)
        done = self.judge(*names, "runtime.yaml")
        self.assertEqual(0, done.returncode, done.stdout)

    def test_what_generate_makes_of_other_peoples_files(self):
        paths = sorted(path for path in glob.glob(os.path.join(DATA, "k8s/*/*"))
                       if path.endswith((".yaml", ".yml")))
        if not paths:
            self.assertNotEqual("true", os.environ.get("CI"), "testdata/k8s is missing")
            self.skipTest("testdata/k8s is missing")
        self.put("values.json", json.dumps(REFERENCES))
        self.put("coordinator.yaml", self.contrast("coordinator"))
        made = 0
        for path in paths:
            if self.judge(path).returncode != 0:
                continue  # an old API, or a kind that is not in the table
            with self.subTest(os.path.basename(path)):
                shutil.copy(path, os.path.join(self.folder, "pods.yaml"))
                done = self.generate("pods.yaml", "coordinator.yaml")
                if done.returncode == 2:
                    continue  # a field that a policy cannot cover: real_files.json has them
                self.assertEqual(0, done.returncode, done.stderr)
                done = self.judge("pods.yaml")
                self.assertEqual(0, done.returncode, done.stdout)
                made += 1
        print(f"{made} of {len(paths)} files")
        self.assertGreaterEqual(made, 20)


if __name__ == "__main__":
    CONTRAST = os.path.abspath(sys.argv[1])
    JUDGE = build(sys.argv[2])
    unittest.main(argv=sys.argv[:1] + sys.argv[3:], verbosity=2)
