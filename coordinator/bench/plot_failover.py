#!/usr/bin/env python3
"""Draws the failover figure as a cumulative distribution: plot_failover.py RESULTS.json OUT.svg

RESULTS.json is what `scripts/bench --output json failover` printed. The drawing is plain SVG, the
same bytes for the same samples.

SPDX-License-Identifier: Apache-2.0
"""

import json
import math
import sys

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 40, 60
CURVES = (("none", "nothing happens", "#888888"), ("term", "SIGTERM to the leader", "#2a7f3f"),
          ("kill", "kill -9 of the leader", "#1f4e9c"), ("etcd", "etcd: kill -9", "#b5541c"))


def samples_of(results):
    got = results["failover"]
    return {**got["all_ms"], "etcd": got["etcd"].get("all_ms", [])}


class Axes:
    """Milliseconds, logarithmic, against the share of turns."""

    def __init__(self, values):
        self.least = 10 ** math.floor(math.log10(max(0.1, min(values))))
        self.most = 10 ** math.ceil(math.log10(max(values)))

    def x(self, ms):
        share = math.log10(max(ms, self.least) / self.least) / math.log10(self.most / self.least)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    @staticmethod
    def y(share):
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    def ticks(self):
        at = self.least
        while at <= self.most * 1.001:
            yield at
            at *= 10


def text(x, y, what, anchor="middle", colour="#222222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" '
            f'font-family="sans-serif" font-size="13">{what}</text>')


def line(x1, y1, x2, y2, colour="#dddddd"):
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            'stroke-width="1"/>')


def grid(axes):
    out = []
    for ms in axes.ticks():
        out += [line(axes.x(ms), TOP, axes.x(ms), HEIGHT - BOTTOM),
                text(axes.x(ms), HEIGHT - BOTTOM + 18, f"{ms:g}")]
    for tenth in range(0, 11, 2):
        out += [line(LEFT, axes.y(tenth / 10), WIDTH - RIGHT, axes.y(tenth / 10)),
                text(LEFT - 8, axes.y(tenth / 10) + 4, f"{tenth * 10}%", "end")]
    return out


def curve(axes, values, colour):
    points, ordered = [], sorted(values)
    for i, ms in enumerate(ordered):
        points.append(f"{axes.x(ms):.1f},{axes.y(i / len(ordered)):.1f}")
        points.append(f"{axes.x(ms):.1f},{axes.y((i + 1) / len(ordered)):.1f}")
    return (f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" '
            'stroke-width="2"/>')


def draw(samples):
    everything = [ms for values in samples.values() for ms in values]
    if not everything:
        raise ValueError("no samples")
    axes = Axes(everything)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
           f'viewBox="0 0 {WIDTH} {HEIGHT}">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>', *grid(axes),
           text(WIDTH / 2, 22, "Longest time without a certificate when the leader goes"),
           text(WIDTH / 2, HEIGHT - 14, "milliseconds (logarithmic); share of turns upwards")]
    row = 0
    for key, name, colour in CURVES:
        values = samples.get(key)
        if values:
            out += [curve(axes, values, colour),
                    text(LEFT + 12, TOP + 18 + 18 * row, f"{name} (n {len(values)})", "start",
                         colour)]
            row += 1
    return "\n".join([*out, "</svg>", ""])


def main(argv):
    if len(argv) != 3:
        print(__doc__.split("\n", 1)[0], file=sys.stderr)
        return 2
    with open(argv[1], encoding="utf-8") as f:
        drawing = draw(samples_of(json.load(f)))
    with open(argv[2], "w", encoding="utf-8") as f:
        f.write(drawing)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
