"""Faults of membership: names, addresses, builds, and pods that must not get in.

SPDX-License-Identifier: Apache-2.0
"""

import cluster as clusters
from faultbase import Wrong, beside, fault, names, wait_or_over

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

    def run(over):
        for number in env.numbers():
            if not wait_or_over(over, env.cluster.is_whole, STEP_S):
                return
            work(number)
    yield from beside(run)


@fault("membership", (12.0, 20.0), kills="one")
def move_all(env, rng):
    """Every replica gets another address, one after the other, each when the others are whole."""
    yield from _one_by_one(env, env.cluster.move)


@fault("membership", (3.0, 10.0))
def clone_of_a_name(env, rng):
    """A second pod with the name of a running replica, on another host, dying every second."""
    number = rng.choice(env.numbers())
    yield names([number])

    def appear(over):
        while not over.is_set():
            process = env.cluster.start_clone(number, rng.choice(env.others([number])))
            over.wait(1.0)
            process.child.kill()
            process.child.wait()
            over.wait(0.1)
    yield from beside(appear)


@fault("membership", (12.0, 20.0), kills="one")
def rolling_upgrade(env, rng):
    """All replicas become the present build, one after the other, each asked whether it is safe to
    stop; a deployment that began with the previous build is upgraded, any other restarted."""
    def upgrade(number):
        code = env.cluster.upgrade(number, None)
        if code != 0:
            raise Wrong(f"coordinator-{number} said that it is safe to stop it, and ended with "
                        f"{code}: {env.cluster.tail(number, 500)}")
    yield from _one_by_one(env, upgrade)


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
    if call is not None and code != 0:
        env.history.fail(call, f"exit {code}")
    elif call is not None:
        env.history.ok(call, {})
    elif code == 0:
        raise Wrong(f"{name} got in")


INTRUDERS = {
    "policy": "A pod and a replica under a policy that differs in one line.",
    "debug": "A pod and a replica whose guest may be debugged.",
    "measurement": "A pod and a replica with another guest image.",
    "chip": "A pod and a replica on a machine that the manifest does not name.",
    "firmware": "A pod and a replica on a machine of the manifest whose firmware is too old.",
}


def _intruder(kind, what):
    def intruder(env, rng):
        yield from _denied(env, rng, kind)
    intruder.__name__, intruder.__doc__ = f"intruder_{kind}", what
    return intruder


for _kind, _what in INTRUDERS.items():
    fault("intruder", 6.0)(_intruder(_kind, _what))
