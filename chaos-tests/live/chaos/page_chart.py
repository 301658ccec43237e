"""Charts of the page as SVG: gaps by fault, failover curves, the timeline of a round.

The timeline's x is in percent of its width, so it grows without its letters growing; y is in
pixels. Everything that has a name carries it as <title> and, for the reading line, as data-what.

SPDX-License-Identifier: Apache-2.0
"""

import math
import re

from page_markup import clock, el, ms

GROUND_MS = 1.0  # a logarithmic axis needs a beginning; what is less is drawn there
LABELS = 150  # pixels of the timeline's left column
NARROW = 900  # pixels that a timeline is taken to be wide when labels are placed
LETTER = 6.2
MOST_STEPS = 60  # labels of generations; more become marks without one
COLOURS = 8
DENIED = "must be denied"  # report.DENIED: its failures are no trouble


def svg(width, height, name, *children, **more):
    return el("svg", {"viewBox": f"0 0 {width} {height}", "role": "img", "aria-label": name,
                           **more}, *children)


def text(x, y, words, kind=""):
    return el("text", {"x": x, "y": y, "class": kind or None}, words)


def title(words):
    return el("title", None, words)


class LogAxis:
    """Milliseconds by decades, the same for all charts of a page."""

    def __init__(self, samples):
        most = max([GROUND_MS * 10, *samples])
        self.low = math.floor(math.log10(max(GROUND_MS, min([most, *samples]))))
        self.high = max(math.ceil(math.log10(most)), self.low + 1)

    def share(self, value):
        """0 to 1 along the axis."""
        at = math.log10(max(value, 10 ** self.low))
        return min((at - self.low) / (self.high - self.low), 1.0)

    def decades(self):
        for power in range(self.low, self.high + 1):
            value = 10 ** power
            yield value, f"{value} ms" if value < 1000 else f"{value // 1000} s"


# --- Curves


def steps_path(samples, place, x_end):
    """The empirical distribution as a staircase."""
    parts, total = [f"M{place(samples[0], 0)[0]:.1f} {place(samples[0], 0)[1]:.1f}"], len(samples)
    for i, sample in enumerate(samples, 1):
        x, y = place(sample, i / total)
        parts.append(f"H{x:.1f}V{y:.1f}")
    return "".join(parts) + f"H{x_end:.1f}"


def curve(fault, calm, axis):
    """Share of runs that were served again, over time; the baseline dashed."""
    left, right, top, bottom = 34, 290, 6, 116

    def place(value, share):
        return left + axis.share(value) * (right - left), bottom - share * (bottom - top)

    parts = []
    for value, words in axis.decades():
        x = place(value, 0)[0]
        parts.append(el("path", {"class": "grid", "d": f"M{x:.1f} {top}V{bottom}"}))
        parts.append(text(f"{x:.1f}", bottom + 14, words, "soft middle"))
    for share in (0, 0.5, 1):
        y = place(axis.low, share)[1]
        parts.append(el("path", {"class": "grid", "d": f"M{left} {y:.1f}H{right}"}))
        parts.append(text(left - 4, f"{y + 4:.1f}", f"{share * 100:.0f}%", "soft right"))
    if calm:
        parts.append(el("path", {"class": "dash",
                                      "d": steps_path(calm["samples"], place, right)}))
    parts.append(el("path", {
        "class": "thick", "d": steps_path(fault["unavailable_ms"]["samples"], place, right)}))
    figures = fault["unavailable_ms"]
    return svg(310, 136, f"Failover curve of {fault['name']}: half of the runs were served again "
               f"within {ms(figures['p50'])}, all within {ms(figures['max'])}", *parts)


def strip(name, figures, y, axis, left, right, calm):
    kind = " calm" if calm else ""

    def x_of(value):
        return f"{left + axis.share(value) * (right - left):.1f}"

    dots = [el("circle", {"class": "dot" + kind, "cx": x_of(s), "cy": y, "r": 3.5})
            for s in thinned(figures["samples"])]
    return [text(left - 10, y + 4, shortened(name, 30), "right"),
            el("path", {"class": "range" + kind,
                             "d": f"M{x_of(figures['p50'])} {y}H{x_of(figures['max'])}"
                                  f"M{x_of(figures['p50'])} {y - 6}v12"}), *dots,
            text(right + 8, y + 4, f"{ms(figures['p50'])} … {ms(figures['max'])}",
                 "soft")]


