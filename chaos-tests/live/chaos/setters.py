"""Owners in Python: they read the head, change the manifest, set it, try on through other replicas,
and when the outcome is unknown look whether it came about, as docs/wire.md lets any owner do.

    ok       the answer said so, or the manifest stands at its generation
    fail     refused before anything was unknown, or another manifest stands at its generation
    unknown  all else: no answer, and nobody who knows; another epoch

SPDX-License-Identifier: Apache-2.0
"""

import hashlib
import json

from clients import SECRET_IDS, SET_S, TROUBLE, Client, position_value, short  # first: the path
import harness
import owner
import wire

SET_TRIES = 4
GENERATIONS_MAX = 900  # then owners rest: a deployment has room for 1000 manifests
CHANGED = 61
REFUSALS = (42, 45, 60, 62, 63)  # nothing was proposed (lib/base/err.h)


class Attempt:
    """One manifest on its way."""

    def __init__(self, fields, signer, manifest, transition):
        self.fields, self.signer = fields, signer
        self.manifest, self.transition = manifest, transition
        self.generation = fields["generation"] + 1

    def args(self):
        return {"previous": self.fields["head"].hex(), "generation": self.generation,
                "manifest": hashlib.sha256(self.manifest).hexdigest(),
                "transition": self.transition.hex(), "epoch": self.fields["epoch"]}

    def value(self, transition=None, generation=None):
        return {"generation": generation or self.generation,
                "transition": (transition or self.transition).hex(),
                "epoch": self.fields["epoch"]}


def record(session, generation):
    """[manifest, SPKI, signature] of one generation, as this replica has it."""
    _, fields = session.ask(wire.HISTORY, [generation])
    if not fields[4]:
        raise ValueError(f"no record of generation {generation}")
    return fields[4][0]


class Setter(Client):
    """An owner with a key of its own, and the deployment's first one for manifests that do not
    name it; several change one deployment."""

    def __init__(self, place, label, rng, *keys):
        super().__init__(place, label)
        self.rng = rng
        self.owners = [owner.Owner(key) for key in keys]
        self.count = 0

    def shuffled(self):
        names = self.place.names()
        self.rng.shuffle(names)
        return names

    def step(self):
        names = self.shuffled()
        try:
            with self.place.session(names[0], harness.USER, self.identity, SET_S) as session:
                attempt = self.prepare(session, names[0])
                if attempt:
                    call = self.history.call(self.label, "set", names[0], attempt.args())
                    self.answer(call, attempt, self.try_all(session, attempt, names))
        except TROUBLE:
            pass  # before the call: the read has its own line

    def prepare(self, session, name):
        """Reads the head and makes its successor; None when nothing was confirmed."""
        call = self.history.call(self.label, "read", name)
        try:
            fields = self.place.position(session)
        except TROUBLE as error:
            self.history.fail(call, short(error))
            return None
        self.history.ok(call, position_value(fields))
        if not 0 < fields["generation"] < GENERATIONS_MAX:
            return None
        return self.successor(fields, record(session, fields["generation"])[0])

    def successor(self, fields, current):
        manifest = json.loads(current)
        signer = self.signer(manifest)
        manifest = self.changed(manifest)
        data = json.dumps(manifest).encode()
        return Attempt(fields, signer, data, wire.transition(
            fields["cluster"], fields["epoch"], fields["generation"] + 1, fields["head"], data,
            owner.hashes_of(data)))

    def signer(self, manifest):
        """Whose signature the manifest before asks for."""
        for mine in self.owners:
            if hashlib.sha256(mine.spki).hexdigest() in manifest["WorkloadOwnerKeyDigests"]:
                return mine
        return self.owners[-1]

    def changed(self, manifest):
        """A name of a service that tells owner and number: no two manifests are the same."""
        self.count += 1
        for policy in manifest["Policies"].values():
            sans = [s for s in policy.get("SANs", []) if not s.startswith("by-")]
            if policy.get("WorkloadSecretID") == SECRET_IDS["web.yaml"]:
                sans.append(f"by-{self.label}-{self.count}")
            policy["SANs"] = sans
        return manifest

    def answer(self, call, attempt, outcome):
        kind, detail = outcome
        if kind == "ok":
            self.history.ok(call, detail)
        else:
            (self.history.fail if kind == "fail" else self.history.unknown)(call, detail)

    def try_all(self, session, attempt, names):
        """(outcome, value or error). From the first unknown outcome on, the head is asked first."""
        kind, detail = self.try_one(session, attempt)
        for turn in range(1, SET_TRIES):
            if kind != "unknown":
                break
            kind, detail = self.resolve(names[turn % len(names)], attempt, detail)
        return kind, detail

    def try_one(self, session, attempt):
        signature = attempt.signer.sign(attempt.transition)
        try:
            reply = owner.upload(session, {}, wire.SET, [
                attempt.manifest, attempt.fields["head"], attempt.signer.spki, signature])
        except wire.Refused as error:
            if error.fields["code"] == CHANGED:
                return "fail", f"CHANGED: {error.fields['text']}"
            return ("fail" if error.fields["code"] in REFUSALS else "unknown"), short(error)
        except (OSError, ValueError, KeyError) as error:
            return "unknown", short(error)
        return "ok", attempt.value(reply[0], reply[1])

    def resolve(self, name, attempt, why):
        """Another replica, as a real owner would ask it: did it come about? If not, once more."""
        try:
            with self.place.session(name, harness.USER, self.identity, SET_S) as session:
                now = self.place.position(session)
                if now["generation"] >= attempt.generation:
                    return self.look(session, attempt, now)
                if now["epoch"] != attempt.fields["epoch"]:
                    return "unknown", f"epoch {now['epoch']} began; before that: {why}"
                kind, detail = self.try_one(session, attempt)
                # refused now: the first one may have come about meanwhile, and be superseded
                return ("unknown" if kind == "fail" else kind), detail
        except TROUBLE as error:
            return "unknown", f"{short(error)}; before that: {why}"

    def look(self, session, attempt, now):
        manifest = record(session, attempt.generation)[0]
        if manifest == attempt.manifest:
            return "ok", attempt.value()
        if now["epoch"] != attempt.fields["epoch"]:
            return "unknown", "another epoch, without it"
        return "fail", "CHANGED: another manifest has this generation"


class Admission(Setter):
    """Adds owner keys to the manifest."""

    def __init__(self, place, label, rng, key, newcomers):
        super().__init__(place, label, rng, key)
        self.digests = [hashlib.sha256(owner.Owner(path).spki).hexdigest() for path in newcomers]

    def changed(self, manifest):
        digests = manifest["WorkloadOwnerKeyDigests"]
        manifest["WorkloadOwnerKeyDigests"] = sorted({*digests, *self.digests})
        return super().changed(manifest)
