"""The register's checker against a search over all orders, on small random histories.

A correct register is played by threads of random length; then one fault may be put in: a stale
read, a lost write, two winners of one generation, a read that goes back, an acknowledgement without
effect, effect after failure, a refusal without reason. Both checkers must say the same of each.

SPDX-License-Identifier: Apache-2.0
"""

import random
import unittest

from linear_register import Register, ZERO

HISTORIES = 12000
OPERATIONS = 7


class Op:
    """kind: set, read or look (generation alone); outcome: ok, unknown, fail or changed."""

    def __init__(self, number, kind, call, end):
        self.number, self.kind, self.call, self.end = number, kind, call, end
        self.outcome = "ok"
        self.previous = self.transition = None
        self.generation = 0

    def __repr__(self):
        return (f"{self.number}:{self.kind} {self.outcome} g{self.generation} {self.transition}"
                f"<-{self.previous} [{self.call},{self.end}]")


# --- The slow one


def search(ops):
    """Is there an order? Every order that real time permits is tried (Wing and Gong)."""
    must = frozenset(o for o in ops if not (o.kind == "set" and o.outcome in ("unknown", "fail")))
    may = frozenset(o for o in ops if o.kind == "set" and o.outcome == "unknown")

    def play(state, left, unknown):
        if not left:
            return True
        first_end = min(o.end for o in left)
        for o in left:
            if o.call <= first_end:
                following = step(state, o)
                if following and play(following, left - {o}, unknown):
                    return True
        for o in unknown:  # its own end binds nobody
            if o.call <= first_end and state == (o.generation - 1, o.previous):
                if play((o.generation, o.transition), left, unknown - {o}):
                    return True
        return False

    return play((0, ZERO), must, may)


def step(state, o):
    """The state after this operation, None when it cannot happen here."""
    if o.kind == "look":
        return state if state[0] == o.generation else None
    if o.kind == "read":
        return state if state == (o.generation, o.transition) else None
    if o.outcome == "changed":
        return state if state[1] != o.previous else None
    if state in ((o.generation - 1, o.previous), (o.generation, o.transition)):
        return o.generation, o.transition
    return None


# --- The fast one


def judge(ops):
    register = Register()
    for o in ops:
        args = {"generation": o.generation, "previous": o.previous, "transition": o.transition}
        if o.kind == "look":
            register.see(o.generation, None, o.call, o.end, o.number)
        elif o.kind == "read":
            register.see(o.generation, o.transition, o.call, o.end, o.number)
        elif o.outcome == "ok":
            register.set_ok(args, o.generation, o.transition, o.call, o.end, o.number)
        elif o.outcome == "unknown":
            register.set_unknown(args, o.call, o.number)
        else:
            register.set_failed(args, o.outcome == "changed", o.call, o.end, o.number)
    return register.problems()


# --- Histories


def played(rng):
    """Operations with points; at each the register moves, answers are what it says then."""
    ops, points = [], []
    count = rng.randint(2, OPERATIONS)
    span = rng.choice((4, 8, 16))
    for number in range(count):
        a, b = sorted((rng.randrange(span), rng.randrange(span)))
        o = Op(number, rng.choice(("set", "set", "read", "read", "look")), a, b)
        ops.append(o)
        points.append((rng.uniform(a, b), number, o))
    states = [(0, ZERO)]
    for _, _, o in sorted(points, key=lambda p: p[:2]):
        if o.kind == "set":
            play_set(rng, o, states)
        else:
            o.generation, o.transition = states[-1]
    return ops


def play_set(rng, o, states):
    seen = states[-1] if rng.random() < 0.7 else rng.choice(states)
    o.previous, o.generation, o.transition = seen[1], seen[0] + 1, f"t{o.number}"
    if rng.random() < 0.1:
        o.outcome = "fail"
    elif seen == states[-1]:
        takes = rng.random() < 0.8
        o.outcome = "unknown" if not takes or rng.random() < 0.3 else "ok"
        if takes:
            states.append((o.generation, o.transition))
    else:
        o.outcome = "changed" if rng.random() < 0.8 else "unknown"


def other(rng, ops, kind, outcome=None):
    fit = [o for o in ops if o.kind == kind and (outcome is None or o.outcome == outcome)]
    return rng.choice(fit) if fit else None


def stale_read(rng, ops):
    o, source = other(rng, ops, "read"), other(rng, ops, "set")
    if o and source:
        o.generation, o.transition = source.generation - 1, source.previous


def early_read(rng, ops):
    o, source = other(rng, ops, "read"), other(rng, ops, "set")
    if o and source:
        o.generation, o.transition = source.generation, source.transition


def two_winners(rng, ops):
    a, b = other(rng, ops, "set"), other(rng, ops, "set")
    if a and b:
        a.outcome, a.generation, a.previous = "ok", b.generation, b.previous


def no_effect(rng, ops):
    o = other(rng, ops, "set", "changed") or other(rng, ops, "set", "unknown")
    if o:
        o.outcome = "ok"


def after_failure(rng, ops):
    o = other(rng, ops, "set", "ok") or other(rng, ops, "set", "unknown")
    if o:
        o.outcome = rng.choice(("fail", "changed"))


def moved(rng, ops):
    o = rng.choice(ops)
    shift = rng.randint(-8, 8)
    o.call, o.end = o.call + shift, o.end + shift


def other_generation(rng, ops):
    o = rng.choice(ops)
    o.generation = max(o.generation + rng.choice((-1, 1)), 0 if o.kind != "set" else 1)


FAULTS = (stale_read, early_read, two_winners, no_effect, after_failure, moved, other_generation)


class Against(unittest.TestCase):
    def test_both_say_the_same(self):
        bad = {fault.__name__: 0 for fault in FAULTS}
        good = 0
        for seed in range(HISTORIES):
            rng = random.Random(seed)
            ops = played(rng)
            fault = rng.choice((None, *FAULTS))
            for _ in range(rng.randint(1, 2) if fault else 0):
                fault(rng, ops)
            wanted, got = search(ops), judge(ops)
            self.assertEqual(wanted, not got, f"seed {seed}, {fault}: {got}\n" +
                             "\n".join(map(str, ops)))
            good += wanted
            if fault and not wanted:
                bad[fault.__name__] += 1
            self.assertTrue(fault or wanted, f"seed {seed}: the correct register is refused")
        self.assertGreater(good, HISTORIES // 4)
        for name, count in bad.items():
            self.assertGreater(count, 20, f"{name} was hardly ever to be seen")


if __name__ == "__main__":
    unittest.main(verbosity=2)
