#!/usr/bin/env -S python3 -B
"""Rendered charts through `contrast generate -`.

    pipe.py CONTRAST

What helm and kustomize print goes in at standard input and comes out at standard output, edited;
the report goes to standard error. SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import sys

import edits
import stage

CHART = {"chart.yaml": 4, "kustomize.yaml": 1}


def chart(test, name):
    return test.stand_in_all(stage.read(os.path.join(stage.HERE, "data", name)).decode()).encode()


def through(test, name, pods):
    before = chart(test, name)
    work = test.workspace(name)
    done = test.generate(work, "-", "coordinator.yaml", data=before)
    if not test.check(done.code == 0, name + ": a rendered chart", done.err):
        return
    for fault in edits.faults(before, done.out):
        test.check(False, f"{name}: {fault}")
    test.check(edits.meaning(before) == edits.meaning(done.out), name + ": means something else")
    test.check(done.out.count(b"io.katacontainers.config.agent.policy") == pods,
               f"{name}: {pods} pods are ours", done.err)
    test.check(done.err.count("\n") > 0 and "manifest.json" in done.err,
               name + ": the report is on standard error", done.err)
    test.check(os.path.exists(os.path.join(work, "manifest.json")), name + ": the manifest")
    print("\n".join(edits.diff(before, done.out, name)[:40]))
    again = test.generate(work, "-", "coordinator.yaml", data=done.out)
    test.check(again.code == 0 and again.out == done.out, name + ": a second time", again.err)
    # The same into files: the same bytes, wherever they come from.
    stage.write(os.path.join(work, name), before)
    file = test.generate(work, name, "coordinator.yaml")
    test.check(file.code == 0 and stage.read(os.path.join(work, name)) == done.out,
               name + ": as a file", file.err)


def into_file(test):
    """With --output-file, standard output has the report; as JSON, too."""
    before = chart(test, "kustomize.yaml")
    work = test.workspace("into_file")
    coordinator = stage.read(os.path.join(work, "coordinator.yaml"))
    done = test.generate(work, "--output", "json", "-o", "all.yaml", "-", "coordinator.yaml",
                         data=before)
    if not test.check(done.code == 0, "--output-file with -", done.err):
        return
    test.check(len(done.json()["policies"]) == 2, "JSON alone on standard output", done.text())
    test.check(stage.read(os.path.join(work, "coordinator.yaml")) == coordinator,
               "--output-file leaves inputs alone")
    text = stage.read(os.path.join(work, "all.yaml"))
    test.check(b"name: prod-frontend" in text and b"name: coordinator" in text,
               "everything is in the output file")
    whole = before + b"---\n" + coordinator
    test.check(edits.meaning(text) == edits.meaning(whole), "the output file means the same")


def refused(test):
    """No YAML on standard output, and nothing is written."""
    work = test.workspace("refused")
    listing = sorted(os.listdir(work))
    before = chart(test, "kustomize.yaml")
    for name, arguments, data, code, text in (
            ("JSON and YAML on one stream", ("--output", "json", "-"), before, 2, "--output-file"),
            ("an empty stream", ("-",), b"", 2, "nothing came in"),
            ("a text that is no YAML", ("-",), b"a: [\n", 2, "(stdin):2:"),
            ("the stream named twice", ("-", "-"), before, 2, "only once"),
            ("an error in the stream", ("-",), before.replace(b"- envFrom:", b"- envFrm:"), 2,
             "envFrm")):
        done = test.generate(work, *arguments, "coordinator.yaml", data=data)
        test.check(done.code == code and b"kind: " not in done.out,
                   f"{name}: exit {done.code}, {len(done.out)} bytes on standard output", done.err)
        test.check(text in done.err, f"{name}: the message has '{text}'", done.err)
        test.check(sorted(os.listdir(work)) == listing, name + ": nothing is written")
    done = test.generate(work, "-", "coordinator.yaml", data=before, out_path="/dev/full")
    test.check(done.code == 1 and "No space left" in done.err, "a full disk behind the pipe",
               done.err)
    test.check(sorted(os.listdir(work)) == listing and
               stage.read(os.path.join(work, "coordinator.yaml")).decode() == stage.COORDINATOR,
               "a full disk behind the pipe: nothing is written")


def progress(test):
    """JSON lines on standard error where it is no terminal; each layer ends as done or cached."""
    work = test.workspace("progress")
    done = test.generate(work, "--no-cache", "-", "coordinator.yaml", progress="auto",
                         data=chart(test, "kustomize.yaml"))
    lines = [json.loads(x) for x in done.err.splitlines() if x.startswith("{")]
    layers = {(x["image"], x["layer"]): x["state"] for x in lines if x["event"] == "layer"}
    test.check(done.code == 0 and len(layers) >= 4, "progress of each layer", done.err)
    test.check(set(layers.values()) <= {"done", "cached"}, "each layer comes to an end", layers)


def main():
    with stage.Stage("pipe") as test:
        test.hub()
        for name, pods in CHART.items():
            through(test, name, pods)
        into_file(test)
        refused(test)
        progress(test)
    return test.code()


if __name__ == "__main__":
    sys.exit(main())
