#!/usr/bin/env -S python3 -B
"""testdata/genpolicy end to end: pods through `contrast generate`, images from a registry, requests
through `contrast policy check`, which asks the agent's engine.

    genpolicy.py CONTRAST [FOLDER...]      names of folders, to see why a request is judged so

Each verdict must be the expected one, in both profiles; what must be denied must also be denied
without --partial. The registry has images of the configs in images.json, so their digests are
others than those in the data: they are replaced in pods and requests alike, and a tag that gets a
digest gets it in the requests, too, as containerd would see it. SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import re
import subprocess
import sys

import stage

CASES = os.path.join(stage.DATA, "genpolicy")
PROFILE = "contrast.edgeless.systems/policy-profile: initdata"
OLD_POLICY = re.compile(r"^ *io\.katacontainers\.config\.[\w.]+: .*\n", re.M)


def folders():
    for root, _, files in sorted(os.walk(CASES)):
        if "testcases.json" in files:
            yield os.path.relpath(root, CASES), root


def load_images(test, references):
    """The catalogue answers with the entry of images.json that a reference ends in the name of."""
    table = json.loads(stage.read(os.path.join(CASES, "images.json")))
    for reference in references:
        host, name, _ = stage.split_reference(reference)
        for key, entry in table.items():
            if f"{host}/{name}".endswith(key.partition(":")[0]):
                test.catalogue.known[f"{host}/{name}"] = {
                    "config": entry["config"], "files": (entry["passwd"], entry["group"])}


def with_profile(text):
    """The pod (or its template) with the annotation of the initdata profile."""
    metadata = list(re.finditer(r"^( *)metadata:\n", text, re.M))[-1]
    inner = metadata[1] + "  "
    head, tail = text[:metadata.end()], text[metadata.end():]
    annotations = re.match(rf"((?:{inner}.*\n)*?){inner}annotations:\n", tail)
    if annotations:
        at = annotations.end()
        return head + tail[:at] + f"{inner}  {PROFILE}\n" + tail[at:]
    return head + f"{inner}annotations:\n{inner}  {PROFILE}\n" + tail


class Folder:
    def __init__(self, test, name, path):
        self.test, self.name = test, name
        text = stage.read(os.path.join(path, "pod.yaml")).decode()
        self.pod = re.sub(r"runtimeClassName: .*", "runtimeClassName: contrast-cc", text)
        self.requests = stage.read(os.path.join(path, "testcases.json")).decode()
        self.others = {f: stage.read(os.path.join(path, f)) for f in os.listdir(path)
                       if f.endswith(".yaml") and f != "pod.yaml"}
        references = stage.image_names(self.pod)
        load_images(test, references)
        for reference in references:
            digest = test.stand_in(reference)
            bare, at, old = reference.partition("@")
            self.pod = self.pod.replace(reference, f"{bare}{at}{digest if at else ''}")
            if at:
                self.requests = self.requests.replace(old, digest)
            else:
                # Also where JSON stands in a text of JSON.
                self.requests = re.sub(re.escape(bare) + r'(?=\\?")', f"{bare}@{digest}",
                                       self.requests)

    def generate(self, label, text):
        work = self.test.workspace(f"{self.name}-{label}".replace("/", "_"),
                                   {"pod.yaml": text, "cases.json": self.requests, **self.others})
        names = ["pod.yaml", "coordinator.yaml", *self.others]
        if OLD_POLICY.search(text):
            done = self.test.generate(work, *names)
            self.test.check(done.code == 2 and "--force" in done.err,
                            f"{self.name}: a policy of others is there", done.err)
            done = self.test.generate(work, "--force", *names)
        else:
            done = self.test.generate(work, *names)
        self.test.check(done.code == 0, f"{self.name}, {label}: a policy", done.err)
        return work if done.code == 0 else None

    def ask(self, work, *options):
        done = self.test.contrast("policy", "check", "--output", "json", "--policy", "pod.yaml",
                                  "--requests", "cases.json", *options, cwd=work)
        if not self.test.check(done.code in (0, 3), f"{self.name}: asked", done.err):
            return []
        return done.json()["cases"]

    def judge(self, label, text):
        work = self.generate(label, text)
        if work is None:
            return
        right = 0
        asked = json.loads(self.requests)
        loose, strict = self.ask(work, "--partial"), self.ask(work)
        self.test.check(len(loose) == len(strict) == len(asked), f"{self.name}: all were asked")
        for request, case, sharp in zip(asked, loose, strict):
            good = case["allowed"] == request["allowed"] == case["expected"]
            right += good
            self.test.check(good, f"{self.name}, {label}: {case['description']}: allowed is "
                            f"{case['allowed']}", case.get("why"))
            self.test.check(request["allowed"] or not sharp["allowed"],
                            f"{self.name}, {label}: {case['description']}: allowed when strict")
        whole = sum(s["allowed"] for s, c in zip(strict, asked) if c["allowed"])
        print(f"  {self.name:48} {label:10} {right:2} of {len(asked):2} right; strict: {whole} of "
              f"{sum(c['allowed'] for c in asked)} allowed")


def main():
    with stage.Stage("genpolicy", data="genpolicy") as test:
        if not test.has_judge():
            stage.leave("genpolicy: no contrast-policy-judge beside contrast; it needs cargo "
                        "(https://rustup.rs)")
        test.hub()
        for name, path in folders():
            if test.arguments and name not in test.arguments:
                continue
            folder = Folder(test, name, path)
            folder.judge("annotation", folder.pod)
            folder.judge("initdata", with_profile(OLD_POLICY.sub("", folder.pod)))
    return test.code()


if __name__ == "__main__":
    sys.exit(main())
