"""The installer, ended or failing at every change of a file, and run again.

test_installer_kill.py INSTALLER FAULT_PRELOAD.so [--every]

  kill    SIGKILL before the N-th change; the next run ends with the bytes of an undisturbed one
  torn    the same in the middle of the N-th write
  fail    the N-th change fails, or it and all that follow (no space, I/O error, read-only): said
          with a path, or harmless; the next run ends with the bytes of an undisturbed one
  other   after a kill another version is installed, or the killed one uninstalled: nothing of the
          killed one is left

Install and upgrade, removal and garbage collection, containerd 1.x (in place) and 2.x (drop-ins).
Without --every only some N are tried of "fail" and "other", others each day of the year.

SPDX-License-Identifier: Apache-2.0
"""
import concurrent.futures
import datetime
import errno
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake_node import Node  # noqa: E402

INSTALLER, PRELOAD = sys.argv[1:3]
EVERY = "--every" in sys.argv
LIMIT = 400  # more changes than any run makes
ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS]
SOME = 11  # of "fail" and "other" every so many


def fresh(node):
    """Nothing is installed."""
    node.configure("one")


def upgrade(node):
    """One is installed, two is to come; one goes (KEEP_RUNTIMES=1)."""
    node.configure("one")
    node.install()
    node.configure("two")


def removal(node):
    node.configure("one")
    node.install()


class Case:
    """An operation of the installer on a node, again and again from the same start."""

    def __init__(self, name, version, prepare, words=()):
        self.name, self.words = name, words
        self.payload = "two" if prepare is upgrade else "one"
        self.node = Node(INSTALLER, version)
        prepare(self.node)
        self.node.save()
        self.good(self.words)
        self.want = self.node.tree()

    def good(self, words):
        r = self.node.run(*words)
        self.expect(r.returncode == 0, f"exit {r.returncode}: {r.stderr}")

    def expect(self, is_so, what):
        if not is_so:
            raise AssertionError(f"{self.name}: {what}")

    def same(self, got, want, what):
        """Trees; a backup more than the undisturbed run made is no harm."""
        keys = [k for k in set(got) | set(want) if got.get(k) != want.get(k)
                and "/.contrast/backup/" not in k]
        self.expect(not keys, f"{what}: differs: {sorted(keys)}: "
                    f"{[(got.get(k), want.get(k)) for k in sorted(keys)][:2]}")

    def disturb(self, at, mode, **more):
        """From the start, with a fault; the end of that run."""
        self.node.restore()
        self.node.configure(self.payload)
        return self.node.run(*self.words, LD_PRELOAD=PRELOAD, FAULT_AT=str(at), FAULT_MODE=mode,
                             **more)

    def is_killed(self, at, mode):
        r = self.disturb(at, mode)
        if r.returncode == 0:
            self.same(self.node.tree(), self.want, f"{mode} {at}: not reached")
            return False
        self.expect(r.returncode == -9, f"{mode} {at}: exit {r.returncode}: {r.stderr}")
        return True

    def again(self, what):
        self.good(self.words)
        self.same(self.node.tree(), self.want, what)
        handlers = set(self.node.cri.handlers) - {"runc"}
        self.expect(handlers == set(self.node.handlers()), f"{what}: CRI has {handlers}")

    def kill(self, mode):
        at = 1
        while at < LIMIT and self.is_killed(at, mode):
            self.again(f"{mode} {at}")
            at += 1
        self.expect(3 < at < LIMIT, f"{mode}: ended after {at}")
        return at

    def steps(self, count):
        """Which N of those up to `count`."""
        first = 1 if EVERY else 1 + datetime.date.today().toordinal() % SOME
        return range(first, count, 1 if EVERY else SOME)

    def fail(self, count):
        for at in self.steps(count):
            for lasting in ({}, {"FAULT_LASTING": "1"}):
                self.fail_one(at, ERRORS[at % len(ERRORS)], lasting)

    def fail_one(self, at, code, lasting):
        what = f"fail {at}, {os.strerror(code)} {lasting}"
        r = self.disturb(at, str(code), **lasting)
        self.expect(r.returncode in (0, 1), f"{what}: exit {r.returncode}: {r.stderr}")
        if r.returncode != 0:
            told = r.stderr.strip().split("\n")[-1]
            self.expect(os.strerror(code) in told and "/" in told, f"{what}: says {told}")
        self.again(what)

    def roll_back(self, count):
        """Killed behind the swap; the next run finds the runtime unusable and gives back what was
        there before the killed one."""
        path = "/host/etc/containerd/config.toml"
        self.node.restore()
        before = self.node.read(path)
        for at in range(count - 1, 0, -1):
            self.expect(self.is_killed(at, "kill"), f"kill {at}")
            if self.node.journal()["phase"] == "swapping" and self.node.read(path) != before:
                break
        self.node.cri.hide = set(self.node.handlers())
        r = self.node.run(*self.words, CONFIRM_TIMEOUT_S="1")
        self.node.cri.hide = set()
        self.expect(r.returncode == 1 and "rolled back" in r.stderr, f"roll back: {r.stderr}")
        self.expect(self.node.read(path) == before, f"roll back: {self.node.read(path)}")
        self.again("roll back")

    def other(self, count, words, version, want):
        """Another operation after the kill."""
        for at in self.steps(count):
            if not self.is_killed(at, "kill"):
                break
            self.node.configure(version)
            self.good(words)
            self.same(without_state(self.node.tree()), want, f"killed at {at}, then {words} {version}")
            temps = [k for k in self.node.tree() if k.endswith(".contrast-new")]
            self.expect(not temps, f"killed at {at}, then {words}: {temps}")


