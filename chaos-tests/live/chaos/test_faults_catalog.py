"""Each fault of the catalog does what it says, and is over when it is ended.

One deployment of five replicas for all. For each kind of fault: what must be seen while it lasts,
on the wire or from the programs themselves. `everything` injects each one once, by the catalog, and
waits until the deployment is whole again.

    python3 test_faults_catalog.py                      all
    python3 test_faults_catalog.py Effects.test_clocks  one
    CHAOS_SEED=7 ... Everything                         other targets
    CHAOS_SAMPLE=6 ... Everything                       every sixth of the catalog, for a short run

SPDX-License-Identifier: Apache-2.0
"""

import calendar
import http.client
import json
import os
import random
import re
import signal
import time
import unittest

import lab as labs
import cluster as clusters
import faults
import history
from harness import USER, read, wait_until

REPLICAS = 5
HOLD_S = 1.5
SHORT_S = 1.0  # an answer that takes longer counts as none
REST_S = 90


class Deployment(unittest.TestCase):
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.lab = labs.Lab(REPLICAS)
        try:
            cls.cluster = clusters.Cluster(cls.lab, REPLICAS, share_owners=("ann", "ben"),
                                           **cls.options)
            cls.owner = cls.cluster.found()
            cls.recorder = history.History(os.path.join(cls.lab.dir, "history.jsonl"))
            cls.env = faults.Env(cls.lab, cls.cluster, cls.recorder)
        except BaseException:
            cls.lab.close()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.recorder.close()
        found = cls.cluster.end()
        cls.lab.close()
        if found:
            raise AssertionError(found)

    def inject(self, name, seed=1):
        """(targets' numbers, heal); skipped when the machine lacks what it needs."""
        fault = faults.by_name(name)
        why = fault.missing(self.env)
        if why and os.environ.get("CI") != "true":
            self.skipTest(why)
        self.assertIsNone(why)
        heal = fault.inject(self.env, random.Random(seed))
        self.addCleanup(heal)
        numbers = [self.cluster.number_of(t) for t in heal.targets]
        return [n for n in numbers if n], heal

    def answers(self, number):
        return self.cluster.status(number, SHORT_S) is not None

    def ends(self, heal):
        heal()
        self.cluster.wait_rest(REST_S)


