"""Members that stop, flap, are of another build, leave and are retired: the cluster goes on.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import re
import signal
import time
import unittest

import wire
from harness import BIN, MESH, RAFT, LiveTest, Process, VOTING, program, read, wait_until, write

OLD_BUILD = os.path.join(BIN, "..", "test", "contrast-coordinator-v1")
PAUSE_S = 10
FLAPS = 20
FLAP_S = 0.5
LINES_MAX = 400  # that a replica may log while a clone of it flaps


def at_rest(status, voters):
    """A confirmed status that shows so many connected voters, and nobody on the way."""
    return status and status["is_confirmed"] and sum(
        m["role"] in VOTING and m["is_connected"] for m in status["members"]) == voters and all(
        m["role"] in (*VOTING, "standby") for m in status["members"])


class Membership(LiveTest):
    def ids(self, c, at):
        return {m["id"] for m in c.members(at, *VOTING)}

    def wait_whole(self, c, at, voters=3, without=()):
        def is_whole():
            status = c.status(at)
            return at_rest(status, voters) and not set(without) & {
                m["id"] for m in status["members"]}
        wait_until(is_whole, 60, f"{voters} voters and nobody on the way, seen by replica {at}")

    # --- A leader that sleeps

    def test_a_leader_that_slept_long_serves_nothing_stale(self):
        c = self.founded(1, 2, 3, peers=3)
        leader = c.wait_leader(1)
        others = [n for n in (1, 2, 3) if n != leader]
        waiting = [c.session(leader) for _ in range(8)]
        c.replicas[leader].signal(signal.SIGSTOP)
        resume = time.monotonic() + PAUSE_S
        for session in waiting:  # lies in its sockets until it wakes
            session.send(wire.STATUS, [])
        c.edit_web(3)
        self.expect(0, c.set(*others))
        head = c.status(others[0])["head"]
        wait_until(lambda: time.monotonic() >= resume, PAUSE_S + 1, "the pause is over")
        c.replicas[leader].signal(signal.SIGCONT)
        for session in waiting:
            self.assertIn(self.answer(session), (None, head))
        self.comes_round(c, leader, head)

    @staticmethod
    def answer(session):
        """The head that this answer claims to be current; None when it claims nothing."""
        with session:
            try:
                _, fields = session.receive()
            except (OSError, wire.Refused):
                return None
        status = dict(zip(wire.STATUS_FIELDS, fields))
        return status["head"] if status["is_confirmed"] else None

    def comes_round(self, c, number, head):
        """It catches up, or ends because it was replaced; never an old head on the way."""
        def is_over():
            status = c.status(number)
            if status and status["is_confirmed"]:
                self.assertEqual(head, status["head"])
                return True
            return not c.replicas[number].is_alive()
        wait_until(is_over, 40, "the replica that slept catches up or ends")

    # --- Clones

    def test_a_flapping_clone_costs_nobody_anything(self):
        c = self.founded(1, 2, 3, peers=5)
        before = self.ids(c, 2)
        lines = {n: c.replicas[n].text().count("\n") for n in (1, 2, 3)}
        pods = []
        for flap in range(FLAPS):
            clone = c.start(1, at=5)
            pods.append(c.start_initializer(f"pod{flap}", c.path("web.yaml"), 1 + flap % 3))
            until = time.monotonic() + FLAP_S
            wait_until(lambda: time.monotonic() >= until, 5, "the clone lived for a while")
            clone.signal(signal.SIGKILL)
            clone.wait(5)
        for pod in pods:
            self.assertEqual(0, pod.wait(60), pod.text())
        del c.replicas[5]
        self.wait_whole(c, 2)
        self.assertEqual(before, self.ids(c, 2), "every voter is still the one it was")
        for n in (1, 2, 3):
            self.assertLess(c.replicas[n].text().count("\n") - lines[n], LINES_MAX)
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))

    # --- Two builds, two policies

    def start_old(self, c, number):
        """A build that knows entries of version 1, in a pod with a policy of its own."""
        return self.start_in(c, number, OLD_BUILD, "coordinator-old.yaml")

    def start_in(self, c, number, build, pod):
        env = dict(
            c.trust, CONTRAST_NAME=f"coordinator-{number}", CONTRAST_LISTEN=c.address(number),
            CONTRAST_ADDRESS=f"{c.address(number)}:{RAFT}",
            CONTRAST_PEERS=",".join(f"{c.address(n)}:{MESH}" for n in range(1, c.peers + 1)))
        log = os.path.join(self.site.logs, f"{c.label}-coordinator-{number}.log")
        c.replicas[number] = Process(
            [program("contrast-snp-simulator"), "launch", "--socket", self.site.socket, "--pod",
             c.path(pod), "--", build], log, env, self.site.dir)
        return c.replicas[number]

    def two_policies(self, c):
        """coordinator-old.yaml beside coordinator.yaml: the same, but for one variable."""
        text = read(c.path("coordinator.yaml"), "r").split("\n---\n")[0]
        text = re.sub(r"(?m)^.*io\.katacontainers\.config\.agent\.policy:.*\n", "", text)
        old = text.replace("  name: coordinator\n", "  name: coordinator-old\n", 1).replace(
            "          env:\n", "          env:\n            - name: BUILD\n              value: old\n",
            1)
        self.assertNotEqual(text, old)
        write(c.path("coordinator-old.yaml"), old)
        self.site.must(c.contrast("generate", "--skip-images", c.app))
        roles = [p.get("Role") for p in json.loads(c.manifest())["Policies"].values()]
        self.assertEqual(2, roles.count("coordinator"))

    def test_rolling_upgrade(self):
        c = self.cluster(peers=5)
        self.two_policies(c)
        for number in (1, 2, 3):
            self.start_old(c, number)
        for number in (1, 2, 3):
            c.wait_serving(number)
        self.expect(0, c.set(1))
        c.wait_voters(1, 3)
        self.assertEqual(1, c.status(1)["level"])
        c.start_all(4)
        wait_until(lambda: len(c.members(1, *VOTING, "standby")) == 4, 40, "the new build joins")
        self.assertEqual((1, 2), tuple(c.status(4)[k] for k in ("level", "version")))
        for number in (1, 2, 3):
            self.assertEqual(1, c.status(4)["level"], "while one is old")
            old = c.status(number)["id"]
            self.assertEqual(0, c.replicas[number].end())
            c.start_all(number)
            self.wait_whole(c, 4, without=[old])
            self.assertNotIn("frozen", [c.status(n)["state"] for n in (1, 2, 3, 4)])
        wait_until(lambda: c.status(4)["level"] == 2, 20, "all are new: LEVEL 2")
        self.old_build_stays_outside(c)
        self.lock_out(c)
        self.expect(0, c.verify(1, 2, 3, 4, options=["--all"]))

    def old_build_stays_outside(self, c):
        old = self.start_old(c, 5)
        c.wait_serving(5)
        wait_until(lambda: re.search(r"version 1\b.*\b2\b", old.text()) or
                   re.search(r"\b2\b.*version 1\b", old.text()), 20, "refused with both numbers")
        self.assertIn(c.status(5)["state"], ("empty", "joining"))
        self.assertEqual(0, old.end())

    def lock_out(self, c):
        """A member under the old policy: named, retired, and then its policy may go."""
        self.start_in(c, 5, program("contrast-coordinator"), "coordinator-old.yaml")
        wait_until(lambda: len(c.members(1, *VOTING, "standby")) == 5, 40, "the fifth joins")
        os.unlink(c.path("coordinator-old.yaml"))
        manifest = json.loads(c.manifest())
        manifest["Policies"] = {k: p for k, p in manifest["Policies"].items()
                                if "coordinator-old" not in json.dumps(p)}
        write(c.path("manifest.json"), json.dumps(manifest))
        self.site.must(c.contrast("generate", "--skip-images", c.app))
        roles = [p.get("Role") for p in json.loads(c.manifest())["Policies"].values()]
        self.assertEqual(1, roles.count("coordinator"))
        self.expect(3, c.set(1), "coordinator-5", "retire")
        self.expect(0, self.retire(c, "coordinator-5"))
        wait_until(lambda: not c.replicas[5].is_alive(), 40, "the retired replica ends")
        self.expect(0, c.set(1))

    def retire(self, c, name, *options):
        return self.site.run([program("contrast"), "members", "retire", name, *options,
                              "--workspace", c.app, "-c", c.user(1, 2, 3)])

    # --- Orderly ends

    def test_rolling_restart_under_load(self):
        c = self.founded(1, 2, 3, peers=3)
        pods = 0
        for number in (1, 2, 3):
            old = c.status(number)["id"]
            load = []
            for _ in range(3):
                for at in (1, 2, 3):
                    pods += 1
                    load.append(c.start_initializer(f"pod{pods}", c.path("web.yaml"), at))
            self.assertEqual(0, c.replicas[number].end())
            c.start_all(number)
            for pod in load:
                self.assertEqual(0, pod.wait(60), pod.text())
            self.wait_whole(c, number, without=[old])
        self.expect(0, c.verify(1, 2, 3, options=["--all"]))

    def test_safe_to_stop_and_retire(self):
        c = self.founded(1, 2, 3, peers=4)
        self.wait_whole(c, 1)
        for number in (1, 2, 3):
            self.expect(0, c.contrast("status", "-c", c.user(number), "--safe-to-stop"))
            self.expect(0, c.contrast("status", "-c", c.user(number), "--ready"))
        c.start_all(4)
        wait_until(lambda: len(c.members(1, *VOTING, "standby")) == 4, 40, "one stands by")
        self.expect(0, self.retire(c, "coordinator-2"))
        wait_until(lambda: not c.replicas[2].is_alive(), 40, "the retired voter ends")
        self.wait_whole(c, 1)
        self.expect(2, self.retire(c, "coordinator-9"))
        c.replicas[3].signal(signal.SIGKILL)
        c.replicas[3].wait(5)
        wait_until(lambda: c.status(1)["is_confirmed"] and c.status(1)["voters_connected"] == 2, 20,
                   "two of three")
        done = self.expect(1, c.contrast("status", "-c", c.user(1), "--safe-to-stop"))
        self.assertGreater(len(done.out + done.err), 20, "the reason")
        self.expect(0, c.contrast("status", "-c", c.user(1), "--ready"))
        c.start(3)  # as a preStop hook: asked until the newcomer is a member
        self.expect(0, c.contrast("status", "-c", c.user(1), "--safe-to-stop", "--wait", "60"))
        self.expect(2, c.contrast("status", "-c", c.user(1), "--wait", "60"))
        for number in (3, 4):
            c.replicas[number].signal(signal.SIGKILL)
            c.replicas[number].wait(5)
        wait_until(lambda: not c.status(1)["is_confirmed"], 20, "one of three")
        done = self.expect(1, c.contrast("status", "-c", c.user(1), "--ready"))
        self.assertIn("no quorum confirms", done.err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
