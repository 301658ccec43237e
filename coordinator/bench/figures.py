"""The figures: each beside a floor or a peer of the same run, over several repetitions.

    certificates  sessions a second through one replica; floor: bare handshakes and verifications
    commit        one request at a time; peer: a bare round of the quorum, a command without commit
    failover      longest time without a certificate when the leader goes; peer: etcd
    memory        VmRSS and VmHWM of every program
    attestation   fresh verifications a second, and one verifier's waiting (attestation.py)
    installer     a run of the node installer with nothing to do (node_figures.py)
    join          a fresh replica catches up with a large state, under load (join.py)
    consensus     commits a second without the product around them, beside etcd (agreement.py)

Medians over repetitions, because the machine may be busy with other things: the load average at
the beginning and at the end stands beside the figures.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import subprocess
import time

from agreement import consensus, print_consensus
from attestation import attestation, print_attestation
from cluster import MESH, REPLICAS, USER, Failed, address, wait_until
from failover import failover, print_failover
from join import join, print_join
from layers import layers, print_layers
from measure import cpu_seconds, median, note, summary
from node_figures import installer, print_installer
from verification import attest, print_attest

# --- Certificates


def one_load(cluster, number, seconds, connections):
    before = {name: cpu_seconds(pid) for name, pid in cluster.pids().items()}
    got = cluster.generate_load(number, "--connections", str(connections), "--seconds",
                                str(seconds), "--floor-ms", "300", "--warm-ms", "500")
    spent = {name: cpu_seconds(pid) - before[name] for name, pid in cluster.pids().items()}
    spent["generator"] = got["load"]["cpu_s"]
    count = got["load"]["certificates"]
    return {"rate": got["load"]["rates"][0],
            "floor": got["floor"]["sessions_per_core_second"],
            "ratio": got["load"]["rates"][0] / got["floor"]["sessions_per_core_second"],
            "cpu_ms": {name: 1000 * s / count for name, s in spent.items()},
            "session": got["load"]["session"], "judge_us": got["load"]["judge"]["p50_us"],
            "failures": got["load"]["failures"], "first_failure": got["load"]["first_failure"],
            "bare": got["floor"]}


def certificates(cluster, quick, log):
    repetitions, seconds = (2, 2) if quick else (5, 3)
    leader, _ = cluster.leader()
    follower = next(n for n in REPLICAS if n != leader)
    rows = []
    for connections in ((16,) if quick else (1, 16, 64)):
        for role, number in (("leader", leader), ("follower", follower)):
            note(log, f"certificates: {role}, {connections} connections")
            runs = [one_load(cluster, number, seconds, connections) for _ in range(repetitions)]
            served = f"coordinator-{number}"
            rows.append({
                "through": role, "connections": connections,
                "rates": [r["rate"] for r in runs],
                "rate": median([r["rate"] for r in runs]),
                "floor": median([r["floor"] for r in runs]),
                "ratio": median([r["ratio"] for r in runs]),
                "session_p50_ms": median([r["session"]["p50_us"] / 1000 for r in runs]),
                "session_p99_ms": median([r["session"]["p99_us"] / 1000 for r in runs]),
                "cpu_ms": {
                    "replica": median([r["cpu_ms"][served] for r in runs]),
                    "others": median([sum(v for k, v in r["cpu_ms"].items()
                                          if k.startswith("coordinator-") and k != served)
                                      for r in runs]),
                    "simulator": median([r["cpu_ms"]["simulator"] for r in runs]),
                    "generator": median([r["cpu_ms"]["generator"] for r in runs])},
                "judge_ms": median([r["judge_us"] / 1000 for r in runs]),
                "bare": runs[-1]["bare"],
                "failures": sum(r["failures"] for r in runs),
                "first_failure": next((r["first_failure"] for r in runs if r["failures"]), "")})
    return rows


def print_certificates(rows):
    bare = rows[-1]["bare"]
    print("Certificates through one replica of three (each session: TLS, evidence both ways, ISSUE "
          "committed, leaf)")
    print("  through   conn   rate/s  floor/s  ratio   p50 ms   p99 ms | processor ms each: replica "
          "others simul. gener.")
    for r in rows:
        c = r["cpu_ms"]
        print(f"  {r['through']:<9} {r['connections']:>4} {r['rate']:>8.1f} {r['floor']:>8.1f} "
              f"{r['ratio']:>6.2f} {r['session_p50_ms']:>8.1f} {r['session_p99_ms']:>8.1f} | "
              f"{'':18} {c['replica']:>7.2f} {c['others']:>6.2f} {c['simulator']:>6.2f} "
              f"{c['generator']:>6.2f}")
        if r["failures"]:
            print(f"            {r['failures']} failures; the first: {r['first_failure']}")
    print(f"  floor: one core doing handshakes ({bare['handshake_us']:.0f} us) and two P-384 "
          f"verifications ({bare['p384_verify_us']:.0f} us each) alone; "
          f"judging one evidence costs {rows[-1]['judge_ms']:.2f} ms")


# --- Commit


def commit(cluster, quick, log):
    repetitions, seconds, sets = (2, 2, 3) if quick else (5, 4, 10)
    leader, _ = cluster.leader()
    follower = next(n for n in REPLICAS if n != leader)
    rows = []
    for role, number in (("leader", leader), ("follower", follower)):
        note(log, f"commit: {role}, one request at a time")
        runs = [cluster.generate_load(number, "--connections", "1", "--keep", "--seconds",
                                      str(seconds), "--floor-ms", "100")["load"]
                for _ in range(repetitions)]
        rows.append({"through": role, "n": sum(r["issue"]["count"] for r in runs),
                     **{f"{kind}_{q}_ms": median([r[kind][f"{q}_us"] / 1000 for r in runs])
                        for kind in ("issue", "confirm", "prove") for q in ("p50", "p99")},
                     "judge_p50_ms": median([r["judge"]["p50_us"] / 1000 for r in runs])})
    return {"issue": rows, "set": set_latency(cluster, sets, follower, log)}


def timed(cluster, *args):
    start = time.monotonic()
    cluster.contrast(*args)
    return 1000 * (time.monotonic() - start)


def set_latency(cluster, count, number, log):
    note(log, f"commit: contrast set, {count} times")
    took, peer = [], []
    target = address(number, USER)
    cluster.contrast("verify", "-c", target)
    for _ in range(count):
        cluster.change_manifest()
        peer.append(timed(cluster, "status", "-c", target))
        took.append(timed(cluster, "set", "-c", target, cluster.app))
    return {"set_ms": summary(took), "status_ms": summary(peer)}


def print_commit(got):
    print("One request at a time, sessions kept (ms)")
    print("  through     ISSUE p50     p99 | peer: quorum round p50     p99 | judging (processor)  "
          "own evidence   n")
    for r in got["issue"]:
        print(f"  {r['through']:<9} {r['issue_p50_ms']:>11.2f} {r['issue_p99_ms']:>7.2f} | "
              f"{r['confirm_p50_ms']:>22.2f} {r['confirm_p99_ms']:>7.2f} | "
              f"{r['judge_p50_ms']:>19.2f} {r['prove_p50_ms']:>13.2f} {r['n']:>6}")
    print("  ISSUE: evidence sent until the certificate is there, so it contains the judging of that "
          "evidence")
    s, p = got["set"]["set_ms"], got["set"]["status_ms"]
    print(f"  contrast set (whole command, follower): min {s['min']:.0f}  p50 {s['p50']:.0f}  max "
          f"{s['max']:.0f} ms, n {s['n']};  peer: contrast status: p50 {p['p50']:.0f} ms")


# --- Memory


def memory_of(pid):
    """VmRSS and VmHWM in KiB, and the name of the program."""
    found = {}
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        for line in f:
            key, _, value = line.partition(":")
            if key in ("Name", "VmRSS", "VmHWM"):
                found[key] = value.split()[0]
    return found.get("Name"), int(found.get("VmRSS", 0)), int(found.get("VmHWM", 0))


def watch(cluster, argv, program, env=None):
    """Runs a command and samples its memory until it ends; only while it is `program` itself."""
    rss = high = 0
    with open(os.path.join(cluster.dir, "memory.log"), "ab") as log:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 env=dict(os.environ, **(env or {})))
    cluster.children.append(child)
    end = time.monotonic() + 60
    while child.poll() is None:
        if time.monotonic() > end:
            raise Failed(f"{program} does not end")
        name, now, most = memory_of(child.pid)
        if name == program[:15] and now > 0:
            rss, high = max(rss, now), max(high, most)
        time.sleep(0.0005)
    if child.returncode != 0:
        raise Failed(f"{program}: exit {child.returncode}")
    return {"program": program, "rss_kib": rss, "hwm_kib": high}


def memory(cluster, _quick, log):
    note(log, "memory")
    rows = []
    for name, pid in cluster.pids().items():
        _, rss, high = memory_of(pid)
        rows.append({"program": name, "rss_kib": rss, "hwm_kib": high})
    leader, _ = cluster.leader()
    verify = [cluster.program("contrast"), "verify", "--workspace", cluster.app, "-c",
              address(leader, USER)]
    rows.append(watch(cluster, verify, "contrast"))
    initializer = cluster.program("contrast-initializer")
    if os.path.exists(initializer):
        pod = os.path.join(cluster.dir, "pod")
        os.makedirs(pod, exist_ok=True)
        env = dict(cluster.trust(), COORDINATOR_HOST=address(leader, MESH), CONTRAST_DIR=pod)
        rows.append(watch(cluster, cluster.in_pod("web.yaml", [initializer]),
                          "contrast-initializer", env))
    # The floor: a process of this system that does nothing but wait.
    rows.append(watch(cluster, ["sleep", "0.1"], "sleep"))
    return rows


def print_memory(rows):
    print("Resident memory (KiB); the last two or three are sampled until they end")
    print("  program                    VmRSS     VmHWM")
    for r in rows:
        what = "peer: sleep" if r["program"] == "sleep" else r["program"]
        print(f"  {what:<22} {r['rss_kib']:>9} {r['hwm_kib']:>9}")


# One cluster of three without a report's latency serves all of these.
FIGURES = {
    "certificates": (certificates, print_certificates),
    "commit": (commit, print_commit),
    "failover": (failover, print_failover),
    "memory": (memory, print_memory),
}
# These found their own, or need none.
OWN_CLUSTER = {"attestation": (attestation, print_attestation),
               "join": (join, print_join),
               "attest": (attest, print_attest),
               "consensus": (consensus, print_consensus),
               "layers": (layers, print_layers),
               "installer": (installer, print_installer)}


def as_json(results):
    return json.dumps(results, indent=1)
