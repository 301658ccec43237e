"""Linearizability of one object: the chain of manifests of one epoch, with compare-and-swap.

The object is a pair (generation, transition). Operations, each with the times of call and return:

    set ok       was at (g - 1, previous), is at (g, transition); or was there already
    set unknown  the same at some time after the call, or nothing ever
    set failed   nothing ever; with CHANGED: in between the transition was not `previous` for a time
    read         at some time in between the object was (g, transition), or at generation g

A history is linearizable when every operation can be given one point between call and return so
that the object, played in the order of the points, answers as recorded (Herlihy and Wing 1990).
Wing and Gong's search tries orders; Lowe's ("Testing for linearizability", 2017) keeps only what
it must. Here one order of the sets is possible at all, by generation, so only their points t(1) <=
t(2) <= ... are to be found, and each rule is a bound on one of them:

    t(g) >= low(g)    the earliest call of a set that can have made g, and every call of a read of
                      g - 1: that read has its point before t(g)
    t(g) <= high(g)   every return of whoever saw g, its own set among them; and the return of each
                      CHANGED at g - 1 that had to see the change (below)

There are such points if and only if  max(low(1..g)) <= high(g') for all g <= g'.
  Only if: t rises, so low(g) <= t(g) <= t(g') <= high(g').
  If: take t(g) = max(low(1..g)), it rises and respects all bounds. Points at one time are ordered
  set g, reads of g, set g + 1. A read of g is put at max(call, t(g)): t(g) <= high(g) <= return,
  and the next set is not earlier than the call. Operations that only touch are concurrent.
CHANGED at (g - 1, p), called at c, returned at r, wants a point with t(g) <= r, or one with
c <= t(g - 1). If c <= high(g - 1), the second can be had: raise low(g - 1) to c; every high from
there on is at least c, or one is below c and then t(g) <= r holds by itself. Else the first is
forced, and r is a bound on t(g). High(g - 1) counts with what was forced below it, so one pass by
rising g finds them all.

Everything but the forced bounds is a minimum or maximum: one pass over the history and memory for
the generations, not for the reads. test_checker.py compares the verdicts with a search over all
orders, on thousands of small histories, good and bad.

Times are nanoseconds, transitions hex. Pure; ValueError for a generation that no deployment has.

SPDX-License-Identifier: Apache-2.0
"""

ZERO = "00" * 32
GENERATION_MAX = 100_000  # a deployment has room for 1000
NEVER = (float("-inf"), None)
ALWAYS = (float("inf"), None)


class Slot:
    """One generation: its transition, the bounds on its point, and who may have made it."""

    def __init__(self):
        self.transition = None
        self.seen_by = None  # the operation that told the transition
        self.possible = None  # transitions, where nobody told it; None: any
        self.low = NEVER  # (time, operation)
        self.high = ALWAYS
        self.makers = []  # (call, operation, previous, transition or None, manifest, is_ok)


