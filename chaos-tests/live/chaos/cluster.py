"""A deployment on the hosts of a Lab: real programs, a simulated machine on every host.

    machines     host n's own chip; one measurement; all chips in the manifest
    replicas     coordinator-N on host N, at coordinator-N.coordinator of the name service
    workspaces   an owner each, on the host `outside`: copies of the generated application
    pods         contrast-initializer, once or as a sidecar, on any host

A replica that ends is started again, as Kubernetes does: a new process with the same name, at once,
then after 1, 2, 4, 8 s, until it lived 10 s. stop() ends it for good. Its output goes on in one
file. Whoever wants to know what happens gives `on_event`: called with a name and a dictionary, from
any thread.

What is started is ended by the Lab. end() looks for secrets in all that was said.

SPDX-License-Identifier: Apache-2.0
"""

import glob
import json
import os
import re
import resource
import shutil
import signal
import threading
import time

import lab as labs  # first: it says where harness and wire are
import harness
import leaks
import wire
from harness import MESH, RAFT, USER, VOTING, read, wait_until, write
from machines import KeyService, Machines
from pods import Intruder, Pod, Workspace

BACKOFF_S = (0.0, 1.0, 2.0, 4.0, 8.0)
HEALTHY_S = 10.0
SERVING_S = 40
RECOVER_S = 60
EMPTY = ("empty", "joining")  # states of a replica that holds nothing
WRONG = (b"Sanitizer", b"runtime error:", b"check failed")  # in a program's output
READY = "coordinator-ready"  # name that all replicas answer to
EXAMPLES = os.path.join(harness.ROOT, "deployments", "examples")


def faketime():
    """The library that plays another time to a program, or None."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    return found[0] if found else None


def most_voters(replicas):
    """An even one stands by."""
    return (replicas - 1) | 1


# --- Replicas


class Replica:
    """One replica's name, place and process."""

    def __init__(self, number, host):
        self.number, self.host = number, host
        self.name = f"coordinator-{number}"
        self.address = host.address
        self.process = None
        self.is_wanted = False
        self.failures = 0
        self.started_at = self.due_at = 0.0
        self.starts = 0
        self.program = None  # another build's coordinator
        self.env = {}        # beside the cluster's

    @property
    def dns_name(self):
        return f"{self.name}.coordinator"

    def is_alive(self):
        return self.process is not None and self.process.is_alive()

    @property
    def pid(self):
        return self.process.child.pid