class Effects(Deployment):
    def test_kill(self):
        before = {n: r.pid for n, r in self.cluster.replicas.items()}
        (leader,), heal = self.inject("kill-leader")
        wait_until(lambda: self.cluster.replicas[leader].pid != before[leader], 10,
                   "the killed replica is started again")
        self.ends(heal)
        numbers, heal = self.inject("kill-minority")
        self.assertEqual(2, len(numbers))
        self.ends(heal)
        for n in self.cluster.replicas:
            self.assertEqual(n in [leader, *numbers], before[n] != self.cluster.replicas[n].pid)

    def test_a_machine_that_is_gone(self):
        (number,), heal = self.inject("stop-for-long")
        self.assertFalse(self.cluster.replicas[number].is_alive())
        self.assertFalse(self.answers(number))
        self.ends(heal)
        self.assertTrue(self.answers(number))

    def test_terminate(self):
        starts = {n: r.starts for n, r in self.cluster.replicas.items()}
        _, heal = self.inject("terminate-storm")
        wait_until(lambda: any(r.starts > starts[n] for n, r in self.cluster.replicas.items()), 60,
                   "a replica left and came back")
        self.ends(heal)
        logs = "".join(self.cluster.tail(n, 10 ** 7) for n in self.cluster.replicas)
        self.assertIn("signal 15", logs)

    def test_pause(self):
        (leader,), heal = self.inject("pause-leader")
        stat = f"/proc/{self.cluster.replicas[leader].pid}/stat"
        wait_until(lambda: read(stat, "r").rsplit(")", 1)[1].split()[0] == "T", 10, "it is stopped")
        self.assertFalse(self.answers(leader))
        wait_until(lambda: self.cluster.leader() not in (None, leader), 30, "another leader")
        self.ends(heal)
        self.assertTrue(self.answers(leader))

    def test_a_majority_that_stands_still_confirms_nothing(self):
        numbers, heal = self.inject("pause-majority")
        rest = [n for n in self.cluster.replicas if n not in numbers]
        for number in rest:
            status = self.cluster.status(number, 10)
            self.assertFalse(status and status["is_confirmed"])
        self.ends(heal)

    def test_partitions(self):
        (leader,), heal = self.inject("isolate-leader")
        self.assertFalse(self.answers(leader))
        wait_until(lambda: self.cluster.leader() not in (None, leader), 30, "another leader")
        self.ends(heal)
        (leader,), heal = self.inject("isolate-leader-from-peers")
        wait_until(lambda: not (self.cluster.status(leader, 10) or {"is_confirmed": 1})
                   ["is_confirmed"], 30, "it answers owners, and has no quorum")
        self.ends(heal)

    def test_one_way(self):
        for name in ("deaf-leader", "mute-leader"):
            (leader,), heal = self.inject(name)
            wait_until(lambda n=leader: self.cluster.leader() not in (None, n), 30,
                       f"{name}: another leader")
            self.ends(heal)

    def test_bridge(self):
        numbers, heal = self.inject("bridge-down")
        self.assertTrue(numbers)
        for number in numbers:
            self.assertFalse(self.answers(number))
        self.ends(heal)

    def test_resets(self):
        (leader,), heal = self.inject("reset-leader")
        with self.assertRaises(ConnectionRefusedError):
            self.lab.outside.connect(self.cluster.replicas[leader].address, USER)
        self.ends(heal)

    def test_half_open(self):
        session = self.cluster.session(leader := self.cluster.wait_leader(), timeout=SHORT_S)
        with session:
            (again,), heal = self.inject("half-open-leader")
            self.assertEqual(leader, again)
            with self.assertRaises(TimeoutError):
                session.status()
        self.lab.outside.connect(self.cluster.replicas[leader].address, USER).close()
        self.ends(heal)

    def test_lines(self):
        before = self.seconds(self.cluster.wait_leader())
        (leader,), heal = self.inject("delay-leader")
        self.assertGreater(self.seconds(leader), 0.5)
        self.assertGreater(0.5, before)
        self.ends(heal)

    def seconds(self, number):
        """Of the handshake of TCP with a replica, at best."""
        def one():
            begin = time.monotonic()
            self.lab.outside.connect(self.cluster.replicas[number].address, USER, 10).close()
            return time.monotonic() - begin
        return min(one() for _ in range(3))

    def test_names(self):
        name = self.cluster.replicas[1].dns_name
        for fault in ("dns-silent", "dns-servfail"):
            _, heal = self.inject(fault)
            self.assertNotEqual(0, self.owner.contrast("status", "-c", f"{name}:{USER}").code)
            self.ends(heal)
            self.assertEqual(0, self.owner.contrast("status", "-c", f"{name}:{USER}").code)

    def said_at(self, number):
        """Unix time of the last line in a replica's log."""
        stamps = re.findall(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z ", self.cluster.tail(number),
                            re.M)
        return calendar.timegm(time.strptime(stamps[-1], "%Y-%m-%dT%H:%M:%S"))

    def test_clocks(self):
        """A replica's log says what time it thinks it is; a follower that dies makes it speak."""
        for name, sign in (("clock-ahead", 1), ("clock-behind", -1)):
            (leader,), heal = self.inject(name)
            until = time.monotonic() + 1.2  # the library looks at its file once a second
            wait_until(lambda t=until: time.monotonic() > t, 5, "the new time is there")
            self.cluster.kill(next(n for n in self.cluster.replicas if n != leader))
            wait_until(lambda n=leader, s=sign: s * (self.said_at(n) - time.time()) > 50, 20,
                       f"{name}: the leader's log has another time")
            self.ends(heal)

    def test_a_clock_that_drifts(self):
        """What a program in the place of the replica would see; each looks for itself."""
        (number,), heal = self.inject("clock-drift")
        env = self.cluster.environment(self.cluster.replicas[number])
        env = {name: env[name] for name in env if "FAKETIME" in name or name == "LD_PRELOAD"}

        def skew():
            done = self.lab.host(number).call(["date", "+%s"], env=env)
            return abs(int(done.out) - time.time())
        wait_until(lambda: skew() > 5, 20, "five seconds away")
        first = skew()
        wait_until(lambda: skew() > first + 5, 20, "and five more")
        self.ends(heal)
        self.assertLess(skew(), 5)

    def test_starved(self):
        (leader,), heal = self.inject("starve-leader")
        stat = f"/proc/{self.cluster.replicas[leader].pid}/stat"
        seen = set()
        wait_until(lambda: seen.add(read(stat, "r").rsplit(")", 1)[1].split()[0] == "T")
                   or len(seen) == 2, 20, "it is stopped, and it runs")
        self.ends(heal)

    def test_files(self):
        (leader,), heal = self.inject("files-exhausted")
        self.assertFalse(self.answers(leader))
        self.ends(heal)
        self.assertTrue(self.answers(leader))

    def test_memory(self):
        before = {n: r.pid for n, r in self.cluster.replicas.items()}
        (number,), heal = self.inject("memory-exhausted")
        wait_until(lambda: self.cluster.replicas[number].pid != before[number], 30,
                   "the kernel killed it, and it was started again")
        self.ends(heal)

    def test_processor_time(self):
        (leader,), heal = self.inject("processor-scarce")
        pid = self.cluster.replicas[leader].pid
        group = [line for line in read(f"/proc/{pid}/cgroup", "r").splitlines()
                 if self.lab.tag in line]
        self.assertEqual(1, len(group), "it is in a group of its own")
        self.ends(heal)
        self.assertNotIn(self.lab.tag, read(f"/proc/{pid}/cgroup", "r"))

    def test_security_processors(self):
        pod = self.cluster.pod("busy", 1)
        for name in ("processors-busy", "processors-hang", "processors-refuse"):
            _, heal = self.inject(name)
            done = self.owner.verify(at=(1,), timeout=60)
            self.assertEqual(1, done.code, f"{name}: {done}")
            self.ends(heal)
            wait_until(lambda: self.owner.verify().code == 0, 60, "it verifies again")
        self.assertEqual(0, pod.run())

    def test_moved(self):
        (number,), heal = self.inject("move-replica")
        address = self.cluster.replicas[number].address
        self.assertFalse(address.endswith(f".{number}.1"))
        self.ends(heal)
        addresses = {m["name"]: m["address"] for m in self.cluster.status(number)["members"]}
        self.assertIn(f"coordinator-{number}.coordinator", addresses[f"coordinator-{number}"])

    def test_clone(self):
        (number,), heal = self.inject("clone-of-a-name")
        before = self.cluster.replicas[number].pid
        log = os.path.join(self.lab.logs, f"clone-{number}.log")
        wait_until(lambda: os.path.exists(log) and b"alive" in read(log), 20,
                   "the clone is told that the name is taken")
        self.ends(heal)
        self.assertEqual(before, self.cluster.replicas[number].pid)

    def test_intruders_are_denied_each_for_its_own_reason(self):
        words = {"policy": "POLICY-UNKNOWN", "debug": "DEBUG", "measurement": "MEASUREMENT",
                 "chip": "CHIP", "firmware": "TCB"}
        for kind, word in words.items():
            _, heal = self.inject(f"intruder-{kind}")
            log = os.path.join(self.lab.logs, f"pod-{kind}-{self.env.count}.log")
            wait_until(lambda p=log, w=word: w in read(p, "r").upper(), 30,
                       f"the pod is told {word}:\n{read(log, 'r')}")
            self.ends(heal)
        lines = list(history.read(self.recorder.path))
        calls = [line["id"] for line in lines
                 if line["kind"] == "call" and "denied" in line["args"]]
        ends = {line["id"]: line["outcome"] for line in lines if line["kind"] == "return"}
        self.assertGreaterEqual(len(calls), len(words))
        self.assertEqual({"fail"}, {ends[c] for c in calls})


