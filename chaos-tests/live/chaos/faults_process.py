"""Faults of processes: they die, or stand still.

SPDX-License-Identifier: Apache-2.0
"""

import signal

from faultbase import Unable, beside, fault, names, repeat, wait_or_over


# --- Processes that die


def _kill(env, numbers):
    for number in numbers:
        env.cluster.kill(number)


@fault("process", 3.0, kills="one")
def kill_leader(env, rng):
    """The leader is killed; its pod starts again and joins as a new member."""
    number = env.leader()
    yield names([number])
    _kill(env, [number])
    yield


@fault("process", 3.0, kills="one")
def kill_follower(env, rng):
    """A follower is killed and starts again."""
    number = env.follower(rng)
    yield names([number])
    _kill(env, [number])
    yield


@fault("process", 5.0, kills="minority")
def kill_minority(env, rng):
    """As many replicas as may die at once, the leader among them."""
    numbers = env.minority(rng, with_leader=True)
    yield names(numbers)
    _kill(env, numbers)
    yield


@fault("process", (6.0, 12.0), kills="one")
def kill_again(env, rng):
    """One replica is killed whenever it is back, four times: its pod backs off."""
    number = rng.choice(env.numbers())
    yield names([number])
    yield from beside(repeat(lambda: env.cluster.kill(number), 1.5, turns=4))


@fault("process", (4.0, 10.0), kills="one")
def stop_for_long(env, rng):
    """A replica is killed and its pod is not started for a while: its machine is gone."""
    number = rng.choice(env.numbers())
    yield names([number])
    env.cluster.stop(number, signal.SIGKILL)
    yield
    env.cluster.start(number)


@fault("process", (8.0, 15.0), kills="one")
def terminate_storm(env, rng):
    """SIGTERM to one replica after the other, each many times, as an impatient node drain; the
    next one only when the cluster is whole again."""
    yield names(env.numbers())

    def drain(over):
        while wait_or_over(over, env.cluster.is_whole, 40):
            number = rng.choice(env.numbers())
            for _ in range(5):
                env.cluster.terminate(number)
                over.wait(0.02)
            wait_or_over(over, lambda: not env.cluster.is_whole(), 5)
    yield from beside(drain)


def _checkpoint(env):
    try:
        return env.cluster.backup()
    except AssertionError as why:
        raise Unable(f"no checkpoint can be had: {why}") from why


def _recover(env, source, checkpoint=None):
    """What the epoch after this one must not fall behind is told first."""
    if env.history:
        env.history.event("recovery-source", dict(source, old_is_dead=True))
    env.cluster.recover(checkpoint)


@fault("process", (3.0, 8.0), must_serve=False, kills="majority", ends_epoch=True,
       needs=("shares",))
def kill_majority(env, rng):
    """So many die at once that no quorum is left; share owners recover from a survivor, which has
    everything."""
    numbers = env.majority(rng)
    yield names(numbers)
    _kill(env, numbers)
    yield
    shown = [env.cluster.status(n, 2) for n in env.numbers() if n not in numbers]
    shown = [(s["generation"], s["ledger_size"]) for s in shown if s]
    if not shown:
        raise AssertionError("no survivor answers")
    _recover(env, {"generation": max(g for g, _ in shown), "ledger_size": max(s for _, s in shown)})


@fault("process", (2.0, 5.0), must_serve=False, kills="all", ends_epoch=True, needs=("shares",))
def kill_all(env, rng):
    """All die at once. Share owners recover from a checkpoint that was made just before; where the
    manifest permits AutoRecovery, nobody does anything."""
    kept = None if env.cluster.disks else _checkpoint(env)
    yield names(env.numbers())
    env.cluster.kill_all(is_for_good=False)
    yield
    if kept:
        _recover(env, {"generation": kept["generation"], "ledger_size": kept["ledger_size"]},
                 kept["file"])
    else:
        env.cluster.wait_rest(120)


# --- Processes that stand still


def _pause(env, numbers):
    yield names(numbers)
    for number in numbers:
        env.cluster.pause(number)
    yield
    for number in numbers:
        env.cluster.resume(number)


@fault("pause", (0.1, 2.0))
def pause_leader_shortly(env, rng):
    """The leader stands still for less than it takes to replace it, or a little more."""
    yield from _pause(env, [env.leader()])


@fault("pause", (2.0, 15.0))
def pause_leader(env, rng):
    """The leader stands still, long enough to be replaced; then it goes on as if nothing was."""
    yield from _pause(env, [env.leader()])


@fault("pause", (2.0, 15.0))
def pause_follower(env, rng):
    """A follower stands still."""
    yield from _pause(env, [env.follower(rng)])


@fault("pause", (2.0, 15.0))
def pause_minority(env, rng):
    """A minority with the leader stands still."""
    yield from _pause(env, env.minority(rng, with_leader=True))


@fault("pause", (1.0, 8.0), must_serve=False)
def pause_majority(env, rng):
    """A majority stands still: nobody may answer as if there was a quorum."""
    yield from _pause(env, env.majority(rng))


@fault("pause", (1.0, 8.0), must_serve=False)
def pause_all(env, rng):
    """All stand still at once, as in a snapshot of the hypervisor."""
    yield from _pause(env, env.numbers())


@fault("pause", (4.0, 10.0))
def starve_leader(env, rng):
    """The leader gets a tenth of its time, in slices of 0.2 s."""
    number = env.leader()
    yield names([number])

    def slices(over):
        while not over.is_set():
            env.cluster.pause(number)
            over.wait(0.18)
            env.cluster.resume(number)
            over.wait(0.02)
    try:
        yield from beside(slices)
    finally:
        env.cluster.resume(number)
