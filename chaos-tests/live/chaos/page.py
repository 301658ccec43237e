"""The page of a chaos run: one file, no network, no library, readable without its script.

    text = page.render(result, rounds)      result.json as run.py writes it, rounds of report.py

Order: violations, the table, gaps by fault, failover curves, a timeline for each round, operations,
simulations, what could not be done. Charts are SVG made in page_chart.py; each has a table beside
it that says the same. The file is HTML and XML at once, so a strict parser can check it. Every text
from a run goes through el(), which escapes it; the policy in the head lets nothing be loaded and
runs no script but ours, by its hash.

SPDX-License-Identifier: Apache-2.0
"""

import base64
import hashlib
import os

import page_chart
from page_markup import Markup, clock, counted, el, group, ms

HERE = os.path.dirname(os.path.abspath(__file__))
SHOWN_MAX = 3  # violations of one rule in one round that are shown first


# --- Parts


def data_table(caption, head, rows, numbers_from=1):
    """rows: lists of cells; columns from `numbers_from` on are numbers, to the right."""
    cell_class = [None if i < numbers_from else "n" for i in range(len(head))]
    top = el("tr", None, *(el("th", {"scope": "col", "class": c}, h)
                           for h, c in zip(head, cell_class)))
    body = [el("tr", None, el("th", {"scope": "row"}, row[0]),
               *(el("td", {"class": c}, cell) for cell, c in zip(row[1:], cell_class[1:])))
            for row in rows]
    return el("div", {"class": "wide"}, el("table", None, el("caption", None, caption),
              el("thead", None, top), el("tbody", None, *body)))


def section(name, title, *children):
    return el("section", {"aria-labelledby": name}, el("h2", {"id": name}, title), *children)


def chosen(violations):
    """What is shown first, SHOWN_MAX of each rule in each round: one cause breaks a rule often."""
    seen, some = {}, []
    for v in violations:
        key = (v.get("round"), v.get("rule"))
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= SHOWN_MAX or v.get("rule") is None:
            some.append(v)
    return some


def violation_item(v):
    facts = [f"at {clock(v['after_ns'])}" if v.get("after_ns") is not None else None,
             f"during {v.get('during') or v['fault']}" if v.get("fault") else None]
    number = v.get("round")
    link = el("a", {"href": f"#round-{number}"}, f"round {number}") if number else None
    return el("li", None, el("strong", None, v.get("what", "?")), el("br"), link,
              " " if link else None, ", ".join(f for f in facts if f), el("br"), "Again: ",
              el("code", None, v.get("reproduce", "–")), el("br"), "Logs: ",
              el("code", None, v.get("logs", "–")))


def violations_part(result):
    found = result["violations"]
    if not found:
        return section("violations", "No violation", el("p", {"class": "good"},
                       "Every check held in every round: the register of manifests is "
                       "linearizable, nothing acknowledged was lost, one certificate authority a "
                       "generation, no key for a stranger, no secret in a log."))
    some = chosen(found)
    rest = [v for v in found if not any(v is shown for shown in some)]
    more = el("details", None, el("summary", None, f"{len(rest)} more of these rules"),
              el("ol", {"class": "bad", "start": len(some) + 1},
                 *(violation_item(v) for v in rest)))
    return section("violations", counted(len(found), "violation"),
                   el("ol", {"class": "bad"}, *(violation_item(v) for v in some)),
                   more if rest else None)


def spread_cells(figures):
    return [ms(figures[name]) if figures else "–" for name in ("p50", "p99", "max")]


