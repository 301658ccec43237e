"""Judges a history (history.py): was all that clients were told true, then and for ever?

    verdict = check("history.jsonl")
    verdict.violations    [{"rule", "what", "at", "operations", "fault"}, ...], empty: none
    verdict.figures       counts, positions, what could not be judged

rule       says
register   the chain of manifests of each epoch is linearizable (linear_register.py). A certificate
           is a read of its generation: none under a manifest that a returned `set` had superseded
lost       every acknowledged set stands at its generation in the history of every replica at rest,
           all of them are equal, and none is behind what was confirmed
issue      in one epoch no two certificates have one index, one that was asked for after another
           returned has a higher one; serial numbers never repeat
ledger     one root for each size; size and confirmed index never go back between a return and a
           later call, not even at another replica
proof      no program found evidence false (exit 3), a rollback or a fork (exit 4). Exit 4
           is excused where a recovery went back behind what was acknowledged
denied     who must be denied got nothing
keys       one root CA for ever; one mesh CA for each (epoch, generation), another in each epoch;
           one secret for each secret id
recovery   epochs rise; a recovery begins with a head and a ledger of the epoch before, not before
           the position that its source had shown; nothing up to that position is lost; nothing is
           confirmed in an epoch that was dead

What a recovery may lose: what was acknowledged above the position that it began with, if that is
not below what its source (survivor or checkpoint) had shown before. That is counted as
`lost_at_recovery`. Whether a certificate was below follows from any size of the ledger that was
confirmed after it came: if that size is kept, the certificate is.

One pass; memory grows with generations, sizes of the ledger and certificates (16 bytes each). At
most FOUND_MAX violations of a rule are kept, all are counted. history.Malformed for a file that no
recorder wrote.

SPDX-License-Identifier: Apache-2.0
"""

import array
import dataclasses
import json
import sys

import history
from linear_register import Register

FOUND_MAX = 20
READS = ("read", "confirm")
SURVIVOR = 1  # mode of a recovery (docs/wire.md section 9)


@dataclasses.dataclass
class Verdict:
    violations: list
    figures: dict

    def is_good(self):
        return not self.violations


class Epoch:
    """What belongs to one epoch."""

    def __init__(self, start=None, begin=None):
        self.start = start  # value of the recovery that began it; None: the founding
        if start:
            self.register = Register(start["generation"], start["head"])
        elif begin:  # where the recording began
            self.register = Register(begin["generation"], begin["transition"])
        else:
            self.register = Register()
        self.roots = {}  # size of the ledger: (root, operation)
        self.acknowledged = {}  # generation: (transition, operation)
        self.size = self.index = self.issue = (-1, None)  # highest that returned, and to whom
        self.issues, self.issue_calls = array.array("Q"), array.array("Q")
        self.sure = []  # (issue index, size of the ledger) that a later read confirmed
        self.meshes = {}  # generation: (digest, operation)


