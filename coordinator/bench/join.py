"""Join: how long a fresh replica needs to catch up with a large deployment, under load.

    state       1 000 signed manifests and 100 000 certificates (bench-state), recovered into one
                replica with `contrast recover`; two more join it, three vote
    joiner      a fourth, empty: process start -> admitted -> state installed -> standby
                -> `contrast verify` through it
    load        certificates through the leader and through a follower, all the time
    floor       the same bytes over one TLS 1.3 connection on loopback
    memory      VmRSS before and after, VmHWM of the join (the mark is set back before it)

A role that changes while a replica joins, or a request that fails, is an error of the measurement:
the figure says so. Moments of the joiner come from its own log, whose lines carry milliseconds.

SPDX-License-Identifier: Apache-2.0
"""

import base64
import datetime
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time

from cluster import USER, Cluster, Failed, address, wait_until
from measure import median, note

NUMBERS = (1, 2, 3, 4)
JOINER = 4
MANIFESTS, CERTIFICATES = 1000, 100000
LOAD_S = 45      # certificates go on for so long, the join within
LOAD_BEGUN = 50  # so many of them, and the joiner starts: each session judges the history first
CONNECTIONS = 1  # of each of the two loads: a second one's history would hold up the first
TURNS = 2
GOAL_S = 5.0
COPY_CHUNK = 256 * 1024
POLICY = re.compile(rb'io\.katacontainers\.config\.agent\.policy: *"?([A-Za-z0-9+/=]+)')
MOMENTS = {"admitted": "is joining", "linked": "link to replica",
           "installed": "installed the state", "standby": "is standby"}
ROLE_LINE = re.compile(r"replica \S+: (leader|follower|candidate) term=(\d+)")


# --- A large deployment


def policy_files(cluster):
    """The policy documents of the application, decoded, as files."""
    files = []
    for name in sorted(os.listdir(cluster.app)):
        if not name.endswith(".yaml"):
            continue
        with open(os.path.join(cluster.app, name), "rb") as f:
            found = POLICY.findall(f.read())
        for i, encoded in enumerate(found):
            path = os.path.join(cluster.dir, f"{name}.{i}.policy")
            with open(path, "wb") as f:
                f.write(base64.b64decode(encoded))
            files.append(path)
    return files


def build_state(cluster, manifests, certificates):
    """Writes the checkpoint; what bench-state says of it."""
    path = os.path.join(cluster.dir, "state.checkpoint")
    said = cluster.run([os.path.join(cluster.bench, "bench-state"), path, str(manifests),
                        str(certificates), cluster.app, *policy_files(cluster)], 300)
    return path, json.loads(said)


def role_of(cluster, number, through=1):
    name = f"coordinator-{number}"
    return next((m["role"] for m in cluster.members(through) if m["name"] == name), None)


def recover(cluster, checkpoint):
    cluster.start(1)
    wait_until(lambda: cluster.answers(1), 20, "coordinator-1 listens")
    cluster.contrast("recover", "-c", address(1, USER), "--checkpoint", checkpoint, "--share-key",
                     os.path.join(cluster.app, "seedshare-owner.pem"), seconds=120)


def found_large(cluster, manifests, certificates, log):
    """Three voters with that state."""
    cluster.prepare()
    note(log, f"join: {manifests} manifests and {certificates} certificates")
    checkpoint, state = build_state(cluster, manifests, certificates)
    note(log, "join: recovered into one replica, two more join")
    recover(cluster, checkpoint)
    cluster.start(2)
    wait_until(lambda: is_caught_up(cluster, 2), 60, "coordinator-2 has caught up", 0.1)
    cluster.start(3)
    wait_until(lambda: sum(role_of(cluster, n) in ("leader", "voter") for n in (1, 2, 3)) == 3, 60,
               "three replicas vote", 0.1)
    return state


# --- What is looked at


