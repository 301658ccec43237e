#!/usr/bin/env python3
"""A key service for tests, on loopback: as AMD's, or misbehaving in a way that the address chooses.

    kds_server.py DIR [CERT KEY]     prints "PORT" or "PORT TLS_PORT", ends when its input ends

    http://127.0.0.1:PORT/MODE/vcek/v1/Milan/HWID?blSPL=04&teeSPL=00&snpSPL=24&ucodeSPL=219
    http://127.0.0.1:PORT/count/MODE          how many requests that mode had

DIR holds PRODUCT-HWID-BL-TEE-SNP-UCODE[-FMC].der (numbers of two digits or more),
PRODUCT-{vcek,vlek}-cert_chain.pem, PRODUCT-{vcek,vlek}-crl.der, and any.der: what mode "any"
serves, whatever it is asked for. Addresses that AMD would not take are answered with 400.

SPDX-License-Identifier: Apache-2.0
"""
import email.utils
import http.server
import os
import re
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

PATIENCE_S = 60  # a hang ends by itself, whatever the client does
NAMES = ("blSPL", "teeSPL", "snpSPL", "ucodeSPL")


class Refused(Exception):
    """The answer is this status without a body."""


def spls(query, product):
    """The numbers of a VCEK's address, as DIR spells them; 400 for what AMD does not take."""
    wanted = NAMES + (("fmcSPL",) if product == "Turin" else ())
    given = urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    if sorted(n for n, _ in given) != sorted(wanted):
        raise Refused(400)
    values = dict(given)
    if not all(re.fullmatch(r"\d{2,3}", v) and int(v) < 256 for v in values.values()):
        raise Refused(400)
    return "-".join(values[n] for n in wanted)


def file_of(path):
    """The name in DIR that belongs to an address behind /MODE."""
    parts = urllib.parse.urlsplit(path)
    found = re.fullmatch(r"/(vcek|vlek)/v1/(Milan|Genoa|Turin)/([a-z_]+|[0-9a-f]+)", parts.path)
    if not found:
        raise Refused(400)
    kind, product, what = found.groups()
    if what in ("cert_chain", "crl") and not parts.query:
        return f"{product}-{kind}-{what}." + ("pem" if what == "cert_chain" else "der")
    if kind != "vcek" or len(what) != (16 if product == "Turin" else 128):
        raise Refused(400)
    return f"{product}-{what}-{spls(parts.query, product)}.der"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S

    def log_message(self, *args):
        pass

    def content(self, path):
        try:
            with open(os.path.join(self.server.folder, file_of(path)), "rb") as f:
                return f.read()
        except OSError:
            raise Refused(404) from None
        except ValueError:
            raise Refused(400) from None

    def answer(self, status, body=b"", length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self):
        _, mode, *rest = self.path.split("/", 2)
        path = "/" + (rest[0] if rest else "")
        if mode == "count":
            self.answer(200, str(self.server.counts.get(path[1:], 0)).encode())
            return
        with self.server.lock:
            self.server.counts[mode] = self.server.counts.get(mode, 0) + 1
            number = self.server.counts[mode]
        try:
            getattr(self, "mode_" + mode.replace("-", "_"), self.unknown)(path, number)
        except Refused as refusal:
            self.answer(refusal.args[0])
        except OSError:  # the client went away: what many modes are for
            self.close_connection = True

    def unknown(self, path, number):
        raise Refused(400)

    def mode_good(self, path, number):
        self.answer(200, self.content(path))

    def mode_any(self, path, number):
        """The same certificate for every chip and TCB; chains as in good."""
        name = file_of(path)
        if not re.search(r"-\d\d-", name):
            self.mode_good(path, number)
            return
        with open(os.path.join(self.server.folder, "any.der"), "rb") as f:
            self.answer(200, f.read())

    def mode_throttle(self, path, number):
        self.answer(429, Retry_After="7")

    def mode_throttle_date(self, path, number):
        date = email.utils.formatdate(time.time() + 600, usegmt=True)
        self.answer(503, Retry_After=date)

    def mode_throttle_words(self, path, number):
        self.answer(429, Retry_After="in a while")

    def mode_throttle_once(self, path, number):
        if number == 1:
            self.answer(429, Retry_After="0")
        else:
            self.mode_good(path, number)

    def mode_fail_twice(self, path, number):
        if number <= 2:
            raise Refused(500)
        self.mode_good(path, number)

    def mode_down(self, path, number):
        raise Refused(500)

    def mode_gone(self, path, number):
        raise Refused(503)

    def mode_missing(self, path, number):
        raise Refused(404)

    def mode_forbidden(self, path, number):
        raise Refused(403)

    def mode_hang(self, path, number):
        self.server.over.wait(PATIENCE_S)
        self.close_connection = True

    def mode_hang_body(self, path, number):
        self.answer(200, self.content(path)[:100], length=1000)
        self.mode_hang(path, number)

    def mode_drip(self, path, number):
        body = self.content(path)
        self.answer(200, b"", length=len(body))
        for i in range(len(body)):
            if self.server.over.wait(0.05):
                break
            self.wfile.write(body[i:i + 1])
            self.wfile.flush()

    def mode_truncated(self, path, number):
        body = self.content(path)
        self.answer(200, body[:len(body) // 2], length=len(body))
        self.close_connection = True

    def mode_short_length(self, path, number):
        body = self.content(path)
        self.answer(200, body, length=len(body) - 100)

    def mode_endless(self, path, number):
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        while not self.server.over.is_set():
            self.wfile.write(b"\x30" * 65536)

    def mode_headers(self, path, number):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.close_connection = True
        while not self.server.over.is_set():
            self.wfile.write(b"X-More: " + b"x" * 1000 + b"\r\n")

    def mode_reset(self, path, number):
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.close_connection = True
        self.connection.close()

    def mode_noise(self, path, number):
        self.wfile.write(b"\x16\x03\x01 this is not HTTP at all\r\n\r\n")
        self.close_connection = True

    def mode_garbage(self, path, number):
        self.answer(200, bytes(range(256)))

    def mode_empty(self, path, number):
        self.answer(200)

    def mode_html(self, path, number):
        self.answer(200, b"<html><body>Please log in</body></html>", Content_Type="text/html")

    def mode_redirect(self, path, number):
        self.answer(302, Location=f"http://127.0.0.1:{self.server.server_port}/good{path}")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder, shared=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.lock = shared.lock if shared else threading.Lock()
        self.counts = shared.counts if shared else {}
        self.over = threading.Event()

    def handle_error(self, request, client_address):
        pass  # a client that gives up is no news

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()


def main(args):
    if len(args) not in (1, 3):
        print("usage: kds_server.py DIR [CERT KEY]", file=sys.stderr)
        return 2
    server = Server(args[0])
    ports = [server.server_port]
    server.start()
    if len(args) == 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(args[1], args[2])
        secure = Server(args[0], server)
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        ports.append(secure.server_port)
        secure.start()
    print(*ports, flush=True)
    sys.stdin.read()  # until whoever started us closes it, or dies
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
