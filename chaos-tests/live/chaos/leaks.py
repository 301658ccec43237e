"""Looks for secrets in what programs said; for runs with thousands of pods.

    sentences, count = leaks.find(folder, logs)

The same secrets and forms as harness.find_leaks: raw, hex and base64, also in the middle of
something longer. Instead of each form in each log it walks once over each log: a text form can only
stand in a run of letters and digits, and is looked up by its first characters; a raw form only in a
log that is no text. Core files are told, too.

SPDX-License-Identifier: Apache-2.0
"""

import os
import re

import lab as _labs  # noqa: F401  it says where harness is
import harness

KEY = 20  # characters that a form is looked up by; shorter than any form of 16 bytes
RUN = re.compile(rb"[A-Za-z0-9+/_-]{%d,}" % KEY)
CORE = re.compile(r"(vg)?core(\..*)?")


def secrets_of(folder):
    """(name, bytes) of the secrets below a folder; a file that goes meanwhile is left out."""
    found = []
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            try:
                if name in ("key.pem", "workload-owner.pem"):
                    found.append((full, harness.private_number(full)))
                elif name == "workload-secret-seed":
                    found.append((full, bytes.fromhex(harness.read(full).decode().strip())))
            except (OSError, AssertionError):
                continue
    return found


class Index:
    """Forms of secrets, by their first characters."""

    def __init__(self, secrets):
        self.raw, self.text = {}, {}
        for name, secret in secrets:
            forms = list(harness.forms_of(secret))
            self.raw[forms[0]] = name
            for form in forms[1:]:
                self.text.setdefault(form[:KEY], []).append((form, name))

    def search(self, data):
        """Names of the secrets in a log."""
        found = set()
        for run in RUN.finditer(data):
            text = run.group()
            for at in range(len(text) - KEY + 1):
                for form, name in self.text.get(text[at:at + KEY], ()):
                    if text.startswith(form, at):
                        found.add(name)
        try:
            data.decode()
        except UnicodeDecodeError:
            found.update(name for raw, name in self.raw.items() if raw in data)
        return found


def find(folder, logs):
    """Sentences about leaks and core files, and how many secrets were looked for."""
    secrets = secrets_of(folder)
    index = Index(secrets)
    said = []
    for name in sorted(os.listdir(logs)):
        said += [f"{name} contains the secret of {secret}"
                 for secret in sorted(index.search(harness.read(os.path.join(logs, name))))]
    for path, _, names in os.walk(folder):
        said += [f"core file {path}/{name}" for name in names if CORE.fullmatch(name)]
    return said, len(secrets)