def memory_of(pid):
    """VmRSS and VmHWM in MiB."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        fields = dict(line.split(":", 1) for line in f)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


def reset_peak(pid):
    with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
        f.write("5")


def log_text(cluster, number):
    with open(os.path.join(cluster.dir, f"coordinator-{number}.log"), encoding="utf-8",
              errors="replace") as f:
        return f.read()


def roles(cluster, numbers):
    """Role changes in the logs of these replicas, and pauses that a leader noticed."""
    return sum(len(ROLE_LINE.findall(log_text(cluster, n))) for n in numbers)


def is_caught_up(cluster, number, offset=0):
    if cluster.replicas[number].poll() is not None:
        raise Failed(f"coordinator-{number} ended: {cluster.tail(number)}")
    return MOMENTS["standby"] in log_text(cluster, number)[offset:]


def wall(line):
    """Unix seconds of a line of a log."""
    return datetime.datetime.strptime(line[:24], "%Y-%m-%dT%H:%M:%S.%fZ").replace(
        tzinfo=datetime.timezone.utc).timestamp()


def moments(cluster, began, offset):
    """Seconds from the process' start to each step; of the log behind `offset`."""
    lines = log_text(cluster, JOINER)[offset:].splitlines()
    found = {}
    for name, mark in MOMENTS.items():
        line = next((text for text in lines if mark in text), None)
        if line is None:
            raise Failed(f"the joiner's log has no '{mark}'")
        found[name] = wall(line) - began
    return found


class Load(threading.Thread):
    """Certificates through one replica for LOAD_S."""

    def __init__(self, cluster, number):
        super().__init__()
        self.cluster, self.number = cluster, number
        self.got = self.why = None

    def run(self):
        try:
            self.got = self.cluster.generate_load(
                self.number, "--connections", str(CONNECTIONS), "--keep", "--warm-ms", "0",
                "--seconds", str(LOAD_S), seconds=90)["load"]
        except (Failed, subprocess.SubprocessError, OSError, ValueError) as why:
            self.why = why

    def finish(self):
        self.join(120)
        if self.got is None:
            raise Failed(f"load through coordinator-{self.number}: {self.why or 'no end'}")
        return {"certificates": self.got["certificates"], "failures": self.got["failures"],
                "first_failure": self.got["first_failure"],
                "p50_ms": self.got["issue"]["p50_us"] / 1000,
                "p99_ms": self.got["issue"]["p99_us"] / 1000,
                "round_p99_ms": self.got["confirm"]["p99_us"] / 1000,
                "slowest_ms": {kind: self.got[kind]["max_us"] / 1000
                               for kind in ("issue", "confirm", "prove")},
                "gap_ms": self.got["longest_gap_ms"]}


# --- The floor


def tls_pair(cluster):
    key, cert = (os.path.join(cluster.dir, name) for name in ("floor.key", "floor.crt"))
    if not os.path.exists(cert):
        cluster.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=floor", "-days", "2",
                     "-keyout", key, "-out", cert])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cert)
    client.minimum_version = server.minimum_version = ssl.TLSVersion.TLSv1_3
    return server, client


def copy_bytes(cluster, count):
    """Seconds for so many bytes over one new TLS connection."""
    server_context, client_context = tls_pair(cluster)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        conn, _ = listener.accept()
        with server_context.wrap_socket(conn, server_side=True) as peer:
            chunk, left = bytes(COPY_CHUNK), count
            while left > 0:
                part = min(left, len(chunk))
                peer.sendall(chunk[:part])
                left -= part

    thread = threading.Thread(target=serve)
    thread.start()
    began = time.monotonic()
    into, got = bytearray(COPY_CHUNK), 0
    with client_context.wrap_socket(socket.create_connection(listener.getsockname())) as conn:
        while got < count:
            part = conn.recv_into(into)
            if part == 0:
                raise Failed(f"the floor's connection ended after {got} of {count} bytes")
            got += part
    took = time.monotonic() - began
    thread.join(10)
    listener.close()
    return took


# --- One join


def verify(cluster, number):
    """Seconds of a whole `contrast verify` in a workspace that has seen this deployment."""
    began = time.monotonic()
    cluster.contrast("verify", "-c", address(number, USER), seconds=60)
    return time.monotonic() - began


def start_joiner(cluster):
    offset = len(log_text(cluster, JOINER)) if JOINER in cluster.replicas else 0
    began = time.time()
    cluster.start(JOINER)
    pid = cluster.replicas[JOINER].pid
    wait_until(lambda: is_caught_up(cluster, JOINER, offset), 60, "the joiner has caught up", 0.1)
    return moments(cluster, began, offset), pid


