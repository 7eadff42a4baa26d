"""The chart of the README: the run's JSON as one SVG, by hand, so that drawing needs nothing installed.

A panel for static files, one for WSGI, one for memory; a group of bars per trial, to its own scale, with the number,
the CPU time per request, and how many times the peer's number tinfront's is. The picture brings its own background,
light or dark as the reader's system is, and uses plain classes only, which every SVG viewer knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

WIDTH, MARGIN, GUTTER = 960, 28, 40
PANEL = (WIDTH - 2 * MARGIN - GUTTER) // 2
LABEL, BAR = 132, 138
RATIO = 62
ROW, THICK, HEAD, GAP, BLOCK = 21, 13, 25, 13, 6
TOP, SECTION = 118, 44
NAMES = {"uwsgi": "uWSGI"}
TIMES = "\N{MULTIPLICATION SIGN}"

LIGHT = {
    ".card": "fill: #ffffff; stroke: #d0d7de",
    ".text": "fill: #1f2328",
    ".quiet": "fill: #656d76",
    ".rule": "stroke: #d8dee4",
    ".ours": "fill: #0d9488",
    ".theirs": "fill: #b6bfc8",
    ".better": "fill: #0f766e",
    ".worse": "fill: #9a6700",
}
DARK = {
    ".card": "fill: #0d1117; stroke: #30363d",
    ".text": "fill: #e6edf3",
    ".quiet": "fill: #8d96a0",
    ".rule": "stroke: #30363d",
    ".ours": "fill: #2dd4bf",
    ".theirs": "fill: #4d5661",
    ".better": "fill: #5eead4",
    ".worse": "fill: #d8a23a",
}
FIXED = """\
text { font: 12px system-ui, -apple-system, "Segoe UI", "Liberation Sans", "DejaVu Sans", sans-serif }
.title { font-size: 20px; font-weight: 600 }
.panel { font-size: 14px; font-weight: 600 }
.strong { font-weight: 600 }
.light { font-weight: 400 }
.small { font-size: 11px }
.end { text-anchor: end }
"""


class Measure(NamedTuple):
    """What a panel's bars show: a value of the medians, its unit, whether more is better, whether CPU stands beside."""

    value: str
    unit: str
    more: bool
    cpu: bool


RATE = Measure("rate", "requests/s", more=True, cpu=True)
MEMORY = Measure("pss_mb", "MB, shared pages counted once", more=False, cpu=False)


def draw(told: Mapping[str, Any]) -> str:
    """Return the SVG text for a run's document (see ``report.document``)."""
    trials = told["scenarios"]
    static = [trial for trial in trials if trial["kind"] == "static"]
    wsgi = [trial for trial in trials if trial["kind"] == "wsgi"]
    parts: list[str] = []
    left = right = TOP
    if static:
        parts += _heading(MARGIN, left, "Static files", RATE)
        left = _groups(parts, MARGIN, left, static, RATE)
    if wsgi:
        parts += _heading(MARGIN + PANEL + GUTTER, right, "WSGI", RATE)
        right = _groups(parts, MARGIN + PANEL + GUTTER, right, wsgi, RATE)
        left += SECTION if static else 0
        parts += _heading(MARGIN, left, "Memory", MEMORY)
        left = _groups(parts, MARGIN, left, [max(wsgi, key=lambda trial: trial["connections"])], MEMORY)
    footer, height = _footer(told, max(left, right))
    return "\n".join([*_opening(told, height), *parts, *footer, "</svg>\n"])


def _opening(told: Mapping[str, Any], height: int) -> list[str]:
    """Return the lines down to the first panel: size, names for screen readers, styles, background, title."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title desc">',
        '<title id="title">tinfront beside its peers: requests per second</title>',
        f'<desc id="desc">{escape(_description(told))}</desc>',
        f"<style>\n{FIXED}{_rules(LIGHT)}@media (prefers-color-scheme: dark) {{\n{_rules(DARK)}}}\n</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        _text(MARGIN, 42, "tinfront beside its peers", "title text"),
        _text(MARGIN, 64, _method(told), "quiet"),
    ]


def _heading(left: int, y: int, heading: str, measure: Measure) -> list[str]:
    """Return a panel's heading with the names of its columns, and the rule below, which is just above ``y``."""
    right = left + PANEL
    return [
        _text(left, y - 16, heading, "panel text"),
        _text(left + LABEL, y - 16, measure.unit, "quiet small"),
        _text(right - RATIO, y - 16, "CPU µs each" if measure.cpu else "", "quiet small end"),
        _text(right, y - 16, "tinfront is", "quiet small end"),
        f'<line class="rule" x1="{left}" y1="{y - 7.5}" x2="{right}" y2="{y - 7.5}"/>',
    ]


