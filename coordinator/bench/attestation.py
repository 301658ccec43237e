"""Fresh verifications: how many a second, and how long one verifier waits.

    open       a new nonce for each, on open connections     floor: hashing alone
    fresh      a new TLS connection for each                 floor: a handshake alone, no request
    single     one verifier alone and beside 256 others      unit: one report of the processor

The simulated processor takes 10 ms a report, one at a time. Every answer is judged by the
generator: the signature once per distinct report, leaf, path and binding every time. One replica,
then three. Replicas, generator and simulator share the processors of this machine.

SPDX-License-Identifier: Apache-2.0
"""

import json
import subprocess
import time

from cluster import USER, Cluster, Failed, address
from measure import cpu_seconds, median, note

LATENCY_MS = 10
OTHERS = 256
PACED_RATE = 1000  # requests a second of the others, when they do not ask all they can


def one_run(cluster, mode, connections, seconds):
    before = {name: cpu_seconds(pid) for name, pid in cluster.pids().items()}
    load = cluster.measure_attestation("--target", address(1, USER), "--mode", mode,
                                       "--connections", str(connections), "--seconds",
                                       str(seconds))["load"]
    spent = {name: cpu_seconds(pid) - before[name] for name, pid in cluster.pids().items()}
    spent["generator"] = load["cpu_s"]
    if mode != "handshake" and load["judged"] < load["answers"]:
        raise Failed(f"{load['answers']} answers, {load['judged']} judged and good: "
                     f"{load['first_failure']}")
    count = max(load["judged"], load["answers"])  # with the warm-up, as the processor time is
    return dict(load, cpu_us={name: 1e6 * s / count for name, s in spent.items()})