def faults_part(result):
    rows = [[f["name"], f.get("group", ""), f["runs"], f["violations"],
             *spread_cells(f["unavailable_ms"]), ms((f.get("whole_ms") or {}).get("max"))]
            for f in result["faults"]]
    calm = result.get("baseline_ms")
    if calm:
        rows.insert(0, ["none (baseline)", "", len(calm["samples"]), 0, *spread_cells(calm), "–"])
    note = ("A run is one time that the fault was in. p50, p99 and max are over the runs in which "
            "it was alone; what overlapped counts for the storm. A run's unavailability is the "
            "longest gap between two successful operations; the baseline is the same without a "
            "fault. Whole: from the fault's end until every replica voted again, at most.")
    return section("faults", "Faults", el("p", None, note), data_table(
        "Fault, runs, violations and unavailability",
        ["fault", "group", "runs", "violations", "p50", "p99", "max", "whole"], rows, 2))


def charts_part(result):
    rows = [f for f in result["faults"] if f["unavailable_ms"]]
    if not rows:
        return None
    calm = result.get("baseline_ms")
    axis = page_chart.LogAxis([s for f in rows for s in f["unavailable_ms"]["samples"]]
                              + (calm["samples"] if calm else []))
    curves = [el("figure", {"class": "curve"}, page_chart.curve(f, calm, axis),
                 el("figcaption", None, el("b", None, f["name"]), el("br"),
                    f"{counted(len(f['unavailable_ms']['samples']), 'run')}, "
                    f"p50 {ms(f['unavailable_ms']['p50'])}, max {ms(f['unavailable_ms']['max'])}"))
              for f in rows]
    return group(
        section("gaps", "Unavailability by fault", el("p", None,
                "A dot is one run, the bar goes from the median to the worst. Worst median first. "
                "The numbers stand in the table above."),
                el("figure", {"class": "wide"}, page_chart.strips(rows, calm, axis))),
        section("curves", "Failover curves", el("p", None,
                "Share of runs (upward) that were served again within a time (to the right, "
                "logarithmic). Thick: the fault. Dashed: the baseline."),
                el("div", {"class": "curves"}, *curves)))


def operations_part(result):
    rows = [[op, o["ok"], o["fail"], o["unknown"], o["open"], ms(o["p50_ms"]), ms(o["p99_ms"]),
             ms(o["max_ms"])] for op, o in result.get("operations", {}).items()]
    note = ("fail: it certainly did not happen. unknown: the answer was lost, it may have "
            "happened. open: no answer when the round ended. Latencies are those of ok. What must "
            "be denied is good when it fails.")
    return section("operations", "Operations", el("p", None, note), data_table(
        "Operations by kind and outcome",
        ["operation", "ok", "fail", "unknown", "open", "p50", "p99", "max"], rows))


def simulations_part(result):
    rows = [[s["program"], s["first"], s["seeds"], len(s["failed"]),
             f"{s['seeds_per_second']:.3g}"] for s in result.get("simulations", [])]
    if not rows:
        return None
    return section("simulations", "Simulations", data_table(
        "Seeds that the simulations ran beside", ["program", "first seed", "seeds", "failed",
                                                  "seeds/s"], rows))


def problems_part(result):
    problems = result.get("problems", [])
    if not problems:
        return None
    counts = {}
    for p in problems:
        counts[p["what"]] = counts.get(p["what"], 0) + 1
    items = [el("li", None, what + (f" ({n} times)" if n > 1 else ""))
             for what, n in counts.items()]
    return section("problems", "What could not be done", el("ul", None, *items))


def timelines_part(result, rounds):
    if not rounds:
        return None
    unavailable = [entry.get("unavailable", []) for entry in result["rounds"]]
    parts = [round_part(number, entry, seen, gaps, result["violations"])
             for number, (entry, seen, gaps)
             in enumerate(zip(result["rounds"], rounds, unavailable), 1)]
    note = ("One row for each target: bars are faults, the thin line below them says who led, with "
            "its term. Shaded: nobody was served. Below, each kind of operation by the second: "
            "height is what succeeded, red is what failed, orange is what nobody knows; what must "
            "be denied is not drawn. Point at anything for its name; + and − zoom.")
    return section("timelines", "Timelines", el("p", None, note), *parts)