def thinned(samples, most=200):
    """Not more dots than an eye can tell apart; the first and the last stay."""
    step = max(1, len(samples) // most)
    return samples[::step] + ([samples[-1]] if (len(samples) - 1) % step else [])


def shortened(words, size):
    words = str(words)
    return words if len(words) <= size else words[:size - 1] + "…"


def strips(faults, calm, axis):
    """All faults on one axis, the worst median first, the baseline on top."""
    left, right, width, line = 210, 800, 960, 22
    rows = sorted(faults, key=lambda f: -f["unavailable_ms"]["p50"])
    named = [(f["name"], f["unavailable_ms"], False) for f in rows]
    if calm:
        named.insert(0, ("none (baseline)", calm, True))
    bottom = line * len(named) + 8
    parts = []
    for value, words in axis.decades():
        x = f"{left + axis.share(value) * (right - left):.1f}"
        parts.append(el("path", {"class": "grid", "d": f"M{x} 0V{bottom}"}))
        parts.append(text(x, bottom + 14, words, "soft middle"))
    for i, (name, figures, is_calm) in enumerate(named):
        parts += strip(name, figures, i * line + line // 2 + 4, axis, left, right, is_calm)
    return svg(width, bottom + 20, "Unavailability of every fault on one logarithmic axis; the "
               "same numbers stand in the table of faults", *parts, **{"class": "strips"})


# --- Timeline


def natural(name):
    """Sorts coordinator-10 after coordinator-9."""
    return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]


class Canvas:
    """Two drawings of one height: labels to the left, time to the right."""

    def __init__(self, seen):
        self.seen = seen
        self.length = max(seen.end - seen.start, 1)
        self.y = 0
        self.labels, self.shapes = [], []

    def x(self, at):
        inside = min(max(at, self.seen.start), self.seen.end)
        return f"{(inside - self.seen.start) * 100 / self.length:.3f}%"

    def width(self, start, end, least=0.0):
        share = (min(end, self.seen.end) - max(start, self.seen.start)) * 100 / self.length
        return f"{max(share, least):.3f}%"

    def bar(self, kind, start, end, y, height, words, least=0.12):
        self.shapes.append(el(
            "rect", {"class": kind, "x": self.x(start), "width": self.width(start, end, least),
                     "y": y, "height": height, "data-what": words}, title(words)))

    def mark(self, kind, at, y, height, words):
        x = self.x(at)
        self.shapes.append(el("line", {"class": kind, "x1": x, "x2": x, "y1": y,
                                            "y2": y + height, "data-what": words}, title(words)))

    def write(self, at, y, words, kind="soft"):
        self.shapes.append(el("text", {"x": self.x(at), "y": y, "dx": 3, "class": kind},
                                   words))

    def label(self, words, height):
        """Begins a row of this height."""
        self.labels.append(el("text", {"x": LABELS - 8, "y": self.y + height / 2 + 4,
                                            "class": "right"}, title(words), shortened(words, 22)))
        for drawing, right in ((self.labels, LABELS), (self.shapes, "100%")):
            drawing.append(el("line", {"class": "row", "x1": 0, "x2": right,
                                            "y1": self.y + height, "y2": self.y + height}))

    def after(self, ns):
        return clock(ns - self.seen.start)


def phases_row(canvas):
    phases = canvas.seen.phases
    canvas.label("phase", 20)
    for i, (at, name) in enumerate(phases):
        end = phases[i + 1][0] if i + 1 < len(phases) else canvas.seen.end
        canvas.bar("phase odd" if i % 2 else "phase", at, end, canvas.y, 20, f"phase {name}")
        if (end - at) / canvas.length * NARROW > len(name) * LETTER + 6:
            canvas.write(at, canvas.y + 14, name, "")
    canvas.y += 20


def manifests_row(canvas):
    canvas.label("manifests", 18)
    generations = canvas.seen.generations
    room = canvas.length * 30 // NARROW
    last = None
    for at, number in generations:
        canvas.mark("step", at, canvas.y + 3, 12, f"generation {number} at {canvas.after(at)}")
        if len(generations) <= MOST_STEPS and (last is None or at - last > room):
            canvas.write(at, canvas.y + 13, str(number))
            last = at
    canvas.y += 18


def stacked(faults, canvas):
    """Faults of one row in lines, so that neither bars nor their names lie on one another."""
    ends, placed = [], []
    for fault in sorted(faults, key=lambda f: f["start"]):
        end = fault["end"] if fault["end"] is not None else canvas.seen.end
        words = canvas.length * (len(fault["name"]) * LETTER + 8) / NARROW
        taken = max(end, fault["start"] + words)
        line = next((i for i, e in enumerate(ends) if e <= fault["start"]), len(ends))
        ends[line:line + 1] = [taken]
        placed.append((line, end, fault))
    return placed, max(len(ends), 1)


def leader_spans(seen):
    """(replica, term, start, end) of each time somebody led, as far as it was noticed."""
    for i, (at, replica, term) in enumerate(seen.leaders):
        end = seen.leaders[i + 1][0] if i + 1 < len(seen.leaders) else seen.end
        if replica not in ("None", ""):
            yield replica, term, at, end


def target_row(canvas, target, faults, colours):
    placed, lines = stacked(faults, canvas)
    height = lines * 16 + 12
    canvas.label(target or "everything", height)
    for line, end, fault in placed:
        y = canvas.y + 3 + line * 16
        until = f"until {canvas.after(end)}" if fault["end"] is not None else "never healed"
        canvas.bar(f"bar g{colours[fault['name']]}", fault["start"], end, y, 13,
                   f"{fault['name']} at {target or 'everything'} from "
                   f"{canvas.after(fault['start'])} {until}")
        canvas.write(fault["start"], y + 10, fault["name"], "")
    for replica, term, start, end in leader_spans(canvas.seen):
        if replica == target:
            canvas.bar("lead", start, end, canvas.y + height - 7, 5,
                       f"{replica} leads term {term} from {canvas.after(start)} to "
                       f"{canvas.after(end)}")
    canvas.y += height


def target_rows(canvas):
    seen = canvas.seen
    names = {t for f in seen.faults for t in f["targets"]} | {s[0] for s in leader_spans(seen)}
    colours = {name: i % COLOURS
               for i, name in enumerate(sorted({f["name"] for f in seen.faults}))}
    for target in sorted(names, key=natural):
        target_row(canvas, target, [f for f in seen.faults if target in f["targets"]], colours)
    nowhere = [f for f in seen.faults if not f["targets"]]
    if nowhere:
        target_row(canvas, "", nowhere, colours)


def area(bins, seconds, most):
    """What succeeded by the second, in a box of its own that is stretched to the width."""
    points = ["M0 24"]
    for second in range(seconds):
        y = 24 - 22 * bins.get(second, (0,))[0] / most
        points.append(f"L{second} {y:.1f}H{second + 1}")
    return el("svg", {"x": 0, "width": "100%", "height": 24, "preserveAspectRatio": "none",
                           "viewBox": f"0 0 {seconds} 24"},
                   el("path", {"class": "ok", "d": "".join(points) + "V24Z"}))


def operation_row(canvas, op, kind):
    seconds = canvas.length // 10 ** 9 + 1
    most = max([1, *(row[0] for row in kind.bins.values())])
    canvas.label(f"{op} (to {most}/s)", 40)
    canvas.shapes.append(el("svg", {"y": canvas.y + 2, "width": "100%", "height": 24},
                                 area(kind.bins, seconds, most)))
    for second, (_, failed, unknown) in sorted(kind.bins.items()):
        start = canvas.seen.start + second * 10 ** 9
        for count, name, y in ((failed, "fail", 27), (unknown, "unknown", 33)):
            if count:
                canvas.bar(name, start, start + 10 ** 9, canvas.y + y, 5,
                           f"{count} {op} {name} at {canvas.after(start)}")
    canvas.y += 40


def axis_row(canvas):
    length_s = canvas.length / 1e9
    step = next((s for s in (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800) if length_s / s <= 12), 3600)
    for i in range(int(length_s // step) + 1):
        at = canvas.seen.start + i * step * 10 ** 9
        canvas.mark("grid", at, 0, canvas.y, canvas.after(at))
        canvas.write(at, canvas.y + 13, clock(i * step * 10 ** 9)[:-2])
    canvas.y += 18


def overlays(canvas, gaps, violations):
    """Over the whole height: nobody was served; a new epoch; what was violated."""
    for gap in gaps:
        if gap.get("gap"):
            start, end = gap["gap"]
            canvas.bar("gap", start, end, 0, canvas.y, f"nobody was served for "
                       f"{ms((end - start) / 1e6)} from {canvas.after(start)}", 0)
    for at, epoch in canvas.seen.epochs[1:]:
        canvas.mark("epoch", at, 0, canvas.y, f"epoch {epoch} begins at {canvas.after(at)}")
        canvas.write(at, canvas.y - 3, f"epoch {epoch}", "")
    for v in violations:
        if v.get("after_ns") is not None:
            at = canvas.seen.start + v["after_ns"]
            canvas.mark("violation", at, 0, canvas.y, v["what"])
            canvas.write(at, 12, "!", "violation-mark")


def timeline(seen, gaps, violations):
    """(labels, drawing): two svg elements to stand side by side."""
    canvas = Canvas(seen)
    phases_row(canvas)
    manifests_row(canvas)
    target_rows(canvas)
    for op, kind in sorted(seen.kinds.items()):
        if op != DENIED:
            operation_row(canvas, op, kind)
    behind = len(canvas.shapes)
    axis_row(canvas)
    rows, ticks = canvas.shapes[:behind], canvas.shapes[behind:]
    canvas.shapes = ticks + rows
    overlays(canvas, gaps, violations)
    words = (f"Timeline: {len(seen.faults)} faults in {clock(canvas.length)}, "
             f"{len(seen.leaders)} changes of leader; the faults stand in the table below")
    size = {"height": canvas.y, "role": "img"}
    return (el("svg", {"width": LABELS, "aria-hidden": "true", "height": canvas.y},
                    *canvas.labels),
            el("svg", {**size, "aria-label": words}, *canvas.shapes))
