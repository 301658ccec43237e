#!/usr/bin/env -S python3 -B
"""Comments, order, quotes, anchors and line ends stay: before and after, side by side.

    layouts.py CONTRAST [FILE...]      the files of data/layouts, or others; prints differences

Each file is edited by one run, and no byte of it is lost or moved (edits.py). A second run changes
nothing; a run with other settings and back again gives the same bytes. A file whose first line is
"# refused: TEXT" must be refused with this text and stay as it is. The same text with CRLF, with a
byte order mark and without its last newline is tried, too. SPDX-License-Identifier: Apache-2.0
"""
import os
import sys

import edits
import stage

BOM = b"\xef\xbb\xbf"
FLOW = (".json.yaml", "flow.yaml")


class Layout:
    def __init__(self, test, path, label, change):
        self.test, self.label = test, label
        self.name = os.path.basename(path)
        self.is_flow = path.endswith(FLOW)
        text = test.stand_in_all(stage.read(path).decode()).encode()
        first = text.partition(b"\n")[0].decode().strip()
        self.refusal = first[11:] if first.startswith("# refused: ") else None
        self.before = change(text)
        self.work = test.workspace(f"{self.name}-{label}", {self.name: self.before})

    def check(self, good, what, detail=""):
        return self.test.check(good, f"{self.name}, {self.label}: {what}", detail)

    def run(self, *options):
        done = self.test.generate(self.work, *options, self.name, "coordinator.yaml")
        return done, stage.read(os.path.join(self.work, self.name))

    def judge(self):
        done, after = self.run()
        if self.refusal is not None:
            self.check(done.code == 2 and self.refusal in done.err, "is refused", done.err)
            self.check(after == self.before, "refused, and changed")
            return after
        if not self.check(done.code == 0, "is edited", done.err):
            return after
        self.check(after != self.before, "nothing was done")
        for fault in edits.faults(self.before, after, self.is_flow):
            self.check(False, fault, "\n".join(edits.diff(self.before, after, self.name)))
        for stray in () if self.is_flow else edits.strays(self.before, after):
            self.check(False, stray, "\n".join(edits.diff(self.before, after, self.name)))
        self.check(edits.meaning(self.before) == edits.meaning(after), "means something else",
                   "\n".join(edits.diff(self.before, after, self.name)))
        done, again = self.run()
        self.check(done.code == 0 and again == after, "the second run", done.err)
        self.elsewhere(after)
        return after

    def elsewhere(self, after):
        """Values of ours are replaced where they stand."""
        done, other = self.run("--coordinator-host", "elsewhere.example.com")
        self.check(done.code == 0 and b"elsewhere" in other, "with another host", done.err)
        for fault in edits.faults(self.before, other, self.is_flow):
            self.check(False, "with another host: " + fault)
        done, back = self.run()
        self.check(done.code == 0 and back == after, "there and back again",
                   "\n".join(edits.diff(after, back, self.name)))


ANNOTATED = """\
# A pod, with and without a line of its own
apiVersion: v1
kind: Pod
metadata:
  name: annotated
  annotations:
    example.com/first: "1"
    # the line goes below
    example.com/last: "2"
spec:
  runtimeClassName: contrast-cc
  initContainers:
    - {name: prepare, image: "busybox:1.36", command: [sh, -c, date]}
  # the one container
  containers:
    - name: web   # serves
      image: nginx:1.27
"""
LINES = ('servicemesh-ingress: "web#8080#false"',
         'servicemesh-egress: "db#127.137.0.1:5432#db:5432"',
         'renew-certificates: "true"', 'skip-initializer: "true"')


def there_and_back(test):
    """What an annotation brings goes with it, to the last byte, and comes as if it had been there.
    """
    mark = "    # the line goes below\n"
    test.stand_in_all(ANNOTATED)

    def run(name, text):
        work = test.workspace(name, {"pod.yaml": text})
        done = test.generate(work, "pod.yaml", "coordinator.yaml")
        test.check(done.code == 0, name, done.err)
        return stage.read(os.path.join(work, "pod.yaml")).decode()
    without = run("annotated, without", ANNOTATED)
    for i, annotation in enumerate(LINES):
        line = f"{mark}    contrast.edgeless.systems/{annotation}\n"
        first = run(f"annotated {i}, first", ANNOTATED.replace(mark, line))
        test.check(first != without, f"{annotation}: it does something")
        test.check(edits.meaning(first.encode()) ==
                   edits.meaning(ANNOTATED.replace(mark, line).encode()), f"{annotation}: meaning")
        test.check(run(f"annotated {i}, gone", first.replace(line, mark)) == without,
                   f"{annotation}: what it brought goes with it")
        test.check(run(f"annotated {i}, later", without.replace(mark, line)) == first,
                   f"{annotation}: it comes later")


CHANGES = {
    "as it is": lambda text: text,
    "CRLF": lambda text: text.replace(b"\n", b"\r\n"),
    "byte order mark": lambda text: BOM + text,
    "no newline at the end": lambda text: text.rstrip(b"\n"),
}


def main():
    folder = os.path.join(stage.HERE, "data", "layouts")
    with stage.Stage("layouts") as test:
        test.hub()
        paths = test.arguments or sorted(os.path.join(folder, f) for f in os.listdir(folder))
        there_and_back(test)
        for path in paths:
            for label, change in CHANGES.items():
                layout = Layout(test, path, label, change)
                after = layout.judge()
                if label == "as it is" and after != layout.before:
                    print("\n".join(edits.diff(layout.before, after, layout.name)))
    return test.code()


if __name__ == "__main__":
    sys.exit(main())