def round_part(number, entry, seen, gaps, violations):
    title = f"Round {number}: seed {entry.get('seed', '?')}"
    mine = [v for v in violations if v.get("round") == number]
    if seen.start == seen.end:
        return el("article", None, el("h3", None, title), el("p", None, "It has no history."))
    labels, drawing = page_chart.timeline(seen, gaps, mine)
    lost = f" {seen.lost_lines} lines of its history could not be read." if seen.lost_lines else ""
    rows = [[f["name"], ", ".join(f["targets"]) or "–", clock(f["start"] - seen.start),
             clock(f["end"] - seen.start) if f["end"] is not None else "never"]
            for f in seen.faults]
    return el(
        "article", {"class": "round"}, el("h3", {"id": f"round-{number}"}, title),
        el("p", None, f"{clock(seen.end - seen.start)} long, "
           f"{counted(len(seen.faults), 'fault')}, {counted(len(seen.generations), 'manifest')}, "
           f"{counted(max(len(seen.leaders) - 1, 0), 'change')} of leader, "
           f"{counted(len(mine), 'violation')}.{lost}"),
        el("p", {"class": "tools", "hidden": "hidden"},
           el("button", {"type": "button", "data-zoom": "0.5"}, "−"),
           el("button", {"type": "button", "data-zoom": "2"}, "+"),
           el("output", {"aria-live": "off"}, "")),
        el("div", {"class": "timeline"}, labels,
           el("div", {"class": "scroll", "tabindex": "0", "role": "region",
                      "aria-label": f"Timeline of round {number}; keys + and - zoom, arrows move",
                      "data-length": f"{(seen.end - seen.start) / 1e9:.3f}"}, drawing)),
        el("details", None, el("summary", None, f"Faults of round {number} as a table"),
           data_table(f"Faults of round {number}", ["fault", "targets", "from", "to"], rows, 2)))


# --- The whole


def file_text(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return f.read()


def inline(tag, text):
    """A style or script as HTML and XML both read it, and the hash that permits it."""
    if "]]>" in text or f"</{tag}" in text:
        raise ValueError(f"{tag}: cannot stand inside a page")
    body = f"/*<![CDATA[*/\n{text}/*]]>*/"
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    return Markup(f"<{tag}>{body}</{tag}>"), f"'sha256-{digest}'"


def facts(result):
    machine = result.get("machine") or {}
    pairs = [("build", result.get("build", "unknown")), ("seed", result["seed"]),
             ("minutes", result.get("minutes", "?")), ("rounds", len(result["rounds"])),
             ("begun", result.get("started", "?")),
             *((str(name), value) for name, value in machine.items()),
             ("again", result.get("reproduce", "–"))]
    return el("dl", None, *(el("div", None, el("dt", None, name), el("dd", None, value))
                            for name, value in pairs))


def render(result, rounds):
    """The whole page."""
    style, style_hash = inline("style", file_text("page.css"))
    script, script_hash = inline("script", file_text("page.js"))
    policy = f"default-src 'none'; style-src {style_hash}; script-src {script_hash}"
    found = len(result["violations"])
    verdict = counted(found, "violation") if found else "no violation"
    if result.get("interrupted"):
        verdict += ", interrupted"
    head = el("head", None, el("meta", {"charset": "utf-8"}),
              el("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
              el("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
              el("meta", {"name": "color-scheme", "content": "light dark"}),
              el("title", None, f"Chaos run, seed {result['seed']}: {verdict}"), style)
    parts = [violations_part(result), faults_part(result), charts_part(result),
             timelines_part(result, rounds), operations_part(result), simulations_part(result),
             problems_part(result)]
    body = el("body", None, el("a", {"class": "skip", "href": "#violations"}, "To the result"),
              el("header", None, el("h1", None, f"Chaos run: {verdict}"), facts(result)),
              el("main", None, *(p for p in parts if p)), script)
    return f"<!DOCTYPE html>\n{el('html', {'lang': 'en'}, head, body)}\n"
