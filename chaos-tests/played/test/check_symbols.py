#!/usr/bin/env -S python3 -B
"""What a program on the stage still asks the system for: nothing that shows real time, draws real
randomness, waits or speaks to the network.

    check_symbols.py PROGRAM        exit 0: clean; 1: one line per symbol that is not played;
                                    77: there is no such program

SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import subprocess
import sys

# Pure functions of libuv, and POSIX's mutexes, which nobody holds while another thread runs.
HARMLESS = {"uv_buf_init", "uv_err_name", "uv_inet_ntop", "uv_inet_pton", "uv_ip4_addr",
            "uv_ip4_name", "uv_ip6_addr", "uv_ip6_name", "uv_ip_name", "uv_strerror",
            "pthread_condattr_destroy", "pthread_condattr_init", "pthread_condattr_setclock",
            "pthread_mutex_destroy", "pthread_mutex_init", "pthread_mutex_lock",
            "pthread_mutex_unlock", "pthread_once"}
PLAYED = re.compile(r"(uv_|pthread_|curl_|SSL_).*|accept4?|bind|clock_.*|connect|epoll_.*|getaddrinfo|"
                    r"getentropy|getrandom|gettimeofday|listen|nanosleep|ppoll|pselect|recv.*|"
                    r"select|send(msg|to)?|setsockopt|sleep|time|timer_.*|timespec_get|usleep")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if not os.path.exists(sys.argv[1]):
        print(f"{sys.argv[1]} is not built")
        return 77
    out = subprocess.run(["nm", "-u", sys.argv[1]], check=True, capture_output=True, text=True).stdout
    names = {line.split()[-1].split("@")[0] for line in out.splitlines() if line.strip()}
    bad = sorted(n for n in names if PLAYED.fullmatch(n) and n not in HARMLESS)
    for name in bad:
        print(f"{sys.argv[1]}: {name} is not played: define it in chaos-tests/played")
    return 1 if bad or not names else 0


if __name__ == "__main__":
    sys.exit(main())
