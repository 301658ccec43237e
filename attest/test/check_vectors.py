#!/usr/bin/env python3
"""Computes every value of docs/vectors again from its inputs, with the standard library alone.

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


# --- RSA: RFC 8017, sections 5, 7.1, 8.1, 9.1 and appendix B.2.1

def der(data):
    """One DER value of `data`: tag, content, what follows."""
    size, at = data[1], 2
    if size & 0x80:
        at += size & 0x7f
        size = int.from_bytes(data[2:at], "big")
    return data[0], data[at:at + size], data[at + size:]


def der_integers(sequence):
    tag, rest, _ = der(sequence)
    assert tag == 0x30
    numbers = []
    while rest:
        tag, content, rest = der(rest)
        assert tag == 2
        numbers.append(int.from_bytes(content, "big"))
    return numbers


def der_value(tag, content):
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def der_integer(n):
    return der_value(2, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def pkcs8(data):
    """n, e, d of an RSA key in PrivateKeyInfo (RFC 5208)."""
    _, content, _ = der(data)
    _, _, content = der(content)  # version
    _, _, content = der(content)  # algorithm
    tag, content, _ = der(content)
    assert tag == 4
    return der_integers(content)[1:4]


def pkcs1(n, e):
    return der_value(0x30, der_integer(n) + der_integer(e))


def mgf1(name, seed, size):
    out = b""
    for counter in range(size // hashlib.new(name).digest_size + 1):
        out += hashlib.new(name, seed + struct.pack(">I", counter)).digest()
    return out[:size]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def pss_is_valid(n, e, message, signature, name="sha384", salt=48):
    size = (n.bit_length() + 7) // 8
    if len(signature) != size:
        return False
    encoded = pow(int.from_bytes(signature, "big"), e, n).to_bytes(size, "big")
    digest = hashlib.new(name, message).digest()
    masked, tail = encoded[:size - len(digest) - 1], encoded[size - len(digest) - 1:]
    block = xor(masked, mgf1(name, tail[:-1], len(masked)))
    block = bytes([block[0] & 0x7f]) + block[1:]  # the modulus has a multiple of 8 bits
    padding = bytes(len(block) - salt - 1) + b"\x01"
    wanted = hashlib.new(name, bytes(8) + digest + block[-salt:]).digest()
    return tail == wanted + b"\xbc" and block[:-salt] == padding and masked[0] < 0x80


def oaep_open(n, d, sealed, label):
    size = (n.bit_length() + 7) // 8
    encoded = pow(int.from_bytes(sealed, "big"), d, n).to_bytes(size, "big")
    seed = xor(encoded[1:33], mgf1("sha256", encoded[33:], 32))
    block = xor(encoded[33:], mgf1("sha256", seed, size - 33))
    assert encoded[0] == 0 and block[:32] == hashlib.sha256(label).digest()
    return block[32:].lstrip(b"\x00")[1:]


# --- Recoveries

def check_recovery(doc):
    for i, v in enumerate(doc["recoveries"]):
        data = b"contrast-recovery-v1\x00" + bytes.fromhex(v["cluster"])
        data += struct.pack(">QQBQ", v["epoch"], v["previous_epoch"], v["mode"], v["generation"])
        data += bytes.fromhex(v["head"]) + struct.pack(">QQ", v["index"], v["ledger_size"])
        data += bytes.fromhex(v["ledger_root"]) + bytes.fromhex(v["recipient"])
        digest = hashlib.sha256(data).digest()
        expect(f"recovery {i}", digest.hex(), v["recovery"])
        expect(f"signed bytes {i}", (b"contrast-recover-v1\x00" + digest).hex(),
               v["signed_bytes"])
    for v in doc["signatures"]:
        n, e = der_integers(bytes.fromhex(v["key"]))
        message, signature = bytes.fromhex(v["signed_bytes"]), bytes.fromhex(v["signature"])
        expect("RSA-PSS", pss_is_valid(n, e, message, signature), True)
        expect("RSA-PSS, changed", pss_is_valid(n, e, message + b"x", signature), False)


# --- GF(256), Shamir, AES-256 (FIPS 197), GCM (NIST SP 800-38D)

def gf_multiply(a, b):
    product = 0
    for bit in range(8):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11b << (bit - 8)
    return product


INVERSE = [0] + [next(b for b in range(256) if gf_multiply(a, b) == 1) for a in range(1, 256)]


def join_shares(shares):
    secret = bytes(32)
    for share in shares:
        weight = 1
        for other in shares:
            if other[0] != share[0]:
                factor = gf_multiply(other[0], INVERSE[other[0] ^ share[0]])
                weight = gf_multiply(weight, factor)
        secret = xor(secret, bytes(gf_multiply(weight, y) for y in share[1:]))
    return secret


def make_sbox():
    box = []
    for a in range(256):
        b = INVERSE[a]
        box.append(0x63 ^ b ^ (b << 1 | b >> 7) & 255 ^ (b << 2 | b >> 6) & 255
                   ^ (b << 3 | b >> 5) & 255 ^ (b << 4 | b >> 4) & 255)
    return box


SBOX = make_sbox()


def aes_round_keys(key):
    words = [key[i:i + 4] for i in range(0, 32, 4)]
    constant = 1
    for i in range(8, 60):
        word = words[i - 1]
        if i % 8 == 0:
            word = bytes(SBOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = gf_multiply(constant, 2)
        elif i % 8 == 4:
            word = bytes(SBOX[b] for b in word)
        words.append(xor(words[i - 8], word))
    return [b"".join(words[i:i + 4]) for i in range(0, 60, 4)]


def aes(round_keys, block):
    state = xor(block, round_keys[0])
    for number in range(1, 15):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number < 14:
            mixed = []
            for c in range(0, 16, 4):
                for r in range(4):
                    a, b, d, e = (state[c + (r + k) % 4] for k in range(4))
                    mixed.append(gf_multiply(2, a) ^ gf_multiply(3, b) ^ d ^ e)
            state = mixed
        state = xor(state, round_keys[number])
    return state


def ghash(key, data):
    h = int.from_bytes(key, "big")
    y = 0
    for at in range(0, len(data), 16):
        x = y ^ int.from_bytes(data[at:at + 16], "big")
        y, v = 0, h
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                y ^= v
            v = v >> 1 ^ (0xe1 << 120 if v & 1 else 0)
    return y.to_bytes(16, "big")


def gcm_open(key, nonce, before, sealed):
    keys = aes_round_keys(key)
    payload, tag = sealed[:-16], sealed[-16:]
    blocks = (len(payload) + 15) // 16
    stream = b"".join(aes(keys, nonce + struct.pack(">I", i + 2)) for i in range(blocks))
    data = before + bytes(-len(before) % 16) + payload + bytes(-len(payload) % 16)
    data += struct.pack(">QQ", 8 * len(before), 8 * len(payload))
    digest = ghash(aes(keys, bytes(16)), data)
    is_good = xor(digest, aes(keys, nonce + b"\0\0\0\1")) == tag
    return xor(payload, stream) if is_good else None


# --- Checkpoint files

HEADER = ("file_id cluster epoch index term time generation head ledger_size ledger_root threshold "
          "shares nonce size root_ca").split()


def unpack(data):
    """One value of section 3, and what follows."""
    tag = data[0]
    if tag < 0x80:
        return tag, data[1:]
    if 0xcc <= tag <= 0xcf:
        size = 1 << (tag - 0xcc)
        return int.from_bytes(data[1:1 + size], "big"), data[1 + size:]
    if 0xc4 <= tag <= 0xc6:
        at = 1 + (1 << (tag - 0xc4))
        size = int.from_bytes(data[1:at], "big")
        return data[at:at + size], data[at + size:]
    assert 0x90 <= tag < 0xa0 or tag == 0xdc
    count, data = (tag & 15, data[1:]) if tag != 0xdc else (
        int.from_bytes(data[1:3], "big"), data[3:])
    items = []
    for _ in range(count):
        item, data = unpack(data)
        items.append(item)
    return items, data


def check_checkpoint(doc):
    file = bytes.fromhex(doc["file"])
    expect("checkpoint: magic and version", file[:8], b"CHKP\0\0\0\1")
    before = 12 + int.from_bytes(file[8:12], "big")
    values, rest = unpack(file[12:before])
    expect("checkpoint: bytes behind the header", rest, b"")
    expect("checkpoint: header", pack(values), file[12:before])
    header = dict(zip(HEADER, values))
    expect("checkpoint: size", len(file), before + header["size"] + 16)
    shares = []
    for i, (owner, commitment, sealed) in enumerate(header["shares"]):
        n, e, d = pkcs8(bytes.fromhex(doc[f"key_{i + 1}"]))
        expect(f"share {i}: owner", hashlib.sha256(pkcs1(n, e)).digest(), owner)
        label = b"contrast-share-v1\x00" + header["file_id"]
        share = oaep_open(n, d, sealed, label)
        expect(f"share {i}", share.hex(), doc[f"share_{i + 1}"])
        expect(f"share {i}: number", share[0], i + 1)
        expect(f"share {i}: commitment", hashlib.sha256(label + share).digest(), commitment)
        shares.append(share)
    count, threshold = len(shares), header["threshold"]
    for first in range(count):
        chosen = [shares[(first + k) % count] for k in range(threshold)]
        plain = gcm_open(join_shares(chosen), header["nonce"], file[:before], file[before:])
        expect(f"checkpoint by shares from {first}", plain and plain.hex(), doc["plaintext"])
    expect("checkpoint by too few shares", gcm_open(
        join_shares(shares[:threshold - 1]), header["nonce"], file[:before], file[before:]), None)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "docs/vectors")
    parts = {"merkle": check_merkle, "attest": check_attest, "transition": check_transition,
             "recovery": check_recovery, "checkpoint": check_checkpoint}
    for name, check in parts.items():
        check(json.loads((folder / f"{name}.json").read_text()))
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{checks} values, {len(failures)} differ")
    return 1 if failures or checks < 500 else 0


sys.exit(main())
