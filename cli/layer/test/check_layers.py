"""Random layers against veritysetup: check_layers.py CONTRAST [COUNT [SEED]]

Makes COUNT (1000) tars from a seed, block by block, and for each the tarfs index that a node would
append, in both dialects, from what was put into the tar and not from reading it. veritysetup (of
cryptsetup) hashes tar || index; `contrast layer hash` must give the same root hash, size and number
of inodes from the tar, from its gzip and from its zstd alike. Then a stream far larger than memory
may be is hashed and the memory measured.

Exit 0: all agree; 1: they do not, the seed and the tar are kept; 77: veritysetup is missing (1 with
CI=true). SPDX-License-Identifier: Apache-2.0
"""

import gzip
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import tempfile

BLOCK = 512
PAGE = 4096
DIR, REG, LNK, CHR, BLK, FIFO = 0o040000, 0o100000, 0o120000, 0o020000, 0o060000, 0o010000
TYPES = {DIR: 4, REG: 8, LNK: 10, CHR: 2, BLK: 6, FIFO: 1}
STREAM = 400 << 20
GROWTH_MAX = 16 << 10  # KiB between a small stream and a large one
MEMORY_MAX = 64 << 10  # KiB, of a build without sanitizers


class Node:
    """An inode: what a tar entry leaves in the index."""

    def __init__(self, mode=0, **values):
        self.mode, self.size, self.offset, self.text = mode, 0, 0, None
        self.uid = self.gid = self.mtime = self.ino = 0
        self.opaque, self.children = False, {}
        self.__dict__.update(values)

    def become(self, other):
        """In place, for another name may share it."""
        self.__dict__.update(other.__dict__)


