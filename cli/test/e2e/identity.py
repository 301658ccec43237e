#!/usr/bin/env -S python3 -B
"""The same input gives the same policy, byte for byte.

    identity.py CONTRAST

Across other builds of the same sources (compilers, optimisation), locales, time zones, umasks,
folders, the order of files, the order of YAML keys, quoting and layout, and the state of the cache.
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import random
import re
import shutil
import subprocess
import sys

import builds
import stage

POD = {
    "apiVersion": "apps/v1", "kind": "Deployment",
    "metadata": {"name": "shop", "namespace": "prod", "labels": {"app": "shop", "tier": "web"}},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop", "tier": "web"}},
             "template": {
        "metadata": {"labels": {"app": "shop", "tier": "web", "größe": "große Straße"},
                     "annotations": {"example.com/a": "1", "example.com/b": "ı i I İ"}},
        "spec": {
            "runtimeClassName": "contrast-cc", "serviceAccountName": "shop",
            "securityContext": {"runAsUser": 999, "runAsGroup": 1000, "fsGroup": 2000,
                                "supplementalGroups": [5, 4, 3000]},
            "initContainers": [{"name": "wait", "image": "busybox:1.36",
                                "command": ["sh", "-c", "until nc -z db 5432; do true; done"]}],
            "containers": [
                {"name": "web", "image": "nginx:1.27", "args": ["-c", "$(CONF)", "grün"],
                 "env": [{"name": "CONF", "value": "/etc/shop.conf"}, {"name": "Z", "value": "26"},
                         {"name": "A", "value": "ä\tö \"ü\" \\ '"},
                         {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                         {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys",
                                                                        "key": "one"}}}],
                 "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "S_"}],
                 "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                 "livenessProbe": {"exec": {"command": ["wget", "-q", "localhost:8080"]},
                                   "periodSeconds": 5},
                 "securityContext": {"capabilities": {"drop": ["NET_RAW", "CHOWN", "KILL"],
                                                      "add": ["SYS_TIME", "NET_ADMIN"]},
                                     "allowPrivilegeEscalation": False,
                                     "readOnlyRootFilesystem": True},
                 "resources": {"limits": {"memory": "128Mi"},
                               "requests": {"cpu": "100m", "memory": "64Mi"}},
                 "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"},
                                  {"name": "conf", "mountPath": "/etc/shop", "readOnly": True}]},
                {"name": "cache", "image": "redis:7.2", "tty": True}],
            "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory"}},
                        {"name": "conf", "configMap": {"name": "settings"}}]}}}}
DATA = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings",
                                                              "namespace": "prod"},
         "data": {"LEVEL": "info", "B": "2", "C": "größer", "A": "1"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "prod"},
         "data": {"one": "b25l", "two": "dHdv"}}]


# --- YAML in many ways

class Writer:
    """Block YAML of an object; the source of chance decides order, quotes and indentation."""

    def __init__(self, chance=None):
        self.chance = chance

    def pick(self, choices):
        return self.chance.choice(choices) if self.chance else choices[0]

    def keys(self, value):
        keys = list(value)
        if self.chance:
            self.chance.shuffle(keys)
        return keys

    def scalar(self, value):
        text = json.dumps(value, ensure_ascii=self.pick([False, True]))
        if not isinstance(value, str):
            return text
        choices = [text]
        if not re.search(r"[\t\"\\\n]", value):
            choices.append("'" + value.replace("'", "''") + "'")
        if re.fullmatch(r"[A-Za-z][A-Za-z./ü-]+", value):
            choices.append(value)
        return self.pick(choices)

    def lines(self, value, indent):
        """Lines of a value that has to start on a line of its own."""
        if isinstance(value, dict):
            for key in self.keys(value):
                yield from self.pair(key, value[key], indent)
        else:
            for item in value:
                inner = list(self.lines(item, indent + 2)) if isinstance(item, dict) else \
                    [" " * (indent + 2) + self.scalar(item)]
                yield " " * indent + "- " + inner[0][indent + 2:]
                yield from inner[1:]

    def pair(self, key, value, indent):
        head = " " * indent + self.pick([key, json.dumps(key, ensure_ascii=False)]) + ":"
        if isinstance(value, (dict, list)) and value:
            if self.chance and self.chance.random() < 0.15:
                yield head + " " + self.flow(value)
                return
            yield head + self.pick(["", "  # a comment"])
            deeper = indent + self.pick([2, 4]) if isinstance(value, dict) else \
                indent + self.pick([2, 0])
            yield from self.lines(value, deeper)
        else:
            yield head + " " + self.scalar(value)

    def flow(self, value):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {self.flow(value[k])}"
                                   for k in self.keys(value)) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self.flow, value)) + "]"
        return json.dumps(value)

    def document(self, value):
        return "\n".join(self.lines(value, 0)) + "\n"


# --- The runs

class Runs:
    def __init__(self, test):
        self.test, self.count, self.expected = test, 0, None

    def run(self, what, files, *options, order=None, **more):
        """Each way gives the policy hash of the first, and the same manifest but for order."""
        self.count += 1
        work = self.test.workspace(more.pop("name", f"{self.count}"), files)
        names = order or [*files, "coordinator.yaml"]
        done = self.test.generate(work, "--output", "json", *options, *names, **more)
        if not self.test.check(done.code == 0, what, done.err):
            return None
        hashes = {f"{p['kind']}/{p['name']}": p["hash"] for p in done.json()["policies"]}
        manifest = stage.read(os.path.join(work, "manifest.json"))
        if self.expected is None:
            self.expected = hashes, manifest
            print("  " + json.dumps(hashes))
        self.test.check(hashes == self.expected[0], f"{what}: another policy", hashes)
        self.test.check(manifest == self.expected[1], f"{what}: another manifest", manifest)
        return {n: stage.read(os.path.join(work, n)) for n in files}


def layouts(runs, base):
    for seed in range(24):
        chance = random.Random(seed)
        parts = [Writer(chance).document(d) for d in DATA + [POD]]
        chance.shuffle(parts)
        runs.run(f"layout {seed}", {"pod.yaml": "---\n".join(parts)})
    runs.run("JSON", {"pod.json.yaml": json.dumps(POD, indent=2), "data.yaml": base["data.yaml"]})
    runs.run("a list", {"list.yaml": Writer().document(
        {"apiVersion": "v1", "kind": "List", "items": DATA + [POD]})})
    runs.run("CRLF", {n: t.replace("\n", "\r\n") for n, t in base.items()})


def surroundings(test, runs, base, first):
    locales = subprocess.run(["locale", "-a"], capture_output=True, text=True, check=False).stdout
    chosen = [x for x in locales.split() if re.match(r"(C\.|POSIX|de_|tr_|ar_|en_US|ja_)", x)]
    for value in chosen + ["xx_XX.UTF-8"]:
        got = runs.run("locale " + value, base, env={"LC_ALL": value, "LANG": value})
        test.check(got == first, f"locale {value}: another text")
    print("  locales: " + " ".join(chosen))
    for value in ("Pacific/Kiritimati", "America/St_Johns"):
        test.check(runs.run("zone " + value, base, env={"TZ": value}) == first, "zone " + value)
    previous = os.umask(0o077)
    test.check(runs.run("umask 077", base) == first, "umask 077: another text")
    os.umask(previous)
    runs.run("a folder with spaces", base, name="a folder with spaces/ü")
    runs.run("other order of files", base, order=["coordinator.yaml", *reversed(base)])
    runs.run("the folder itself", base, order=["."])


def caches(test, runs, base, first):
    shutil.rmtree(test.path("cache"))
    test.check(runs.run("cold cache", base) == first, "cold cache: another text")
    test.check(runs.run("warm cache", base) == first, "warm cache: another text")
    test.check(runs.run("no cache", base, "--no-cache") == first, "no cache: another text")
    test.check(runs.run("offline", base, "--offline") == first, "offline: another text")


def main():
    with stage.Stage("identity") as test:
        test.hub()
        for name in ("busybox:1.36", "nginx:1.27", "redis:7.2"):
            test.stand_in(name)
        runs = Runs(test)
        base = {"data.yaml": "---\n".join(map(Writer().document, DATA)),
                "pod.yaml": Writer().document(POD)}
        first = runs.run("the first", base)
        layouts(runs, base)
        surroundings(test, runs, base, first)
        caches(test, runs, base, first)
        names = []
        for name, path in builds.others(test.program):
            names.append(name)
            test.check(runs.run(f"build {name}", base, program=path) == first,
                       f"build {name}: another text")
        print("  builds: " + (" ".join(names) or "no other beside this one"))
    return test.code()


if __name__ == "__main__":
    sys.exit(main())
