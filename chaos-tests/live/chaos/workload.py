"""The clients of a run, all at once, each at its own pace, until they are told to stop.

    load = Workload(cluster, history, seed, folder)
    load.start()          # writes event "begin": where everybody begins; then the clients run
    load.stop()           # all have ended, bounded by STOP_S
    load.final_reads()    # certificates and positions through every replica, event "final" for each

A client is a thread with a step() (clients.py); between two steps it waits for the end of a random
pause or for stop(), whichever comes first. Owners mostly wait for the same moment instead, so that
several sets follow one head and all but one must be refused. Programs are started by few clients,
one at a time each: that bounds the processes. Whoever raises what step() must not raise ends, and
the history says it (event "bug"); so nothing fails in silence.

Sets are paced: the record of a deployment has room for about 1000 manifests (docs/wire.md), and a
verifier walks all of them. A round of ten minutes sets about 300.

SPDX-License-Identifier: Apache-2.0
"""

import dataclasses
import hashlib
import os
import random
import threading
import time
import traceback

import clients  # first: it says where harness and wire are
import client_programs
import harness
import owner
import setters
import wire

STOP_S = 60  # the longest step: contrast set with all its patience
FINAL_S = 30
START_S = 30
TOGETHER = 0.6  # part of the owners' pauses that end at the same moment,
MOMENT_S, MOMENT_WIDTH_S = 5.0, 0.02  # one in so long


@dataclasses.dataclass
class Pace:
    """How many of each, and the mean pause between two steps of one, in seconds."""

    setters: tuple = (2, 4.0)
    set_programs: tuple = (1, 8.0)
    readers: tuple = (1, 0.3)  # these four: so many for each replica
    waiters: tuple = (1, 0.2)
    pollers: tuple = (1, 0.5)
    enrollers: tuple = (1, 0.3)
    crowds: tuple = (1, 15.0)
    verify_programs: tuple = (1, 4.0)  # one for each replica
    enroll_programs: tuple = (2, 2.0)
    intruders: tuple = (1, 1.0)
    sidecars: tuple = (3, 0.3)