class Everything(Deployment):
    options = {"state": True, "has_kds": True}

    def test_each_once(self):
        """As a run does it; afterwards the deployment is whole, and its record is a history."""
        rng = random.Random(int(os.environ.get("CHAOS_SEED", "1")))
        missing, before = [], history.validate(self.recorder.path)["fault"]
        chosen = faults.CATALOG[::int(os.environ.get("CHAOS_SAMPLE", "1"))]
        for fault in chosen:
            why = fault.missing(self.env)
            if why:
                missing.append(f"{fault.name}: {why}")
                continue
            with self.subTest(fault.name):
                heal = fault.inject(self.env, rng)
                until = time.monotonic() + HOLD_S
                wait_until(lambda t=until: time.monotonic() > t, 10, "the fault lasted")
                heal()
                wait_until(self.cluster.is_whole, REST_S, f"whole after {fault.name}")
        self.assertEqual(0, self.owner.verify("--all").code)
        counts = history.validate(self.recorder.path)
        self.assertEqual(counts["fault"], counts["healed"])
        self.assertEqual(len(chosen) - len(missing), counts["fault"] - before)
        print("\n".join(missing))

    def ask_kds(self, what):
        """(status, body) of a GET from host 1."""
        url = self.cluster.kds.url().split("//")[1]
        with self.lab.host(1).inside():
            link = http.client.HTTPConnection(url, timeout=5)
            link.connect()
        try:
            link.request("GET", f"/vcek/v1/Milan/{what}")
            answer = link.getresponse()
            return answer.status, answer.read()
        finally:
            link.close()

    def test_key_service(self):
        folder = self.cluster.machines.folder(1)
        machine = json.loads(read(os.path.join(folder, "machine.json")))
        tcb = machine["tcb"]
        vcek = (f"{machine['chip_id']}?blSPL={tcb['BootloaderVersion']}&teeSPL={tcb['TEEVersion']}"
                f"&snpSPL={tcb['SNPVersion']}&ucodeSPL={tcb['MicrocodeVersion']}")
        good = (200, read(os.path.join(folder, "vcek.der")))
        self.assertEqual(good, self.ask_kds(vcek))
        _, heal = self.inject("kds-throttled")
        self.assertEqual(429, self.ask_kds(vcek)[0])
        heal()
        _, heal = self.inject("kds-lies")
        status, body = self.ask_kds(vcek)
        self.assertEqual(200, status)
        self.assertNotEqual(good[1], body)
        heal()
        _, heal = self.inject("kds-down")
        with self.assertRaises(OSError):
            self.ask_kds(vcek)
        heal()
        self.assertEqual(good, self.ask_kds(vcek))

    def test_disks_of_replicas(self):
        def can_write(number):
            try:
                with open(os.path.join(self.cluster.disks[number].path, "probe"), "wb") as f:
                    f.write(bytes(4096))
                os.unlink(f.name)
                return True
            except OSError:
                return False
        for name in ("state-full", "state-read-only"):
            numbers, heal = self.inject(name)
            for number in numbers:
                self.assertFalse(can_write(number), name)
            self.ends(heal)
            self.assertTrue(all(can_write(n) for n in self.cluster.disks))

    def test_a_disk_that_is_rolled_back(self):
        first = dict(self.env.first_files)
        self.assertTrue(all(first.values()), "every replica kept a file at the founding")
        self.owner.edit_web(random.randrange(2, 10 ** 6))
        self.assertEqual(0, self.owner.set().code)
        wait_until(lambda: all(self.cluster.disks[n].copy() != first[n] for n in first), 30,
                   "newer files")
        (number,), heal = self.inject("state-rolled-back")
        self.ends(heal)
        self.assertEqual(0, self.owner.verify("--all").code)

    def test_the_catalog(self):
        found = [fault.name for fault in faults.CATALOG]
        self.assertEqual(len(found), len(set(found)))
        for fault in faults.CATALOG:
            self.assertGreater(len(fault.what), 20, fault.name)
            self.assertIn(fault.kills, ("none", "one", "minority", "majority", "all"))
            if fault.kills in ("majority", "all"):
                self.assertTrue(fault.ends_epoch and not fault.must_serve, fault.name)
        with self.assertRaises(KeyError):
            faults.by_name("none of these")

    def test_a_fault_that_fails_is_ended(self):
        """What it had begun is undone, and the history has both lines."""
        def broken(env, rng):
            """Cuts two hosts and then fails."""
            yield ["h1"]
            end = env.lab.cut(1, 2)
            try:
                raise OSError("no more")
            finally:
                end()
        fault = faults.Fault(broken, "test", 1, True, "none", False, (), 1)
        with self.assertRaises(OSError):
            fault.inject(self.env, random.Random(1))
        self.lab.host(1).connect(self.cluster.replicas[2].address, USER, 10).close()
        counts = history.validate(self.recorder.path)
        self.assertEqual(counts["fault"], counts["healed"])


if __name__ == "__main__":
    labs.need()
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit("terminated")))
    unittest.main(verbosity=2)
