"""A port above 65535 becomes another port.

Origin: Contrast, service mesh (ports are cut to 16 bits, names may stand twice)
Elsewhere: an ingress for port 65616 opened port 80 without client certificates; of two entries with
    one name the last one won in silence.
Here: generate reads the same annotations and writes what the proxy will do.
Notices: a port that is cut or read as another number; a name or a port that stands twice

SPDX-License-Identifier: Apache-2.0
"""

import os

import pytest

import scene
from harness import read, write

INGRESS, EGRESS = "servicemesh-ingress", "servicemesh-egress"
BAD = [
    (INGRESS, "web#65536#false", "port"),
    (INGRESS, "web#65616#false", "port"),        # 80 in 16 bits
    (INGRESS, "web#4294967376#false", "port"),   # 80 in 32 bits
    (INGRESS, "web#18446744073709551696#false", "port"),
    (INGRESS, "web#0#false", "port"),
    (INGRESS, "web#-80#false", "port"),
    (INGRESS, "web#+80#false", "port"),
    (INGRESS, "web#080#false", "port"),
    (INGRESS, "web#80 #false", "port"),
    (INGRESS, "web#0x50#false", "port"),
    (INGRESS, "web#80#false##web#81#false", "web"),
    (INGRESS, "web#80#false##other#80#true", "80"),
    (INGRESS, "web#15006#false", "15006"),
    (EGRESS, "db#127.0.0.2:70000#db:5432", "port"),
    (EGRESS, "db#127.0.0.2:80#db:70000", "port"),
    (EGRESS, "db#127.0.0.2:80#db:1##db#127.0.0.2:81#db:2", "db"),
    (EGRESS, "a#127.0.0.2:80#db:1##b#127.0.0.2:80#db:2", "127.0.0.2:80"),
    (EGRESS, "db#10.0.0.1:80#db:1", "127"),
]


def annotate(shop, name, value):
    path = os.path.join(shop, "web.yaml")
    text = read(path, "r")
    note = f'      annotations:\n        contrast.edgeless.systems/{name}: "{value}"\n'
    old = "      annotations:\n"
    assert old in text
    new = text.replace(old, note, 1)
    write(path, new)
    return path, new


@pytest.mark.parametrize("name, value, word", BAD, ids=[value for _, value, _ in BAD])
def test_is_refused_and_nothing_is_written(shop, run, name, value, word):
    manifest = read(os.path.join(shop, "manifest.json"))
    path, text = annotate(shop, name, value)
    done = scene.expect(2, run("contrast", "generate", "--skip-images", "--workspace", shop, shop),
                        name, word, "web.yaml")
    assert done.out == ""
    assert (read(path, "r"), read(os.path.join(shop, "manifest.json"))) == (text, manifest)


def test_the_highest_port_is_one(shop, run):
    path, _ = annotate(shop, INGRESS, "web#65535#false##other#1#true")
    scene.expect(0, run("contrast", "generate", "--skip-images", "--workspace", shop, shop))
    assert "web#65535#false##other#1#true" in read(path, "r")
