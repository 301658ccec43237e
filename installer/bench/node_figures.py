"""The installer where there is nothing to do: time and memory of a run on a real containerd.

Floor of the same run: a program that links the same libraries and ends (bench-installer floor).
The two take turns, so that both see the same machine.

SPDX-License-Identifier: Apache-2.0
"""
import os
import shutil
import subprocess
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../test"))

from cluster import Failed
from measure import note, summary
from private_node import PrivateNode

BAR_MS, BAR_KIB = 100, 8192
PAYLOAD = {"bin/containerd-shim-contrast-cc-v2": b"shim" * 500_000,
           "bin/qemu-system-x86_64": b"qemu" * 5_000_000, "share/kata-kernel": b"kernel" * 1_000_000,
           "share/kata-containers.img": b"image" * 10_000_000}


def once(bench, env, *argv):
    done = subprocess.run([bench, "run", *argv], env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, timeout=300)
    took_us, hwm_kib, code = done.stdout.split()
    if int(code) != 0:
        raise Failed(f"{os.path.basename(argv[0])}: exit {int(code)}")
    return int(took_us) / 1000, int(hwm_kib)


def installer(build, _keep, quick, log):
    if shutil.which("containerd") is None or os.geteuid() != 0:
        raise Failed("installer: needs root and containerd (scripts/deps --test)")
    bench = os.path.join(build, "bench/bench-installer")
    node = PrivateNode(os.path.join(build, "bin"), "version = 2\n")
    try:
        note(log, "installer: a run with nothing to do")
        node.boot()
        done = node.install(PAYLOAD)
        if done.code != 0:
            raise Failed("installer: " + done.output[-500:])
        program, env = os.path.join(build, "bin/contrast-node-installer"), node.environment()
        before = node.tree(), node.restarts
        runs, floors = [], []
        for _ in range(5 if quick else 20):
            runs.append(once(bench, env, program))
            floors.append(once(bench, env, bench, "floor"))
        if (node.tree(), node.restarts) != before:
            raise Failed("installer: a run with nothing to do changed the node")
    finally:
        node.close()
    return {name: {"ms": summary([r[0] for r in rows]), "hwm_kib": summary([r[1] for r in rows])}
            for name, rows in (("run", runs), ("floor", floors))}


def print_installer(got):
    print("The installer with nothing to do (payload of 78 MB, containerd 1.6; wall time, VmHWM)")
    print("                         n    min ms    p50 ms    max ms   p50 KiB   max KiB")
    for name, what in (("run", "contrast-node-installer"), ("floor", "floor: its libraries")):
        ms, kib = got[name]["ms"], got[name]["hwm_kib"]
        print(f"  {what:<23}{ms['n']:>3} {ms['min']:>9.1f} {ms['p50']:>9.1f} {ms['max']:>9.1f} "
              f"{kib['p50']:>9.0f} {kib['max']:>9}")
    print(f"  bar: {BAR_MS} ms, {BAR_KIB} KiB")
