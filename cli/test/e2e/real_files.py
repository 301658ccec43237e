#!/usr/bin/env -S python3 -B
"""Every YAML of testdata/k8s, with its runtime class set, through `contrast generate`.

    real_files.py CONTRAST                 against real_files.json; exit 1 where it differs
    real_files.py CONTRAST --write         writes real_files.json anew: read the difference
    real_files.py CONTRAST --folder DIR    a table for other people's files; exit 1 for a fault

Nobody wrote these files for us. The outcome of each is a policy for every pod, or one refusal with
line, column and field. Every line of the file comes out again, in its order and byte for byte; what
is added is ours by its looks. A second run changes nothing, and a refusal leaves all files as they
were. The agent's engine takes each policy, where its program was built.
SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import re
import sys

import edits
import stage

EXPECTED = os.path.join(stage.HERE, "real_files.json")
PODS = re.compile(r"^([ ]*(?:- )?)containers:[ \t]*(#[^\n]*?)?(\r?\n)", re.M)
REFUSAL = re.compile(r"^contrast generate: (?P<file>[^\n:]+):(?P<line>\d+):(?P<column>\d+): "
                     r"(?:(?P<path>(?:metadata|spec|items\[\d+\])[^\s:]*): )?(?P<why>.+)", re.M)
KINDS = ("Pod", "Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet",
         "Job", "CronJob")
PASSED = ("ConfigMap", "Secret", "CustomResourceDefinition")  # texts and schemas, not pods
KEY = "io.katacontainers.config.agent.policy"


# No pod's own: what a policy answers when the agent's engine takes it at all.
QUESTIONS = json.dumps([
    {"kind": "GuestDetailsRequest", "request": {}, "allowed": True},
    {"kind": "SetPolicyRequest", "request": {"policy": "x"}, "allowed": False},
    {"kind": "CreateContainerRequest", "request": {}, "allowed": False}])


def with_class(text):
    """A line before each `containers:`, with the line's own end; (text, how many pods)."""
    pods = len(PODS.findall(text))
    if "runtimeClassName:" in text:
        return text, pods

    def insert(found):
        head = found[1].replace("- ", "  ")
        return f"{found[1]}runtimeClassName: contrast-cc{found[3]}{head}{found[0][len(found[1]):]}"
    return PODS.sub(insert, text), pods


def count_pods(text):
    """(pods of the kinds that Kubernetes has, other objects with containers in them); None without
    PyYAML, and for what is no YAML."""
    try:
        import yaml
        documents = list(yaml.safe_load_all(text))
    except Exception:  # whatever PyYAML does not take: the product's own refusal is judged
        return None
    known = strange = 0
    for document in documents:
        items = document.get("items") if isinstance(document, dict) else None
        for item in items if isinstance(items, list) else [document]:
            kind = item.get("kind") if isinstance(item, dict) else None
            if "containers:" in yaml.safe_dump(item):
                known += kind in KINDS
                strange += isinstance(item, dict) and kind not in KINDS + PASSED
    return known, strange


def collect(folder):
    for root, _, files in sorted(os.walk(folder)):
        for name in sorted(files):
            if name.endswith((".yaml", ".yml", ".json")):
                path = os.path.join(root, name)
                yield os.path.relpath(path, folder), path


