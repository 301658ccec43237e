"""Faults of the network: it parts, it is bad, it forgets names.

SPDX-License-Identifier: Apache-2.0
"""

from faultbase import Unable, fault, hold, names
from lab import together


# --- Networks that part


@fault("partition", (2.0, 12.0))
def isolate_leader(env, rng):
    """The leader is cut off from everybody, also from the owners."""
    number = env.leader()
    yield from hold(env, lambda: env.lab.isolate(number), names([number]))


@fault("partition", (2.0, 12.0))
def isolate_leader_from_peers(env, rng):
    """The leader is cut off from the other replicas; owners and pods still reach it."""
    number = env.leader()
    yield from hold(env, lambda: env.lab.partition(
        [number], [n for n in env.numbers() if n != number]), names([number]))


@fault("partition", (2.0, 12.0))
def isolate_follower(env, rng):
    """A follower is cut off from everybody."""
    number = env.follower(rng)
    yield from hold(env, lambda: env.lab.isolate(number), names([number]))


@fault("partition", (2.0, 12.0))
def partition_minority(env, rng):
    """A minority with the leader on one side, the rest of the world on the other."""
    numbers = env.minority(rng, with_leader=True)
    yield from hold(env, lambda: env.lab.partition(numbers, env.others(numbers)), names(numbers))


@fault("partition", (2.0, 10.0), must_serve=False)
def partition_all(env, rng):
    """No replica reaches another one: no quorum. Owners reach all."""
    yield from hold(env, lambda: env.lab.partition(*[[n] for n in env.numbers()]),
                    names(env.numbers()))


@fault("partition", (2.0, 12.0), needs=("three",))
def partition_bridge_node(env, rng):
    """Two groups that do not see each other, and one replica that sees both."""
    numbers = env.numbers()
    rng.shuffle(numbers)
    half = (len(numbers) - 1) // 2
    yield from hold(env, lambda: env.lab.partition(numbers[:half], numbers[half + 1:]),
                    names(numbers[:half]))


@fault("partition", (2.0, 12.0))
def deaf_leader(env, rng):
    """The leader is heard by the other replicas, and hears none of them."""
    number = env.leader()
    others = [n for n in env.numbers() if n != number]
    yield from hold(env, lambda: env.lab.partition(others, [number], one_way=True),
                    names([number]))


@fault("partition", (2.0, 12.0))
def mute_leader(env, rng):
    """The leader hears the other replicas, and none of them hears it."""
    number = env.leader()
    others = [n for n in env.numbers() if n != number]
    yield from hold(env, lambda: env.lab.partition([number], others, one_way=True),
                    names([number]))


@fault("partition", (2.0, 12.0))
def deaf_follower(env, rng):
    """A follower hears no other replica, and asks for votes again and again."""
    number = env.follower(rng)
    others = [n for n in env.numbers() if n != number]
    yield from hold(env, lambda: env.lab.partition(others, [number], one_way=True),
                    names([number]))


@fault("partition", (3.0, 10.0))
def flapping_leader(env, rng):
    """The leader is cut off and back, again and again."""
    number = env.leader()
    on_s, off_s = rng.uniform(0.1, 1.0), rng.uniform(0.1, 1.0)
    yield from hold(env, lambda: env.lab.flap(lambda: env.lab.isolate(number), on_s, off_s),
                    names([number]))


@fault("partition", (3.0, 10.0), must_serve=False)
def flapping_partition(env, rng):
    """Another split of all hosts every half second."""
    def split():
        numbers = list(env.lab.hosts)
        rng.shuffle(numbers)
        half = rng.randrange(1, len(numbers))
        return env.lab.partition(numbers[:half], numbers[half:])
    yield from hold(env, lambda: env.lab.flap(split, 0.5, 0.1), names(env.numbers()))


def _bridge_of(env, rng):
    """A bridge whose loss leaves a quorum, and the replicas on it."""
    most = (len(env.numbers()) - 1) // 2
    found = [(b, [n for n in hosts if n in env.numbers()]) for b, hosts in env.lab.bridges.items()]
    found = [(b, hosts) for b, hosts in found if 0 < len(hosts) <= most]
    if not found:
        raise Unable("every bridge carries a majority")
    return rng.choice(found)


@fault("partition", (3.0, 12.0))
def bridge_down(env, rng):
    """A switch without power: the replicas on it reach nobody, also not each other."""
    bridge, numbers = _bridge_of(env, rng)
    yield from hold(env, lambda: env.lab.bridge(bridge), names(numbers))


@fault("partition", (3.0, 12.0))
def uplink_down(env, rng):
    """A switch without its uplink: the replicas on it reach each other alone."""
    bridge, numbers = _bridge_of(env, rng)
    yield from hold(env, lambda: env.lab.uplink(bridge), names(numbers))


# --- Connections that are bad


