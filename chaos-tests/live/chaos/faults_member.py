"""Faults of membership: names, addresses, builds, and pods that must not get in.

SPDX-License-Identifier: Apache-2.0
"""

import threading

import cluster as clusters
from faultbase import fault, names, repeat, wait_or_over

STEP_S = 40  # for one replica to be a member again


# --- Membership


@fault("membership", (3.0, 8.0), kills="one")
def move_replica(env, rng):
    """A pod is killed and comes back at another address."""
    number = rng.choice(env.numbers())
    yield names([number])
    env.cluster.move(number)
    yield


def _one_by_one(env, work):
    """Works on every replica, each when all are members. Beside everything else; what is not done
    at the end of the fault is left."""
    yield names(env.numbers())
    over, errors = threading.Event(), []

    def run():
        try:
            for number in env.numbers():
                if not wait_or_over(over, env.cluster.is_whole, STEP_S):
                    return
                work(number)
        except AssertionError as why:
            errors.append(why)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()
    if errors:
        raise errors[0]


@fault("membership", (12.0, 20.0), kills="one")
def move_all(env, rng):
    """Every replica gets another address, one after the other, each when the others are whole."""
    yield from _one_by_one(env, env.cluster.move)


@fault("membership", (3.0, 10.0))
def clone_of_a_name(env, rng):
    """A second pod with the name of a running replica, on another host, dying every second."""
    number = rng.choice(env.numbers())
    yield names([number])
    over = threading.Event()

    def appear():
        process = env.cluster.start_clone(number, rng.choice(env.others([number])))
        over.wait(1.0)
        process.child.kill()
        process.child.wait()
    thread = repeat(over, appear, 0.1)
    yield
    over.set()
    thread.join()


@fault("membership", (12.0, 20.0), kills="one")
def rolling_upgrade(env, rng):
    """All replicas become the present build, one after the other, each asked whether it is safe to
    stop; a deployment that began with the previous build is upgraded, any other restarted."""
    yield from _one_by_one(env, lambda number: env.cluster.upgrade(number, None))


# --- Pods that must not get in


def _denied(env, rng, kind):
    """Such a pod asks for a certificate, and such a replica wants to join; neither may succeed."""
    env.count += 1
    name = f"{kind}-{env.count}"
    host = rng.choice(env.others([]))
    yield [f"host-{host}"]
    call = None
    if env.history:
        call = env.history.call(name, "issue", clusters.READY, {"denied": f"a pod with {kind}"})
    intruder = env.cluster.intruder(name, host, kind)
    yield
    code = intruder.end()
    if call is not None:
        if code == 0 or intruder.has_key():
            env.history.ok(call, intruder.certificate())
        else:
            env.history.fail(call, f"exit {code}")


@fault("intruder", 6.0)
def intruder_policy(env, rng):
    """A pod and a replica under a policy that differs in one line."""
    yield from _denied(env, rng, "policy")


@fault("intruder", 6.0)
def intruder_debug(env, rng):
    """A pod and a replica whose guest may be debugged."""
    yield from _denied(env, rng, "debug")


@fault("intruder", 6.0)
def intruder_measurement(env, rng):
    """A pod and a replica with another guest image."""
    yield from _denied(env, rng, "measurement")


@fault("intruder", 6.0)
def intruder_chip(env, rng):
    """A pod and a replica on a machine that the manifest does not name."""
    yield from _denied(env, rng, "chip")


@fault("intruder", 6.0)
def intruder_firmware(env, rng):
    """A pod and a replica on a machine of the manifest whose firmware is too old."""
    yield from _denied(env, rng, "firmware")
