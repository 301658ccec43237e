"""A whole cluster dies and returns without people, where the manifest permits it, and only there.

Each replica has a folder that outlives it. What must hold: the same root CA and workload secret in
a higher epoch, the record goes on; a minority waits and says so; a file is worth nothing on another
chip; nothing secret lies in a folder.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import shutil
import signal
import threading
import unittest

from harness import Cluster, LiveTest, Process, forms_of, program, read, secrets_in, wait_until, write


class Stateful(Cluster):
    """Replicas with a folder each, by address."""

    def state(self, number):
        return os.path.join(self.site.dir, f"state-{self.label}-{number}")

    def start(self, number, name=None, at=None):
        trust = self.trust
        self.trust = dict(trust, CONTRAST_STATE_DIR=self.state(at or number))
        try:
            return super().start(number, name, at)
        finally:
            self.trust = trust

    def file(self, number):
        return os.path.join(self.state(number), "restart.state")

    def permit(self, is_permitted):
        manifest = json.loads(self.manifest())
        manifest["AutoRecovery"] = is_permitted
        write(self.path("manifest.json"), json.dumps(manifest))

    def files(self, *numbers):
        """What is kept of the newest state, by replica: the part that all have in common."""
        own = 1 + 33 + 16
        return {n: read(self.file(n))[:-own] for n in numbers if os.path.exists(self.file(n))}

    def wait_kept(self, *numbers):
        """All have the same newest file."""
        wait_until(lambda: len(self.files(*numbers)) == len(numbers)
                   and len(set(self.files(*numbers).values())) == 1, 20,
                   f"replicas {numbers} keep the same state")

    def kill(self, *numbers):
        for number in numbers:
            self.replicas[number].signal(signal.SIGKILL)
        for number in numbers:
            self.replicas[number].wait(10)
            del self.replicas[number]

    def epoch(self, number):
        return (self.status(number) or {"epoch": 0})["epoch"]

    def why(self, number):
        return (self.status(number) or {"why": ""})["why"]


class AutoRestart(LiveTest):
    def stateful(self, *numbers, is_permitted=True):
        label = f"{self._testMethodName}-{len(self.clusters)}"
        c = Stateful(self.site, label, peers=3)
        self.clusters.append(c)
        c.permit(is_permitted)
        c.start_all(*numbers)
        self.expect(0, c.set(numbers[0]))
        c.wait_voters(numbers[0], len(numbers))
        self.expect(0, c.verify(numbers[0]))
        return c

    def enroll(self, c, name, number):
        self.expect(0, c.initializer(name, c.path("web.yaml"), number))
        return {kind: read(c.pod(name, *path)) for kind, path in {
            "seed": ("secrets", "workload-secret-seed"),
            "root": ("tls-config", "coordinator-root-ca.pem"),
            "mesh": ("tls-config", "mesh-ca.pem")}.items()}

    def wait_restarted(self, c, epoch, *numbers):
        for n in numbers:
            wait_until(lambda n=n: c.epoch(n) == epoch, 40, f"replica {n} is in epoch {epoch}")
        odd = len(numbers) - 1 + len(numbers) % 2  # an even one stands by
        c.wait_voters(numbers[0], odd, seconds=40)

    # --- It restarts

    def test_all_die_and_return(self):
        c = self.stateful(1, 2, 3)
        before = self.enroll(c, "before", 1)
        c.wait_kept(1, 2, 3)
        c.kill(1, 2, 3)
        c.start_all(1, 2, 3)
        self.wait_restarted(c, 2, 1, 2, 3)
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))
        after = self.enroll(c, "after", 2)
        self.assertEqual(before["seed"], after["seed"])
        self.assertEqual(before["root"], after["root"])
        self.assertNotEqual(before["mesh"], after["mesh"])
        c.edit_web(5)
        self.expect(0, c.set(3))
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))
        self.check_folders(c, 1, 2, 3)

    def test_a_majority_is_enough_and_once_more(self):
        c = self.stateful(1, 2, 3)
        c.wait_kept(1, 2, 3)
        c.kill(1, 2, 3)
        c.start_all(2, 3)
        self.wait_restarted(c, 2, 2, 3)
        self.expect(0, c.verify(2, 3, options=["--all"]))
        c.start_all(1)  # the late one joins
        self.wait_restarted(c, 2, 1, 2, 3)
        c.wait_kept(1, 2, 3)
        c.kill(1, 2, 3)
        c.start_all(1, 2, 3)
        self.wait_restarted(c, 3, 1, 2, 3)
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))

    def test_a_set_before_the_end_is_not_lost(self):
        """Certificates are asked for all the time, a set is acknowledged, all die at once."""
        c = self.stateful(1, 2, 3)
        over = threading.Event()
        codes = []

        def ask(number):
            count = 0
            while not over.is_set():
                count += 1
                codes.append(c.initializer(f"p{number}-{count}", c.path("web.yaml"), number).code)

        threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 2)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: codes.count(0) >= 6, 30, "certificates are issued")
            c.edit_web(5)
            self.expect(0, c.set(3))
            c.kill(1, 2, 3)
            over.set()
            c.start_all(1, 2, 3)  # whoever waits for a certificate now gets it from the new epoch
            self.wait_restarted(c, 2, 1, 2, 3)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        self.assertEqual(2, c.status(1)["generation"])
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))

    def test_the_collector_dies(self):
        """Its shares die with it. Who gave one gives it again when it cannot count any more."""
        c = self.stateful(1, 2, 3)
        c.wait_kept(1, 2, 3)
        c.kill(1, 2, 3)
        for n in (1, 2, 3):
            c.start(n)
        collector = wait_until(lambda: next(
            (n for n in (1, 2, 3) if "handed its share over" in c.replicas[n].text()), None), 30,
            "somebody has a share")
        c.kill(collector)
        c.start_all(collector)
        wait_until(lambda: min(c.epoch(n) for n in (1, 2, 3)) >= 2
                   and all(c.status(n)["generation"] == 1 for n in (1, 2, 3)), 150,
                   "the others, or all again, restart")
        c.wait_voters(1, 3, seconds=40)
        self.assertEqual(1, len({c.epoch(n) for n in (1, 2, 3)}))
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))

    def test_an_orderly_end_of_all(self):
        """SIGTERM to all at once, as before maintenance: each leaves as far as a quorum lets it."""
        c = self.stateful(1, 2, 3)
        before = self.enroll(c, "before", 1)
        for n in (1, 2, 3):
            c.replicas[n].signal(signal.SIGTERM)
        for n in (1, 2, 3):
            self.assertEqual(0, c.replicas.pop(n).wait(60))
        c.start_all(1, 2, 3)
        self.wait_restarted(c, 2, 1, 2, 3)
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))
        self.assertEqual(before["seed"], self.enroll(c, "after", 3)["seed"])

    # --- It does not

    def test_a_minority_waits_and_says_so(self):
        c = self.stateful(1, 2, 3)
        c.wait_kept(1, 2, 3)
        c.kill(1, 2, 3)
        c.start_all(2)
        wait_until(lambda: "1 of 3 voters returned" in c.why(2), 20, "replica 2 says what lacks")
        self.assertIn("2 are needed", c.why(2))
        self.assertEqual("empty", c.status(2)["state"])
        shutil.rmtree(c.state(3))  # returns with nothing: one share stays one share
        c.start_all(3)
        wait_until(lambda: "1 replicas with none" in c.why(2), 20, "replica 2 saw replica 3")
        self.assertEqual("empty", c.status(2)["state"])
        c.start_all(1)
        self.wait_restarted(c, 2, 1, 2, 3)
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))

    def test_a_living_member_is_joined(self):
        c = self.stateful(1, 2, 3)
        c.wait_kept(1, 2, 3)
        c.kill(1, 2)
        c.start_all(1, 2)
        wait_until(lambda: "lives" in c.why(1), 20, "replica 1 sees the living member")
        self.assertEqual("empty", c.status(1)["state"])
        self.assertEqual(1, c.epoch(3))

    def test_an_older_file_does_not_undo_a_set(self):
        c = self.stateful(1, 2, 3)
        c.wait_kept(1, 2, 3)
        kept = {n: read(c.file(n)) for n in (1, 2)}
        c.edit_web(7)
        c.permit(True)
        self.expect(0, c.set(1))
        wait_until(lambda: all(read(c.file(n)) != kept[n] for n in (1, 2)), 20, "newer files")
        c.wait_kept(1, 2, 3)
        c.kill(1, 2, 3)
        for n in (1, 2):  # the host rolls two disks back
            shutil.rmtree(c.state(n))
            os.mkdir(c.state(n))
            write(c.file(n), kept[n])
        c.start_all(1, 2, 3)
        wait_until(lambda: "newer state" in c.why(1), 20, "replica 1 sees the newer file")
        wait_until(lambda: "2 returned with another state" in c.why(3), 20, "replica 3 waits")
        self.assertEqual(["empty"] * 3, [c.status(n)["state"] for n in (1, 2, 3)])

    def test_without_permission_nothing_is_written(self):
        c = self.stateful(1, 2, 3, is_permitted=False)
        self.enroll(c, "web", 1)
        self.assertEqual([[], [], []], [os.listdir(c.state(n)) for n in (1, 2, 3)])
        c.permit(True)
        done = self.expect(0, c.set(1))
        self.assertIn("AutoRecovery", done.out + done.err)
        c.wait_kept(1, 2, 3)
        c.permit(False)
        self.expect(0, c.set(1))
        wait_until(lambda: not any(os.listdir(c.state(n)) for n in (1, 2, 3)), 20,
                   "the files are gone")

    def test_another_chip(self):
        """A folder that is carried to another machine opens nothing there."""
        c = self.stateful(1, 2, 3)
        c.wait_kept(1, 2, 3)
        c.kill(1, 2, 3)
        other = os.path.join(self.site.dir, "other-machine")
        sock = os.path.join(self.site.dir, "other.sock")
        self.site.must(self.site.run([program("contrast-snp-simulator"), "init", other]))
        machine = Process([program("contrast-snp-simulator"), "serve", other, "--socket", sock],
                          os.path.join(self.site.logs, "other-simulator.log"))
        c.others.append(machine)
        wait_until(lambda: os.path.exists(sock), 10, "the other machine listens")
        own, self.site.socket = self.site.socket, sock
        try:
            c.start_all(1, 2)
            for n in (1, 2):
                wait_until(lambda n=n: "another chip" in c.why(n), 20, f"replica {n} says why")
        finally:
            self.site.socket = own
        self.assertEqual(["empty", "empty"], [c.status(n)["state"] for n in (1, 2)])

    # --- What lies on the disks

    def check_folders(self, c, *numbers):
        secrets = list(secrets_in(self.site.dir))
        self.assertGreater(len(secrets), 2)
        for number in numbers:
            for name in os.listdir(c.state(number)):
                path = os.path.join(c.state(number), name)
                self.assertIn(name, ("restart.state", "restart.state.1", "restart.given"))
                self.assertEqual(0o600, os.stat(path).st_mode & 0o777, path)
                text = read(path)
                self.assertNotIn(b"PRIVATE KEY", text)
                for what, secret in secrets:
                    self.assertFalse(any(form in text for form in forms_of(secret)),
                                     f"{path} contains the secret of {what}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