class Register:
    """Feed it with returns, then ask once for problems(): (sentence, operations) each."""

    def __init__(self, generation=0, transition=ZERO):
        self.start = generation
        self.slots = {generation: Slot()}
        self.slots[generation].transition = transition
        self.failed = {}  # transition or manifest of a set that failed: its operation
        self.manifests = {}  # generation: manifest, from final histories
        self.changed = {}  # previous: (call, return, operation) of sets refused because of it
        self.outside = None  # from then on hands that nobody recorded may have set something
        self.found = []

    def slot(self, generation):
        if not 0 <= generation <= GENERATION_MAX:
            raise ValueError(f"generation {generation}")
        return self.slots.setdefault(generation, Slot())

    # What happened

    def see(self, generation, transition, call, end, operation):
        """An operation found the object here. `transition` None: it knows the generation alone."""
        slot = self.slot(generation)
        if transition is not None:
            self._tell(generation, transition, operation)
        slot.high = min(slot.high, (end, operation), key=_time)
        following = self.slot(generation + 1)
        following.low = max(following.low, (call, operation), key=_time)

    def _tell(self, generation, transition, operation):
        slot = self.slot(generation)
        if slot.transition is None:
            slot.transition, slot.seen_by = transition, operation
        elif slot.transition != transition:
            self.found.append((f"generation {generation} has two transitions, "
                               f"{slot.transition[:16]} and {transition[:16]}",
                               (slot.seen_by, operation)))

    def set_ok(self, args, generation, transition, call, end, operation):
        wanted = args.get("generation", generation)
        if wanted != generation:
            self.found.append((f"a set of generation {wanted} was answered with {generation}",
                               (operation,)))
        slot = self.slot(generation)
        self._tell(generation, transition, operation)
        slot.high = min(slot.high, (end, operation), key=_time)
        slot.makers.append((call, operation, args.get("previous"), transition,
                            args.get("manifest"), True))

    def set_unknown(self, args, call, operation):
        if "generation" in args:
            self.slot(args["generation"]).makers.append(
                (call, operation, args.get("previous"), args.get("transition"),
                 args.get("manifest"), False))

    def set_failed(self, args, is_changed, call, end, operation):
        for name in ("transition", "manifest"):
            if name in args:
                self.failed[args[name]] = operation
        if is_changed and "previous" in args:
            self.changed.setdefault(args["previous"], []).append((call, end, operation))

    def set_outside(self, at):
        self.outside = at if self.outside is None else self.outside

    def tell_manifest(self, generation, manifest):
        self.manifests[generation] = manifest

    # What follows

    def last(self):
        """The highest generation that somebody saw."""
        return max(g for g, s in self.slots.items()
                   if s.transition is not None or s.high is not ALWAYS)

    def problems(self):
        last = self.last()
        below = [g for g, s in self.slots.items() if g < self.start and s.high is not ALWAYS]
        for g in below:
            self.found.append((f"generation {g} was seen, the epoch began with {self.start}",
                               (self.slots[g].high[1],)))
        for g in range(last, self.start, -1):
            self._find_previous(g)
        for g in range(self.start + 1, last + 1):
            self._find_maker(g)
        for g in range(self.start + 1, last + 2):
            self._force(g, last)
        self._compare_bounds(last)
        return self.found

    def _makers(self, g):
        """Who can have made g, given what is known of its transition, its manifest and of g - 1."""
        slot = self.slot(g)
        before = self._possible(g - 1)
        known = self.manifests.get(g)
        fit = []
        for maker in slot.makers:
            _, _, previous, transition, manifest, _ = maker
            if None not in (slot.transition, transition) and slot.transition != transition:
                continue
            if None not in (before, previous) and previous not in before:
                continue
            if transition is None and None not in (known, manifest) and known != manifest:
                continue
            fit.append(maker)
        return fit

    def _possible(self, g):
        """The transitions that generation g may have had; None: anything."""
        slot = self.slots.get(g)
        if slot is None or slot.transition is not None:
            return None if slot is None else {slot.transition}
        return slot.possible

    def _find_previous(self, g):
        """The transition of g - 1 from those who followed it; two different ones are a problem."""
        slot = self.slot(g)
        for _, operation, previous, transition, _, is_ok in slot.makers:
            sure = is_ok or (transition is not None and transition == slot.transition)
            if sure and previous is not None:
                before = self.slot(g - 1).transition
                if before is None:
                    self._tell(g - 1, previous, operation)
                elif before != previous:
                    self.found.append((f"the set of generation {g} followed {previous[:16]}, "
                                       f"generation {g - 1} is {before[:16]}",
                                       (operation, self.slot(g - 1).seen_by)))

    def _find_maker(self, g):
        slot = self.slot(g)
        makers = self._makers(g)
        if not makers and self.outside is not None:
            slot.low = max(slot.low, (self.outside, None), key=_time)
            return
        if all(m[3] is not None for m in makers):
            slot.possible = {m[3] for m in makers}
            if slot.transition is None and len(slot.possible) == 1:
                slot.transition = makers[0][3]
        if makers:
            first = min(makers, key=_time)
            slot.low = max(slot.low, first[:2], key=_time)
            return
        culprit = self.failed.get(slot.transition, self.failed.get(self.manifests.get(g)))
        if culprit is not None:
            self.found.append((f"generation {g} was made by a set that had failed for certain",
                               (culprit, slot.seen_by)))
        elif not any(m[5] for m in slot.makers):  # else said as two transitions
            self.found.append((f"generation {g} was seen, and nobody set it",
                               (slot.seen_by or slot.high[1],)))

    def _force(self, g, last):
        """CHANGED answers that must have seen the step from g - 1 to g."""
        slot = self.slot(g)
        before = self.slot(g - 1)
        forced = [(end, operation) for call, end, operation in
                  self.changed.get(before.transition, ())
                  if g - 1 == self.start or call > before.high[0]]
        if not forced:
            return
        first = min(forced, key=_time)
        if g > last:
            makers = self._makers(g)
            if not makers:
                self.found.append((f"a set was refused as CHANGED at generation {g - 1}, and "
                                   "nothing had changed", (first[1], before.seen_by)))
                return
            slot.low = max(slot.low, min(makers, key=_time)[:2], key=_time)
        slot.high = min(slot.high, first, key=_time)

    def _compare_bounds(self, last):
        """Prefix maximum of the lows against the highs: each high once, with the worst low."""
        low = NEVER
        told = set()
        for g in range(self.start + 1, last + 2):
            slot = self.slot(g)
            if g == last + 1 and slot.high is ALWAYS:
                return
            low = max(low, slot.low, key=_time)
            pair = (low[1], slot.high[1])
            if low[0] > slot.high[0] and pair not in told and low[1] not in told:
                told.update((pair, low[1]))
                self.found.append(
                    (f"generation {g} or a later one was seen by {pair[1]}, which returned before "
                     f"{pair[0]} was called, and that one found an earlier generation or began "
                     "the change", pair))


def _time(pair):
    return pair[0]