def one_join(cluster):
    leader, _ = cluster.leader()
    leader_pid = cluster.replicas[leader].pid
    follower = next(n for n in (1, 2, 3) if n != leader)
    before = {"leader": memory_of(leader_pid)["VmRSS"], "roles": roles(cluster, (1, 2, 3))}
    leaves = cluster.status(leader)["ledger_size"]
    reset_peak(leader_pid)
    loads = [Load(cluster, n) for n in (leader, follower)]
    for load in loads:
        load.start()
    wait_until(lambda: cluster.status(leader)["ledger_size"] > leaves + LOAD_BEGUN, 60,
               "certificates are issued", 0.1)
    steps, pid = start_joiner(cluster)
    steps["verify"] = verify(cluster, JOINER)
    got = [load.finish() for load in loads]
    text = log_text(cluster, leader)
    row = {"steps": steps, "load": dict(zip(("leader", "follower"), got)),
           "role_changes": roles(cluster, (1, 2, 3)) - before["roles"],
           "pauses": text.count("nothing ran here for"),
           "memory": {"leader": {"before": before["leader"], **memory_of(leader_pid)},
                      "joiner": memory_of(pid)}}
    child = cluster.replicas[JOINER]
    child.terminate()  # it leaves; the next one is a new member
    child.wait(timeout=60)
    wait_until(lambda: role_of(cluster, JOINER) is None, 30, "the joiner is out", 0.1)
    return row


def join(build, keep, quick, log):
    manifests, certificates, turns = (100, 10000, 1) if quick else (MANIFESTS, CERTIFICATES, TURNS)
    with Cluster(build, keep, NUMBERS) as cluster:
        state = found_large(cluster, manifests, certificates, log)
        verify(cluster, 1)  # this workspace now has the history
        rows = []
        for turn in range(turns):
            note(log, f"join: {turn + 1} of {turns}")
            rows.append(one_join(cluster))
        floor = [copy_bytes(cluster, state["state_bytes"]) for _ in range(max(turns, 3))]
    return {"state": state, "rows": rows, "floor_s": median(floor), "goal_s": GOAL_S}


def print_join(got):
    state, rows = got["state"], got["rows"]
    print(f"A replica joins {state['generations']} manifests of {state['manifest_bytes']} bytes "
          f"and {state['leaves']} ledger entries: {state['state_bytes'] / 1e6:.1f} MB, "
          f"certificates issued all the while")
    print("  seconds from process start: admitted  installed  standby   + verify = can serve "
          "| role changes  pauses")
    for r in rows:
        s = r["steps"]
        print(f"  {'':28}{s['admitted']:>8.2f} {s['installed']:>10.2f} {s['standby']:>8.2f} "
              f"{s['verify']:>10.2f} {s['standby'] + s['verify']:>11.2f} | "
              f"{r['role_changes']:>12} {r['pauses']:>7}")
    print(f"  floor: the same bytes over one TLS connection: {got['floor_s']:.2f} s;  "
          f"goal: {got['goal_s']:.0f} s to standby")
    print("  load        certificates  failures  ISSUE p50 ms     p99     max | round p99 ms     "
          "max | evidence max | longest gap")
    for r in rows:
        for role, row in r["load"].items():
            print(f"  {role:<10} {row['certificates']:>13} {row['failures']:>9} "
                  f"{row['p50_ms']:>13.1f} {row['p99_ms']:>7.1f} "
                  f"{row['slowest_ms']['issue']:>7.1f} | {row['round_p99_ms']:>12.1f} "
                  f"{row['slowest_ms']['confirm']:>7.1f} | {row['slowest_ms']['prove']:>12.1f} "
                  f"| {row['gap_ms']:>11.1f}")
            if row["failures"]:
                print(f"             the first failure: {row['first_failure']}")
    print("  MiB resident: leader before, most, after | joiner most, after")
    for r in rows:
        leader, joiner = r["memory"]["leader"], r["memory"]["joiner"]
        print(f"  {'':14}{leader['before']:>10.0f} {leader['VmHWM']:>8.0f} {leader['VmRSS']:>5.0f} "
              f"| {joiner['VmHWM']:>11.0f} {joiner['VmRSS']:>6.0f}")
