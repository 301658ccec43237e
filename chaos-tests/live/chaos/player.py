"""One round: a cluster is founded, lives, suffers, recovers, rests, and is asked a last time.

    phase      what happens                                                 share of the round
    found      replicas start, the first manifest                           what it takes
    baseline   clients alone: what is normal on this machine                1 in 10
    faults     one at a time, the cluster whole in between                  11 in 20
    storms     two to four at a time                                        3 in 20
    recovery   what only share owners can mend                              1 in 10
    after      one at a time again, in the epoch that follows               1 in 10
    rest       everything is healed; the cluster must become whole
    final      clients stop; every replica says what it holds

The stage does the work (run.py has the real one, test_run.py one of paper); time is the clock's.
Every call into the stage is bounded: one that does not come back ends the round as a hang. What
cannot be injected is a problem, noted and passed over. After a fault is healed the cluster must be
whole within WHOLE_S; if not, that is a violation, and the round ends, since what follows would be
measured at a dead cluster. stop() of the clock ends every wait; then the round ends in order.

SPDX-License-Identifier: Apache-2.0
"""

import itertools
import queue
import threading

import timetable

FOUND_S = 240      # starting and founding, on a busy machine
INJECT_S = 150     # some faults are whole procedures (rolling upgrade)
HEAL_S = 150
WHOLE_S = 90
RECOVER_WHOLE_S = 150
FINISH_S = 90
POLL_S = 0.3
GAP_S = 3.0        # calm between two faults, so that gaps belong to one of them
SHARES = (("baseline", 0.10), ("faults", 0.55), ("storms", 0.15), ("recovery", 0.10),
          ("after", 0.10))
PROBLEMS_MAX = 1000


class Unable(Exception):
    """This fault cannot be injected here and now; the text says why."""


class Wrong(Exception):
    """A fault looked, and the programs did what they must not: a violation; the text says what."""


class Stopped(Exception):
    """Somebody asked for the end."""


class Over(Exception):
    """The round cannot go on: the cluster is dead, or a call hangs."""


class NotWhole(Over):
    """It cannot because of a violation, which is noted already."""


class Clock:
    """Time, and the wish that it end. wait() is the only place where the player waits."""

    def __init__(self, now):
        self.now = now  # () -> seconds
        self.stopped = threading.Event()

    def stop(self):
        self.stopped.set()

    def wait(self, seconds):
        """False when stop() was called."""
        return not self.stopped.wait(max(seconds, 0))


def bounded(call, seconds, what):
    """call() in a thread of its own, its exceptions included; Over when it does not come back."""
    answers = queue.Queue(1)

    def work():
        try:
            answers.put((True, call()))
        except BaseException as e:  # handed over whole
            answers.put((False, e))

    threading.Thread(target=work, daemon=True, name=what).start()
    try:
        good, value = answers.get(timeout=seconds)
    except queue.Empty:
        raise Over(f"{what} did not come back in {seconds} s") from None
    if good:
        return value
    raise value


