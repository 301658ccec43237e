#!/usr/bin/env python3
"""Launch digests once more, from the formats' descriptions and hashlib alone.

    check_launch.py PROGRAM            makes images, compares `PROGRAM measure` with its own digests
    check_launch.py --corpus FOLDER    writes the seed inputs of the fuzz targets

Nothing here is taken from the C code. Images come from a fixed seed. Exit 1 names each difference.

SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import uuid
import zlib

PAGE = 4096
TWO_MIB = 2 * 1024 * 1024
NORMAL, VMSA, ZERO, UNMEASURED, SECRETS, CPUID = range(1, 7)
KVM_VMSA = 0xFFFFFFFFF000

failures = []
checks = 0


def expect(what, actual, wanted):
    global checks
    checks += 1
    if actual != wanted:
        failures.append(f"{what}: program says {actual!r}, computed {wanted!r}")


def sha384(data):
    return hashlib.sha384(data).digest()


class Chain:
    def __init__(self, seed=bytes(48)):
        self.ld = seed

    def add(self, kind, gpa, page=None):
        contents = sha384(page) if kind in (NORMAL, VMSA) else bytes(48)
        info = self.ld + contents + struct.pack("<HBBBBBBQ", 0x70, kind, 0, 0, 0, 0, 0, gpa)
        assert len(info) == 0x70
        self.ld = sha384(info)

    def image(self, gpa, data):
        for at in range(0, len(data), PAGE):
            self.add(NORMAL, gpa + at, data[at:at + PAGE])


# --- IGVM: a list of headers becomes a file; data is laid out behind them in order

class Igvm:
    def __init__(self, version=1):
        self.version = version
        self.headers = []  # (type, format, values; "DATA" stands for the offset of the data)
        self.blobs = []

    def add(self, kind, layout, *values, data=None):
        self.headers.append((kind, layout, values, data))

    def platform(self, mask, kind):
        self.add(0x001, "<IBBHQ", mask, 0, kind, 1, 0)

    def policy(self, policy, mask):
        self.add(0x101, "<QII", policy, mask, 0)

    def area(self, size, index):
        self.add(0x301, "<QII", size, index, 0)

    def page(self, gpa, mask, data=None, flags=0, kind=0):
        self.add(0x302, "<QIIIHH", gpa, mask, "DATA", flags, kind, 0, data=data)

    def insert(self, gpa, mask, index):
        self.add(0x303, "<QII", gpa, mask, index)

    def context(self, gpa, mask, index, data):
        self.add(0x304, "<QIIHH", gpa, mask, "DATA", index, 0, data=data)

    def id_block(self, mask, ld, svn, family=bytes(16), image=bytes(16), tail=bytes(592)):
        self.add(0x30B, "<IB3s48s16s16sIIII592s", mask, 0, bytes(3), ld, family, image, 1, svn, 1,
                 0, tail)

    def encode(self):
        fixed = 24 if self.version == 1 else 32
        size = sum(8 + (struct.calcsize(h[1]) + 7) // 8 * 8 for h in self.headers)
        headers, blobs = b"", b""
        for kind, layout, values, data in self.headers:
            offset = 0
            if data is not None:
                offset = fixed + size + len(blobs)
                blobs += data
            body = struct.pack(layout, *[offset if v == "DATA" else v for v in values])
            headers += struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)
        assert len(headers) == size
        total = fixed + size + len(blobs)
        for checksum in (0, None):
            if checksum is None:
                checksum = zlib.crc32(head + headers)
            head = struct.pack("<4sIIIII", b"IGVM", self.version, fixed, size, total, checksum)
            if self.version == 2:
                head += struct.pack("<II", 0, PAGE)
        return head + headers + blobs


def igvm_digests(file, mask):
    """(by the igvm crate's rules, by igvmmeasure's) from the list of headers, not from the bytes."""
    crate, other = Chain(), Chain()
    areas, snp = {}, set()
    for kind, _, values, data in file.headers:
        if kind == 0x001 and values[2] == 2:
            snp.add(values[0])
        elif kind == 0x301:
            areas[values[1]] = values[0]
        elif kind == 0x302 and values[1] & mask:
            gpa, flags, data_type = values[0], values[3], values[4]
            page_kind = {1: SECRETS, 2: CPUID, 3: CPUID}.get(data_type)
            page_kind = page_kind or (UNMEASURED if flags & 2 else NORMAL)
            whole = data or bytes(TWO_MIB if flags & 1 else PAGE)
            if not flags & 4:
                crate.add(page_kind, gpa, whole[:PAGE])
            for at in range(0, len(whole), PAGE):
                other.add(page_kind, gpa + at, whole[at:at + PAGE])
        elif kind == 0x303 and values[1] & mask:
            for at in range(0, areas[values[2]], PAGE):
                crate.add(UNMEASURED, values[0] + at)
            other.add(UNMEASURED, values[0])
        elif kind == 0x304 and values[1] & mask:
            crate.add(VMSA, values[0], data)
            other.add(VMSA, values[0], data)
        elif kind == 0x304 and any(values[1] & m for m in snp):
            other.add(VMSA, values[0], data)
    return crate.ld.hex(), other.ld.hex()


def random_igvm(rng, version, extras):
    file = Igvm(version)
    file.platform(1, 2)
    file.platform(2, 0)
    if "platform" in extras:
        file.platform(4, 2)
    file.policy(0x30000 | rng.randrange(0x100), 1 | 4 * ("platform" in extras))
    file.area(PAGE * (rng.randrange(2, 5) if "area" in extras else 1), 7)
    if "optional" in extras:
        file.add(0x80000399, "<Q", 1)
    gpa = 0x200000
    for _ in range(rng.randrange(3, 12)):
        data = rng.choice([None, rng.randbytes(PAGE)])
        flags = rng.choice([0, 0, 2] + ([4] if "shared" in extras else []))
        file.page(gpa, rng.choice([1, 1, 2, 3]), data, flags, rng.choice([0, 0, 0, 1, 2, 3]))
        gpa += PAGE
    if "shared" in extras:
        file.page(gpa, 1, None, 4)
    if "large" in extras:
        file.page(0x40000000, 1, rng.choice([None, rng.randbytes(TWO_MIB)]), 1)
    file.insert(gpa + PAGE, 1, 7)
    if "platform" in extras:
        file.context(0x10000, 4, 0, rng.randbytes(PAGE))
    for index in range(rng.randrange(1, 3)):
        file.context(0x7000000 + index * PAGE, 1, index, rng.randbytes(PAGE))
    return file


# --- Firmware images

def guid(text):
    return uuid.UUID(text).bytes_le


def ovmf(rng, size, sections, reset=0x80B004, hashes=0, svsm_entry=None):
    body = bytearray(rng.randbytes(size))
    metadata = b"ASEV" + struct.pack("<III", 16 + 12 * len(sections), 1, len(sections))
    metadata += b"".join(struct.pack("<III", *s) for s in sections)
    from_end = 1024
    body[size - from_end:size - from_end + len(metadata)] = metadata
    entries = [("dc886566-984a-4798-a75e-5585a7bf67cc", struct.pack("<I", from_end)),
               ("4c2eb361-7d9b-4cc3-8081-127c90d3d294", struct.pack("<I", 1)),
               ("00f771de-1a7e-4fcb-890e-68c77e2fb44e", struct.pack("<I", reset))]
    if hashes:
        entries.append(("7255371f-3a3b-4b04-927b-1da6efa8d454", struct.pack("<II", hashes, 1024)))
    if svsm_entry is not None:
        entries.append(("a789a612-0597-4c4b-a49f-cbb1fe9d1ddd", struct.pack("<I", svsm_entry)))
    table = b"".join(d + struct.pack("<H", len(d) + 18) + guid(g) for g, d in entries)
    table += struct.pack("<H", len(table) + 18) + guid("96b582de-1fb2-45f7-baea-a366c55a082d")
    body[size - 32 - len(table):size - 32] = table
    return bytes(body)


def vmsa(eip, rdx, features, vmm):
    ec2 = vmm == "ec2"
    p = bytearray(PAGE)

    def segment(at, selector, attributes, base=0):
        p[at:at + 16] = struct.pack("<HHIQ", selector, attributes, 0xFFFF, base)

    for at in (0x00, 0x30, 0x40, 0x50):
        segment(at, 0, 0x93)
    segment(0x10, 0xF000, 0x9A if ec2 and eip == 0xFFFFFFF0 else 0x9B, eip & 0xFFFF0000)
    segment(0x20, 0, 0x92 if ec2 else 0x93)
    segment(0x60, 0, 0)
    segment(0x70, 0, 0x82)
    segment(0x80, 0, 0)
    segment(0x90, 0, 0x83 if ec2 else 0x8B)
    words = {0xD0: 0x1000, 0x148: 0x40, 0x158: 0x10, 0x160: 0x400, 0x168: 0xFFFF0FF0, 0x170: 2,
             0x178: eip & 0xFFFF, 0x268: 0x70106 if vmm == "gce" else 0x7040600070406,
             0x310: rdx if vmm == "qemu" else 0x600, 0x3B0: features, 0x3E8: 1}
    for at, value in words.items():
        p[at:at + 8] = struct.pack("<Q", value)
    if vmm == "qemu":
        p[0x408:0x40C] = struct.pack("<I", 0x1F80)
        p[0x410:0x412] = struct.pack("<H", 0x37F)
    return bytes(p)


def hash_page(offset, kernel, initrd, cmdline):
    rows = (("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", cmdline.encode() + b"\0"),
            ("44baf731-3a2f-4bd7-9af1-41e29169781d", initrd),
            ("4de79437-abd2-427f-b835-d5b172d2045b", kernel))
    table = b"".join(guid(g) + struct.pack("<H", 50) + hashlib.sha256(d).digest() for g, d in rows)
    table = guid("9438d606-4f22-4cc9-b479-a793d411fd21") + struct.pack("<H", 168) + table
    return (bytes(offset) + table).ljust(PAGE, b"\0")


def ovmf_digest(image, sections, vcpus, rdx, features, vmm, reset, kernel=None, hashes=0):
    chain = Chain()
    chain.image((1 << 32) - len(image), image)
    order = [s for s in sections if vmm != "ec2" or s[2] != 3]
    order += [s for s in sections if vmm == "ec2" and s[2] == 3]
    for gpa, size, kind in order:
        for at in range(0, size, PAGE):
            if kind == 0x10 and kernel:
                chain.add(NORMAL, gpa, hash_page(hashes & 0xFFF, *kernel))
            elif kind == 1:
                chain.add(UNMEASURED if vmm == "gce" else ZERO, gpa + at)
            else:
                chain.add({2: SECRETS, 3: CPUID}.get(kind, ZERO), gpa + at)
    for index in range(vcpus):
        eip = 0xFFFFFFF0 if index == 0 else reset
        chain.add(VMSA, KVM_VMSA, vmsa(eip, rdx, features, vmm))
    return chain.ld.hex()


# --- ECDSA over P-384 (FIPS 186-5, SP 800-186), to judge signatures without a library

P = 2**384 - 2**128 - 2**96 + 2**32 - 1
N = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf"
        "581a0db248b0a77aecec196accc52973", 16)
B = int("b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a"
        "c656398d8a2ed19d2a85c8edd3ec2aef", 16)
G = (int("aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38"
         "5502f25dbf55296c3a545e3872760ab7", 16),
     int("3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c0"
         "0a60b1ce1d7e819d7a431d7c90ea0e5f", 16))


def point_add(a, b):
    if a is None or b is None:
        return a or b
    if a[0] == b[0] and (a[1] + b[1]) % P == 0:
        return None
    if a == b:
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(k, point):
    out = None
    while k:
        if k & 1:
            out = point_add(out, point)
        point = point_add(point, point)
        k >>= 1
    return out


def number(data):
    return int.from_bytes(data[:72], "little")


def holds(key, message, signature):
    q = number(key[4:]), number(key[76:])
    r, s = number(signature), number(signature[72:])
    if (q[1] ** 2 - q[0] ** 3 + 3 * q[0] - B) % P or not 0 < r < N or not 0 < s < N:
        return False
    e = int.from_bytes(sha384(message), "big")
    w = pow(s, -1, N)
    point = point_add(multiply(e * w % N, G), multiply(r * w % N, q))
    return point is not None and point[0] % N == r


def key_bytes(point):
    return (struct.pack("<I", 2) + point[0].to_bytes(72, "little") +
            point[1].to_bytes(72, "little")).ljust(0x404, b"\0")


def synthetic_auth(block):
    """A signature r = x(2G), s = 1 and the key under which it holds: no private key is used."""
    point = multiply(2, G)
    r, e = point[0] % N, int.from_bytes(sha384(block), "big")
    inverse = pow(r, -1, N)
    q = point_add(multiply(inverse, point), multiply(-e * inverse % N, G))
    out = struct.pack("<II", 1, 0).ljust(0x40, b"\0")
    out += (r.to_bytes(72, "little") + (1).to_bytes(72, "little")).ljust(512, b"\0")
    return (out + key_bytes(q)).ljust(4096, b"\0")


def id_block(ld, svn=0, policy=0x30000, family=bytes(16), image=bytes(16)):
    return ld + family + image + struct.pack("<IIQ", 1, svn, policy)


# --- comparison with the program

class Program:
    def __init__(self, path):
        self.path = os.path.abspath(path)

    def run(self, *args):
        done = subprocess.run([self.path, "measure", *map(str, args), "--output", "json",
                               "--log-level", "error"], capture_output=True, check=False)
        return done.returncode, json.loads(done.stdout), done.stderr.decode()


def check_igvm(program, folder, rng):
    path = folder / "image.igvm"
    sets = [(), ("area",), ("shared",), ("large",), ("optional",), ("platform",),
            ("area", "shared", "large", "platform", "optional")]
    for round_number in range(4):
        for extras in sets:
            file = random_igvm(rng, 1 + round_number % 2, extras)
            path.write_bytes(file.encode())
            what = f"igvm {extras} round {round_number}"
            for mask in (1, 4) if "platform" in extras else (1,):
                code, out, _ = program.run("igvm", path, "--mask", mask)
                crate, other = igvm_digests(file, mask)
                expect(f"{what}: exit", code, 0)
                expect(f"{what}: digest", out.get("launch_digest"), crate)
                expect(f"{what}: other digest", out.get("igvmmeasure_digest"), other)
                expect(f"{what}: has warnings", bool(out["warnings"]),
                       crate != other or "optional" in extras)
            if "platform" in extras:
                expect(f"{what}: two platforms", program.run("igvm", path)[0], 2)


def check_igvm_id_block(program, folder, rng):
    path = folder / "signed.igvm"
    file = random_igvm(rng, 1, ())
    crate, other = igvm_digests(file, 1)
    policy = file.headers[2][2][0]
    block = id_block(bytes.fromhex(crate), 5, policy)
    auth = synthetic_auth(block)
    key = auth[0x240:0x240 + 148]
    tail = auth[0x40:0x40 + 144] + key[:4] + bytes(4) + key[4:]
    file.id_block(1, bytes.fromhex(crate), 5, tail=tail.ljust(592, b"\0"))
    path.write_bytes(file.encode())
    code, out, _ = program.run("igvm", path)
    expect("signed igvm: exit", code, 0)
    expect("signed igvm: signature", out.get("id_signature_valid"), True)
    expect("signed igvm: key", out.get("id_key_digest"),
           sha384(auth[0x240:0x240 + 0x404]).hex())
    expect("signed igvm: warned of a synthetic signature",
           any("without a private key" in w for w in out["warnings"]), True)
    expect("signed igvm: set", out["reference_values"].get("TrustedIDKeyDigests"),
           [out["id_key_digest"]])
    expect("signed igvm: svn", out["reference_values"].get("MinimumGuestSVN"), 5)
    expect("signed igvm: same", crate, other)
    file.headers.pop()
    file.id_block(1, bytes(48), 5)
    path.write_bytes(file.encode())
    code, out, text = program.run("igvm", path)
    expect("foreign ID block: exit", code, 3)
    expect("foreign ID block: both digests named", "00" * 48 in text and crate in text, True)
    expect("foreign ID block: digest", out.get("launch_digest"), crate)


def check_ovmf(program, folder, rng):
    path, kernel_path, initrd_path = folder / "fw", folder / "kernel", folder / "initrd"
    kernel_path.write_bytes(rng.randbytes(100001))
    initrd_path.write_bytes(rng.randbytes(70000))
    reset, hashes = 0x80B004, 0x810C00
    sections = [(0x800000, 0x9000, 1), (0x80A000, 0x3000, 1), (0x80D000, PAGE, 2),
                (0x80E000, PAGE, 3), (0x80F000, PAGE, 4), (0x810000, PAGE, 0x10)]
    image = ovmf(rng, 16 * PAGE, sections, reset, hashes)
    path.write_bytes(image)
    for vmm in ("qemu", "ec2", "gce"):
        for vcpus in (1, 3):
            for features in (1, 0x21):
                for append in (None, "", "console=ttyS0 quiet"):
                    args = ["ovmf", path, "--vcpus", vcpus, "--vmm", vmm, "--guest-features",
                            hex(features), "--vcpu-family", 25, "--vcpu-model", 17,
                            "--vcpu-stepping", 0]
                    kernel = None
                    if append is not None:
                        kernel = (kernel_path.read_bytes(), initrd_path.read_bytes(), append)
                        args += ["--kernel", kernel_path, "--initrd", initrd_path, "--append",
                                 append]
                    code, out, text = program.run(*args)
                    what = f"ovmf {vmm} {vcpus} {features} {append!r}"
                    expect(f"{what}: exit {text}", code, 0)
                    want = ovmf_digest(image, sections, vcpus, 0xA10F10, features, vmm, reset,
                                       kernel, hashes)
                    expect(what, out.get("launch_digest"), want)
                    expect(f"{what}: warned", bool(out["warnings"]), vmm == "ec2")


def check_id_block(program, folder, rng):
    block, auth = folder / "block", folder / "auth"
    for name in ("id", "author"):
        pem = folder / f"{name}.pem"
        subprocess.run(["openssl", "ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out",
                        pem], check=True)
        pem.chmod(0o600)
    ld, family, image = rng.randbytes(48), rng.randbytes(16), rng.randbytes(16)
    code, out, _ = program.run("id-block", "--launch-digest", ld.hex(), "--policy", "0x30001",
                               "--guest-svn", 7, "--family-id", family.hex(), "--image-id",
                               image.hex(), "--id-key", folder / "id.pem", "--author-key",
                               folder / "author.pem", "--out-block", block, "--out-auth", auth)
    made, page = block.read_bytes(), auth.read_bytes()
    expect("id-block: exit", code, 0)
    expect("id-block: bytes", made.hex(), id_block(ld, 7, 0x30001, family, image).hex())
    expect("id-block: page", len(page), 4096)
    key, author = page[0x240:0x644], page[0x880:0xC84]
    expect("id-block: ID key's digest", out.get("id_key_digest"), sha384(key).hex())
    expect("id-block: author key's digest", out.get("author_key_digest"), sha384(author).hex())
    expect("id-block: signed by the ID key", holds(key, made, page[0x40:0xD0]), True)
    expect("id-block: signed by the author", holds(author, key, page[0x680:0x710]), True)
    block.write_bytes(made[:84] + b"\1\0\0\0" + made[88:])
    code, out, _ = program.run("id-block", block, auth)
    expect("changed id-block: exit", code, 3)
    expect("changed id-block: digest", out.get("launch_digest"), ld.hex())
    auth.write_bytes(synthetic_auth(made))
    block.write_bytes(made)
    code, out, _ = program.run("id-block", block, auth)
    expect("synthetic id-block: exit", code, 0)
    expect("synthetic id-block: warned", bool(out["warnings"]), True)
    (folder / "id.pem").chmod(0o640)
    code, _, text = program.run("id-block", "--launch-digest", ld.hex(), "--policy", "0x30000",
                                "--id-key", folder / "id.pem", "--out-block", block, "--out-auth",
                                auth)
    expect("open key file: exit", code, 2)
    expect("open key file: says what to do", "chmod 600" in text, True)


POD = """kind: Pod
metadata:
  name: boss
  annotations: {contrast.edgeless.systems/pod-role: coordinator}
