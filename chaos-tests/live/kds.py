"""A key service of the tests, on loopback: serves the certificates of simulated machines, counts.

AMD's addresses (AMD 57230 section 4): /vcek/v1/PRODUCT/HWID?blSPL=..., /vcek/v1/PRODUCT/crl and
/vcek/v1/PRODUCT/cert_chain. One machine for each product. `mode` is "good", or "throttle": every
answer is 429 with Retry-After. down() closes the port, up() opens the same one.

SPDX-License-Identifier: Apache-2.0
"""

import http.server
import json
import os
import re
import threading
import time

import harness


class Service:
    def __init__(self, host):
        self.host, self.port = host, 0
        self.machines = {}  # product -> folder
        self.lists = {}     # product -> DER
        self.asked = []     # (monotonic, product, what)
        self.mode, self.retry_after = "good", 3
        self.server = None
        self.up()

    def url(self):
        return f"http://{self.host}:{self.port}"

    def add(self, folder):
        product = json.loads(harness.read(os.path.join(folder, "machine.json")))["product"]
        self.machines[product] = folder
        return product

    def answer(self, path):
        """(status, body) of a GET."""
        found = re.fullmatch(r"/vcek/v1/(\w+)/(\w+)(\?.*)?", path)
        if not found or found.group(1) not in self.machines:
            return 404, b""
        product, what, query = found.groups()
        self.asked.append((time.monotonic(), product, what))
        if self.mode == "throttle":
            return 429, b""
        return self.file(product, what, query)

    def file(self, product, what, query):
        folder = self.machines[product]
        if what == "cert_chain":
            return 200, harness.read(os.path.join(folder, "cert_chain.pem"))
        if what == "crl":
            return (200, self.lists[product]) if product in self.lists else (404, b"")
        machine = json.loads(harness.read(os.path.join(folder, "machine.json")))
        chip = machine["chip_id"][:16] if product == "Turin" else machine["chip_id"]
        tcb = machine["tcb"]
        wanted = {"blSPL": "BootloaderVersion", "teeSPL": "TEEVersion", "snpSPL": "SNPVersion",
                  "ucodeSPL": "MicrocodeVersion"}
        if product == "Turin":
            wanted["fmcSPL"] = "FMCVersion"
        given = dict(part.split("=") for part in (query or "?")[1:].split("&") if part)
        if what != chip or {k: int(v) for k, v in given.items()} != {
                k: tcb[v] for k, v in wanted.items()}:
            return 404, b""
        return 200, harness.read(os.path.join(folder, "vcek.der"))

    def up(self):
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = service.answer(self.path)
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", str(service.retry_after))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((self.host, self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def down(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def count(self, product, what=None):
        """Requests for VCEKs of a product, or for `what` ("crl", "cert_chain")."""
        return len(self.times(product, what))

    def times(self, product, what=None):
        return [at for at, p, w in self.asked
                if p == product and (w == what if what else len(w) in (16, 128))]


class Lists:
    """Revocation lists of a simulated ARK, made by openssl."""

    def __init__(self, site, folder):
        self.site, self.folder = site, folder
        self.dir = os.path.join(site.dir, f"ca-{os.path.basename(folder)}")
        os.mkdir(self.dir)
        self.revoked = ""

    def revoke_ask(self):
        serial = harness.openssl("x509", "-in", os.path.join(self.folder, "ask.pem"), "-noout",
                                 "-serial").decode().strip().split("=")[1]
        self.revoked = f"R\t490101000000Z\t260101000000Z\t{serial}\tunknown\t/CN=ASK\n"

    def make(self, number, days=30):
        files = {name: os.path.join(self.dir, name) for name in ("index", "number", "conf", "crl")}
        harness.write(files["index"], self.revoked)
        harness.write(files["index"] + ".attr", "unique_subject = no\n")
        harness.write(files["number"], f"{number:02X}\n" if number < 256 else f"{number:04X}\n")
        harness.write(files["conf"], f"""[ca]
default_ca = c
[c]
database = {files["index"]}
crlnumber = {files["number"]}
default_md = sha384
crl_extensions = x
[x]
authorityKeyIdentifier = keyid
""")
        harness.openssl("ca", "-gencrl", "-config", files["conf"], "-keyfile",
                        os.path.join(self.folder, "ark.key.pem"), "-cert",
                        os.path.join(self.folder, "ark.pem"), "-crldays", str(days), "-sigopt",
                        "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:48", "-sigopt",
                        "rsa_mgf1_md:sha384", "-out", files["crl"])
        return harness.openssl("crl", "-in", files["crl"], "-outform", "DER")
