"""Faults of hosts: clocks, resources, disks, security processors, the key service.

SPDX-License-Identifier: Apache-2.0
"""

import os
import signal
import time

import squeeze
from faultbase import Unable, Wrong, beside, fault, hold, names, repeat
from lab import BALLAST, together

POKES_MAX = 200
STEADY = "backend.yaml"  # owners change the other one all the time


# --- Clocks


def _clock(env, numbers, **how):
    def begin():
        for number in numbers:
            env.cluster.set_clock(number, **how)
        return lambda: [env.cluster.set_clock(number) for number in numbers]
    yield from hold(env, begin, names(numbers))


@fault("clock", (4.0, 12.0), needs=("clock",))
def clock_ahead(env, rng):
    """The leader's wall clock jumps a minute to an hour ahead, and back at the end."""
    yield from _clock(env, [env.leader()], skew_s=rng.randint(60, 3600))


@fault("clock", (4.0, 12.0), needs=("clock",))
def clock_behind(env, rng):
    """The leader's wall clock jumps a minute to an hour back."""
    yield from _clock(env, [env.leader()], skew_s=-rng.randint(60, 3600))


@fault("clock", (4.0, 12.0), needs=("clock",))
def clock_drift(env, rng):
    """A follower's wall clock runs away, forward or back, by five seconds in each; and is right
    again at the end."""
    number = env.follower(rng)
    rate = rng.choice((-5.0, 5.0))
    yield names([number])
    begin = time.monotonic()

    def drift():
        env.cluster.set_clock(number, rate * (time.monotonic() - begin))
    try:
        yield from beside(repeat(drift, 0.2))
    finally:
        env.cluster.set_clock(number)


@fault("clock", (4.0, 12.0), must_serve=False, needs=("clock",))
def clock_year_behind(env, rng):
    """A replica's wall clock says a year ago: certificates are not valid yet."""
    yield from _clock(env, [rng.choice(env.numbers())], skew_s=-365 * 86400)


@fault("clock", (4.0, 12.0), needs=("clock",))
def clocks_jump(env, rng):
    """Every second the wall clock of every replica says something else, by up to five minutes."""
    numbers = env.numbers()
    yield names(numbers)

    def jump():
        for number in numbers:
            env.cluster.set_clock(number, skew_s=rng.randint(-300, 300))
    try:
        yield from beside(repeat(jump, 1.0))
    finally:
        for number in numbers:
            env.cluster.set_clock(number)


# --- Resources


@fault("resource", (4.0, 12.0))
def files_exhausted(env, rng):
    """The leader gets no file descriptor more than it has."""
    number = env.leader()
    yield from hold(env, lambda: env.cluster.limit_files(number), names([number]))


@fault("resource", (4.0, 12.0))
def files_scarce(env, rng):
    """All replicas have four descriptors to spare."""
    def begin():
        return together([lambda n=n: env.cluster.limit_files(n, 4) for n in env.numbers()])
    yield from hold(env, begin, names(env.numbers()))


@fault("resource", (3.0, 6.0), kills="one", needs=("memory",))
def memory_exhausted(env, rng):
    """A replica gets no page more, whichever it asks for: the kernel kills it."""
    number = rng.choice(env.numbers())

    def begin():
        pid = env.cluster.replicas[number].pid
        end = squeeze.memory(env.lab, pid)
        for _ in range(POKES_MAX):  # each one costs it some pages
            if env.cluster.replicas[number].pid != pid or not env.cluster.status(number, 1):
                return end
        end()
        raise Unable(f"{POKES_MAX} requests did not cost the replica its life")
    yield from hold(env, begin, names([number]))


@fault("resource", (4.0, 12.0), needs=("cpu",))
def processor_scarce(env, rng):
    """The leader gets 5 % of a processor, by its control group."""
    number = env.leader()
    yield from hold(env, lambda: squeeze.cpu(env.lab, env.cluster.replicas[number].pid, 5),
                    names([number]))


@fault("disk", (4.0, 10.0), needs=("state",))
def state_full(env, rng):
    """The disks for AutoRecovery's files are full, at every replica."""
    def begin():
        return together([disk.fill for disk in env.cluster.disks.values()])
    yield from hold(env, begin, names(env.numbers()))


@fault("disk", (4.0, 10.0), needs=("state",))
def state_read_only(env, rng):
    """The leader's disk for AutoRecovery's files turns read-only."""
    number = env.leader()
    yield from hold(env, env.cluster.disks[number].read_only, names([number]))


@fault("disk", 4.0, kills="one", needs=("state",))
def state_rolled_back(env, rng):
    """A replica dies and finds the file of the founding on its disk when it is back."""
    number = rng.choice(env.numbers())
    yield names([number])
    env.cluster.stop(number, signal.SIGKILL)
    try:
        env.cluster.disks[number].restore(env.first_files[number])
    finally:
        env.cluster.start(number)
    yield