class Case:
    def __init__(self, test, name, path):
        self.test, self.name = test, name
        text = stage.read(path).decode("utf-8", "surrogateescape")
        text, self.pods = with_class(text)
        self.strange = 0
        counted = count_pods(text)
        if counted is not None:
            self.pods, self.strange = counted
        self.text = test.stand_in_all(text).encode("utf-8", "surrogateescape")
        self.file = os.path.basename(name)
        self.work = test.workspace(re.sub(r"[^A-Za-z0-9]", "_", name), {self.file: self.text})
        self.coordinator = stage.read(os.path.join(self.work, "coordinator.yaml"))

    def check(self, good, what, detail=""):
        self.test.check(good, f"{self.name}: {what}", detail)

    def now(self, file):
        return stage.read(os.path.join(self.work, file))

    def run(self):
        return self.test.generate(self.work, "--output", "json", self.file, "coordinator.yaml")

    def outcome(self):
        """A list of pods with policies, or the field that was refused; and a text for people."""
        done = self.run()
        return self.accepted(done) if done.code == 0 else self.refused(done)

    def accepted(self, done):
        made = [f"{p['kind']}/{p['name']}" for p in done.json()["policies"]
                if p["file"] == self.file]
        self.check(len(made) == self.pods, f"{self.pods} pods, {len(made)} policies", done.err)
        self.check(self.strange == 0 or "stays as it is" in done.err,
                   "pods of a kind that nobody knows, and not a word", done.err)
        after = self.now(self.file)
        if self.pods == 0:
            self.check(after == self.text, "no pod, and changed")
            return [], "no pod in it"
        self.check(after.count(KEY.encode()) == self.pods, "a pod without an annotation")
        for fault in edits.faults(self.text, after):
            self.check(False, fault)
        for stray in edits.strays(self.text, after):
            self.check(False, stray, "\n".join(edits.diff(self.text, after, self.file)))
        self.check(edits.meaning(self.text) == edits.meaning(after), "means something else now")
        self.ask(made)
        files = {f: self.now(f) for f in os.listdir(self.work)}
        again = self.run()
        self.check(again.code == 0, "the second run", again.err)
        self.check({f: self.now(f) for f in os.listdir(self.work)} == files,
                   "the second run changes something")
        hashes = [p["hash"] for p in done.json()["policies"] if p["file"] == self.file]
        return made, ", ".join(f"{n} {h[:12]}" for n, h in zip(made, hashes))

    def ask(self, made):
        """Each policy is taken by the agent's engine, and evaluates without an error."""
        stage.write(self.test.path("questions.json"), QUESTIONS)
        for name in made if self.test.has_judge() else []:
            done = self.test.contrast("policy", "check", "--policy", self.file, "--pod", name,
                                      "--requests", self.test.path("questions.json"),
                                      cwd=self.work)
            self.check(done.code == 0 and "error" not in done.text(), f"{name}: the engine",
                       done.text() + done.err)

    def refused(self, done):
        self.check(done.code == 2, f"exit {done.code} for a refusal", done.err)
        self.check(self.now(self.file) == self.text and
                   self.now("coordinator.yaml") == self.coordinator, "refused, and changed")
        self.check(sorted(os.listdir(self.work)) == sorted([self.file, "coordinator.yaml"]),
                   "refused, and something was written", os.listdir(self.work))
        found = REFUSAL.search(done.err)
        self.check(found is not None, "a refusal without line, column and reason", done.err)
        if found is None:
            return "?", done.err.strip().splitlines()[-1]
        self.check(found["file"] == self.file, "the refusal names another file", found[0])
        return found["path"] or "not YAML", f"{found['line']}:{found['column']}: {found['why']}"


def show(name, outcome, text):
    if isinstance(outcome, list):
        print(f"  {name}: policy: {text}")
    else:
        print(f"  {name}: refused: {outcome}: {text}")


def main():
    options = sys.argv[2:]
    folder = os.path.join(stage.DATA, "k8s")
    foreign = options[:1] == ["--folder"]
    if foreign:
        folder = os.path.abspath(options[1])
    with stage.Stage("real files", data=None if foreign else "k8s") as test:
        test.hub()
        outcomes = {}
        for name, path in collect(folder):
            case = Case(test, name, path)
            outcomes[name], text = case.outcome()
            show(name, outcomes[name], text)
        if options == ["--write"]:
            stage.write(EXPECTED, json.dumps(outcomes, indent=1, sort_keys=True) + "\n")
        elif not foreign:
            compare(test, outcomes)
        policies = sum(isinstance(o, list) for o in outcomes.values())
        print(f"real files: {len(outcomes)} files: {policies} get policies, "
              f"{len(outcomes) - policies} are refused")
    return test.code()


def compare(test, outcomes):
    expected = json.loads(stage.read(EXPECTED))
    for name in sorted(set(expected) | set(outcomes)):
        test.check(outcomes.get(name) == expected.get(name), f"{name}: {outcomes.get(name)}, and "
                   f"real_files.json says {expected.get(name)}")


if __name__ == "__main__":
    sys.exit(main())