spec:
  containers:
  - {name: b, image: i, command: [c]}
"""


def check_generate(program, folder, rng):
    space = folder / "space"
    space.mkdir()
    files = {name: space / name for name in ("image", "tcb.json", "whole.json", "pod.yaml")}

    def generate(*names):
        args = [a for n in names for a in ("--reference-values", files[n])]
        files["pod.yaml"].write_text(POD)
        done = subprocess.run([program.path, "generate", "--skip-images", "--workspace", space,
                               "--log-level", "error", *args, files["pod.yaml"]], capture_output=True,
                              check=False)
        made = json.loads((space / "manifest.json").read_text()) if done.returncode == 0 else None
        return done.returncode, made and made["ReferenceValues"]["snp"], done.stderr.decode()

    def write(policy, ld=None):
        file = Igvm()
        file.platform(1, 2)
        file.policy(policy, 1)
        file.page(0, 1, rng.randbytes(PAGE))
        digest = igvm_digests(file, 1)[0]
        block = id_block(ld or bytes.fromhex(digest), 3, policy)
        auth = synthetic_auth(block)
        key = auth[0x240:0x240 + 148]
        tail = auth[0x40:0x40 + 144] + key[:4] + bytes(4) + key[4:]
        file.id_block(1, ld or bytes.fromhex(digest), 3, tail=tail.ljust(592, b"\0"))
        files["image"].write_bytes(file.encode())
        return digest, sha384(auth[0x240:0x240 + 0x404]).hex()

    tcb = {"BootloaderVersion": 4, "TEEVersion": 0, "SNPVersion": 24, "MicrocodeVersion": 219}
    partial = [{"ProductName": p, "MinimumTCB": tcb} for p in ("Milan", "Genoa")]
    whole = [{"ProductName": "Milan", "MinimumTCB": tcb, "TrustedMeasurement": "ab" * 48,
              "GuestPolicy": {"SMT": False}}]
    files["tcb.json"].write_text(json.dumps(partial))
    files["whole.json"].write_text(json.dumps(whole))
    digest, key = write(0x30103)
    code, sets, text = generate("image", "tcb.json", "whole.json")
    expect(f"generate: exit {text}", code, 0)
    expect("generate: number of sets", len(sets or []), 3)
    for i, product in enumerate(("Milan", "Milan", "Genoa")):
        made = sets[i]
        expect("generate: product", made["ProductName"], product)
        expect("generate: digest", made["TrustedMeasurement"], digest if i else "ab" * 48)
        expect("generate: ID key", made.get("TrustedIDKeyDigests"), [key] if i else None)
        expect("generate: guest SVN", made.get("MinimumGuestSVN"), 3 if i else None)
        policy = made["GuestPolicy"]
        expect("generate: SMT", policy["SMT"], bool(i))
        expect("generate: ABI", (policy.get("ABIMajor"), policy.get("ABIMinor")),
               (1, 3) if i else (None, None))
    code, _, text = generate("image", "whole.json")
    expect("generate without a product: exit", code, 2)
    expect("generate without a product: fields", "ProductName and MinimumTCB" in text, True)
    expect("generate without an image: exit", generate("tcb.json")[0], 2)
    write(0xB0000)
    code, _, text = generate("image", "tcb.json")
    expect("generate with a debug policy: exit", code, 2)
    expect("generate with a debug policy: says so", "permits debugging" in text, True)
    write(0x30000, rng.randbytes(48))
    expect("generate with a foreign ID block: exit", generate("image", "tcb.json")[0], 3)


def write_corpus(folder):
    rng = random.Random(3)
    folder = pathlib.Path(folder)
    for name in ("igvm", "ovmf", "id_block"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for extras in ((), ("area",), ("shared", "platform"), ("optional",)):
        file = Igvm(1 + len(extras) % 2)
        file.platform(1, 2)
        if "platform" in extras:
            file.platform(4, 2)
        file.policy(0x30000, 1)
        file.area(PAGE * (3 if "area" in extras else 1), 0)
        if "optional" in extras:
            file.add(0x80000399, "<Q", 1)
        file.add(0x30C, "<II", 0, 0)
        for kind in range(4):
            file.page(0x1000 * kind, 1, None, 4 if "shared" in extras else kind & 2, kind)
        file.page(0x200000, 1, None, 1)
        file.insert(0x9000, 1, 0)
        file.context(KVM_VMSA, 1, 0, bytes(PAGE))
        file.id_block(1, bytes.fromhex(igvm_digests(file, 1)[0]), 1)
        data = bytearray(file.encode())
        (folder / "igvm" / ("-".join(extras) or "plain")).write_bytes(data)
        del data[-PAGE:]  # small enough for every prefix: a context where a page is
        (folder / "igvm" / ("cut-" + ("-".join(extras) or "plain"))).write_bytes(data)
    small = Igvm()
    small.platform(1, 2)
    small.policy(0x30000, 1)
    small.page(0, 1)
    small.page(0x1000, 1, None, 2)
    (folder / "igvm" / "small").write_bytes(small.encode())
    sections = [(0x800000, 0x2000, 1), (0x80D000, PAGE, 2), (0x80E000, PAGE, 3),
                (0x80F000, PAGE, 4), (0x810000, PAGE, 0x10)]
    zeros = random.Random(1)
    zeros.randbytes = lambda n: bytes(n)
    (folder / "ovmf" / "plain").write_bytes(ovmf(zeros, PAGE, sections, hashes=0x810C00))
    (folder / "ovmf" / "svsm").write_bytes(ovmf(zeros, PAGE, sections[:3], svsm_entry=16))
    (folder / "ovmf" / "no-sections").write_bytes(ovmf(zeros, PAGE, []))
    block = id_block(rng.randbytes(48), 1)
    (folder / "id_block" / "block").write_bytes(block)
    (folder / "id_block" / "synthetic").write_bytes(block + synthetic_auth(block))
    (folder / "id_block" / "author").write_bytes(
        block + struct.pack("<II", 1, 1) + synthetic_auth(block)[8:])


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--corpus":
        write_corpus(sys.argv[2])
        return 0
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    program, rng = Program(sys.argv[1]), random.Random(20240811)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for check in (check_igvm, check_igvm_id_block, check_ovmf, check_id_block,
                      check_generate):
            check(program, folder, rng)
    for failure in failures:
        print(failure, file=sys.stderr)
    print(f"{checks} values, {len(failures)} differ")
    return 1 if failures or checks < 200 else 0


sys.exit(main())
