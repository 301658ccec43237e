"""A cluster of real nodes in virtual time that is told what to do, a step at a time (raft_steps.c).

    raft = Raft(3)                     # S1, S2, S3 vote; the same seed is the same run
    raft.elect(1, among=(1, 2, 3))
    raft.submit(1)
    raft.show(2)["last"]

A step that is refused raises Refused with the reason; one that makes no sense ends the program and
raises AssertionError. What the oracles see (two leaders in a term, committed entries that differ, a
leader without a committed entry, logs that do not match) ends up in violation().

SPDX-License-Identifier: Apache-2.0
"""

import os
import subprocess

import harness

PROGRAM = os.path.join(harness.BIN, "..", "test", "contrast-raft-steps")


class Refused(Exception):
    """The node said no."""


class Raft:
    def __init__(self, voters, seed=1, without=()):
        self.child = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, bufsize=1)
        for rule in without:
            self.do("without", rule)
        self.do("start", voters, seed)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        try:
            if self.child.wait(timeout=30) != 0:
                raise AssertionError(f"raft-steps ended with {self.child.returncode}")
        finally:
            self.child.kill()
            self.child.stdout.close()

    def do(self, *words):
        """One step; the values of its answer."""
        self.child.stdin.write(" ".join(str(w) for w in words) + "\n")
        answer = self.child.stdout.readline().rstrip("\n")
        if answer.startswith("no "):
            raise Refused(answer[3:])
        if answer.split(" ")[0] != "ok":
            raise AssertionError(f"step {words}: {answer or 'the program ended'}")
        pairs = (word.split("=") for word in answer.split(" ")[1:])
        return {name: int(value) if value.isdigit() else value for name, value in pairs}

    # --- Network and time

    def elect(self, server, among):
        self.do("elect", server, *among)

    def lead(self):
        """Waits until somebody leads and is settled; who."""
        return self.do("lead")["leader"]

    def connect(self, *servers):
        """Only these hear each other; without any, nobody hears anybody."""
        self.do("connect", *servers)

    def heal(self):
        self.do("heal")

    def one_way(self, source, target):
        self.do("one-way", source, target)

    def flush(self):
        """What is under way is lost."""
        self.do("flush")

    def run(self, ms):
        self.do("run", ms)

    def crash(self, server):
        self.do("crash", server)

    def pause(self, server):
        self.do("pause", server)

    def resume(self, server):
        self.do("resume", server)

    def join(self):
        """A new server with an empty log; its number."""
        return self.do("join")["server"]

    # --- What is asked of a server

    def submit(self, server):
        self.do("submit", server)

    def read(self, server):
        """Asks for a linearizable read; answers() tells how it ended."""
        self.do("read", server)

    def answers(self):
        return self.do("answers")

    def change(self, server, what, number):
        """add, promote or remove; Refused where the node says that it may not."""
        self.do(what, server, number)

    def change_until_done(self, server, what, number, ms=2000):
        """Repeats a change that is refused for now."""
        for _ in range(ms // 10):
            try:
                return self.change(server, what, number)
            except Refused:
                self.run(10)
        return self.change(server, what, number)

    # --- Messages that nobody sent, and what was answered

    def append(self, source, target, term, prev, commit=0, entries=()):
        """`prev`: (index, term). `entries`: their terms; "c2": a change of membership."""
        self.do("append", source, target, term, *prev, commit, *entries)
        return self.do("reply")

    def ack(self, source, target, term, rejected, last):
        self.do("ack", source, target, term, rejected, last)

    def late_ack(self, source, target, term, rejected, last):
        """An answer of an older connection; whether the library saw it."""
        return self.do("late-ack", source, target, term, rejected, last)["taken"] == 1

    def vote(self, source, target, term, last, last_term, told=False):
        """`told`: as if its leader had handed over, which cuts short who still hears one."""
        self.do("vote", source, target, term, last, last_term, 2 if told else 0)
        return self.do("reply")

    def grant(self, source, target, term, pre=False):
        self.do("grant", source, target, term, int(pre))

    # --- What is seen

    def show(self, server):
        return self.do("show", server)

    def commit(self, server):
        return self.show(server)["commit"]

    def leaders(self, *servers):
        return [s for s in servers if self.show(s)["role"] == "leader"]

    def all_same(self):
        """All logs and states are equal, and the oracles saw nothing."""
        self.do("same")
        self.do("violation")

    def violation(self):
        """What the oracles saw first, or None."""
        try:
            self.do("violation")
        except Refused as what:
            return str(what)
        return None
