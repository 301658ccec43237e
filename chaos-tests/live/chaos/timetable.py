"""Which faults come in which order, from one seed.

    for turn in timetable.singles(catalog, seed): ...     one at a time
    for storm in timetable.storms(catalog, seed): ...     some at a time
    for turn in timetable.recoveries(catalog, seed): ...  those that end an epoch

A timetable is an order, not a list of hours: a fault that cannot be injected here is passed over
and the next one comes, so the same seed means the same order on every machine, fast or slow. Each
turn has a seed of its own, so what one fault draws changes nothing for the next. Pure: no clock,
no I/O; endless, the player stops.

A fault that costs replicas their memory is alone in a storm and waits for a whole cluster: beyond
a minority the protocol promises nothing but recovery, which has its own phase.

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import itertools
import random

BLOCK = 4  # so many seeds that follow one another share a deck, and begin at another card of it
STORM_LEAST, STORM_MOST = 2, 4
PROCEDURES = "membership"  # these wait for a whole cluster in between: not in a storm
ALONE = "clock"  # one of this group in a storm: two wrong clocks of three are a wrong median
STORM_SPREAD_S = 4.0  # the faults of a storm begin within this time


class Turn:
    """One fault at its place: what it is, how long, and what it draws from."""

    def __init__(self, fault, seed, after_s=0.0):
        self.fault, self.seed, self.after_s = fault, seed, after_s
        rng = self.rng("duration")
        low, high = duration_of(fault)
        self.duration_s = rng.uniform(low, high)

    @property
    def name(self):
        return self.fault.name

    def rng(self, use="inject"):
        return random.Random(subseed(self.seed, use))

    def __repr__(self):
        return f"{self.name} for {self.duration_s:.2f} s after {self.after_s:.2f} s"


def subseed(seed, *names):
    """A seed that depends on every name, and on nothing else."""
    text = ":".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def duration_of(fault):
    """(least, most) seconds of a fault, however it says so."""
    given = fault.duration_s
    return (given, given) if isinstance(given, (int, float)) else tuple(given)


def kills(fault):
    return getattr(fault, "kills", "none")


def ends_epoch(fault):
    return getattr(fault, "ends_epoch", False) or kills(fault) in ("majority", "all")


def decks(faults, seed, use):
    """The faults shuffled, again and again. Seeds of one block go on where others begin, so a run
    of several rounds meets every fault. Their order in the catalog is no matter."""
    ordered = sorted(faults, key=lambda f: f.name)
    first = seed % BLOCK * len(ordered) // BLOCK
    for place in itertools.count(first) if ordered else ():
        number = place // len(ordered)
        deck = list(ordered)
        random.Random(subseed(seed // BLOCK, use, number)).shuffle(deck)
        fault = deck[place % len(ordered)]
        yield fault, subseed(seed, use, place, fault.name)


def singles(catalog, seed):
    """One fault at a time."""
    for fault, own in decks([f for f in catalog if not ends_epoch(f)], seed, "single"):
        yield Turn(fault, own)


def recoveries(catalog, seed):
    """Faults after which share owners must bring the cluster back."""
    for fault, own in decks([f for f in catalog if ends_epoch(f)], seed, "recovery"):
        yield Turn(fault, own)


def storms(catalog, seed):
    """Lists of faults that overlap; at most one of them kills."""
    able = [f for f in catalog if not ends_epoch(f) and f.group != PROCEDURES]
    calm = sorted((f for f in able if kills(f) == "none"), key=lambda f: f.name)
    clocks = [f for f in calm if f.group == ALONE]
    others = [f for f in calm if f.group != ALONE]
    deadly = decks([f for f in able if kills(f) != "none"], seed, "deadly")
    if len(others) + bool(clocks) < STORM_LEAST:
        return
    for number in itertools.count():
        rng = random.Random(subseed(seed, "storm", number))
        pool = others + ([rng.choice(clocks)] if clocks else [])
        chosen = rng.sample(pool, min(rng.randint(STORM_LEAST, STORM_MOST), len(pool)))
        if rng.random() < 0.5:
            killer = next(deadly, None)
            if killer:
                chosen[-1] = killer[0]
        yield [Turn(fault, subseed(seed, "storm", number, place, fault.name),
                    0.0 if place == 0 else rng.uniform(0, STORM_SPREAD_S))
               for place, fault in enumerate(chosen)]
