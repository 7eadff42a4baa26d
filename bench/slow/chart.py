"""The chart of the README: what a fast client gets while thousands of slow ones hang on, server by server.

One panel for each kind of slow client. The pale bar is the fast client alone, as long for each server; the full bar in
front of it is the same client beside the slow ones; the numbers are what it still gets. How fast the servers are is
the subject of ``bench.chart``, whose colours and lettering these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from bench.chart import DARK, FIXED, LIGHT, MARGIN, WIDTH

PANELS = ("idle", "heads", "uploads", "app-readers")
GUTTER = 48
PANEL = (WIDTH - 2 * MARGIN - GUTTER) // 2
LABEL, BAR = 120, 168
ROW, THICK, TOP, HEAD, GAP = 26, 15, 132, 34, 30
STILL = 0.02
"""Below this part of its throughput a server stands still."""

MORE_LIGHT = {".ours-pale": "fill: #99d9d3", ".theirs-pale": "fill: #e1e6eb", ".theirs-full": "fill: #7d8894"}
MORE_DARK = {".ours-pale": "fill: #17554f", ".theirs-pale": "fill: #2b323a", ".theirs-full": "fill: #7f8a96"}
BAD_LIGHT = {".bad": "fill: #b42318"}
BAD_DARK = {".bad": "fill: #ff7b72"}


def draw(told: Mapping[str, Any]) -> str:
    """Return the SVG text for a run's document."""
    entries = {entry["name"]: entry for entry in told["beside"] if any("ratio" in each for each in entry["servers"])}
    shown = [entries[name] for name in PANELS if name in entries] or list(entries.values())[:4]
    parts: list[str] = []
    y = TOP
    for at in range(0, len(shown), 2):
        ends = []
        for number, entry in enumerate(shown[at : at + 2]):
            lines, end = _panel(MARGIN + number * (PANEL + GUTTER), y, entry)
            parts += lines
            ends.append(end)
        y = max(ends) + GAP
    footer, height = _footer(told, y - GAP // 2)
    return "\n".join([*_opening(told, shown, height), *parts, *footer, "</svg>\n"])


def _opening(told: Mapping[str, Any], shown: Sequence[Mapping[str, Any]], height: int) -> list[str]:
    light, dark = LIGHT | MORE_LIGHT | BAD_LIGHT, DARK | MORE_DARK | BAD_DARK
    count = f"{told['settings']['clients']:,}"
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' role="img" aria-labelledby="title desc">',
        f'<title id="title">Requests per second of a fast client beside {count} slow ones</title>',
        f'<desc id="desc">{escape(_description(shown))}</desc>',
        f"<style>\n{FIXED}{_rules(light)}@media (prefers-color-scheme: dark) {{\n{_rules(dark)}}}\n</style>",
        f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10"/>',
        _text(MARGIN, 42, f"What is left for a fast client while {count} slow ones hang on", "title text"),
        _text(
            MARGIN, 64, "Requests per second of a small WSGI answer; one core for the server and its workers.", "quiet"
        ),
        f'<rect class="theirs-pale" x="{MARGIN}" y="80" width="34" height="{THICK}" rx="2"/>',
        _text(MARGIN + 42, 92, "alone", "quiet"),
        f'<rect class="ours" x="{MARGIN + 92}" y="80" width="17" height="{THICK}" rx="2"/>',
        f'<rect class="theirs-full" x="{MARGIN + 109}" y="80" width="17" height="{THICK}" rx="2"/>',
        _text(MARGIN + 134, 92, "beside the slow clients; in per cent: what is left", "quiet"),
    ]


def _panel(left: int, y: int, entry: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return one kind of slow client, and where it ends."""
    servers = [server for server in entry["servers"] if "ratio" in server]
    count = max(server["clients"] for server in servers)
    where = f'<tspan class="quiet light">{count:,}</tspan> {escape(entry["title"])}'
    parts = [
        f'<text x="{left}" y="{y}" class="panel text">{where}</text>',
        f'<line class="rule" x1="{left}" y1="{y + 9.5}" x2="{left + PANEL}" y2="{y + 9.5}"/>',
    ]
    y += HEAD - 14
    for server in servers:
        parts += _row(left, y, server)
        y += ROW
    return parts, y


def _row(left: int, y: int, server: Mapping[str, Any]) -> list[str]:
    ours = server["name"].startswith("tinfront")
    name, pale, full = ("text strong", "ours-pale", "ours") if ours else ("text", "theirs-pale", "theirs-full")
    still = min(server["ratio"], 1.0)
    start, base = left + LABEL, y + 12
    parts = [
        _text(left, base, server["label"], name),
        f'<rect class="{pale}" x="{start}" y="{y}" width="{BAR}" height="{THICK}" rx="2"/>',
    ]
    end = left + PANEL
    if server["ratio"] < STILL:
        parts += [_text(end, base, "stands still", "bad strong end")]
        return parts
    parts += [
        f'<rect class="{full}" x="{start}" y="{y}" width="{still * BAR:.1f}" height="{THICK}" rx="2"/>',
        _text(end - 52, base, f"{server['with']['rate']:,.0f}", f"{name} end"),
        _text(end, base, f"{still:.0%}", "quiet strong end"),
    ]
    return parts


def _footer(told: Mapping[str, Any], y: int) -> tuple[list[str], int]:
    machine = told["machine"]
    versions = " · ".join(f"{name} {number}" for name, number in told["versions"].items() if name != "uwsgi")
    texts = [
        f"Medians over rounds of seconds with and without them, in turn; the server has a core to itself. "
        f"{told['date'][:10]}",
        f"{machine['cpu']}, {machine['cores']} cores · {machine['kernel']} · Python {machine['python']} · {versions}",
    ]
    parts = [f'<line class="rule" x1="{MARGIN}" y1="{y + 0.5}" x2="{WIDTH - MARGIN}" y2="{y + 0.5}"/>']
    parts += [_text(MARGIN, y + 22 + 17 * number, text, "quiet small") for number, text in enumerate(texts)]
    return parts, y + 22 + 17 * len(texts)


def _description(shown: Sequence[Mapping[str, Any]]) -> str:
    """Return the chart in words, for those who do not see it."""
    said = []
    for entry in shown:
        servers = ", ".join(
            f"{server['label']} {server['without']['rate']:,.0f} alone and {server['with']['rate']:,.0f} beside them"
            for server in entry["servers"]
            if "ratio" in server
        )
        said.append(f"{entry['title']}: {servers}.")
    return " ".join(said)


def _rules(colours: Mapping[str, str]) -> str:
    return "".join(f"{selector} {{ {rule} }}\n" for selector, rule in colours.items())


def _text(x: float, y: float, text: str, classes: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{classes}">{escape(text)}</text>'