def without_state(tree):
    """Neither the journal's folder nor the empty ones above it."""
    return {k: v for k, v in tree.items()
            if "/.contrast" not in k and k not in ("/opt", "/opt/edgeless")}


def reference(version, *steps):
    """What undisturbed runs make."""
    node = Node(INSTALLER, version)
    for words, payload in steps:
        node.configure(payload)
        r = node.run(*words)
        assert r.returncode == 0, r.stderr
    tree = without_state(node.tree())
    node.close()
    return tree


def run_case(name, version, prepare, words, others):
    case = Case(name, version, prepare, words)
    counts = [case.kill("kill"), case.kill("torn")]
    case.fail(counts[0])
    if name == "install, 1.x":
        case.roll_back(counts[0])
    for other_words, payload, steps in others:
        case.other(counts[0], other_words, payload, reference(version, *steps))
    case.node.close()
    return f"{name}: killed before {counts[0] - 1} changes and in {counts[1] - 1} writes"


# Name, containerd, start, operation; and what may come after the kill: operation, payload, and the
# undisturbed runs that end the same.
CASES = [
    ("install, 1.x", "1.6.20", fresh, (), [
        ((), "two", [((), "two")]),
        (("uninstall",), "one", [((), "one"), (("uninstall",), "one")]),
    ]),
    ("install, 2.x", "2.1.4", fresh, (), [
        ((), "two", [((), "two")]),
    ]),
    ("upgrade, 1.x", "1.6.20", upgrade, (), [
        ((), "three", [((), "three")]),
    ]),
    ("upgrade, 2.x", "2.1.4", upgrade, (), [
        ((), "one", [((), "one")]),
    ]),
    ("uninstall, 1.x", "1.6.20", removal, ("uninstall",), [
        ((), "two", [((), "two")]),
    ]),
    ("uninstall, 2.x", "2.1.4", removal, ("uninstall",), [
        ((), "one", [((), "one")]),
    ]),
]


def main():
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
        runs = [pool.submit(run_case, *case) for case in CASES]
        for run in runs:
            try:
                print(run.result(), flush=True)
            except AssertionError as e:
                failures += 1
                print(f"FAILED {str(e)[:3000]}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
