#!/usr/bin/env -S python3 -B
"""Our TOML parser against Python's tomllib on generated documents: both refuse, or both read the
same values.

    test_toml_peer.py TOML_DUMP [--count N] [--seed N]

Documents are grown from a grammar that is wrong on purpose now and then, and then damaged: bytes
dropped, doubled, exchanged, lines moved. Known and intended differences: tomllib reads integers
beyond 64 bits; we refuse them (TOML 1.0, "Integer").

SPDX-License-Identifier: Apache-2.0
"""
import argparse
import random
import re
import struct
import subprocess
import sys

try:
    import tomllib
except ImportError:
    print("skipped: tomllib needs Python 3.11")
    sys.exit(77)

BIG = "an integer beyond 64 bits"
KEYS = ("a", "b", "c", "d-1", '"a"', "'b'", '"io.x"', "'io.x'", '""', '"\\u0061"', "1", "1.2",
        "-", "é", '"\\""', '"a b"')
SCALARS = ("1", "+1", "-0", "0", "01", "1_0", "1__0", "_1", "0x1F", "0o17", "0b10", "0b12", "0xg",
           "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1.5", "-1.5e3",
           "1e06", "1.e1", ".5", "1.", "6.626e-34", "1_0.0_1e+1_0", "inf", "-inf", "nan", "+nan",
           "true", "false", "True", "t", "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00",
           "1979-05-27 07:32:00.123456789+01:30", "1979-02-30", "24:00:00", "07:32", "2020-02-29",
           "2021-02-29T00:00:00", "1979-05-27t07:32:00z", "1979-05-27 ", "1979-05-27T07:32:60Z",
           "07:32:00.5", "07:32:00.", "0001-01-01", "0000-01-01", "1979-05-27T07:32:00+24:00")
PIECES = ("x", "é", "\\n", "\\t", "\\\\", '\\"', "\\u00e9", "\\U0001F600", "\\ud800", "\\x41", "\\",
          "'", '"', '""', "''", " ", "\t", "#", "\\b\\f\\r", "\x7f", "\x01", "\\u12", "]", "=")
LONG = PIECES + ("\n", "\r\n", "\\\n  ", "\\ \n\n\t", "\\ x", "\r")


class Grower:
    def __init__(self, rng):
        self.rng = rng

    def maybe(self, chance):
        return self.rng.random() < chance

    def blank(self):
        return self.rng.choice(("", "", " ", "\t", "  ")) if self.maybe(0.5) else " "

    def eol(self):
        comment = self.rng.choice(("# c", "#", " # é # x", "# \x01")) if self.maybe(0.15) else ""
        return comment + self.rng.choice(("\n", "\n", "\n", "\r\n", "\n\n", " \n"))

    def key(self):
        parts = [self.rng.choice(KEYS[:8] if self.maybe(0.9) else KEYS)
                 for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3)))]
        dot = self.rng.choice((".", ".", ".", " . ", ". "))
        return dot.join(parts)

    def string(self):
        kind = self.rng.choice(('"', "'", '"""', "'''"))
        pieces = LONG if len(kind) == 3 else PIECES
        body = "".join(self.rng.choice(pieces[:1] if self.maybe(0.6) else pieces)
                       for _ in range(self.rng.randrange(4)))
        return kind + self.rng.choice(("", "", "\n")) * (len(kind) == 3) + body + kind

    def array(self, depth):
        space = self.rng.choice(("", " ", "\n", " # c\n ", "\r\n"))
        items = (space + "," + space).join(self.value(depth + 1)
                                           for _ in range(self.rng.randrange(4)))
        tail = self.rng.choice(("", "", ",", ",\n", " , "))
        return "[" + space + items + tail + space + "]"

    def inline(self, depth):
        items = ", ".join(self.pair(depth + 1) for _ in range(self.rng.randrange(4)))
        return "{" + self.blank() + items + ("," if self.maybe(0.03) else "") + "}"

    def value(self, depth):
        choice = self.rng.random()
        if depth < 3 and choice < 0.15:
            return self.array(depth)
        if depth < 3 and choice < 0.3:
            return self.inline(depth)
        if choice < 0.6:
            return self.string()
        return self.rng.choice(SCALARS if self.maybe(0.3) else SCALARS[:4])

    def pair(self, depth):
        return self.key() + self.blank() + "=" + self.blank() + self.value(depth)

    def document(self):
        lines = []
        for _ in range(self.rng.randrange(1, 9)):
            choice = self.rng.random()
            if choice < 0.35:
                lines.append("[" + self.blank() + self.key() + self.blank() + "]")
            elif choice < 0.45:
                lines.append("[[" + self.key() + "]]")
            else:
                lines.append(self.blank() + self.pair(0))
        return "".join(line + self.eol() for line in lines).encode()

    def damage(self, text):
        at = self.rng.randrange(len(text) + 1)
        end = min(len(text), at + self.rng.randrange(1, 6))
        kind = self.rng.randrange(5)
        if kind == 0:
            return text[:at] + text[end:]
        if kind == 1:
            return text[:end] + text[at:]
        if kind == 2:
            return text[:at] + bytes([self.rng.randrange(256)]) + text[at:]
        if kind == 3:
            other = self.rng.choice((b"\x00", b"\xef\xbb\xbf", b"\r", b"\xff", b"\xed\xa0\x80",
                                     b"=", b"[", b"]", b'"', b"'", b".", b"\n", b",", b"{"))
            return text[:at] + other + text[at:]
        lines = text.splitlines(True)
        self.rng.shuffle(lines)
        return b"".join(lines)


def show(value):
    """The form that toml_dump prints."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "s" + value.encode().hex()
    if isinstance(value, int):
        if not -2**63 <= value < 2**63:
            raise OverflowError(BIG)
        return f"i{value}"
    if isinstance(value, float):
        return "nan" if value != value else "f" + struct.pack(">d", value).hex()
    if isinstance(value, list):
        return "[" + "".join(show(v) + "," for v in value) + "]"
    if isinstance(value, dict):
        return "{" + "".join(f"{k.encode().hex()}:{show(v)}," for k, v in value.items()) + "}"
    return f"t({value!r})"


def peer(text):
    """What tomllib makes of the bytes; "-" when it refuses them."""
    try:
        return show(tomllib.loads(text.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OverflowError):
        return "-"


def times(line):
    """Our dates are text: have tomllib read each alone."""
    def read(found):
        raw = bytes.fromhex(found[1]).decode()
        return show(tomllib.loads("t = " + raw)["t"])
    return re.sub(r"\bt((?:[0-9a-f]{2})+)", read, line)


def dump(program, texts):
    data = b"".join(struct.pack(">I", len(t)) + t for t in texts)
    done = subprocess.run([program], input=data, stdout=subprocess.PIPE, check=True, timeout=300)
    lines = done.stdout.decode().splitlines()
    assert len(lines) == len(texts), f"{len(lines)} answers to {len(texts)} documents"
    return [times(line) for line in lines]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    grower = Grower(random.Random(args.seed))
    texts = []
    for i in range(args.count):
        text = grower.document()
        texts.append(grower.damage(text) if i % 3 == 2 else text)
    read = differ = 0
    for text, ours in zip(texts, dump(args.program, texts)):
        theirs = peer(text)
        read += theirs != "-"
        if ours != theirs:
            differ += 1
            if differ <= 10:
                print(f"differ on {text!r}\n  ours    {ours}\n  tomllib {theirs}")
    print(f"{args.count} documents, {read} read by tomllib, {differ} differ")
    assert read * 10 > args.count, "too few good documents to say anything"
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
