#!/usr/bin/env python3
"""Computes every value of docs/vectors again from its inputs, with hashlib alone.

    check_vectors.py [FOLDER]      default docs/vectors

Written from docs/wire.md, not from the C code. Exit 1 names each value that differs.

SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import json
import pathlib
import struct
import sys

failures = []
checks = 0


def expect(what, actual, wanted):
    global checks
    checks += 1
    if actual != wanted:
        failures.append(f"{what}: file has {wanted!r}, computed {actual!r}")


def sha384(data):
    return hashlib.sha384(data).digest()


# --- RFC 9162 section 2.1, by its definitions

def node(left, right):
    return sha384(b"\x01" + left + right)


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def tree(leaves):
    if not leaves:
        return sha384(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return node(tree(leaves[:k]), tree(leaves[k:]))


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return path(m, leaves[:k]) + [tree(leaves[k:])]
    return path(m - k, leaves[k:]) + [tree(leaves[:k])]


def subproof(m, leaves, known):
    if m == len(leaves):
        return [] if known else [tree(leaves)]
    k = split(len(leaves))
    if m <= k:
        return subproof(m, leaves[:k], known) + [tree(leaves[k:])]
    return subproof(m - k, leaves[k:], False) + [tree(leaves[:k])]


def check_merkle(doc):
    leaves = [sha384(b"\x00" + bytes.fromhex(d)) for d in doc["leaf_data"]]
    expect("merkle: number of roots", len(doc["roots"]), len(leaves) + 1)
    for n, root in enumerate(doc["roots"]):
        expect(f"merkle: root of {n}", tree(leaves[:n]).hex(), root)
    for v in doc["paths"]:
        p = b"".join(path(v["index"], leaves[:v["size"]]))
        expect(f"merkle: path {v['index']} of {v['size']}", p.hex(), v["path"])
    for v in doc["proofs"]:
        p = b"".join(subproof(v["old_size"], leaves[:v["size"]], True))
        expect(f"merkle: proof {v['old_size']} to {v['size']}", p.hex(), v["proof"])


# --- Messages: msgpack arrays of the fields, shortest integers, bin for bytes

def pack(value):
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        for limit, prefix, form in ((1 << 7, b"", ">B"), (1 << 8, b"\xcc", ">B"),
                                    (1 << 16, b"\xcd", ">H"), (1 << 32, b"\xce", ">I"),
                                    (1 << 64, b"\xcf", ">Q")):
            if value < limit:
                return prefix + struct.pack(form, value)
    if isinstance(value, bytes):
        size = len(value)
        if size < 1 << 8:
            return b"\xc4" + struct.pack(">B", size) + value
        if size < 1 << 16:
            return b"\xc5" + struct.pack(">H", size) + value
        return b"\xc6" + struct.pack(">I", size) + value
    if isinstance(value, list):
        assert len(value) < 1 << 16
        head = bytes([0x90 | len(value)]) if len(value) < 16 else b"\xdc" + struct.pack(
            ">H", len(value))
        return head + b"".join(pack(v) for v in value)
    raise ValueError(value)


REPLICA = ("cluster epoch replica_id public_key term commit_index ledger_size ledger_root head "
           "generation root_ca_digest mesh_ca_digest state has_confirmed confirmed_index").split()
EVIDENCE = "report vek chain crl leaf_count leaf_index path kind statement".split()


def field(value):
    return bytes.fromhex(value) if isinstance(value, str) else value


def check_messages(doc):
    for v in doc["statements"]:
        names = REPLICA if v["kind"] == 1 else ["public_key"]
        expect(f"statement of kind {v['kind']}", pack([field(v[n]) for n in names]).hex(),
               v["encoded"])
        if v["kind"] == 1:
            digest = hashlib.sha256(bytes.fromhex(v["public_key"])).digest()
            expect("replica id", int.from_bytes(digest[:8], "big") >> 1, v["replica_id"])
    for v in doc["requests"]:
        expect("attest_request", pack([v["purpose"], field(v["nonce"])]).hex(), v["encoded"])
    for v in doc["evidence"]:
        chain = [[bytes.fromhex(c)] for c in v["chain"]]
        values = [chain if n == "chain" else field(v[n]) for n in EVIDENCE]
        expect("evidence", pack(values).hex(), v["encoded"])


# --- Leaves and REPORT_DATA

def check_attest(doc):
    check_messages(doc)
    for i, v in enumerate(doc["leaves"]):
        data = b"\x00" + b"contrast-attest-leaf-v1\x00"
        data += bytes([v["purpose"], v["side"], v["kind"]])
        data += bytes.fromhex(v["nonce"]) + bytes.fromhex(v["exporter"])
        data += sha384(bytes.fromhex(v["spki"])) + sha384(bytes.fromhex(v["statement"]))
        expect(f"leaf {i}", sha384(data).hex(), v["leaf"])
        if v["purpose"] == 2:
            expect(f"leaf {i}: exporter of a document", v["exporter"], "00" * 32)
    for v in doc["reports"]:
        leaves = [bytes.fromhex(x["leaf"]) for x in v["leaves"]]
        expect("leaf count", len(leaves), v["leaf_count"])
        data = b"contrast-attest-root-v1\x00" + struct.pack(">I", len(leaves)) + tree(leaves)
        expect(f"REPORT_DATA of {len(leaves)}", hashlib.sha512(data).hexdigest(),
               v["report_data"])
        for i, x in enumerate(v["leaves"]):
            expect("leaf index", i, x["index"])
            expect(f"path {i} of {len(leaves)}", b"".join(path(i, leaves)).hex(), x["path"])


# --- Transitions

def check_transition(doc):
    previous = "00" * 32
    for v in doc["transitions"]:
        expect("previous transition", previous, v["previous"])
        policies = sorted(bytes.fromhex(p) for p in v["policies"])
        data = b"contrast-transition-v1\x00" + bytes.fromhex(v["cluster"])
        data += struct.pack(">QQ", v["epoch"], v["generation"]) + bytes.fromhex(v["previous"])
        data += hashlib.sha256(bytes.fromhex(v["manifest"])).digest()
        data += hashlib.sha256(b"".join(policies)).digest()
        digest = hashlib.sha256(data).digest()
        expect(f"transition {v['generation']}", digest.hex(), v["transition"])
        expect("signed bytes", (b"contrast-set-v1\x00" + digest).hex(), v["signed_bytes"])
        previous = v["transition"]


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "docs/vectors")
    parts = {"merkle": check_merkle, "attest": check_attest, "transition": check_transition}
    for name, check in parts.items():
        check(json.loads((folder / f"{name}.json").read_text()))
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{checks} values, {len(failures)} differ")
    return 1 if failures or checks < 500 else 0


sys.exit(main())