class Workload:
    def __init__(self, cluster, history, seed, folder, pace=None):
        self.cluster, self.history, self.pace = cluster, history, pace or Pace()
        self.dir = os.path.join(folder, "clients")
        os.makedirs(self.dir, exist_ok=True)
        self.rng = random.Random(seed)
        self.place = clients.Place(cluster, history, self.dir)
        self.over = threading.Event()
        self.threads, self.sidecars = [], []

    # --- Start

    def start(self):
        self.write_start()
        for client, pause_s in self.make():
            thread = threading.Thread(target=self.live, args=(client, pause_s), daemon=True,
                                      name=client.label)
            self.threads.append(thread)
            thread.start()

    def write_start(self):
        """Where the register stands before anybody of ours sets anything."""
        reader = clients.Reader(self.place, "start", self.place.names()[0])

        def ask():
            try:
                with self.place.inside(), self.place.session(
                        reader.target, harness.USER, reader.identity) as session:
                    fields = session.position()
                    return fields["is_confirmed"] and fields["generation"] and fields
            except clients.TROUBLE:
                return None
        fields = harness.wait_until(ask, START_S, "a quorum confirms where we begin")
        reader.close()
        self.place.epoch, self.place.generation = fields["epoch"], fields["generation"]
        self.history.event("begin", clients.position_value(fields))

    def owner_key(self, number):
        path = os.path.join(self.dir, f"owner-{number}.pem")
        if not os.path.exists(path):
            harness.openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", path)
            os.chmod(path, 0o600)
        return path

    def own_rng(self):
        return random.Random(self.rng.random())

    def make(self):
        """(client, mean pause) of everybody."""
        pace, place = self.pace, self.place
        first = place.file("workload-owner.pem")
        keys = [self.owner_key(n) for n in range(1, pace.setters[0] + 1)]
        if keys:
            admission = setters.Admission(place, "owner-0", self.own_rng(), first, keys)
            with place.inside():
                admission.step()
            admission.close()
        for n, key in enumerate(keys, 1):
            yield (setters.Setter(place, f"owner-{n}", self.own_rng(), key, first),
                   pace.setters[1])
        for n in range(1, pace.set_programs[0] + 1):
            workspace = self.cluster.workspace(f"load-{n}")
            yield (client_programs.SetProgram(place, f"set-{n}", self.own_rng(), first,
                                              workspace),
                   pace.set_programs[1])
        for name in place.names():
            yield from self.make_at(name)
        yield from self.make_pods()

    def make_at(self, name):
        """Who asks one replica and no other."""
        pace, place = self.pace, self.place
        for kind, label, (count, pause_s) in ((clients.Reader, "reader", pace.readers),
                                              (clients.Waiter, "waiter", pace.waiters),
                                              (clients.Poller, "poller", pace.pollers),
                                              (clients.Enroller, "pod", pace.enrollers)):
            for n in range(1, count + 1):
                yield kind(place, f"{label}-{name}-{n}", name), pause_s
        if pace.verify_programs[0]:
            label = f"verify-{name}"
            yield (client_programs.VerifyProgram(place, label, name,
                                                 os.path.join(self.dir, label)),
                   pace.verify_programs[1])

    def make_pods(self):
        pace, place = self.pace, self.place
        for n in range(1, pace.enroll_programs[0] + 1):
            yield (client_programs.EnrollProgram(place, f"init-{n}", self.own_rng()),
                   pace.enroll_programs[1])
        names = place.names()
        for n in range(1, pace.crowds[0] + 1):
            yield clients.Crowd(place, f"crowd-{n}", names[n % len(names)]), pace.crowds[1]
        for n in range(1, pace.intruders[0] + 1):
            yield (clients.Intruder(place, f"intruder-{n}", names[n % len(names)]),
                   pace.intruders[1])
        for n in range(1, pace.sidecars[0] + 1):
            host = place.replica(names[n % len(names)]).host.number
            yield client_programs.Sidecar(place, f"sidecar-{n}", host), pace.sidecars[1]

    # --- Life

    def live(self, client, pause_s):
        rng = random.Random(client.label)
        try:
            with self.place.inside():
                while not self.over.wait(self.pause(client, pause_s, rng)):
                    client.step()
        except Exception as error:  # a bug of ours, or a program that does not come back
            self.history.event("bug", f"{client.label}: {type(error).__name__}: {error}: "
                               f"{traceback.format_exc(limit=-3)[-1500:]}")
        finally:
            client.close()

    @staticmethod
    def pause(client, pause_s, rng):
        if isinstance(client, setters.Setter) and rng.random() < TOGETHER:
            return -time.monotonic() % MOMENT_S + rng.uniform(0, MOMENT_WIDTH_S)
        return rng.uniform(0, 2 * pause_s)

    def stop(self):
        self.over.set()
        end = time.monotonic() + STOP_S
        for thread in self.threads:
            thread.join(max(0, end - time.monotonic()))
        late = [thread.name for thread in self.threads if thread.is_alive()]
        if late:
            self.history.event("bug", f"after {STOP_S} s still in a step: {', '.join(late)}")

    # --- The end

    def final_reads(self):
        """Of each replica: a certificate, a confirmed position, the whole history."""
        with self.place.inside():
            for name in self.place.names():
                last = clients.Enroller(self.place, f"last-pod-{name}", name)
                last.step()
                last.close()
            for name in self.place.names():
                self.final_of(name)

    def final_of(self, name):
        reader = clients.Reader(self.place, f"last-{name}", name)

        def ask():
            try:
                with self.place.session(name, harness.USER, reader.identity) as session:
                    return self.final_value(session, name)
            except clients.TROUBLE as error:
                self.history.event("final-try", f"{name}: {clients.short(error)}")
                return None
        try:
            self.history.event("final", harness.wait_until(
                ask, FINAL_S, f"{name} tells its history"))
        except AssertionError as error:
            self.history.event("final-missing", str(error))
        finally:
            reader.close()

    def final_value(self, session, name):
        call = self.history.call(f"last-{name}", "read", name)
        try:
            fields = self.place.position(session)
        except clients.TROUBLE as error:
            self.history.fail(call, clients.short(error))
            raise
        value = clients.position_value(fields)
        self.history.ok(call, value)
        _, (_, _, items) = session.ask(wire.RECOVERIES, [0])
        return {"target": name, "epoch": value["epoch"], "generation": value["generation"],
                "ledger": value["ledger"], "recoveries": [item[1] for item in items],
                "history": self.history_of(session, fields, items)}

    @staticmethod
    def history_of(session, fields, recoveries):
        """[generation, transition, manifest] of each; the transitions are computed, not believed,
        and end with the head that was attested."""
        records, chain, head = [], [], bytes(32)
        while len(records) < fields["generation"]:
            _, reply = session.ask(wire.HISTORY, [len(records) + 1])
            if not reply[4]:
                raise ValueError(f"the history ends with {len(records)}")
            records += reply[4]
        for g, (manifest, _, _) in enumerate(records[: fields["generation"]], 1):
            epoch = max([1, *(item[1] for item in recoveries if item[4] < g)])
            head = wire.transition(fields["cluster"], epoch, g, head, manifest,
                                   owner.hashes_of(manifest))
            chain.append([g, head.hex(), hashlib.sha256(manifest).hexdigest()])
        if head != fields["head"]:
            raise ValueError("the history leads to another head than the attested one")
        return chain
