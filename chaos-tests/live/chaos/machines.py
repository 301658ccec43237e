"""A simulated machine on every host of a Lab, and AMD's key service for them.

    machines = Machines(lab, [1, 2, 3])     each its own chip, one root, one measurement
    service = KeyService(lab, machines)     for hosts that hand out no certificates

Two machines stand beside: OLD, whose chip the manifest names and whose firmware is too old, and
FOREIGN, whose chip it does not name, made when it is asked for.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import secrets
import signal
import threading

import lab as _labs  # noqa: F401  first: it says where harness is
import harness
import kds
from harness import read, wait_until, write

FOREIGN, OLD = 900, 901


class Machines:
    """One simulated machine for each host, with its own chip."""

    def __init__(self, lab, numbers, certificates="table"):
        self.lab, self.certificates = lab, certificates
        self.measurement = secrets.token_hex(48)
        self.processes = {}
        self.lock = threading.Lock()
        self._make(numbers)
        for number in [*numbers, OLD]:
            self.start(number)
        for number in [*numbers, OLD]:
            self._wait(number)
        self.values = self._reference_values()

    def _wait(self, number):
        wait_until(lambda: os.path.exists(self.socket(number)), 20, f"machine {number} listens")

    def folder(self, number):
        return os.path.join(self.lab.dir, f"machine-{number}")

    def socket(self, number):
        return os.path.join(self.lab.dir, f"snp-{number}.sock")

    def _make(self, numbers):
        """The first one has the root of all; one more has the chip's place in the manifest, and
        older firmware."""
        first = numbers[0]
        self._init(first).wait(120)
        made = [self._init(n, "--root", self.folder(first)) for n in numbers[1:]]
        made.append(self._init(OLD, "--root", self.folder(first), "--microcode", "1"))
        for process in made:
            if process.wait(120) != 0:
                raise AssertionError(f"a machine cannot be made: {process.text()}")

    def _init(self, number, *options):
        return self.lab.outside.run(
            [harness.program("contrast-snp-simulator"), "init", self.folder(number),
             "--measurement", self.measurement, *options])

    def start(self, number):
        host = self.lab.hosts.get(number, self.lab.outside)
        self.processes[number] = host.run(
            [harness.program("contrast-snp-simulator"), "serve", self.folder(number), "--socket",
             self.socket(number), "--certificates", self.certificates],
            log=os.path.join(self.lab.logs, f"machine-{number}.log"))

    def foreign(self):
        """The number of a machine that no manifest names."""
        with self.lock:
            if FOREIGN not in self.processes:
                self._init(FOREIGN, "--root", self.folder(min(self.processes))).wait(120)
                self.start(FOREIGN)
                self._wait(FOREIGN)
        return FOREIGN

    def behave(self, number, latency_ms=0, busy_percent=0, refuse_percent=0):
        """From now on a report takes so long, and so many requests are answered so."""
        write(os.path.join(self.folder(number), "processor"),
              f"{latency_ms} {busy_percent} {refuse_percent}\n")
        self.processes[number].signal(signal.SIGHUP)

    def _reference_values(self):
        """One set of values: the chips of all machines, the firmware of the first."""
        many = [json.loads(read(os.path.join(self.folder(n), "reference-values.json")))[0]
                for n in self.processes]
        one = many[0]
        one["AllowedChipIDs"] = sorted({v for values in many for v in values["AllowedChipIDs"]})
        return [one]


class KeyService(kds.Service):
    """AMD's key service for all machines, on the Lab's service host. One more mode: "lie", every
    VCEK is another chip's."""

    def __init__(self, lab, machines):
        self.lab, self.folders = lab, {}
        super().__init__(lab.service.address)
        for number in machines.processes:
            folder = machines.folder(number)
            self.add(folder)
            self.folders[json.loads(read(os.path.join(folder, "machine.json")))["chip_id"]] = folder
        for product, folder in self.machines.items():
            self.lists[product] = kds.Lists(lab, folder).make(1)

    def up(self):
        with self.lab.service.inside():
            super().up()

    def file(self, product, what, query):
        folder = self.folders.get(what)
        if not folder:
            return super().file(product, what, query)
        if self.mode == "lie":
            folder = next(f for chip, f in sorted(self.folders.items()) if chip != what)
            return 200, read(os.path.join(folder, "vcek.der"))
        status, _ = self.asked_of(folder, product, what, query)
        return status, read(os.path.join(folder, "vcek.der")) if status == 200 else b""

    def asked_of(self, folder, product, what, query):
        before, self.machines[product] = self.machines[product], folder
        try:
            return super().file(product, what, query)
        finally:
            self.machines[product] = before