def rates(cluster, mode, connections, repetitions, seconds):
    runs = [one_run(cluster, mode, connections, seconds) for _ in range(repetitions)]
    middle = sorted(runs, key=lambda r: r["rate"])[len(runs) // 2]
    return {"mode": mode, "connections": connections, "rates": [r["rate"] for r in runs],
            "rate": median([r["rate"] for r in runs]),
            "p50_ms": middle["answer"]["p50_us"] / 1000, "p99_ms": middle["answer"]["p99_us"] / 1000,
            "judged": sum(r["judged"] for r in runs),
            "confirmed": sum(r["confirmed"] for r in runs),
            "distinct_reports": sum(r["distinct_reports"] for r in runs),
            "leaves_most": max(r["leaves_most"] for r in runs),
            "replica_us": middle["cpu_us"]["coordinator-1"],
            "others_us": sum(v for k, v in middle["cpu_us"].items()
                             if k.startswith("coordinator-") and k != "coordinator-1"),
            "generator_us": middle["cpu_us"]["generator"],
            "simulator_us": middle["cpu_us"]["simulator"],
            "failures": sum(r["failures"] for r in runs),
            "first_failure": next((r["first_failure"] for r in runs if r["failures"]), "")}


# --- One verifier


def probe(cluster, seconds, report_us):
    """One verifier that asks at random moments; its waiting in report times."""
    load = cluster.measure_attestation("--target", address(1, USER), "--connections", "1",
                                       "--pause-ms", "30", "--warm-ms", "100", "--seconds",
                                       str(seconds))["load"]
    waited = load["answer"]
    return {"n": waited["count"], "failures": load["failures"],
            **{q: waited[f"{q}_us"] / report_us for q in ("min", "p50", "p99", "max")}}


def beside(cluster, pause_ms, seconds, report_us):
    """The same while OTHERS ask: each after a random pause, or at once."""
    argv = cluster.attestation_argv("--target", address(1, USER), "--connections", str(OTHERS),
                                    "--pause-ms", str(pause_ms), "--warm-ms", "1000",
                                    "--seconds", str(seconds + 3))
    others = cluster.spawn(argv, "others.log", cluster.trust(), stdout=subprocess.PIPE)
    time.sleep(2)  # measuring, not waiting for a state: the others are in their window
    got = probe(cluster, seconds, report_us)
    out, _ = others.communicate(timeout=60)
    if others.returncode != 0:
        raise Failed("the other verifiers failed; see others.log (--keep)")
    return dict(got, others_rate=json.loads(out)["load"]["rate"])


def single(cluster, seconds, report_us):
    answer_ms = 2 * LATENCY_MS
    paced_ms = round(2 * (1000 * OTHERS / PACED_RATE - answer_ms))  # mean pause + answer
    return {"alone": probe(cluster, seconds, report_us),
            "beside, paced": beside(cluster, paced_ms, seconds, report_us),
            "beside, all they can": beside(cluster, 0, seconds, report_us)}


# ---


def one_size(build, keep, quick, replicas, log):
    repetitions, seconds = (1, 2) if quick else (3, 5)
    numbers = tuple(range(1, replicas + 1))
    with Cluster(build, keep, numbers, LATENCY_MS) as cluster:
        cluster.found()
        note(log, f"attestation: {replicas} replicas: floors")
        floor = cluster.measure_attestation("--hashing", "2000", "--reports", "100")
        report_us = floor["report"]["p50_us"]
        rows = []
        for mode in ("handshake", "open", "fresh"):
            for connections in ((64,) if quick or mode == "handshake" else (64, 256, 1024)):
                note(log, f"attestation: {replicas} replicas: {mode}, {connections} connections")
                rows.append(rates(cluster, mode, connections, repetitions, seconds))
        note(log, f"attestation: {replicas} replicas: one verifier")
        waits = single(cluster, 2 if quick else 10, report_us)
    return {"replicas": replicas, "hash_us": floor["hash_us"], "report_us": report_us,
            "report": floor["report"], "rows": rows, "single": waits}


def attestation(build, keep, quick, log):
    return [one_size(build, keep, quick, replicas, log) for replicas in (1, 3)]


def both_ends_us(row):
    """Processor time of replica and generator; a busy machine hardly changes it."""
    return row["replica_us"] + row["generator_us"]


def print_rows(size):
    bare = next(both_ends_us(r) for r in size["rows"] if r["mode"] == "handshake")
    print("  mode        conn    rate/s  x handshake  p50 ms   p99 ms  answers a report (most) | "
          "processor us each: replica  others  gener.  simul.")
    for r in size["rows"]:
        per = r["judged"] / r["distinct_reports"] if r["distinct_reports"] else 0
        ratio = f"{both_ends_us(r) / bare:.2f}" if r["mode"] == "fresh" else "-"
        print(f"  {r['mode']:<10} {r['connections']:>5} {r['rate']:>9.1f} {ratio:>12} "
              f"{r['p50_ms']:>8.1f} {r['p99_ms']:>8.1f} {per:>17.1f} {r['leaves_most']:>6} | "
              f"{'':18} {r['replica_us']:>7.0f} {r['others_us']:>7.0f} {r['generator_us']:>7.0f} "
              f"{r['simulator_us']:>7.0f}")
        if r["failures"]:
            print(f"             {r['failures']} failures; the first: {r['first_failure']}")
        if r["confirmed"] != r["judged"]:
            print(f"             {r['judged'] - r['confirmed']} answers without a quorum's word")


def print_attestation(sizes):
    print(f"Fresh verifications; the simulated processor takes {LATENCY_MS} ms a report, one at a "
          "time")
    for size in sizes:
        print(f"\n {size['replicas']} replica{'s' if size['replicas'] > 1 else ''}; asked: one of "
              "them")
        print_rows(size)
        print(f"  floors: hashing alone {size['hash_us']:.2f} us a leaf; a report alone p50 "
              f"{size['report_us'] / 1000:.2f} ms, max {size['report']['max_us'] / 1000:.2f} ms")
        print("  one verifier waits, in report times    min    p50    p99    max      n  others/s")
        for what, w in size["single"].items():
            print(f"    {what:<34} {w['min']:>6.2f} {w['p50']:>6.2f} {w['p99']:>6.2f} "
                  f"{w['max']:>6.2f} {w['n']:>6} {w.get('others_rate', 0):>9.1f}")