class Checker:
    """Feed it with lines, then finish()."""

    def __init__(self):
        self.epochs = {1: Epoch()}
        self.finals, self.recoveries = [], []
        self.roots, self.secrets, self.meshes = {}, {}, {}
        self.serials = array.array("Q")
        self.faults = {}  # open ones: name
        self.dead = {}  # epoch: time from which nothing may be confirmed there
        self.found, self.counts = [], {}
        self.operations, self.no_epoch = {}, 0
        self.source = None  # what the next recovery is made from
        self.positions = {}  # (replica id, epoch): [generation, size of the ledger] it has shown
        self.deferred = []  # certificates whose epoch nobody knew yet
        self.proofs = []  # (call, error) of programs that saw a rollback
        self.pairing = history.Pairing()
        self.at = 0

    def add(self, rule, what, *operations):
        self.counts[rule] = self.counts.get(rule, 0) + 1
        if self.counts[rule] <= FOUND_MAX:
            self.found.append({"rule": rule, "what": what, "at": self.at,
                               "operations": [o for o in operations if o is not None],
                               "fault": ", ".join(sorted(self.faults.values()))})

    # --- Lines

    def take(self, line):
        call = self.pairing.take(line)
        self.at = line["at"]
        kind = line["kind"]
        if kind == "call":
            line["floor"] = {n: (e.size, e.index, e.issue) for n, e in self.epochs.items()}
        elif kind == "return":
            self._count(call["op"], line["outcome"])
            self._return(call, line)
        elif kind == "fault":
            self.faults[line["id"]] = line["name"]
        elif kind == "healed":
            self.faults.pop(line["id"], None)
        elif line["name"] == "final":
            self.finals.append(line["value"])
        else:
            self._event(line["name"], line["value"])

    def _event(self, name, value):
        if name == "begin":
            self.epochs = {value["epoch"]: Epoch(begin=value)}
        elif name == "outside-set":
            for epoch in self.epochs.values():
                epoch.register.set_outside(self.at)
        elif name == "recovery-source":
            self.source = value
        elif name == "recover":
            self._recover(value)

    def _count(self, op, outcome):
        counts = self.operations.setdefault(op, dict.fromkeys(history.OUTCOMES, 0))
        counts[outcome] += 1

    def _return(self, call, line):
        value = line.get("value", {})
        error = line.get("error", "")
        is_ok = line["outcome"] == "ok"
        if is_ok and "denied" in call["args"]:
            self.add("denied", f"{call['client']} must be denied ({call['args']['denied']}) and "
                     f"got in at {call['target']}", call["id"])
            return  # what it got may be no certificate: a replica that was let in
        if error.startswith("exit 3") and "denied" not in call["args"]:
            self.add("proof", f"{call['client']} at {call['target']}: {error}", call["id"])
        elif error.startswith("exit 4"):
            self.proofs.append((call, error))
        if call["op"] == "set":
            self._set(call, line, value, error)
        elif is_ok and call["op"] in READS:
            self._read(call, line, value)
        elif is_ok and call["op"] == "issue":
            self._issue(call, line, value)
        elif is_ok and call["op"] == "status":
            self._status(call, line, value)

    def _status(self, call, line, value):
        if value.get("is_confirmed"):
            self._read(call, line, value)
        if "id" in value:
            shown = self.positions.setdefault((value["id"], value["epoch"]), [0, 0])
            shown[0] = max(shown[0], value["generation"])
            shown[1] = max(shown[1], value["ledger"]["size"])

    def epoch(self, number):
        if number not in self.epochs:
            self.epochs[number] = Epoch()
            self.add("recovery", f"something happened in epoch {number}, and no recovery began it")
        return self.epochs[number]

    def _epoch_of(self, call, value):
        """The epoch of an answer; None where neither client nor mesh CA tell it, and several are
        possible."""
        number = value.get("epoch", call["args"].get("epoch"))
        if number is None and value.get("mesh"):
            known = self.meshes.get(value["mesh"])
            return int(known[0]) if known else None
        elif number is None:
            if len(self.epochs) > 1:
                self.no_epoch += 1
                return None
            number = 1
        return number

    def _set(self, call, line, value, error):
        args = call["args"]
        if line["outcome"] == "ok":
            number = self._epoch_of(call, value) or max(self.epochs)
            epoch = self.epoch(number)
            g, t = value["generation"], value["transition"]
            epoch.acknowledged[g] = (t, call["id"])
            epoch.register.set_ok(args, g, t, call["at"], line["at"], call["id"])
            self._refuse_dead(number, call)
            return
        newest = max(self.epochs)
        for number, epoch in self.epochs.items():  # of whichever epoch it was
            if line["outcome"] == "unknown":
                epoch.register.set_unknown(args, call["at"], call["id"])
                continue
            is_sure = number == newest == args.get("epoch", newest) and newest in call["floor"]
            epoch.register.set_failed(args, is_sure and error.startswith("CHANGED"), call["at"],
                                      line["at"], call["id"])

    def _refuse_dead(self, number, call):
        if self.dead.get(number, call["at"]) < call["at"]:
            self.add("recovery", f"{call['op']} was confirmed in epoch {number}, which was dead",
                     call["id"])

    def _read(self, call, line, value):
        number = self._epoch_of(call, value)
        if number is None:
            return
        epoch = self.epoch(number)
        self._refuse_dead(number, call)
        epoch.register.see(value["generation"], value["transition"], call["at"], line["at"],
                           call["id"])
        floor = call["floor"].get(number)
        size, root = value["ledger"]["size"], value["ledger"].get("root")
        for name, now, before in (("ledger's size", size, floor and floor[0]),
                                  ("confirmed index", value["index"], floor and floor[1])):
            if before and now < before[0]:
                self.add("ledger", f"{name} {now} at {call['target']}, after {before[0]} had been "
                         "confirmed", before[1], call["id"])
        epoch.size = max(epoch.size, (size, call["id"]))
        epoch.index = max(epoch.index, (value["index"], call["id"]))
        if root is not None:
            self._root(epoch, size, root, call)
        if floor and floor[2][0] >= 0 and (not epoch.sure or epoch.sure[-1][0] < floor[2][0]):
            epoch.sure.append((floor[2][0], size))
        self._keys(number, value, call)

    def _root(self, epoch, size, root, call):
        known = epoch.roots.setdefault(size, (root, call["id"]))
        if known[0] != root:
            self.add("ledger", f"size {size} has two roots, {known[0][:16]} and {root[:16]} at "
                     f"{call['target']}", known[1], call["id"])

    def _issue(self, call, line, value, is_last=False):
        number = self._epoch_of(call, value)
        if number is None and value.get("mesh") and not is_last:
            self.deferred.append((call, line, value))  # until a reader shows that mesh CA
            return
        if number is None and len(self.epochs) == 1:  # there never was another one
            number = max(self.epochs)
        self.serials.append(int(value["serial"][:16], 16))
        self._keys(number, value, call)
        if number is None:
            self.no_epoch += bool(value.get("mesh"))
            return
        epoch = self.epoch(number)
        self._refuse_dead(number, call)
        epoch.register.see(value["generation"], None, call["at"], line["at"], call["id"])
        before = call["floor"].get(number, ((), (), (-1, None)))[2]
        if value["index"] <= before[0]:
            self.add("issue", f"certificate {value['index']} at {call['target']}, after "
                     f"{before[0]} had been given out", before[1], call["id"])
        epoch.issue = max(epoch.issue, (value["index"], call["id"]))
        epoch.issues.append(value["index"])
        epoch.issue_calls.append(call["id"])

    # --- Keys

    def _one(self, table, key, digest, call, what):
        known = table.setdefault(key, (digest, call["id"]))
        if known[0] != digest:
            self.add("keys", f"two {what}: {known[0][:16]} and {digest[:16]}", known[1],
                     call["id"])

    def _keys(self, number, value, call):
        if value.get("root"):
            self._one(self.roots, "root", value["root"], call, "root CAs")
        if value.get("secret"):
            name = call["args"].get("secret_id", "")
            self._one(self.secrets, name, value["secret"], call, f"secrets of '{name}'")
        if value.get("mesh") and number is not None:
            g = value["generation"]
            self._one(self.epoch(number).meshes, g, value["mesh"], call,
                      f"mesh CAs of epoch {number}, generation {g}")
            self._one(self.meshes, value["mesh"], str(number), call,
                      "epochs with one mesh CA")

    # --- Recoveries

    def _recover(self, value):
        number, before = value["epoch"], value["previous_epoch"]
        if number <= max(self.epochs) or before not in self.epochs or before >= number:
            self.add("recovery", f"epoch {number} follows {before}, and {max(self.epochs)} was "
                     "reached")
            return
        old = self.epochs[before]
        self.epochs[number] = Epoch(value)
        source, self.source = self.source or self._survivor(value), None
        self.recoveries.append((value, source))
        if source.get("old_is_dead"):
            self.dead[before] = self.at
        ledger = value.get("ledger") or {}
        known = old.roots.get(ledger.get("size"))
        if known and ledger.get("root") and known[0] != ledger["root"]:
            self.add("recovery", f"epoch {number} began with ledger size {ledger['size']} and "
                     "another root than was confirmed", known[1])

    def _survivor(self, value):
        """What the replica that this recovery began on had said before, where it survived."""
        if value.get("mode") != SURVIVOR or not value.get("recipient"):
            return {}
        replica = int(value["recipient"][:16], 16) >> 1 or 1
        shown = self.positions.get((replica, value["previous_epoch"]))
        return {"generation": shown[0], "ledger_size": shown[1]} if shown else {}

    def _judge_proofs(self):
        """A rollback is a finding, unless a recovery went back behind what was acknowledged: then
        it is what happened, two transitions of one generation too, and who saw it says so."""
        is_lossy = any(self.epochs[value["previous_epoch"]].register.last() > value["generation"]
                       for value, _ in self.recoveries)
        for call, error in self.proofs:
            if not (is_lossy and ("ROLLBACK" in error or "FORK" in error)):
                self.add("proof", f"{call['client']} at {call['target']}: {error}", call["id"])

    def _judge_recovery(self, value, source):
        old, new = self.epochs[value["previous_epoch"]], self.epochs[value["epoch"]]
        if value["generation"] < source.get("generation", 0):
            self.add("recovery", f"epoch {value['epoch']} began at generation "
                     f"{value['generation']}, its source had shown {source['generation']}")
        ledger = (value.get("ledger") or {}).get("size")
        if ledger is not None and ledger < source.get("ledger_size", 0):
            self.add("recovery", f"epoch {value['epoch']} began with a ledger of {ledger}, its "
                     f"source had shown {source['ledger_size']}")
        slot = old.register.slots.get(value["generation"])
        if slot and slot.transition not in (None, value["head"]):
            self.add("recovery", f"epoch {value['epoch']} began with head {value['head'][:16]}, "
                     f"generation {value['generation']} was {slot.transition[:16]}",
                     slot.seen_by)
        lost = sum(g > value["generation"] for g in old.acknowledged)
        if len(new.issues):
            first = min(new.issues)
            lost += sum(i >= first for i in old.issues)
            for index, size in old.sure:
                if ledger is not None and size <= ledger and index >= first:
                    self.add("recovery", f"certificate {index} was covered by ledger size {size}, "
                             f"epoch {value['epoch']} kept {ledger} and gave out {first} again")
        return lost

    # --- At rest

    def _lineage(self):
        """(first generation, last, epoch number) of what still counts, oldest first."""
        spans, last = [], float("inf")
        number = max(self.epochs)
        while True:
            start = self.epochs[number].start
            low = start["generation"] if start else 0
            spans.append((low + 1, last, number))
            if not start:
                return spans[::-1]
            last, number = min(last, low), start["previous_epoch"]

    def _finals(self):
        newest = None
        for final in self.finals:
            chain = {g: t for g, t, _ in final["history"]}
            for g, t, manifest in final["history"]:
                known = newest and newest.get(g)
                if known and known != t:
                    self.add("lost", f"{final['target']} ends with another transition of "
                             f"generation {g} than the replica before")
            for low, high, number in self._lineage():
                self._final_epoch(final, chain, low, high, number)
            if newest is not None and set(newest) != set(chain):
                self.add("lost", f"{final['target']} ends with {len(chain)} generations, the "
                         f"replica before with {len(newest)}")
            newest = chain
        self._final_ledgers()
        for final in self.finals[:1]:
            for low, high, number in self._lineage():
                for g, _, manifest in final["history"]:
                    if low <= g <= high:
                        self.epochs[number].register.tell_manifest(g, manifest)

    def _final_epoch(self, final, chain, low, high, number):
        epoch = self.epochs[number]
        for g, (t, operation) in epoch.acknowledged.items():
            if low <= g <= high and chain.get(g) != t:
                self.add("lost", f"the acknowledged manifest of generation {g} is not in the "
                         f"history of {final['target']}", operation)
        for g, slot in epoch.register.slots.items():
            is_acked = g in epoch.acknowledged
            if low <= g <= high and not is_acked and slot.transition not in (None, chain.get(g)):
                self.add("lost", f"generation {g}, confirmed to a reader, is not in the history "
                         f"of {final['target']}", slot.seen_by)

    def _final_ledgers(self):
        newest = self.epochs[max(self.epochs)]
        for final in self.finals:
            size, root = final["ledger"]["size"], final["ledger"]["root"]
            if size < newest.size[0]:
                self.add("lost", f"{final['target']} ends with a ledger of {size}, "
                         f"{newest.size[0]} was confirmed", newest.size[1])
            known = newest.roots.setdefault(size, (root, None))
            if known[0] != root:
                self.add("ledger", f"{final['target']} ends with another root of size {size}",
                         known[1])

    def _repeats(self, values, calls, what, rule):
        order = sorted(range(len(values)), key=values.__getitem__)
        for a, b in zip(order, order[1:]):
            if values[a] == values[b]:
                self.add(rule, f"two certificates have one {what}",
                         *((calls[a], calls[b]) if calls else ()))

    def finish(self):
        for call in self.pairing.calls.values():  # under way for ever
            self._count(call["op"], "unknown")
            if call["op"] == "set":
                for epoch in self.epochs.values():
                    epoch.register.set_unknown(call["args"], call["at"], call["id"])
        for deferred in self.deferred:
            self._issue(*deferred, is_last=True)
        lost = sum(self._judge_recovery(*pair) for pair in self.recoveries)
        self._judge_proofs()
        self._finals()
        for number, epoch in self.epochs.items():
            for what, operations in epoch.register.problems():
                self.add("register", f"epoch {number}: {what}", *operations)
            self._repeats(epoch.issues, epoch.issue_calls, "index", "issue")
        self._repeats(self.serials, None, "serial number", "issue")
        return Verdict(self.found, self._figures(lost))

    def _figures(self, lost):
        newest = self.epochs[max(self.epochs)]
        return {"operations": self.operations, "epochs": len(self.epochs),
                "generations": newest.register.last(), "ledger": newest.size[0],
                "certificates": sum(len(e.issues) for e in self.epochs.values()),
                "lost_at_recovery": lost, "finals": len(self.finals),
                "without_epoch": self.no_epoch, "recoveries": len(self.recoveries),
                "proofs": len(self.proofs), "violations_by_rule": self.counts}


