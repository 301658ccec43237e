"""Processes of the consensus bench on loopback: replicas of bench-consensus and their floor.

    with Replicas(program, 3) as r:  r.load(outstanding=16, size=256)  ->  {"rate": ..., "p50_us": ...}

Everything that is started is ended by its id, and every wait has a bound.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import json
import os
import selectors
import subprocess
import time

from cluster import Failed

START_S = 30


class Lines:
    """A child that prints JSON lines and takes commands."""

    def __init__(self, argv, log):
        self.name = " ".join(os.path.basename(a) for a in argv[:4])
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=log)
        self.rest = b""
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def say_json(self, command):
        self.say(json.dumps(command))

    def read(self, seconds):
        """The next line, or None when the time is over."""
        end = time.monotonic() + seconds
        while b"\n" not in self.rest:
            left = end - time.monotonic()
            if left <= 0 or not self.selector.select(left):
                return None
            got = os.read(self.process.stdout.fileno(), 65536)
            if not got:
                raise Failed(f"{self.name} ended: exit {self.process.wait(timeout=60)}")
            self.rest += got
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def must(self, key, seconds=START_S):
        """The next line that has `key`."""
        end = time.monotonic() + seconds
        while True:
            got = self.read(end - time.monotonic())
            if got is None:
                raise Failed(f"{self.name} does not tell '{key}' within {seconds} s")
            if key in got:
                return got

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.selector.close()
        self.process.stdout.close()


class Servers:
    """What replicas and floor have in common: children and the generator."""

    def __init__(self, program, log):
        self.program, self.log, self.children = program, log, []

    def __enter__(self):
        try:
            self.open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for child in reversed(self.children):
            child.close()

    def child(self, *argv):
        self.children.append(Lines([self.program, *argv], self.log))
        return self.children[-1]

    def pids(self):
        return [child.process.pid for child in self.children]

    def generate(self, target, outstanding, size, warm_ms, window_ms):
        argv = [self.program, "load", "--port", str(target["client"]), "--spki", target["spki"],
                "--outstanding", str(outstanding), "--size", str(size),
                "--warm-ms", str(warm_ms), "--window-ms", str(window_ms)]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60 + (warm_ms + window_ms) / 1000, check=False)
        if done.returncode != 0:
            raise Failed("load: " + done.stderr.strip())
        return json.loads(done.stdout)


class Floor(Servers):
    """One server that answers at once."""

    def open(self):
        self.target = self.child("floor").must("client")

    def load(self, **what):
        return self.generate(self.target, **what)


class Replicas(Servers):
    def __init__(self, program, count, log):
        super().__init__(program, log)
        self.count, self.leader = count, None

    def open(self):
        numbers = range(1, self.count + 1)
        for number in numbers:
            self.child("replica", "--number", str(number))
        self.told = [child.must("client") for child in self.children]
        for number, child in zip(numbers, self.children):
            for other, told in zip(numbers, self.told):
                if other != number:
                    child.say(f"peer {other} {told['raft']} {told['spki']}")
        for child in self.children:
            child.say(f"start {self.count}")
        self.find_leader()

    def find_leader(self):
        """Who said last, with the highest term, that it leads."""
        end = time.monotonic() + START_S
        best = 0
        while best == 0:
            if time.monotonic() > end:
                raise Failed(f"no leader within {START_S} s")
            for at, child in enumerate(self.children):
                got = child.read(0.05)
                if got is not None and got.get("leads", 0) > best:
                    best, self.leader = got["leads"], at

    def load(self, **what):
        return self.generate(self.told[self.leader], **what)

    def agree(self):
        """All replicas have the same state, or Failed."""
        end = time.monotonic() + START_S
        while True:
            for child in self.children:
                child.say("state")
            states = [child.must("hash") for child in self.children]
            if all(state == states[0] for state in states):
                return states[0]["count"]
            if time.monotonic() > end:
                raise Failed(f"the replicas do not agree: {states}")
            time.sleep(0.1)
