"""What a fault is, and what faults are made of; see faults.py for the contract.

SPDX-License-Identifier: Apache-2.0
"""

import os
import shutil
import threading
import time

import lab as _labs  # noqa: F401  first: it says where harness is
import harness
import squeeze
from player import Unable, Wrong  # noqa: F401  what a fault may raise


class Env:
    """What faults work on. history may be None; previous_bin is a folder with the programs of an
    older build, or None."""

    def __init__(self, lab, cluster, history=None, previous_bin=None):
        self.lab, self.cluster, self.history = lab, cluster, history
        self.previous_bin, self.kds = previous_bin, cluster.kds
        self.count = 0
        self.first_files = {n: disk.copy() for n, disk in cluster.disks.items()}
        self.small = {}

    def _disk(self, name, size_kb):
        if name not in self.small:
            self.small[name] = self.lab.disk(name, size_kb)
        return self.small[name]

    def pod_disk(self):
        """For the folder of one pod."""
        return self._disk("pod-disk", 256)

    def owner_disk(self):
        """With a workspace on it."""
        is_new = "owner-disk" not in self.small
        disk = self._disk("owner-disk", 65536)
        if is_new:
            shutil.copytree(self.cluster.app, disk.path, dirs_exist_ok=True)
        return disk

    def numbers(self):
        return sorted(self.cluster.replicas)

    def leader(self):
        number = self.cluster.leader()
        if number is None:
            raise Unable("no leader is confirmed")
        return number

    def follower(self, rng):
        return rng.choice([n for n in self.numbers() if n != self.leader()])

    def minority(self, rng, with_leader=None):
        """As many replicas as may fail. with_leader: one of them is, or is not, the leader."""
        count = (len(self.numbers()) - 1) // 2
        if count == 0:
            raise Unable("one replica has no minority")
        if with_leader is None:
            return sorted(rng.sample(self.numbers(), count))
        leader = self.leader()
        others = [n for n in self.numbers() if n != leader]
        chosen = rng.sample(others, count - 1 if with_leader else count)
        return sorted(chosen + ([leader] if with_leader else []))

    def majority(self, rng):
        return sorted(rng.sample(self.numbers(), len(self.numbers()) // 2 + 1))

    def others(self, numbers):
        """All hosts but these, also where no replica is."""
        return [n for n in self.lab.hosts if n not in numbers]


class Fault:
    def __init__(self, function, group, duration_s, must_serve, kills, ends_epoch, needs,
                 min_gap_s):
        self.function, self.group = function, group
        self.name = function.__name__.replace("_", "-")
        self.what = " ".join(function.__doc__.split())
        self.duration_s, self.min_gap_s = duration_s, min_gap_s
        self.must_serve, self.kills, self.ends_epoch = must_serve, kills, ends_epoch
        self.needs = needs

    def __repr__(self):
        return self.name

    def missing(self, env):
        """Why it cannot be done here at all, or None."""
        for need in self.needs:
            why = NEEDS[need](env)
            if why:
                return why
        return None

    def inject(self, env, rng):
        """Begins the fault. Gives the function that ends it."""
        steps = self.function(env, rng)
        targets = next(steps)
        line = env.history.fault(self.name, targets) if env.history else None
        lock, done = threading.Lock(), []

        def heal():
            with lock:
                if not done:
                    done.append(True)
                    try:
                        next(steps, None)
                    finally:
                        steps.close()
                        if line is not None:
                            env.history.healed(line)
        heal.targets = targets
        try:
            next(steps, None)
        except BaseException:
            heal()
            raise
        return heal


CATALOG = []


def fault(group, duration_s, must_serve=True, kills="none", ends_epoch=False, needs=(),
          min_gap_s=8.0):
    """Puts a generator into the catalog."""
    def take(function):
        made = Fault(function, group, duration_s, must_serve, kills, ends_epoch, needs, min_gap_s)
        CATALOG.append(made)
        return function
    return take


def by_name(name):
    for one in CATALOG:
        if one.name == name:
            return one
    raise KeyError(f"no fault '{name}'; there are: {', '.join(f.name for f in CATALOG)}")


def names(numbers):
    return [f"coordinator-{n}" for n in numbers]


# --- What faults are made of


def hold(env, begin, targets):
    """begin() does it and gives the end."""
    yield targets
    heal = begin()
    yield
    heal()


def beside(work):
    """The rest of a fault whose work(over) goes on in a thread until `over` is set. What it raises
    is raised when the fault is ended: work that failed was no fault."""
    over, errors = threading.Event(), []

    def run():
        try:
            work(over)
        except Exception as why:  # handed over
            errors.append(why)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()
    if errors:
        raise errors[0]


def repeat(work, pause_s, turns=None):
    """Work for beside(): this again and again, or so many times."""
    def run(over):
        left = turns
        while not over.is_set() and left != 0:
            work()
            over.wait(pause_s)
            left = left - 1 if left is not None else None
    return run


def wait_or_over(over, condition, seconds):
    """Waits for a condition, or until it is over, or for so long; whether it holds."""
    end = time.monotonic() + seconds
    while not over.is_set() and time.monotonic() < end:
        if condition():
            return True
        over.wait(0.2)
    return False


# --- What a fault may need


def _need_detour(_):
    path = os.path.join(harness.BIN, "..", "test", "detour")
    return None if os.path.exists(path) else "build the target 'detour'"


def _need_clock(env):
    return None if env.cluster.clock_library else "libfaketime is missing: run scripts/deps --test"


def _need_memory(_):
    return squeeze.missing("memory")


def _need_cpu(_):
    return squeeze.missing("cpu")


def _need_state(env):
    return None if env.cluster.disks else "the deployment keeps no state (AutoRecovery)"


def _need_shares(env):
    return None if len(env.cluster.share_owners) > 1 else "the deployment has no share owners"


def _need_kds(env):
    return None if env.kds else "the deployment asks no key service"


def _need_three(env):
    return None if len(env.cluster.replicas) >= 3 else "needs three replicas"


NEEDS = {"detour": _need_detour, "clock": _need_clock, "memory": _need_memory, "cpu": _need_cpu,
         "state": _need_state, "shares": _need_shares, "kds": _need_kds, "three": _need_three}


def previous_coordinator(env):
    if env.previous_bin:
        return os.path.join(env.previous_bin, "contrast-coordinator")
    return os.path.join(harness.BIN, "..", "test", "contrast-coordinator-v1")
