"""Less memory or processor time for one running process, by a control group of its own.

    heal = squeeze.memory(lab, pid)          whatever page it asks for from now on, it dies
    heal = squeeze.cpu(lab, pid, percent)    of one processor

Version 1 and 2 of control groups, whichever the machine has. Groups carry the Lab's tag, so the Lab
removes what is left. missing() says why a controller is no use here.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import os

import lab as labs  # first: it says where harness is
from harness import read, wait_until, write

ROOT = labs.CGROUPS
PERIOD_US = 100000
MEMORY_BYTES = 65536  # less than anything that runs needs
FILES = {  # controller -> (file of version 1, file of version 2)
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "cpu": ("cpu.cfs_quota_us", "cpu.max"),
}


def _folder(controller):
    """(folder that groups are made in, version), or None."""
    one = os.path.join(ROOT, controller)
    if os.path.exists(os.path.join(one, "cgroup.procs")):
        return one, 1
    try:
        has = read(os.path.join(ROOT, "cgroup.subtree_control"), "r").split()
    except FileNotFoundError:
        return None
    return (ROOT, 2) if controller in has else None


def missing(controller):
    """Why a process cannot be squeezed here, or None."""
    if os.geteuid() != 0:
        return "control groups need root"
    found = _folder(controller)
    if not found:
        return f"no control group of the kind '{controller}' is mounted at {ROOT}"
    return None if os.access(found[0], os.W_OK) else f"{found[0]} is read-only"


def _group(lab, controller, pid, limit, more=()):
    """A group with this one process; the function that ends it."""
    folder, version = _folder(controller)
    with lab.lock:
        lab.count += 1
        path = os.path.join(folder, f"{lab.tag}-{controller}-{lab.count}")
    os.mkdir(path)
    for name, value in more:
        write(os.path.join(path, name), value)
    write(os.path.join(path, FILES[controller][version - 1]), limit[version - 1])
    write(os.path.join(path, "cgroup.procs"), str(pid))

    def heal():
        for one in read(os.path.join(path, "cgroup.procs"), "r").split():
            with contextlib.suppress(OSError):
                write(os.path.join(folder, "cgroup.procs"), one)
        wait_until(lambda: not read(os.path.join(path, "cgroup.procs")), 10, "the group is empty")
        with contextlib.suppress(OSError):
            os.rmdir(path)
    return labs.once(heal)


def memory(lab, pid):
    limit = str(MEMORY_BYTES)
    return _group(lab, "memory", pid, (limit, limit))


def cpu(lab, pid, percent):
    quota = PERIOD_US * percent // 100
    return _group(lab, "cpu", pid, (str(quota), f"{quota} {PERIOD_US}"))
