"""A security processor that is throttled, and one that hangs: errors with advice, never a hang.

Attestation fails then, for everybody; what needs none goes on: status, confirmed by a quorum, and
the links of the replicas. When the processor is itself again, so is the service, without a restart.

SPDX-License-Identifier: Apache-2.0
"""

import os
import signal
import threading
import unittest

import wire
from harness import LiveTest, wait_until

REPLICAS = (1, 2, 3)
ASKERS = 12
BUSY, UNAVAILABLE = 4, 3  # lib/base/err.h
PATIENCE_S = 60  # a request that takes longer counts as one that hangs; the product's bound is below


class Asker(threading.Thread):
    """One request for evidence on a connection that stands already; its outcome."""

    def __init__(self, cluster, number):
        super().__init__(daemon=True)
        self.session = cluster.session(number, timeout=PATIENCE_S)
        self.refused = self.evidence = self.broken = None

    def run(self):
        try:
            self.evidence = self.session.attest(os.urandom(32))
        except wire.Refused as why:
            self.refused = why.fields
        except (OSError, ValueError) as why:  # a time-out is an OSError
            self.broken = why

    def asks_again(self):
        """On the same connection: the error ended the request, not the session."""
        self.run()
        return self.evidence is not None


class Throttle(LiveTest):
    def tearDown(self):
        self.site.machine.signal(signal.SIGCONT)
        self.site.machine.signal(signal.SIGUSR2)
        super().tearDown()

    def start_asking(self, c):
        askers = [Asker(c, REPLICAS[i % len(REPLICAS)]) for i in range(ASKERS)]
        for asker in askers:
            asker.start()
        return askers

    def expect_errors(self, askers, *codes):
        """Every request ended, with an error that says when to try again."""
        for asker in askers:
            asker.join(PATIENCE_S)
            self.assertFalse(asker.is_alive(), "a request hangs")
            self.assertIsNone(asker.broken)
            self.assertIsNone(asker.evidence)
            self.assertIn(asker.refused["code"], codes, asker.refused)
            self.assertGreater(asker.refused["retry_after_ms"], 0, asker.refused)
            self.assertLessEqual(asker.refused["retry_after_ms"], 60000, asker.refused)

    def expect_rest_goes_on(self, c):
        """Without a report: every replica answers, is confirmed, and follows the same leader."""
        leaders = set()
        for number in REPLICAS:
            status = c.status(number)
            self.assertIsNotNone(status, f"replica {number} gives no status")
            self.assertTrue(status["is_confirmed"], status)
            leaders.add((status["leader"], status["term"]))
        self.assertEqual(1, len(leaders), leaders)
        return leaders.pop()

    def expect_service(self, c, askers):
        for asker in askers:
            wait_until(asker.asks_again, PATIENCE_S, "evidence on the connection that was refused")
            asker.session.close()
        for number in REPLICAS:
            self.expect(0, c.verify(number))
        self.expect(0, c.initializer("after", c.path("web.yaml"), 2))

    def test_a_throttled_processor_is_an_error_with_advice(self):
        c = self.founded(*REPLICAS, peers=3)
        self.expect(0, c.verify(1))
        before = self.expect_rest_goes_on(c)
        self.site.machine.signal(signal.SIGUSR1)
        wait_until(lambda: "always busy" in self.site.machine.text(), 10, "the machine throttles")
        askers = self.start_asking(c)
        self.assertEqual(before, self.expect_rest_goes_on(c))
        self.expect_errors(askers, BUSY)
        self.expect(1, c.verify(2), "throttles")
        self.assertEqual(before, self.expect_rest_goes_on(c))
        self.site.machine.signal(signal.SIGUSR2)
        self.expect_service(c, askers)

    def test_a_hanging_processor_stalls_nothing_else(self):
        c = self.founded(*REPLICAS, peers=3)
        before = self.expect_rest_goes_on(c)
        self.site.machine.signal(signal.SIGSTOP)
        askers = self.start_asking(c)
        self.assertEqual(before, self.expect_rest_goes_on(c))
        self.expect_errors(askers, UNAVAILABLE, BUSY)
        late = Asker(c, 1)  # while the first call is still pending in the machine
        late.start()
        self.expect_errors([late], UNAVAILABLE, BUSY)
        self.assertEqual(before, self.expect_rest_goes_on(c))
        self.site.machine.signal(signal.SIGCONT)
        self.expect_service(c, [*askers, late])


if __name__ == "__main__":
    unittest.main()