def check(path):
    checker = Checker()
    try:
        for line in history.read(path):
            checker.take(line)
        verdict = checker.finish()
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, history.Malformed):
            raise
        raise history.Malformed(f"line {checker.pairing.number}, or one before: a value that no "
                                f"client writes: {type(error).__name__}: {error}") from error
    late = [v for v in verdict.violations if v["operations"] and v["at"] == checker.at]
    if late:
        locate(path, late)
    return verdict


def locate(path, violations):
    """When those happened that show only at the end: at the last return of their operations."""
    wanted = {o for v in violations for o in v["operations"]}
    places, faults = {}, {}
    for line in history.read(path):
        if line["kind"] == "fault":
            faults[line["id"]] = line["name"]
        elif line["kind"] == "healed":
            faults.pop(line["id"], None)
        elif line["kind"] in ("call", "return") and line["id"] in wanted:
            places[line["id"]] = (line["at"], ", ".join(sorted(faults.values())))
    for v in violations:
        v["at"], v["fault"] = max(places[o] for o in v["operations"] if o in places)


def main(argv):
    if len(argv) != 2:
        print("usage: checker.py HISTORY.jsonl", file=sys.stderr)
        return 2
    try:
        verdict = check(argv[1])
    except (OSError, history.Malformed) as error:
        print(f"{argv[1]}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(dataclasses.asdict(verdict), indent=2))
    return 0 if verdict.is_good() else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv))
