"""Histories: what clients, faults and the cluster did, one JSON object a line, in one file.

    with History("history.jsonl") as history:
        call = history.call("owner-1", "set", "coordinator-2", {"generation": 4, ...})
        history.ok(call, {"generation": 4, "transition": "..."})

    kind     fields
    call     id, client, op, target, args
    return   id of the call, outcome ok | fail | unknown, value, error
    fault    id, name, targets          healed   id of the fault
    event    name, value

Each line has `at`: CLOCK_MONOTONIC of the recorder in nanoseconds. It is read under the lock that
orders the lines, so lines stand by rising time; a call is written before its request is sent, a
return after its answer came. Each line is one write(2): whoever kills the recorder loses no line
that was written, at most the last one is cut. A call without a return was under way: its outcome
is unknown. What an outcome means:

    ok       it had effect, between call and return
    fail     it had no effect and never will
    unknown  it may take effect at any time after the call, or never

Operations (`op`) and what the checker reads of them:

    set      args previous, generation, manifest (hex), transition (where known); value generation,
             transition, epoch. A fail whose error begins with "CHANGED" claims another head
    read     value epoch, generation, transition, index, ledger {size, root}, root, mesh (digests).
             An error that begins with "exit 4" is a program's proof of a rollback or fork
    confirm  as read
    status   value state, id, is_confirmed and what a read has; counts as a read when confirmed
    issue    args secret_id; value generation, epoch, index, serial, root, mesh, secret (digests)
    `denied` in args: this operation must not succeed; its text says why

Events: "begin" {epoch, generation, transition}: where the register stood before all operations
(else: epoch 1, nothing set). "final" {target, epoch, generation, history [[generation, transition,
manifest], ...], ledger {size, root}} of each replica at rest. "recover" {epoch, previous_epoch,
mode, generation, head, index, recipient, ledger {size, root}} before anything of that epoch;
"recovery-source" {generation, ledger_size, old_is_dead} before it: what the survivor or the
checkpoint had shown. "outside-set": from here on manifests may come from hands that write no
calls. Any other name is for people.

read() raises Malformed with the line's number.

SPDX-License-Identifier: Apache-2.0
"""

import json
import os
import threading
import time

LINE_MAX = 256 * 1024  # bytes; a final history of 1000 generations fits
ERROR_MAX = 500  # characters
OPERATIONS = ("set", "read", "confirm", "status", "issue")
OUTCOMES = ("ok", "fail", "unknown")
FIELDS = {
    "call": {"id": int, "client": str, "op": str, "target": str, "args": dict},
    "return": {"id": int, "outcome": str},
    "fault": {"id": int, "name": str, "targets": list},
    "healed": {"id": int},
    "event": {"name": str, "value": (dict, list, str, int, type(None))},
}


class Malformed(ValueError):
    """A line that is none of a history."""


