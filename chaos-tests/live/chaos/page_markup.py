"""Elements that are HTML and XML at once; every text is escaped on its way in.

    el("p", {"class": "note"}, "a < b", el("br"))

There is no other way to make markup, so a hostile name cannot become one.

SPDX-License-Identifier: Apache-2.0
"""

import html
import re

VOID = ("meta", "br")


class Markup(str):
    """Text that el() made: not escaped again."""


def escape(text):
    """For content and quoted attributes; what XML cannot hold becomes a replacement mark."""
    legal = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", str(text))
    return html.escape(legal, quote=True)


def el(tag, attributes=None, *children):
    """An element; children are escaped unless el() made them, None is left out."""
    head = "".join(f' {name}="{escape(value)}"' for name, value in (attributes or {}).items()
                   if value is not None)
    if tag in VOID:
        return Markup(f"<{tag}{head}/>")
    body = "".join(c if isinstance(c, Markup) else escape(c) for c in children if c is not None)
    return Markup(f"<{tag}{head}>{body}</{tag}>")


def group(*children):
    return Markup("".join(children))


def ms(value):
    """A duration with its unit, three digits that matter."""
    if value is None:
        return "–"
    if value < 10:
        return f"{value:.2g} ms"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.3g} s"


def clock(ns):
    """Minutes and seconds from the beginning of a round."""
    seconds = max(ns, 0) / 1e9
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def counted(count, noun):
    return f"{count} {noun}" + ("" if count == 1 else "s")
