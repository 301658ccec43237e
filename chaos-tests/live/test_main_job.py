"""The main job with real programs: found, stand by, verify, update, certificates, the leader dies.

SPDX-License-Identifier: Apache-2.0
"""

import os
import re
import base64
import signal
import unittest

import harness
from harness import LiveTest, VOTING, openssl, read, wait_until, write


class MainJob(LiveTest):
    def test_founding_updates_certificates_and_the_death_of_a_leader(self):
        c = self.founded(1, 2, 3)
        c.start(4)
        wait_until(lambda: c.members(1, "standby"), 20, "the fourth stands by")
        self.verify_all(c, 1, 2, 3, 4)
        leader = c.wait_leader(1, 2, 3)
        follower = leader % 3 + 1
        self.update_through(c, follower)
        self.certificates(c)
        self.changed_policy(c)
        self.leader_dies(c, leader, follower)

    def verify_all(self, c, *numbers):
        for number in numbers:
            done = self.expect(0, c.verify(number), "simulated")
            self.assertNotIn("unknown", done.out.lower())
        self.expect(0, c.verify(*numbers, options=["--all"]))
        written = sorted(os.listdir(c.path("verify")))
        for name in ("coordinator-root-ca.pem", "mesh-ca.pem", "latest-transition", "cluster-id",
                     "history.json", "last-position.json", "manifest.0.json"):
            self.assertIn(name, written)
        self.assertEqual(c.manifest(), read(c.path("verify", "manifest.0.json")))
        for name in written:
            if name.startswith("policy."):
                self.assertEqual(name.split(".")[1],
                                 harness.sha256_hex(read(c.path("verify", name))))
        self.assertEqual(read(c.path("verify", "latest-transition")).decode().strip(),
                         c.status(numbers[0])["head"].hex())

    def update_through(self, c, follower):
        c.edit_web(2)
        self.expect(0, c.set(follower))
        self.assertEqual(2, c.status(follower)["generation"])
        self.expect(0, c.verify(1, 2, 3, 4, options=["--all"]))

    def certificates(self, c):
        self.expect(0, c.initializer("web", c.path("web.yaml"), 1))
        self.expect(0, c.initializer("backend", c.path("backend.yaml"), 2))
        for name in ("web", "backend"):
            key = c.pod(name, "tls-config", "key.pem")
            self.assertEqual(0o400, os.stat(key).st_mode & 0o777)
            self.assertEqual(openssl("pkey", "-in", key, "-pubout"),
                             openssl("x509", "-in", c.pod(name, "tls-config", "certChain.pem"),
                                     "-noout", "-pubkey"))
            self.assertEqual(read(c.path("verify", "mesh-ca.pem")),
                             read(c.pod(name, "tls-config", "mesh-ca.pem")))
        seed = c.pod("backend", "secrets", "workload-secret-seed")
        self.assertRegex(read(seed).decode(), r"\A[0-9a-f]{64}\n?\Z")
        self.mutual_tls(c)

    def mutual_tls(self, c):
        port = 8443
        host = c.address(9)
        server = harness.Process(
            ["openssl", "s_server", "-accept", f"{host}:{port}", "-tls1_3", "-Verify", "2",
             "-verify_return_error", "-quiet", *self.tls_files(c, "backend")],
            os.path.join(self.site.logs, "s_server.log"))
        c.others.append(server)
        wait_until(lambda: harness.tcp_is_open(host, port), 10, "openssl s_server listens")
        client = ["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_3",
                  "-verify_return_error", "-verify_hostname", "backend"]
        done = self.site.run(client + self.tls_files(c, "web"))
        self.expect(0, done, "Verify return code: 0 (ok)")
        strange = self.site.certificate
        done = self.site.run(client[:5] + ["-cert", strange[0], "-key", strange[1]])
        wait_until(lambda: "certificate" in server.text(), 10, "a stranger's certificate refused")
        self.assertTrue(server.is_alive())

    @staticmethod
    def tls_files(c, name):
        return ["-cert", c.pod(name, "tls-config", "certChain.pem"), "-cert_chain",
                c.pod(name, "tls-config", "certChain.pem"), "-key",
                c.pod(name, "tls-config", "key.pem"), "-CAfile",
                c.pod(name, "tls-config", "mesh-ca.pem")]

    def changed_policy(self, c):
        """One other byte in the policy: denied, explained, and no file is left behind."""
        text = read(c.path("web.yaml"), "r")
        policy = bytearray(harness.policy_of(c.path("web.yaml")))
        policy[100] ^= 1
        yaml = os.path.join(self.site.dir, "changed.yaml")
        write(yaml, re.sub(r"(agent\.policy: *)\"?[A-Za-z0-9+/=]+\"?",
                           lambda m: m.group(1) + base64.b64encode(bytes(policy)).decode(), text))
        done = self.expect(3, c.initializer("changed", yaml, 1), "POLICY-UNKNOWN",
                           harness.sha256_hex(bytes(policy)))
        self.assertNotIn("BEGIN", done.out + done.err)
        self.assertFalse(os.path.exists(c.pod("changed", "tls-config", "certChain.pem")))

    def leader_dies(self, c, leader, follower):
        old = [m["id"] for m in c.members(follower, "leader")][0]
        c.replicas[leader].signal(signal.SIGKILL)
        self.expect(0, c.initializer("after", c.path("web.yaml"), follower))
        self.assertEqual(read(c.pod("web", "tls-config", "mesh-ca.pem")),
                         read(c.pod("after", "tls-config", "mesh-ca.pem")))
        for number in {1, 2, 3, 4} - {leader}:
            self.expect(0, c.verify(number))
        c.replicas[leader].wait(5)
        c.edit_web(3)
        self.expect(0, c.set(leader, follower))  # the first address is dead, the next one serves
        c.start(leader)
        self.come_back(c, leader, follower, old)
        self.expect(0, c.verify(1, 2, 3, 4, options=["--all"]))

    def come_back(self, c, leader, follower, old):
        def is_whole():
            members = c.members(follower, *VOTING, "standby", "learner", "leaving")
            return (old not in [m["id"] for m in members]
                    and len([m for m in members if m["role"] in VOTING]) == 3
                    and f"coordinator-{leader}" in [m["name"] for m in members])
        wait_until(is_whole, 30, "a new coordinator, 3 voters, the old id gone")
        self.assertEqual(3, wait_until(lambda: c.status(leader), 10, "status")["generation"])