class History:
    """Appends to one file, from any thread; OSError when it cannot be written."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.last = 0
        self.handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with self.lock:
            if self.handle is not None:
                os.close(self.handle)
                self.handle = None

    def _write(self, line):
        """Numbers the line where it has an id of None; returns the id. None after close()."""
        with self.lock:
            if self.handle is None:  # a thread that comes late; its call counts as unknown
                return None
            if "id" in line and line["id"] is None:
                self.last += 1
                line["id"] = self.last
            line["at"] = time.monotonic_ns()
            data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
            if len(data) > LINE_MAX:
                raise ValueError(f"a line of {len(data)} bytes, limit {LINE_MAX}")
            written = os.write(self.handle, data)
            if written != len(data):
                raise OSError(f"{self.path}: {written} of {len(data)} bytes written, disk full?")
            return line.get("id")

    def call(self, client, op, target, args=None):
        if op not in OPERATIONS:
            raise ValueError(f"operation '{op}' is none of {', '.join(OPERATIONS)}")
        return self._write({"kind": "call", "id": None, "client": client, "op": op,
                            "target": target, "args": args or {}})

    def ok(self, call, value):
        self._return(call, "ok", value, None)

    def fail(self, call, error, value=None):
        self._return(call, "fail", value, error)

    def unknown(self, call, error, value=None):
        self._return(call, "unknown", value, error)

    def _return(self, call, outcome, value, error):
        if call is None:
            return
        line = {"kind": "return", "id": call, "outcome": outcome}
        if value is not None:
            line["value"] = value
        if error is not None:
            line["error"] = str(error)[:ERROR_MAX]
        self._write(line)

    def fault(self, name, targets):
        return self._write({"kind": "fault", "id": None, "name": name, "targets": list(targets)})

    def healed(self, fault):
        self._write({"kind": "healed", "id": fault})

    def event(self, name, value=None):
        self._write({"kind": "event", "name": name, "value": value})


def _line(text, number):
    try:
        line = json.loads(text)
    except ValueError as error:
        raise Malformed(f"line {number}: {error}") from error
    if not isinstance(line, dict) or line.get("kind") not in FIELDS:
        raise Malformed(f"line {number}: no object of a known kind")
    if type(line.get("at")) is not int:
        raise Malformed(f"line {number}: 'at' is no whole number")
    for name, kind in FIELDS[line["kind"]].items():
        if name not in line or not isinstance(line[name], kind):
            raise Malformed(f"line {number}: {line['kind']} lacks '{name}', or it has another type")
    return line


def read(path):
    """The lines one after the other, each as an object. A last line that is cut off is left out:
    its writer was killed. Malformed for anything else that no recorder writes."""
    with open(path, "rb") as file:
        number = 0
        while True:
            text = file.readline(LINE_MAX + 1)
            if not text:
                return
            number += 1
            if not text.endswith(b"\n"):
                if len(text) > LINE_MAX:
                    raise Malformed(f"line {number}: over {LINE_MAX} bytes")
                return
            yield _line(text, number)


class Pairing:
    """Judges the order of lines: who returns was called, once; time and numbers only rise."""

    def __init__(self):
        self.calls, self.faults = {}, {}
        self.last_id, self.last_at, self.number = 0, -1, 0

    def take(self, line):
        """The call or fault that this line ends, else None."""
        self.number += 1
        kind = line["kind"]
        if line["at"] < self.last_at:
            raise Malformed(f"line {self.number}: time goes back")
        self.last_at = line["at"]
        if kind in ("call", "fault"):
            if line["id"] <= self.last_id:
                raise Malformed(f"line {self.number}: id {line['id']} is not new")
            if kind == "call" and line["op"] not in OPERATIONS:
                raise Malformed(f"line {self.number}: operation '{line['op']}'")
            self.last_id = line["id"]
            (self.calls if kind == "call" else self.faults)[line["id"]] = line
        elif kind in ("return", "healed"):
            waiting = self.calls if kind == "return" else self.faults
            if line["id"] not in waiting:
                raise Malformed(f"line {self.number}: {kind} without a "
                                f"{'call' if kind == 'return' else 'fault'} {line['id']}")
            if kind == "return":
                self._check_return(line)
            return waiting.pop(line["id"])
        return None

    def _check_return(self, line):
        if line["outcome"] not in OUTCOMES:
            raise Malformed(f"line {self.number}: outcome '{line['outcome']}'")
        if not isinstance(line.get("value", {}), dict):
            raise Malformed(f"line {self.number}: value is no object")
        if not isinstance(line.get("error", ""), str):
            raise Malformed(f"line {self.number}: error is no text")


def validate(path):
    """Counts by kind, and "pending": calls without a return. Malformed with the line's number."""
    pairing, counts = Pairing(), dict.fromkeys(FIELDS, 0)
    for line in read(path):
        pairing.take(line)
        counts[line["kind"]] += 1
    return dict(counts, pending=len(pairing.calls))