class Player:
    """Plays one round. names: only these faults; seconds: all of it, founding included."""

    def __init__(self, stage, history, clock, seed, seconds, names=()):
        self.stage, self.history, self.clock = stage, history, clock
        self.seed, self.seconds, self.names = seed, seconds, set(names)
        self.active = []  # (turn, heal)
        self.problems, self.violations, self.turns = [], [], []
        self.outcome = "whole"
        self.missing, self.order = {}, ()

    # --- The round

    def play(self):
        """Never raises for what the stage does; returns what run.py writes down."""
        begin = self.clock.now()
        try:
            self.phase("found")
            bounded(self.stage.found, FOUND_S, "founding")
            self.suffer(begin + self.seconds)
        except Stopped:
            self.outcome = "stopped"
        except NotWhole:
            self.outcome = "over"
        except Over as e:
            self.outcome = "over"
            self.problem(str(e))
        except Exception as e:  # the stage's own trouble: said, and the rest is still reported
            self.outcome = "failed"
            self.problem(f"{type(e).__name__}: {e}")
        self.finish()
        return {"outcome": self.outcome, "problems": self.problems, "violations": self.violations,
                "turns": self.turns, "missing": self.missing}

    def suffer(self, end):
        catalog = self.catalog()
        rest_s = min(self.seconds * 0.1, 30)
        begin = self.clock.now()
        left = max(end - rest_s - begin, 0)
        bounded(self.stage.start_clients, FINISH_S, "starting the clients")
        for name, share in SHARES:
            begin += left * share
            self.phase(name)
            getattr(self, "play_" + name)(catalog, begin)

    def catalog(self):
        """The faults of the order; `missing` says of those that cannot be injected here why not.
        They keep their places, so that every round of a run has the same order."""
        wanted = [f for f in self.stage.catalog if not self.names or f.name in self.names]
        for fault in wanted:
            why = self.stage.missing(fault)
            if why:
                self.missing[fault.name] = why
        return wanted

    def play_baseline(self, _catalog, end):
        self.until(end)

    def play_faults(self, catalog, end):
        self.order = self.playable(timetable.singles, catalog)
        self.play_singles(end)

    def playable(self, make, catalog):
        """Those turns of the order that can be injected here; none, not an endless search, when
        no fault of it can."""
        drawn = {t.name for t in itertools.islice(make(catalog, self.seed), 2 * len(catalog))}
        if drawn <= set(self.missing):
            return iter(())
        return (t for t in make(catalog, self.seed) if t.name not in self.missing)

    def play_after(self, _catalog, end):
        self.play_singles(end)

    def play_recovery(self, catalog, end):
        """At least one, however late it is: it is the only phase in which an epoch ends."""
        turns = self.playable(timetable.recoveries, catalog)
        for i, turn in enumerate(turns):
            if i > 0 and self.clock.now() + turn.duration_s + RECOVER_WHOLE_S / 4 > end:
                return
            self.play_turn(turn, RECOVER_WHOLE_S)
        self.until(end)  # no such fault here: the time is the baseline's

    def play_singles(self, end):
        """Goes on in the order; a turn that is too long for what is left comes next time."""
        for turn in self.order:
            if self.clock.now() + turn.duration_s + GAP_S > end:
                self.order = itertools.chain([turn], self.order)
                break
            self.play_turn(turn, WHOLE_S)
        self.until(end)

    def play_turn(self, turn, whole_s):
        if self.inject(turn):
            self.wait(turn.duration_s)
            self.heal_all()
        self.wait_whole(whole_s, turn.name, turn.name)  # what failed half-way was felt, too
        self.wait(GAP_S)

    def play_storms(self, catalog, end):
        """Drawn among those faults alone that can be injected here."""
        able = [f for f in catalog if f.name not in self.missing]
        for storm in timetable.storms(able, self.seed):
            length = max(t.after_s + t.duration_s for t in storm)
            if self.clock.now() + length + GAP_S > end:
                break
            names = ", ".join(t.name for t in storm)
            self.history.event("storm", names)
            self.play_storm(storm)
            self.wait_whole(WHOLE_S, f"a storm of {names}", names)
            self.wait(GAP_S)
        self.until(end)

    def play_storm(self, storm):
        """Begins and ends of all turns, by time."""
        origin = self.clock.now()
        steps = [(t.after_s, 0, t) for t in storm] + [(t.after_s + t.duration_s, 1, t)
                                                      for t in storm]
        for at, is_end, turn in sorted(steps, key=lambda s: s[:2]):
            self.wait(origin + at - self.clock.now())
            if is_end:
                self.heal(turn)
            else:
                self.inject(turn)
        self.heal_all()

    def finish(self):
        """Heals, rests, asks. Each step is tried, whatever became of the one before."""
        is_good = self.outcome == "whole"
        self.phase("rest")
        self.attempt(self.heal_all, "healing")
        if is_good:
            try:
                self.wait_whole(WHOLE_S, "everything")
            except (Over, Stopped):
                self.outcome = "over"
            except Exception as e:  # the stage's own trouble, as in play()
                self.outcome = "failed"
                self.problem(f"{type(e).__name__}: {e}")
        self.phase("final")
        self.attempt(lambda: bounded(self.stage.stop_clients, FINISH_S, "stopping the clients"),
                     "stopping the clients")
        if self.outcome == "whole":
            self.attempt(lambda: bounded(self.stage.final_reads, FINISH_S, "the final reads"),
                         "the final reads")
        self.phase("end")

    # --- Steps

    def phase(self, name):
        self.history.event("phase", name)

    def problem(self, text):
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append({"what": text})
            self.history.event("problem", text)

    def violation(self, text, fault):
        self.violations.append({"what": text, "at": self.stage.now_ns(), "fault": fault})

    def attempt(self, call, what):
        try:
            call()
        except Exception as e:
            self.problem(f"{what}: {type(e).__name__}: {e}")

    def wait(self, seconds):
        if not self.clock.wait(seconds):
            raise Stopped

    def until(self, end):
        self.wait(end - self.clock.now())

    def inject(self, turn):
        """True when it is in. What the stage cannot do is a problem of this turn alone."""
        try:
            heal = bounded(lambda: self.stage.inject(turn.fault, turn.rng()), INJECT_S,
                           f"injecting {turn.name}")
        except Over:
            raise
        except Wrong as e:
            self.violation(str(e), turn.name)
            return False
        except Exception as e:
            why = str(e) if isinstance(e, Unable) else f"{type(e).__name__}: {e}"
            self.problem(f"{turn.name} could not be injected: {why}")
            return False
        self.turns.append({"name": turn.name, "duration_s": round(turn.duration_s, 3)})
        self.active.append((turn, heal))
        return True

    def heal(self, turn):
        for pair in [p for p in self.active if p[0] is turn]:
            self.active.remove(pair)
            try:
                if pair[1]:
                    bounded(pair[1], HEAL_S, f"healing {turn.name}")
            except Over:
                raise
            except Wrong as e:
                self.violation(str(e), turn.name)
            except Exception as e:
                self.problem(f"{turn.name} could not be healed: {type(e).__name__}: {e}")

    def heal_all(self):
        for turn, _ in reversed(list(self.active)):
            self.heal(turn)

    def wait_whole(self, seconds, what, fault=None):
        """The cluster comes to rest, or that is a violation and the end of the round. fault: who is
        to blame then, several names with commas between."""
        begin = self.clock.now()
        end = begin + seconds
        while not bounded(self.stage.is_whole, WHOLE_S, "asking whether the cluster is whole"):
            if self.clock.now() >= end:
                text = f"{seconds} s after {what} was over the cluster is still not whole"
                self.violation(text, fault)
                raise NotWhole(text)
            self.wait(POLL_S)
        self.history.event("whole", {"after": fault,
                                     "ms": round((self.clock.now() - begin) * 1000)})
