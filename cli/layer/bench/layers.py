"""The figure "layers": one large layer hashed, beside `pigz -dc | sha256sum` on the same file.

    a tar of files of this machine's /usr, 500 MB (--quick: 100 MB), compressed by pigz -6, once
    rounds in turns: pigz -dc LAYER | sha256sum, then contrast layer hash LAYER
    a figure is the median of the rounds, in seconds of wall clock; beside it processor time and
    the most memory that `contrast` took

The floor computes one digest; `contrast` computes that one (diff_id), the blob's, the index and the
dm-verity root in the same pass. Alone on the machine the wall clock is what counts; with others on
it, the processor time.

SPDX-License-Identifier: Apache-2.0
"""

import os
import resource
import shutil
import subprocess
import tarfile
import tempfile
import time

from cluster import Failed
from measure import median, note

SOURCE = "/usr"
FILE_MAX = 40 << 20  # larger ones would be most of the layer


def make_layer(folder, size, log):
    """A gzip of a tar of at least `size` bytes; returns its path and the size of the tar."""
    path, total = os.path.join(folder, "layer.tar"), 0
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for at, folders, files in os.walk(SOURCE):
            folders.sort()
            tar.add(at, arcname=at.lstrip("/"), recursive=False)
            for name in sorted(files):
                file = os.path.join(at, name)
                if os.path.lexists(file) and os.lstat(file).st_size <= FILE_MAX:
                    tar.add(file, arcname=file.lstrip("/"), recursive=False)
                    total += os.lstat(file).st_size + 512
            if total >= size:
                break
    total = os.path.getsize(path)
    note(log, f"layers: {total / 1e6:.0f} MB of {SOURCE}, compressing")
    subprocess.run(["pigz", "-6", path], check=True)
    return path + ".gz", total


def run(argv, shell=False):
    """Wall clock, processor time of all its processes (seconds) and its output."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(argv, shell=shell, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise Failed(f"{argv}: exit {done.returncode}: {done.stderr.strip()}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "output": done.stdout}


def memory_of(argv):
    """The most memory (KiB) of one process."""
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as child:
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise Failed(f"{argv}: exit {child.returncode}")
    return usage.ru_maxrss


def layers(build, _keep, quick, log):
    for tool in ("pigz", "sha256sum"):
        if shutil.which(tool) is None:
            raise Failed(f"layers: {tool} is missing; scripts/deps --test installs it")
    count, size = (3, 100_000_000) if quick else (9, 500_000_000)
    ours = [os.path.join(build, "bin/contrast"), "layer", "hash", "--output", "json"]
    rounds = {"floor": [], "contrast": []}
    with tempfile.TemporaryDirectory() as folder:
        path, total = make_layer(folder, size, log)
        packed = os.path.getsize(path)
        for i in range(count):
            note(log, f"layers: round {i + 1} of {count}")
            rounds["floor"].append(run(f"pigz -dc '{path}' | sha256sum", shell=True))
            rounds["contrast"].append(run(ours + [path]))
            digest = rounds["floor"][-1]["output"].split()[0]
            if f'"{digest}"' not in rounds["contrast"][-1]["output"]:
                raise Failed(f"layers: sha256sum says {digest}, contrast another diff_id")
        memory = memory_of(ours + [path])
    result = {"rounds": count, "tar_bytes": total, "blob_bytes": packed, "rss_kib": memory}
    for name, values in rounds.items():
        result[name] = {key: median([v[key] for v in values]) for key in ("wall", "cpu")}
    for key in ("wall", "cpu"):
        result[f"ratio_{key}"] = result["contrast"][key] / result["floor"][key]
    return result


def print_layers(result):
    print(f"One layer of {result['tar_bytes'] / 1e6:.0f} MB, {result['blob_bytes'] / 1e6:.0f} MB "
          f"as gzip: seconds, median of {result['rounds']} rounds in turns")
    print(f"  {'':<40}{'wall':>8}{'cpu':>8}")
    for name, what in (("floor", "floor: pigz -dc | sha256sum"), ("contrast", "contrast layer hash")):
        print(f"  {what:<40}{result[name]['wall']:>8.2f}{result[name]['cpu']:>8.2f}")
    print(f"  {'ratio':<40}{result['ratio_wall']:>8.2f}{result['ratio_cpu']:>8.2f}")
    print(f"  memory of contrast: {result['rss_kib'] / 1024:.1f} MiB at most")