@fault("connection", (1.0, 5.0))
def reset_leader(env, rng):
    """Every packet to the leader and from it is answered with RST."""
    number = env.leader()
    yield from hold(env, lambda: env.lab.partition([number], env.others([number]), how="reset"),
                    names([number]))


@fault("connection", (3.0, 8.0))
def reset_storm(env, rng):
    """All connections between all hosts are reset every second, for a moment."""
    def storm():
        return together([lambda n=n: env.lab.partition(
            [n], [m for m in env.lab.hosts if m > n], how="reset") for n in env.numbers()])
    yield from hold(env, lambda: env.lab.flap(storm, 0.05, 1.0), names(env.numbers()))


@fault("connection", (5.0, 15.0))
def half_open_leader(env, rng):
    """Every open connection of the leader dies without a word; new ones work."""
    number = env.leader()

    def begin():
        return together([lambda n=n: env.lab.half_open(number, n) for n in env.others([number])])
    yield from hold(env, begin, names([number]))


def _slow_all(env, **how):
    """Between all replicas."""
    return together([lambda a=a, b=b: env.lab.slow(a, b, **how)
                     for a in env.numbers() for b in env.numbers() if a < b])


def _slow_one(env, number, **how):
    return together([lambda n=n: env.lab.slow(number, n, **how) for n in env.others([number])])


@fault("connection", (5.0, 15.0), needs=("detour",))
def delay_all(env, rng):
    """20 to 80 ms between any two replicas and half as much jitter: three sites."""
    delay = rng.randint(20, 80)
    yield from hold(env, lambda: _slow_all(env, delay_ms=delay, jitter_ms=delay // 2),
                    names(env.numbers()))


@fault("connection", (4.0, 12.0), needs=("detour",))
def delay_leader(env, rng):
    """300 ms to the leader and back, out of order."""
    number = env.leader()
    yield from hold(env, lambda: _slow_one(env, number, delay_ms=300, jitter_ms=200, reorder=0.1),
                    names([number]))


@fault("connection", (5.0, 15.0), needs=("detour",))
def loss_all(env, rng):
    """3 % of all packets between replicas are lost, 1 % come twice."""
    yield from hold(env, lambda: _slow_all(env, loss=0.03, duplicate=0.01), names(env.numbers()))


@fault("connection", (4.0, 12.0), needs=("detour",))
def loss_leader(env, rng):
    """A third of the leader's packets is lost."""
    number = env.leader()
    yield from hold(env, lambda: _slow_one(env, number, loss=0.33), names([number]))


@fault("connection", (5.0, 15.0), needs=("detour",))
def narrow_leader(env, rng):
    """The leader's lines carry 64 kbit/s, with a queue of 32 KB."""
    number = env.leader()
    yield from hold(env, lambda: _slow_one(env, number, rate_kbit=64, queue_kb=32),
                    names([number]))


@fault("connection", (5.0, 15.0), needs=("detour",))
def stall_lines(env, rng):
    """All lines between replicas carry nothing for a second, then what waited, again and again."""
    yield from hold(env, lambda: _slow_all(env, stall_ms=1000, period_ms=2500),
                    names(env.numbers()))


@fault("connection", (5.0, 15.0), needs=("detour",))
def swallow_leader(env, rng):
    """The leader's lines carry 16 KB and swallow what follows: connections hang in the middle."""
    number = env.leader()
    yield from hold(env, lambda: _slow_one(env, number, swallow_kb=16), names([number]))


# --- Names


def _dns(env, **modes):
    def begin():
        for name, value in modes.items():
            setattr(env.lab.dns, name, value)
        return env.lab.dns.be_good
    yield from hold(env, begin, ["dns"])


@fault("names", (4.0, 12.0))
def dns_silent(env, rng):
    """The name service does not answer."""
    yield from _dns(env, mode="silent")


@fault("names", (4.0, 12.0))
def dns_servfail(env, rng):
    """The name service answers every question with SERVFAIL."""
    yield from _dns(env, mode="servfail")


@fault("names", (4.0, 12.0))
def dns_slow(env, rng):
    """Every answer of the name service takes 1.5 s."""
    yield from _dns(env, delay_s=1.5)


@fault("names", (4.0, 12.0))
def dns_wrong(env, rng):
    """Every name leads to the host outside, where nobody listens."""
    yield from _dns(env, wrong=env.lab.outside.address)


@fault("names", (4.0, 12.0))
def dns_another_replica(env, rng):
    """Every name leads to the same replica."""
    number = rng.choice(env.numbers())
    yield from _dns(env, wrong=env.cluster.replicas[number].address)


@fault("names", (4.0, 12.0))
def dns_forgets_leader(env, rng):
    """The leader's name is unknown."""
    number = env.leader()
    name = env.cluster.replicas[number].dns_name

    def begin():
        env.lab.dns.forget(name)
        return lambda: env.lab.dns.set(name, env.cluster.replicas[number].address)
    yield from hold(env, begin, names([number]))