class Cluster:
    """`replicas`: how many; on hosts 1 to that number. share_owners: names of people who each get
    an RSA key and may recover the deployment. state: each replica keeps AutoRecovery's files on a
    disk of its own. has_kds: hosts hand out no certificates, a key service does. has_clock: the
    replicas' wall clocks can be set. env: variables of every replica."""

    def __init__(self, lab, replicas=3, share_owners=(), state=False, has_kds=False, env=None,
                 on_event=None, has_clock=True):
        self.lab = lab
        self.label = f"c{lab.count}"
        self.on_event = on_event or (lambda name, value: None)
        self.machines = Machines(lab, list(lab.hosts), "none" if has_kds else "table")
        self.kds = KeyService(lab, self.machines) if has_kds else None
        self.lock = threading.RLock()
        self.share_owners = tuple(share_owners)
        self.is_permitted = state
        self.clock_library = faketime() if has_clock else None
        self.certificate = self._certificate()
        self.app = os.path.join(lab.dir, "app")
        self._generate()
        manifest = json.loads(read(os.path.join(self.app, "manifest.json")))
        roots = [root for values in manifest["ReferenceValues"]["snp"]
                 for root in values["SimulatedRoots"]]
        self.trust = {
            "CONTRAST_OWNER_KEY_DIGESTS": ",".join(manifest["WorkloadOwnerKeyDigests"]),
            "CONTRAST_PERMITTED_ROOTS": ",".join(roots),
            "CONTRAST_KDS_URL": self.kds.url() if self.kds else "off",
        }
        self.env = {"CONTRAST_SESSION_THREADS": "2", **(env or {})}
        self.replicas = {n: Replica(n, lab.host(n)) for n in range(1, replicas + 1)}
        self.disks = {n: lab.disk(f"state-{n}", 131072) for n in self.replicas} if state else {}
        for number in self.replicas:
            self._announce(number)
        self.workspaces = {}
        self.pods = []
        self.backups = 0
        self.is_over = threading.Event()
        self.keeper = threading.Thread(target=self._keep, daemon=True)
        self.keeper.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends replicas and pods, in order. The machines stay with the Lab."""
        self.is_over.set()
        self.keeper.join()
        with self.lock:
            for replica in self.replicas.values():
                replica.is_wanted = False
        if self.kds:
            self.kds.down()
        labs.end_all([r.process for r in self.replicas.values() if r.process]
                     + [p.process for p in self.pods if p.process])

    def end(self):
        """As close(); sentences about what is wrong: leaks, core files, what sanitizers said,
        replicas that a signal or a failed check had ended."""
        self.close()
        wrong, _ = leaks.find(self.lab.dir, self.lab.logs)
        for name in sorted(os.listdir(self.lab.logs)):
            text = read(os.path.join(self.lab.logs, name))
            wrong += [f"{name}: {word.decode()}" for word in WRONG if word in text]
        return wrong

    # Set-up

    def _certificate(self):
        """Every client has a self-signed one."""
        key, crt = (os.path.join(self.lab.dir, f"peer.{end}") for end in ("key", "crt"))
        harness.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-keyout", key, "-out", crt, "-subj", "/CN=live", "-days", "2")
        return crt, key

    def share_key(self, name):
        """(private, public) files of a share owner."""
        return tuple(os.path.join(self.lab.dir, f"share-{name}.{end}") for end in
                     ("pem", "pub.pem"))

    def _generate(self):
        shutil.copytree(EXAMPLES, self.app)
        values = os.path.join(self.lab.dir, "reference-values.json")
        write(values, json.dumps(self.machines.values))
        options = ["--reference-values", values]
        for name in self.share_owners:
            private, public = self.share_key(name)
            harness.openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048",
                            "-out", private)
            os.chmod(private, 0o600)
            harness.openssl("pkey", "-in", private, "-pubout", "-out", public)
            options += ["--add-seedshare-owner-key", public]
        self._must(self.contrast(self.app, "generate", "--skip-images", *options, self.app))
        manifest = json.loads(read(os.path.join(self.app, "manifest.json")))
        manifest["AutoRecovery"] = self.is_permitted
        write(os.path.join(self.app, "manifest.json"), json.dumps(manifest, indent=2))

    @staticmethod
    def _must(done):
        if done.code != 0:
            raise AssertionError(str(done))
        return done

    def contrast(self, workspace, command, *args, timeout=90, host=None, name=None):
        """`contrast` on the host outside, or another one; harness.Done."""
        return (host or self.lab.outside).call(
            [harness.program("contrast"), command, "--workspace", workspace, *args],
            timeout=timeout, name=name or f"contrast-{command}")

    # Names

    def _announce(self, number):
        replica = self.replicas[number]
        self.lab.dns.set(replica.dns_name, replica.address)
        self.lab.dns.set(READY, [r.address for r in self.replicas.values()])

    def user(self, *numbers):
        """What -c takes: these replicas, or all."""
        return ",".join(f"{self.replicas[n].dns_name}:{USER}" for n in numbers or self.replicas)

    # --- Start and end

    def start(self, number, program=None):
        """Starts a replica, and again whenever it ends. program: a path, for another build."""
        with self.lock:
            replica = self.replicas[number]
            replica.program = program or replica.program
            replica.is_wanted, replica.failures = True, 0
            if not replica.is_alive():
                self._launch(replica)
            return replica

    def start_all(self, *numbers):
        for number in numbers or self.replicas:
            self.start(number)
        for number in numbers or self.replicas:
            self.wait_serving(number)

    def environment(self, replica, name=None):
        peers = ",".join(f"{r.dns_name}:{MESH}" for r in self.replicas.values())
        env = dict(self.trust, CONTRAST_NAME=name or replica.name, CONTRAST_LISTEN=replica.address,
                   CONTRAST_ADDRESS=f"{name or replica.name}.coordinator:{RAFT}",
                   CONTRAST_PEERS=peers, **self.env)
        if replica.number in self.disks:
            env["CONTRAST_STATE_DIR"] = os.path.join(self.disks[replica.number].path, "state")
        if self.clock_library:
            env.update(self._clock_env(replica.number))
        env.update(replica.env)
        return env

    def _launch(self, replica):
        argv = self.launch_argv(replica.host.number,
                                [replica.program or harness.program("contrast-coordinator")],
                                self.app_file("coordinator.yaml"))
        log = os.path.join(self.lab.logs, f"{replica.name}.log")
        replica.started_at = time.monotonic()
        replica.starts += 1
        replica.process = replica.host.run(argv, self.environment(replica), log)
        self.on_event("start", {"replica": replica.name, "pid": replica.pid,
                                "address": replica.address})

    def launch_argv(self, number, program, pod, *options):
        """How a program is started as a pod of host `number`'s machine."""
        return [harness.program("contrast-snp-simulator"), "launch", "--socket",
                self.machines.socket(number), "--pod", pod, *options, "--", *program]

    def app_file(self, name):
        return os.path.join(self.app, name)

    def _keep(self):
        """Starts again what ended, with patience."""
        while not self.is_over.wait(0.05):
            with self.lock:
                for replica in self.replicas.values():
                    if replica.is_wanted and replica.process and not replica.process.is_alive():
                        self._keep_one(replica, time.monotonic())

    def _keep_one(self, replica, now):
        if not replica.due_at:
            lived = now - replica.started_at
            replica.failures = 0 if lived >= HEALTHY_S else replica.failures + 1
            replica.due_at = now + BACKOFF_S[min(replica.failures, len(BACKOFF_S) - 1)]
            self.on_event("end", {"replica": replica.name,
                                  "code": replica.process.child.returncode})
        if now >= replica.due_at:
            replica.due_at = 0.0
            self._launch(replica)

    def send(self, number, what):
        replica = self.replicas[number]
        with self.lock:
            if replica.is_alive():
                replica.process.signal(what)

    def kill(self, number):
        """SIGKILL. It is started again, unless it was stopped."""
        self.send(number, signal.SIGKILL)

    def pause(self, number):
        self.send(number, signal.SIGSTOP)

    def resume(self, number):
        self.send(number, signal.SIGCONT)

    def terminate(self, number):
        self.send(number, signal.SIGTERM)

    def stop(self, number, what=signal.SIGTERM, seconds=60):
        """Ends it for good; its exit code."""
        replica = self.replicas[number]
        with self.lock:
            replica.is_wanted, replica.due_at = False, 0.0
        if not replica.process:
            return None
        replica.process.signal(signal.SIGCONT)
        replica.process.signal(what)
        return replica.process.wait(seconds)

    def kill_all(self, is_for_good=True):
        """Every process at once."""
        with self.lock:
            for replica in self.replicas.values():
                replica.is_wanted, replica.due_at = not is_for_good and replica.is_wanted, 0.0
            for replica in self.replicas.values():
                if replica.is_alive():
                    replica.process.child.kill()
            for replica in self.replicas.values():
                if replica.process:
                    replica.process.wait(10)

    def move(self, number):
        """The pod dies and comes back at another address, as one that is scheduled anew."""
        replica = self.replicas[number]
        was_wanted = replica.is_wanted
        self.stop(number, signal.SIGKILL)
        replica.address = replica.host.readdress()
        self._announce(number)
        if was_wanted:
            self.start(number)
        return replica.address

    def upgrade(self, number, program):
        """An orderly change of one replica to another build, None: this one; as soon as it says
        that it is safe to stop, AssertionError when it does not. Exit code of the old process."""
        replica = self.replicas[number]
        self._must(self.contrast(self.app, "status", "-c", self.user(number), "--safe-to-stop",
                                 "--wait", "20"))
        code = self.stop(number)
        replica.program = program
        self.start(number)
        return code

    def start_clone(self, number, host):
        """A second pod with a replica's name, on another host; harness.Process."""
        host = self.lab.host(host)
        env = self.environment(self.replicas[number])
        env.update(CONTRAST_LISTEN=host.spare(), CONTRAST_ADDRESS=f"{host.spare()}:{RAFT}")
        env.pop("CONTRAST_STATE_DIR", None)
        argv = self.launch_argv(host.number, [harness.program("contrast-coordinator")],
                                self.app_file("coordinator.yaml"))
        return host.run(argv, env, os.path.join(self.lab.logs, f"clone-{number}.log"))

    # --- What replicas say

    def session(self, number, port=USER, timeout=5, host=None):
        """The tests' own client, from the host outside or another one."""
        with (host or self.lab.outside).inside():
            return wire.Session(self.replicas[number].address, port, self.certificate, timeout)

    def targets(self):
        """Where the replicas are now: name -> (address, port of the user API)."""
        return {r.name: (r.address, USER) for r in self.replicas.values()}

    def status(self, number, timeout=5):
        """Status of a replica by number or name, or None when it does not answer in time."""
        number = self.number_of(number) if isinstance(number, str) else number
        try:
            with self.session(number, timeout=timeout) as session:
                return session.status()
        except (OSError, ValueError, wire.Refused):
            return None

    def statuses(self, timeout=2):
        """Status of every replica by number, asked at the same time."""
        found = {}
        threads = [threading.Thread(
            target=lambda n=n: found.__setitem__(n, self.status(n, timeout)), daemon=True)
                   for n in self.replicas]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(4 * timeout)
        return {n: found.get(n) for n in self.replicas}

    def leader(self):
        """Number of the leader that a quorum confirms, or None."""
        for status in self.statuses().values():
            if status and status["is_confirmed"]:
                for member in status["members"]:
                    if member["role"] == "leader":
                        return self.number_of(member["name"])
        return None

    @staticmethod
    def number_of(name):
        found = re.fullmatch(r"coordinator-(\d+)", name)
        return int(found.group(1)) if found else None

    def voters(self):
        """(numbers of the voters, is confirmed) by a replica that a quorum confirms."""
        for status in self.statuses().values():
            if status and status["is_confirmed"]:
                return sorted(self.number_of(m["name"]) for m in status["members"]
                              if m["role"] in VOTING), True
        return [], False

    def is_at_rest(self, voters=0):
        """Every replica that is wanted serves, as a member or standby, and one leader is
        confirmed by all; all see at least so many voters."""
        wanted = [n for n, r in self.replicas.items() if r.is_wanted]
        statuses = self.statuses()
        leaders = set()
        for number in wanted:
            status = statuses[number]
            if not status or not status["is_confirmed"]:
                return False
            if len([m for m in status["members"] if m["is_connected"]]) < len(wanted):
                return False
            if any(m["role"] not in (*VOTING, "standby") for m in status["members"]):
                return False
            if sum(m["role"] in VOTING for m in status["members"]) < voters:
                return False
            leaders.add((status["leader"], status["term"]))
        return len(leaders) == 1

    def is_whole(self):
        """At rest, every replica is wanted, and as many vote as may: until a newcomer votes, one
        replica less may fail."""
        return all(r.is_wanted for r in self.replicas.values()) and self.is_at_rest(
            most_voters(len(self.replicas)))

    def wait_serving(self, number, seconds=SERVING_S):
        return wait_until(lambda: self.status(number, 2), seconds, f"replica {number} serves:\n"
                          f"{self.tail(number)}")

    def wait_leader(self, seconds=SERVING_S):
        return wait_until(self.leader, seconds, "a leader is confirmed")

    def wait_rest(self, seconds=90):
        """Until all that are wanted are members and agree, and as many vote as may."""
        wanted = sum(r.is_wanted for r in self.replicas.values())
        wait_until(lambda: self.is_at_rest(most_voters(wanted)), seconds,
                   "all replicas are members and agree")

    def tail(self, number, size=2000):
        path = os.path.join(self.lab.logs, f"{self.replicas[number].name}.log")
        return read(path)[-size:].decode(errors="replace") if os.path.exists(path) else ""

    # --- Recovery

    def backup(self, owner="owner"):
        """A new sealed checkpoint: what `contrast backup` says of it, "file" among that."""
        with self.lock:
            self.backups += 1
            path = os.path.join(self.lab.dir, f"backup-{self.backups}")
        return self._must(self.workspace(owner).contrast(
            "backup", "-c", self.user(), "--out", path, "--output", "json")).json()

    def survivors(self):
        """Replicas that hold the deployment's state in their memory still."""
        return [n for n, s in self.statuses().items() if s and s["state"] not in EMPTY]

    def recover(self, checkpoint=None, owner="owner"):
        """Share owners bring a dead deployment back: from the survivors when there are any, else
        from a checkpoint. All replicas are started; AssertionError when it cannot be done."""
        if len(self.share_owners) < 2:
            raise AssertionError("the deployment has no share owners")
        for number in self.replicas:
            self.start(number)
        for number in self.replicas:
            self.wait_serving(number)
        alive = self.survivors()
        if alive:
            how, at = ["--from-survivor"], alive
        else:
            how, at = ["--checkpoint", checkpoint], [min(self.replicas)]
        majority = len(self.share_owners) // 2 + 1
        said = self._give(owner, how, at)
        words = (said.out + said.err).replace("=", " ").split()
        session = words[words.index("--session") + 1]
        at = self._recipient(said, at)
        for name in self.share_owners[1:majority]:
            said = self._must(self.workspace(owner).recover(name, "--session", session, at=at))
        self.wait_rest(120)
        return said

    def _give(self, owner, how, at):
        """The first share; again while the replicas look for a quorum still."""
        given = []

        def is_taken():
            given.append(self.workspace(owner).recover(self.share_owners[0], *how, at=at))
            return given[-1].code == 0
        try:
            wait_until(is_taken, RECOVER_S, "the first share is taken")
        except AssertionError as why:
            raise AssertionError(f"{why}: {given[-1]}") from why
        return given[-1]

    def _recipient(self, said, at):
        """The replica at which a session was opened."""
        found = re.search(r"-c (coordinator-\d+)\.coordinator", said.out + said.err)
        return [self.number_of(found.group(1))] if found else at[:1]

    # --- Owners and pods

    def workspace(self, name="owner"):
        with self.lock:
            if name not in self.workspaces:
                path = os.path.join(self.lab.dir, f"workspace-{name}")
                first = next(iter(self.workspaces.values()), None)
                shutil.copytree(first.dir if first else self.app, path)
                self.workspaces[name] = Workspace(self, name, path)
            return self.workspaces[name]

    def found(self, name="owner"):
        """All replicas are started, and the first manifest is set."""
        self.start_all()
        owner = self.workspace(name)
        self._must(owner.set("--replicas", str(len(self.replicas))))
        self.wait_rest()
        self._must(owner.verify())
        return owner

    def pod(self, name, host, coordinator=READY, yaml="web.yaml", renews=False, env=None,
            disk=None):
        """A pod that is not started yet."""
        pod = Pod(self, name, host, coordinator, yaml, renews, env or {}, disk)
        with self.lock:
            self.pods.append(pod)
        return pod

    def intruder(self, name, host, kind):
        """A pod and a replica that must not get in; see pods.Intruder.kinds."""
        return Intruder(self, name, host, kind)

    # --- Clocks and limits of single replicas

    def clock_file(self, number):
        return os.path.join(self.lab.dir, f"clock-{number}")

    def _clock_env(self, number):
        path = self.clock_file(number)
        if not os.path.exists(path):
            write(path, "+0\n")
        return {"LD_PRELOAD": self.clock_library, "FAKETIME_TIMESTAMP_FILE": path,
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_CACHE_DURATION": "1",
                # else waiting on the monotonic clock ends at once (libfaketime 0.9.10)
                "FAKETIME_FORCE_MONOTONIC_FIX": "0",
                "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def set_clock(self, number, skew_s=0.0):
        """The wall clock that the replica sees, from a second later on; survives its restart."""
        path = self.clock_file(number)
        write(path + ".new", f"{skew_s:+.2f}\n")
        os.rename(path + ".new", path)

    def limit_files(self, number, spare=0):
        """It gets `spare` more descriptors, and then no other; the function that ends this."""
        pid = self.replicas[number].pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        limit = 0  # the highest number is limited: those that are free below it count
        while limit in taken or spare > 0:
            spare -= limit not in taken
            limit += 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, before[1]))

        def heal():
            try:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            except (ProcessLookupError, PermissionError):
                pass  # it ended meanwhile
        return labs.once(heal)