class Secrets(LiveTest):
    def test_no_secret_in_any_output_at_the_chattiest_level_and_no_core_file(self):
        c = self.cluster(peers=1)
        c.trust["CONTRAST_LOG_LEVEL"] = "debug"
        c.start_all(1)
        self.expect(0, c.set(1, options=["--replicas", "1", "--log-level", "debug"]))
        self.expect(0, c.verify(1, options=["--log-level", "debug", "--output", "json"]))
        for name in ("web", "backend"):
            self.expect(0, c.initializer(name, c.path(f"{name}.yaml"), 1))
        leaks, count = harness.find_leaks(self.site)
        self.assertEqual([], leaks)
        self.assertGreaterEqual(count, 2 * 4 + 1, "keys of two owners and two pods, and a seed")
        self.dies_without_core(c)

    def dies_without_core(self, c):
        pid = c.replicas[1].child.pid
        with open(f"/proc/{pid}/limits", encoding="ascii") as limits:
            core = [line for line in limits if line.startswith("Max core file size")][0]
        self.assertEqual(["0", "0"], core.split()[4:6])
        c.replicas[1].signal(signal.SIGQUIT)
        c.replicas[1].wait(10)
        self.assertEqual([], harness.find_leaks(self.site)[0])

    def test_the_search_finds_a_secret_that_is_there(self):
        """A search that finds nothing must be able to find something."""
        c = self.cluster()
        secret = harness.private_number(c.path("workload-owner.pem"))
        forms = {"raw": secret, "hex": secret.hex().encode(),
                 "base64": base64.b64encode(b"x" + secret)}
        for name, form in forms.items():
            log = os.path.join(self.site.logs, f"planted-{name}")
            write(log, b"some words " + form + b" and more\n")
            leaks, _ = harness.find_leaks(self.site)
            os.unlink(log)
            self.assertTrue(any(f"planted-{name}" in leak for leak in leaks), name)


if __name__ == "__main__":
    unittest.main(verbosity=2)
