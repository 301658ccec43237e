"""Agreement: commits a second and their latency, beside a floor and etcd in the same run.

    a round: for each payload and count of outstanding requests the floor, 3 replicas, 5 replicas
             and etcd take their turns; a figure is the median of the rounds
    etcd's failover: kill -9 of its leader until the first put that succeeds

Everything is loopback: one process for each replica, one for the generator, one connection between
generator and leader. In the end all replicas must have applied the same payloads.

SPDX-License-Identifier: Apache-2.0
"""

import contextlib
import os
import shutil
import subprocess

import etcd_cluster
from agreement_cluster import Floor, Replicas
from measure import cpu_seconds, median, note, summary

HERE = os.path.dirname(os.path.abspath(__file__))
COUNTS = (3, 5)
SIZES = (256, 4096)
OUTSTANDING = (1, 16, 256)
KILLS = 20


def build_peer(build, log):
    """(etcd, the program that drives it), or (None, why not)."""
    server = etcd_cluster.server()
    if server is None:
        return None, "etcd is not installed: scripts/deps --bench"
    if shutil.which("go") is None:
        return None, "Go is not installed"
    program = os.path.join(build, "bench/peer-etcd")
    note(log, f"consensus: building the client of etcd {etcd_cluster.version(server)}")
    done = subprocess.run(["go", "build", "-trimpath", "-o", program, "."],
                          cwd=os.path.join(HERE, "etcd-peer"), stderr=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode != 0:
        return None, "its client does not build: " + done.stderr.strip().splitlines()[-1]
    return (server, program), ""


def client_version():
    with open(os.path.join(HERE, "etcd-peer/go.mod"), encoding="utf-8") as f:
        return next(line.split()[-1] for line in f if "etcd/client/v3" in line)


def one(server, what):
    """A load, and the processor time of the servers for each commit."""
    pids = server.pids() if isinstance(server, Replicas) else []
    before = sum(cpu_seconds(pid) for pid in pids)
    got = server.load(**what)
    spent = sum(cpu_seconds(pid) for pid in pids) - before
    total = got["rate"] * (what["warm_ms"] + what["window_ms"]) / 1000
    return {**got, "cpu_us": 1e6 * spent / total if pids else None}


def take_turns(servers, rounds, times, log):
    """{(name, size, outstanding): [load]}"""
    loads = {}
    for turn in range(rounds):
        for size in SIZES:
            for outstanding in OUTSTANDING:
                note(log, f"consensus: round {turn + 1} of {rounds}, {size} B, {outstanding} "
                          "outstanding")
                for name, server in servers.items():
                    what = {"outstanding": outstanding, "size": size, **times}
                    loads.setdefault((name, size, outstanding), []).append(one(server, what))
    return loads


def summarize(loads):
    rows = []
    for (name, size, outstanding), runs in loads.items():
        cpu = [r["cpu_us"] for r in runs if r["cpu_us"] is not None]
        rates = [r["rate"] for r in runs]
        rows.append({"server": name, "size": size, "outstanding": outstanding, "rates": rates,
                     "rate": median(rates), "p50_us": median([r["p50_us"] for r in runs]),
                     "p99_us": median([r["p99_us"] for r in runs]),
                     "cpu_us": median(cpu) if cpu else None})
    return rows


def ratios(loads):
    """How many times etcd's rate ours is, round by round."""
    return [{"server": name, "size": size, "outstanding": outstanding,
             "times_etcd": [r["rate"] / e["rate"] for r, e in
                            zip(runs, loads[("etcd", size, outstanding)])]}
            for (name, size, outstanding), runs in loads.items()
            if name.endswith("replicas") and ("etcd", size, outstanding) in loads]


def failover(etcd, kills, log):
    took = []
    for turn in range(kills):
        took.append(etcd.failover())
        note(log, f"consensus: etcd, kill {turn + 1} of {kills}: {took[-1]:.0f} ms")
    return {"kill_ms": took, "election_ms": etcd_cluster.ELECTION_MS,
            "heartbeat_ms": etcd_cluster.HEARTBEAT_MS}


def consensus(build, _keep, quick, log, kills=None):
    rounds = 1 if quick else 5
    times = {"warm_ms": 200, "window_ms": 500} if quick else {"warm_ms": 300, "window_ms": 1500}
    kills = (3 if quick else KILLS) if kills is None else kills
    program = os.path.join(build, "bench/bench-consensus")
    peer, why_not = build_peer(build, log)
    with contextlib.ExitStack() as stack:
        quiet = stack.enter_context(open(os.devnull, "w", encoding="ascii"))
        servers = {"floor": stack.enter_context(Floor(program, quiet))}
        for count in COUNTS:
            servers[f"{count} replicas"] = stack.enter_context(Replicas(program, count, quiet))
        if peer is not None:
            servers["etcd"] = stack.enter_context(etcd_cluster.Etcd(*peer, quiet))
        loads = take_turns(servers, rounds, times, log)
        agreed = {name: s.agree() for name, s in servers.items() if isinstance(s, Replicas)}
        fails = failover(servers["etcd"], kills, log) if peer is not None and kills > 0 else None
        etcd_version = etcd_cluster.version(peer[0]) if peer is not None else None
    return {"rounds": rounds, **times, "etcd": etcd_version, "no_etcd": why_not,
            "etcd_client": client_version(), "rows": summarize(loads), "ratios": ratios(loads),
            "agreed": agreed, "etcd_failover": fails}


def print_rows(result):
    print(f"  {'payload':>7} {'outst.':>6}  {'server':<10} {'commits/s':>10} {'(least':>9} "
          f"{'to most)':>9} {'p50 ms':>8} {'p99 ms':>8} {'cpu us':>7}")
    for r in sorted(result["rows"], key=lambda r: (r["size"], r["outstanding"])):
        cpu = "-" if r["cpu_us"] is None else format(r["cpu_us"], ".1f")
        print(f"  {r['size']:>5} B {r['outstanding']:>6}  {r['server']:<10} {r['rate']:>10.0f} "
              f"{min(r['rates']):>9.0f} {max(r['rates']):>9.0f} {r['p50_us'] / 1000:>8.3f} "
              f"{r['p99_us'] / 1000:>8.3f} {cpu:>7}")


def print_consensus(result):
    print(f"Agreement: payloads committed and applied, median of {result['rounds']} rounds of "
          f"{result['window_ms'] / 1000:.1f} s")
    print("  floor: the same connection and frames, answered at once; cpu us: of all replicas, for "
          "one commit")
    print("  beside it: " + (f"etcd {result['etcd']}, 3 members, plain HTTP, client "
                             f"{result['etcd_client']}" if result["etcd"]
                             else f"no etcd ({result['no_etcd']})") + "\n")
    print_rows(result)
    if result["ratios"]:
        print("\n  times etcd's rate, by round: median (least to most)")
    for r in result["ratios"]:
        t = r["times_etcd"]
        print(f"  {r['size']:>5} B {r['outstanding']:>6}  {r['server']:<10} {median(t):>8.1f} "
              f"({min(t):.1f} to {max(t):.1f})")
    print("\n  all replicas have applied the same: "
          + ", ".join(f"{count} payloads ({name})" for name, count in result["agreed"].items()))
    if result["etcd_failover"]:
        s = summary(result["etcd_failover"]["kill_ms"])
        print(f"  etcd, kill -9 of the leader to the first put: min {s['min']:.0f}  p50 "
              f"{s['p50']:.0f}  max {s['max']:.0f} ms, n {s['n']} (election "
              f"{result['etcd_failover']['election_ms']} ms)")