def _groups(parts: list[str], left: int, y: int, trials: Sequence[Mapping[str, Any]], measure: Measure) -> int:
    """Add a panel's trials to ``parts``. Returns where the panel ends."""
    for trial in trials:
        lines, y = _group(left, y + 2, trial, measure)
        parts += lines
    return y


def _group(left: int, y: int, trial: Mapping[str, Any], measure: Measure) -> tuple[list[str], int]:
    """Return the bars of one trial, each as long as its part of the longest, and where the next trial begins."""
    limit = " (the client is the limit: see CPU)" if trial["limited_by_load"] and measure.cpu else ""
    where = f'<tspan class="quiet light">, {trial["connections"]} connections{limit}</tspan>'
    parts = [f'<text x="{left}" y="{y + 15}" class="text strong">{escape(trial["title"])}{where}</text>']
    y += HEAD
    most = max(server["median"][measure.value] for server in trial["servers"]) or 1.0
    for number, server in enumerate(trial["servers"]):
        ours = server["name"].startswith("tinfront")
        y += BLOCK if ours and number else 0
        parts += _row(left, y, server, measure, BAR / most)
        y += ROW
    return parts, y + GAP


def _row(left: int, y: int, server: Mapping[str, Any], measure: Measure, scale: float) -> list[str]:
    """Return one server's name, bar and numbers; ``scale`` is the pixels of one unit."""
    ours = server["name"].startswith("tinfront")
    name, bar = ("text strong", "ours") if ours else ("text", "theirs")
    value, cpu = server["median"][measure.value], server["median"]["cpu_us"]
    length, start, base = max(1.0, value * scale), left + LABEL, y + 10.5
    parts = [
        _text(left, base, server["label"], name),
        f'<rect class="{bar}" x="{start}" y="{y}" width="{length:.1f}" height="{THICK}" rx="2"/>',
        _text(start + length + 6, base, f"{value:,.0f}", name),
    ]
    if measure.cpu:
        parts.append(_text(left + PANEL - RATIO, base, f"{cpu:,.{0 if cpu >= 100 else 1}f}", "quiet end"))
    ratio = server.get("ratio", {}).get(measure.value)
    if ratio is not None:
        good = (ratio >= 1) == measure.more
        parts.append(_text(left + PANEL, base, times(ratio), f"{'better' if good else 'worse'} strong end"))
    return parts


def times(ratio: float) -> str:
    """Return a ratio as it is read: two figures after the point below 2, one below 10, none above."""
    return f"{ratio:.{2 if ratio < 1.995 else 1 if ratio < 9.95 else 0}f}{TIMES}"


def _footer(told: Mapping[str, Any], y: int) -> tuple[list[str], int]:
    versions = " · ".join(f"{NAMES.get(name, name)} {number}" for name, number in told["versions"].items())
    machine = told["machine"]
    place = f"{machine['cpu']}, {machine['cores']} cores · {machine['kernel']} · Python {machine['python']}"
    texts = [f"{place} · {told['date'][:10]}", versions]
    if told["left_out"]:
        texts.append(
            "Left out: " + ", ".join(f"{entry['server']} ({entry['why']})" for entry in told["left_out"])[:150]
        )
    parts = [f'<line class="rule" x1="{MARGIN}" y1="{y + 0.5}" x2="{WIDTH - MARGIN}" y2="{y + 0.5}"/>']
    parts += [_text(MARGIN, y + 22 + 17 * number, text, "quiet small") for number, text in enumerate(texts)]
    return parts, y + 22 + 17 * len(texts)


def _method(told: Mapping[str, Any]) -> str:
    rounds, seconds = told["settings"]["rounds"], told["settings"]["seconds"]
    return (
        f"Medians of {rounds} alternating rounds of {seconds} s, browser-like requests, access logs on unless noted. "
        "Bars: each group to its own scale."
    )


def _description(told: Mapping[str, Any]) -> str:
    """Return the chart in words, for those who do not see it."""
    groups = []
    for trial in told["scenarios"]:
        rates = ", ".join(f"{server['label']} {server['median']['rate']:,.0f}" for server in trial["servers"])
        groups.append(f"{trial['title']}, {trial['connections']} connections: {rates}.")
    return "Requests per second. " + " ".join(groups)


def _rules(colours: Mapping[str, str]) -> str:
    return "".join(f"{selector} {{ {rule} }}\n" for selector, rule in colours.items())


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{classes}">{escape(text)}</text>'
