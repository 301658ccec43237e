"""What an edit of YAML in place may do: put text of ours in, write a digest behind an image's name,
and set the runtime class. Nothing else: no byte of the old text goes, and none moves.

    for fault in edits.faults(before, after): ...      bytes in, sentences out
    for line in edits.diff(before, after, name): ...   for people; long values are cut

The old text must come out of the new one by leaving pieces out: the space before a line, a dash, a
word, a mark. So "- name: a" may become "- image: b" and, below it, "name: a". Lines that were added
must look like ours. SPDX-License-Identifier: Apache-2.0
"""
import collections
import difflib
import re

PIN = re.compile(rb"@sha256:[0-9a-f]{64}")
CLASS = re.compile(rb"(runtimeClassName[\"']?[ \t]*:[ \t]*[\"']?)[\w.-]+")
EMPTY = re.compile(rb"((?:volumes|initContainers|annotations|volumeMounts|env):)[ ]+(?:~|null\b)")
BLOCK = re.compile(rb"\n|\r|[ ]*(?:- +)+|[ ]+(?=[^ ])|[^\r\n]+")
FLOW = re.compile(rb"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[\w./@$%*&!-]+|\s|.", re.S)
# Words that every piece of ours has, or keys that have to stand around or in one.
OURS = re.compile(rb"contrast|CONTRAST|katacontainers|COORDINATOR|cc_init_data")
KEYS = re.compile(rb"^(?:- )?[\"']?(metadata|annotations|volumes|initContainers|containers|"
                  rb"volumeMounts|env|image|command|args|name|value|mountPath|readOnly|emptyDir|"
                  rb"medium|sizeLimit|resources|requests|limits|memory|cpu|ports|containerPort|"
                  rb"startupProbe|readinessProbe|livenessProbe|httpGet|tcpSocket|exec|port|path|"
                  rb"periodSeconds|failureThreshold|securityContext|runAsUser|runAsGroup|"
                  rb"runAsNonRoot|privileged|capabilities|add|drop|restartPolicy|"
                  rb"allowPrivilegeEscalation|readOnlyRootFilesystem|valueFrom|fieldRef|fieldPath|"
                  rb"mountPropagation)[\"']?\s*(:|$)")


def plain(text):
    """Without what an edit may change."""
    return EMPTY.sub(rb"\1", CLASS.sub(rb"\1", PIN.sub(b"", text)))


def lines_of(text):
    """Pieces of block style."""
    out = []
    for piece in BLOCK.findall(text):
        if re.fullmatch(rb" *(- +)+", piece):  # "  - - " is "  ", "- ", "- "
            indent = len(piece) - len(piece.lstrip(b" "))
            out += [piece[:indent]] if indent else []
            out += re.findall(rb"- +", piece[indent:])
        else:
            out.append(piece)
    return out


def pieces(text, is_flow):
    """Words and marks; in block style the space before a line is one piece."""
    if is_flow:
        return FLOW.findall(text)
    return [p for line in lines_of(text)
            for p in (FLOW.findall(line) if line.strip(b" -\r\n") else [line])]


def faults(before, after, is_flow=False):
    if collections.Counter(PIN.findall(before)) - collections.Counter(PIN.findall(after)):
        yield "a digest was changed"
    plain_before, plain_after = plain(before), plain(after)
    old, new = pieces(plain_before, is_flow), pieces(plain_after, is_flow)
    if b"".join(old) != plain_before or b"".join(new) != plain_after:
        yield "edits.py does not take this text apart"
        return
    at = line = 0
    for piece in new:
        if at < len(old) and piece == old[at]:
            line += piece.count(b"\n")
            at += 1
    if at < len(old):
        yield f"line {line + 1} is lost or changed: {old[at]!r}"
        return
    if not is_flow:
        yield from strangers(lines_of(plain_before), lines_of(plain_after))
        yield from ends(before, after)


def strangers(old, new):
    """Pieces that were added and do not look like ours."""
    added = collections.Counter(new) - collections.Counter(old)
    for piece in added:
        text = piece.strip(b" \r\n")
        if text.strip(b"-") and not OURS.search(text) and not KEYS.search(text):
            yield f"this was added and does not look like ours: {text!r}"


def ends(before, after):
    """CRLF stays CRLF, in what is added, too."""
    if before.count(b"\r\n") == before.count(b"\n") > 0:
        if after.count(b"\r\n") != after.count(b"\n"):
            yield "a line of a file with CRLF ends with LF alone"
    elif b"\r" not in before and b"\r" in after:
        yield "a line of a file with LF ends with CRLF"


def strays(before, after):
    """Comments on lines of their own, behind which something else stands than before."""
    follows = {}
    lines = plain(after).splitlines()
    for line, following in zip(lines, lines[1:] + [b""]):
        follows.setdefault(line, set()).add(following.strip())
    lines = plain(before).splitlines()
    for line, following in zip(lines, lines[1:] + [b""]):
        if line.strip().startswith(b"#") and following.strip() not in follows.get(line, ()):
            yield f"behind {line.strip()!r} stands something else than {following.strip()!r}"


def meaning(text):
    """The documents as Python objects without what is ours; None without PyYAML."""
    try:
        import yaml
    except ImportError:
        return None
    return [without_ours(d) for d in yaml.safe_load_all(text.decode("utf-8", "surrogateescape"))]


def is_ours(value):
    if not isinstance(value, dict):
        return False
    name = str(value.get("name", ""))
    return name.startswith("contrast-") or name.startswith(("CONTRAST_", "COORDINATOR_"))


def without_ours(value):
    if isinstance(value, list):
        return [without_ours(v) for v in value if not is_ours(v)]
    if isinstance(value, str):
        return PIN.sub(b"", value.encode("utf-8", "surrogateescape"))
    if not isinstance(value, dict):
        return value
    out = {}
    for key, item in value.items():
        if str(key).startswith("io.katacontainers.config."):
            continue
        item = without_ours("" if key == "runtimeClassName" else item)
        if item not in ({}, [], None):  # a list that only held ours was not there before
            out[key] = item
    return out


def diff(before, after, name, width=110):
    lines = difflib.unified_diff(before.decode(errors="replace").splitlines(),
                                 after.decode(errors="replace").splitlines(),
                                 name + " (before)", name + " (after)", lineterm="", n=2)
    return [line if len(line) <= width else line[:width - 4] + " ..." for line in lines]