class Tree:
    def __init__(self, stores_long_links):
        self.root = Node(DIR | 0o555)
        self.stores_long_links = stores_long_links
        self.texts = []

    def reach(self, parts):
        at = self.root
        for part in parts:
            at = at.children.setdefault(part, Node())
        return at

    def put(self, path, node, whole=True):
        if not whole:
            if not self.stores_long_links:
                return
            self.texts.append(node.text)
        self.reach(path).become(Node(**{**node.__dict__, "children": {}}))

    def hide(self, path):
        node = self.reach(path)
        node.mode = node.mode & 0o7777 | CHR
        node.size = node.offset = 0
        node.children = {}

    def link(self, path, target):
        node = self.reach(target)
        if node.mode & 0o170000 == REG:
            self.reach(path[:-1]).children[path[-1]] = node

    def walk(self):
        nodes = [self.root]
        for node in nodes:
            nodes.extend(node.children[name] for name in sorted(node.children))
        return nodes

    def index(self, start):
        """The bytes after a tar of `start` bytes, and the number of inodes."""
        nodes, unique = self.walk(), []
        for node in nodes:
            if node.ino == 0:
                unique.append(node)
                node.ino = len(unique)
        folders = [n for n in nodes if n.mode & 0o170000 == DIR]
        at = start + 32 * len(unique)
        for n in folders:
            n.offset, n.size = at, 32 * len(n.children)
            at += n.size
        out = bytearray()
        for n in unique:
            if n.mode & 0o170000 == LNK and n.offset == 0:
                n.offset, at = at, at + n.size
            out += struct.pack("<HBBIIIQQ", n.mode, n.opaque, n.mtime >> 32 & 15, n.uid, n.gid,
                               n.mtime & 0xffffffff, n.size, n.offset)
        names = b""
        for n in folders:
            for name in sorted(n.children):
                child = n.children[name]
                kind = TYPES.get(child.mode & 0o170000, 0)
                out += struct.pack("<QQQB7x", child.ino, at + len(names), len(name), kind)
                names += name
        texts = b"".join(self.texts)
        out += texts + names
        end = at + 2 * len(names) + len(texts)  # tarindex counts them twice
        size = -(-end // PAGE) * PAGE + PAGE
        out += bytes(size - 512 - start - len(out))
        return bytes(out + struct.pack("<QQ496x", start, len(unique))), len(unique)


def octal(value, size):
    """A number field; too large for octal: binary with the first bit set."""
    text = b"%0*o" % (size - 1, value)
    if len(text) < size:
        return text + b"\0"
    return b"\x80" + value.to_bytes(size - 1, "big")


def header(name, kind, size, link=b"", mode=0o644, uid=0, gid=0, mtime=0, device=(0, 0),
           gnu=True, prefix=b""):
    fields = [name.ljust(100, b"\0"), octal(mode, 8), octal(uid, 8), octal(gid, 8),
              octal(size, 12), octal(mtime, 12), b" " * 8, kind, link.ljust(100, b"\0"),
              b"ustar  \0" if gnu else b"ustar\0" + b"00", bytes(64), octal(device[0], 8),
              octal(device[1], 8), prefix]
    block = b"".join(fields).ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(body):
    return body + bytes(-len(body) % BLOCK)


def record(key, value):
    rest = len(key) + len(value) + 3
    size = rest + len(str(rest))
    size = rest + len(str(size))
    return b"%d %s=%s\n" % (size, key, value)


class Maker:
    """One random tar, and what both dialects make of it."""

    def __init__(self, rng):
        self.rng, self.tar = rng, bytearray()
        self.trees = [Tree(False), Tree(True)]
        self.folders, self.files = [[]], []

    def word(self):
        rng = self.rng
        size = rng.choice([1, 3, 8, 8, 20, 60, 99, 130]) if rng.random() < 0.9 else 255
        letters = b"abcdefgXYZ-_.019" + "é".encode() + b"\xff"
        word = bytes(rng.choice(letters) for _ in range(size))
        return b"w" + word if word.startswith((b".", b"-")) else word

    def path(self):
        return self.rng.choice(self.folders) + [self.word()]

    def spelled(self, path):
        text = b"/".join(path)
        return self.rng.choice([b"", b"", b"./", b"/", b"x/../", b".//"]) + text

    def describe(self, name, link, whole_link):
        """Extensions for what does not fit the header; returns the header's name, link, form."""
        rng, form = self.rng, self.rng.choice(["gnu", "pax", "ustar"])
        pax = b""
        if len(name) > 100 and form == "ustar" and whole_link and b"/" in name:
            cut = name.rindex(b"/")
            if 0 < cut <= 155 and len(name) - cut - 1 <= 100:
                return name[cut + 1:], link[:100], False, name[:cut]
        if len(name) > 100:
            if form == "gnu":
                self.raw(header(b"././@LongLink", b"L", len(name) + 1), name + b"\0")
            else:
                pax += record(b"path", name)
        if not whole_link:
            if form == "gnu":
                self.raw(header(b"././@LongLink", b"K", len(link) + 1), link + b"\0")
            else:
                pax += record(b"linkpath", link)
        if form != "gnu" and rng.random() < 0.3:
            pax = record(b"mtime", b"1.5") + pax + record(b"SCHILY.xattr.user.a", b"b")
        if pax:
            self.raw(header(b"pax", b"x", len(pax), gnu=False), pax)
        return name[:100], link[:100], form == "gnu", b""

    def raw(self, head, body=b""):
        self.tar += head + padded(body)

    def entry(self, path, kind, mode, body=b"", link=b"", device=(0, 0)):
        rng = self.rng
        owner = {"uid": rng.choice([0, 1000, 65534, 1 << 30, (1 << 32) + 5]), "gid": rng.choice([0, 7]),
                 "mtime": rng.choice([0, 1, 1700000000, (1 << 33) - 1, (1 << 33) + 9])}
        bits = rng.choice([0o644, 0o755, 0o4755, 0o1777, 0])
        whole = len(link) <= 100
        name, short, gnu, prefix = self.describe(self.spelled(path), link, whole)
        at = len(self.tar)
        self.raw(header(name, kind, len(body), short, bits, device=device, gnu=gnu, prefix=prefix,
                        **owner), body)
        node = Node(mode | bits & 0o777, **{**owner, "uid": owner["uid"] & 0xffffffff})
        if mode == REG:
            node.size, node.offset = len(body), at + BLOCK
        elif mode == LNK:
            node.size, node.offset = len(link), at + 157 if whole else 0
            node.text = link
        elif mode in (CHR, BLK):
            node.offset = device[1] | device[0] << 32
        return node, whole

    def step(self):
        rng = self.rng
        kind = rng.choice(["file"] * 6 + ["folder"] * 3 + ["link"] * 3 + ["hard", "device", "hide",
                                                                        "opaque", "odd", "again"])
        getattr(self, kind)()

    def everywhere(self, method, *args):
        for tree in self.trees:
            getattr(tree, method)(*args)

    def file(self, path=None):
        rng, path = self.rng, path or self.path()
        body = rng.randbytes(rng.choice([0, 1, 100, 511, 512, 513, 4095, 4096, 9000, 30000]))
        node, _ = self.entry(path, rng.choice([b"0", b"0", b"\0"]), REG, body)
        self.everywhere("put", path, node)
        self.files.append(path)

    def again(self):
        if self.files:
            self.file(self.rng.choice(self.files))

    def folder(self):
        path = self.path()
        node, _ = self.entry(path, b"5", DIR)
        self.everywhere("put", path, node)
        self.folders.append(path)

    def link(self):
        path = self.path()
        size = self.rng.choice([1, 5, 50, 99, 100, 101, 150, 400])
        node, whole = self.entry(path, b"2", LNK, link=(b"t/%d/" % size * 200)[:size])
        self.everywhere("put", path, node, whole)

    def hard(self):
        target = self.rng.choice(self.files) if self.files and self.rng.random() < 0.8 else self.path()
        path = self.path()
        if len(b"/".join(path)) < 90 and len(b"/".join(target)) < 90:
            self.raw(header(b"/".join(path), b"1", 0, b"/".join(target)))
            self.everywhere("link", path, target)

    def device(self):
        mode, kind = self.rng.choice([(CHR, b"3"), (BLK, b"4"), (FIFO, b"6")])
        path = self.path()
        node, _ = self.entry(path, kind, mode, device=(self.rng.randrange(4096), 7))
        self.everywhere("put", path, node)

    def hide(self):
        path = self.path()
        self.entry(path[:-1] + [b".wh." + path[-1]], b"0", REG)
        self.everywhere("hide", path)

    def opaque(self):
        path = self.rng.choice(self.folders)
        self.entry(path + [b".wh..wh..opq"], b"0", REG)
        for tree in self.trees:
            tree.reach(path).opaque = True

    def odd(self):
        self.raw(header(b"odd", self.rng.choice([b"7", b"V", b"g", b"D"]), 0))
        self.raw(header(b"../out", b"0", 0))

    def finish(self):
        end = self.rng.choice([b"", bytes(512), bytes(1024), bytes(1024) + b"rest", bytes(10240)])
        self.tar += end
        return bytes(self.tar)


def verity_root(folder, data):
    path, tree = os.path.join(folder, "layer"), os.path.join(folder, "tree")
    with open(path, "wb") as f:
        f.write(data)
    done = subprocess.run(["veritysetup", "format", "--no-superblock", "--salt=" + "00" * 32,
                           "--data-block-size=4096", "--hash-block-size=4096", "--hash=sha256",
                           path, tree], capture_output=True, text=True, check=True)
    return next(line.split()[-1] for line in done.stdout.splitlines() if "Root hash" in line)


def our_hash(contrast, blob, dialect):
    done = subprocess.run([contrast, "layer", "hash", "--output", "json", "--log-level", "error",
                           "--dialect", dialect, "-"], input=blob, capture_output=True, check=False)
    if done.returncode != 0:
        return {"error": done.stderr.decode(errors="replace")}
    return json.loads(done.stdout)


def coded(rng, tar):
    kind = rng.choice(["plain", "gzip", "zstd"])
    if kind == "gzip":
        return gzip.compress(tar, 1)
    if kind == "zstd" and shutil.which("zstd"):
        return subprocess.run(["zstd", "-1", "-c"], input=tar, capture_output=True, check=True).stdout
    return tar


def check_one(contrast, folder, number, seed):
    rng = random.Random(f"{seed}-{number}")
    maker = Maker(rng)
    for _ in range(rng.choice([0, 1, 5, 20, 60])):
        maker.step()
    tar, roots = maker.finish(), []
    dialects = list(zip(["upstream", "msft"], maker.trees))
    same = not maker.trees[1].texts
    for dialect, tree in dialects[:1] if same else dialects:
        index, inodes = tree.index(len(tar))
        want = {"root_hash": verity_root(folder, tar + index), "size": len(tar) + len(index),
                "inodes": inodes}
        got = our_hash(contrast, coded(rng, tar), dialect)
        roots.append(want["root_hash"])
        if {k: got.get(k) for k in want} != want:
            kept = os.path.join(tempfile.gettempdir(), f"contrast-layer-{seed}-{number}.tar")
            with open(kept, "wb") as f:
                f.write(tar)
            print(f"tar {number} of seed {seed} ({kept}), {dialect}: want {want}, got "
                  f"{ {k: got.get(k, got.get('error')) for k in want} }")
            return None
    return len(set(roots))


def small_quarantine():
    """AddressSanitizer keeps freed memory for a while; here that would be counted."""
    options = os.environ.get("ASAN_OPTIONS", "")
    return {**os.environ, "ASAN_OPTIONS": options + ":quarantine_size_mb=1"}


def memory_of(contrast, size):
    """The most memory (KiB) that hashing so many bytes of one file takes, fed through a pipe."""
    with subprocess.Popen([contrast, "layer", "hash", "-"], stdin=subprocess.PIPE,
                          stdout=subprocess.DEVNULL, env=small_quarantine()) as child:
        child.stdin.write(header(b"f", b"0", size))
        chunk = bytes(1 << 20)
        for _ in range(size >> 20):
            child.stdin.write(chunk)
        child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit(f"hashing {size} bytes: exit {child.returncode}")
        return usage.ru_maxrss


def is_sanitized(contrast):
    with open(contrast, "rb") as f:
        return b"__asan_init" in f.read()


def check_memory(contrast):
    small, large = memory_of(contrast, 8 << 20), memory_of(contrast, STREAM)
    print(f"memory: {small} KiB for 8 MiB, {large} KiB for {STREAM >> 20} MiB")
    if large - small > GROWTH_MAX:
        print("memory grows with the layer")
        return False
    if not is_sanitized(contrast) and large > MEMORY_MAX:
        print(f"more than {MEMORY_MAX} KiB")
        return False
    return True


def main(args):
    contrast = os.path.abspath(args[0])
    count = int(args[1]) if len(args) > 1 else 1000
    seed = int(args[2]) if len(args) > 2 else 20240229
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # where veritysetup lies, for users that are not root
    if shutil.which("veritysetup") is None:
        print("veritysetup is missing (scripts/deps --test): layers are not compared with it")
        return 1 if os.environ.get("CI") == "true" else 77
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    differ = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            kinds = check_one(contrast, folder, number, seed)
            if kinds is None:
                return 1
            differ += kinds == 2
    print(f"{count} layers agree with veritysetup; in {differ} the dialects differ")
    if count >= 100 and differ == 0:
        print("no layer in which the dialects differ: the maker is broken")
        return 1
    return 0 if check_memory(contrast) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