def _pod(env, rng, begin):
    """A pod whose folder is such a disk. It must not come through, and must when it is mended."""
    disk = env.pod_disk()
    env.count += 1
    name = f"disk-{env.count}"
    host = rng.choice(env.numbers())
    yield [f"pod-{name}"]
    disk.wipe()
    heal = begin(disk)
    pod = env.cluster.pod(name, host, yaml=STEADY, disk=disk).start()
    yield
    has_set = os.path.exists(pod.file("tls-config", "certChain.pem"))
    heal()
    code = pod.wait(20)
    if has_set or code not in (0, 1, 2, None):
        raise Wrong(f"a pod without room in its folder: exit {code}, {pod.text()[-500:]}")
    again = env.cluster.pod(f"{name}-again", host, yaml=STEADY, disk=disk)
    if code != 0 and again.run(20) == 2:
        raise Wrong("its folder has room again, and the pod calls it misconfigured")


@fault("disk", (2.0, 6.0))
def pod_disk_full(env, rng):
    """A pod that starts has no room in its folder for key and certificates."""
    yield from _pod(env, rng, lambda disk: disk.fill())


@fault("disk", (2.0, 6.0))
def pod_disk_read_only(env, rng):
    """A pod that starts cannot write to its folder."""
    yield from _pod(env, rng, lambda disk: disk.read_only())


@fault("disk", (2.0, 6.0))
def owner_disk_full(env, rng):
    """An owner who verifies has no room in the workspace: an error, and what was there is whole."""
    disk = env.owner_disk()
    yield ["owner"]
    kept = disk.copy()
    heal = disk.fill()
    done = env.cluster.contrast(disk.path, "verify", "-c", env.cluster.user())
    yield
    changed = {name for name, data in disk.copy().items()
               if name != BALLAST and kept.get(name, data) != data}
    heal()
    if changed and done.code != 0:
        whole = env.cluster.contrast(disk.path, "verify", "-c", env.cluster.user())
        if whole.code == 2:
            raise Wrong(f"a workspace on a full disk is left half-written: {changed}: {whole}")


# --- Security processors


def _processor(env, numbers, begin, end):
    yield [f"machine-{n}" for n in numbers]
    for number in numbers:
        env.cluster.machines.processes[number].signal(begin)
    yield
    for number in numbers:
        env.cluster.machines.processes[number].signal(end)


@fault("processor", (4.0, 15.0))
def processor_busy(env, rng):
    """The leader's host answers every request for a report with 'busy'."""
    yield from _processor(env, [env.leader()], signal.SIGUSR1, signal.SIGUSR2)


@fault("processor", (4.0, 15.0), must_serve=False)
def processors_busy(env, rng):
    """All hosts are busy: nobody attests; what needs no attestation goes on."""
    yield from _processor(env, env.numbers(), signal.SIGUSR1, signal.SIGUSR2)


@fault("processor", (4.0, 15.0))
def processor_hangs(env, rng):
    """The leader's security processor does not answer."""
    yield from _processor(env, [env.leader()], signal.SIGSTOP, signal.SIGCONT)


@fault("processor", (4.0, 15.0), must_serve=False)
def processors_hang(env, rng):
    """No security processor answers."""
    yield from _processor(env, env.numbers(), signal.SIGSTOP, signal.SIGCONT)


def _settings(env, numbers, **how):
    def begin():
        for number in numbers:
            env.cluster.machines.behave(number, **how)
        return lambda: [env.cluster.machines.behave(number) for number in numbers]
    yield from hold(env, begin, [f"machine-{n}" for n in numbers])


@fault("processor", (4.0, 15.0))
def processors_slow(env, rng):
    """Every report takes 400 ms, one at a time on each host."""
    yield from _settings(env, env.numbers(), latency_ms=400)


@fault("processor", (4.0, 15.0))
def processors_throttle(env, rng):
    """Six of ten requests are answered 'busy', on every host."""
    yield from _settings(env, env.numbers(), busy_percent=60)


@fault("processor", (4.0, 15.0), must_serve=False)
def processors_refuse(env, rng):
    """Every request for a report is refused, on every host."""
    yield from _settings(env, env.numbers(), refuse_percent=100)


# --- Key service


@fault("kds", (4.0, 15.0), needs=("kds",))
def kds_down(env, rng):
    """Nobody listens at the key service's address."""
    def begin():
        env.kds.down()
        return env.kds.up
    yield from hold(env, begin, ["kds"])


@fault("kds", (4.0, 15.0), needs=("kds",))
def kds_throttled(env, rng):
    """The key service answers 429."""
    yield from _kds(env, "throttle")


@fault("kds", (4.0, 15.0), needs=("kds",))
def kds_lies(env, rng):
    """The key service hands out another chip's certificate."""
    yield from _kds(env, "lie")


def _kds(env, mode):
    def begin():
        env.kds.mode = mode
        return lambda: setattr(env.kds, "mode", "good")
    yield from hold(env, begin, ["kds"])
