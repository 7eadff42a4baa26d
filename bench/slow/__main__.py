"""``python -m bench.slow``: the scenarios one after the other, each with its table as soon as it is done.

Progress goes to stderr, the tables to stdout. A full run writes ``bench/results/slow.json`` and the chart; a part of
one writes only where ``--json`` and ``--chart`` say. Exit status: 0; 1 if a figure of tinfront's is out of reach; 2 for
a wrong command line or no wrk; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import app, console, peers
from bench.report import machine, write
from bench.slow import beside, burst, chart, memory, overload, report, soak
from bench.slow.crowd import raise_limit
from bench.slow.servers import NAMES, servers
from bench.stage import Stage

JSON = Path("bench/results/slow.json")
CHART = Path("docs/images/bench-slow.svg")
SCENARIOS = ("beside", "memory", "burst", "overload", "soak")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.slow", description="What slow clients do to a server.")
    parser.add_argument(
        "--rounds", type=console.positive, default=4, help="default: %(default)s; twice that for tinfront"
    )
    parser.add_argument("--seconds", type=console.positive, default=10, help="of load per round (default: %(default)s)")
    parser.add_argument("--clients", type=console.positive, default=5000, help="slow ones (default: %(default)s)")
    parser.add_argument("--kinds", type=console.words, default=(), help=", ".join(kind.name for kind in beside.KINDS))
    parser.add_argument("--overload", type=console.positive, default=30, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument("--soak", type=console.positive, default=600, metavar="SECONDS", help="default: %(default)s")
    parser.add_argument("--bursts", type=_numbers, default=(3000, 10000), metavar="N,…", help="default: 3000,10000")
    parser.add_argument("--only", type=console.words, default=(), metavar="SCENARIO,…", help=", ".join(SCENARIOS))
    parser.add_argument("--peers", type=console.words, default=(), metavar="PEER,…", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true", help="everything small: a look at whether it works")
    parser.add_argument("--json", type=Path, metavar="PATH", help=f"write the numbers there (full run: {JSON})")
    parser.add_argument("--chart", type=Path, metavar="PATH", help=f"draw the chart there (full run: {CHART})")
    parser.add_argument("--draw", type=Path, metavar="JSON", help="measure nothing, draw the chart of these numbers")
    options = parser.parse_args(argv)
    for given, known in (
        (options.only, SCENARIOS),
        (options.peers, NAMES),
        (options.kinds, [kind.name for kind in beside.KINDS]),
    ):
        if unknown := [word for word in given if word not in known]:
            parser.error(f"unknown: {', '.join(unknown)} (there are: {', '.join(known)})")
    if options.quick:
        options.rounds, options.seconds, options.clients = 1, 1, 200
        options.overload, options.soak, options.bursts = 4, 10, (200,)
    elif not (options.only or options.peers or options.kinds):
        options.json = options.json or JSON
        options.chart = options.chart or CHART
    return options


def run(stage: Stage, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the scenarios that are wanted. Returns the document."""
    wanted = options.only or SCENARIOS
    one, many = servers(options.peers), servers(options.peers, threads=overload.THREADS)
    told: dict[str, Any] = {}
    if "beside" in wanted:
        told["beside"] = []
        plan = (options.rounds, options.seconds, options.clients)
        for kind in beside.KINDS:
            if options.kinds and kind.name not in options.kinds:
                continue
            entry = {"name": kind.name, "title": kind.title, "tls": kind.tls}
            entry["servers"] = list(beside.measure(stage, kind, one, plan, say))
            told["beside"].append(entry)
            console.show(report.beside(entry))
    if "memory" in wanted:
        told["memory"] = list(memory.measure(stage, one, options.clients, say))
        console.show(report.memory(told["memory"]))
    if "burst" in wanted:
        told["burst"] = [each for size in options.bursts for each in burst.measure(stage, one, size, say)]
        console.show(report.burst(told["burst"]))
    if "overload" in wanted:
        told["overload"] = list(overload.measure(stage, many, options.overload, say))
        console.show(report.overload(told["overload"]))
    if "soak" in wanted:
        told["soak"] = list(soak.measure(stage, one[:1], options.soak, say))
        console.show(report.soak(told["soak"]))
    return told


def main(argv: Sequence[str]) -> int:
    """Run the bench. Returns the exit status."""
    options = arguments(argv)
    if options.draw is not None:
        console.write(options.chart or CHART, chart.draw(json.loads(options.draw.read_text())))
        return 0
    if peers.find("wrk") is None:
        print("bench: wrk is not installed (Debian: apt-get install wrk, or make bench-setup)", file=sys.stderr)
        return 2
    say = console.teller()
    say(f"{raise_limit()} descriptors a process")
    signal.signal(signal.SIGTERM, console.terminated)
    try:
        with Stage((beside.HELLO,)) as stage:
            (stage.www / "static" / "5m.bin").write_bytes(app.LARGE)
            told = report.head(options, machine(), peers.versions()) | run(stage, options, say)
    except KeyboardInterrupt:
        print("bench: interrupted; all servers are ended", file=sys.stderr)
        return 130
    told["verdict"] = report.verdict(told)
    console.show(report.verdict_table(told["verdict"]))
    if options.json is not None:
        write(options.json, told)
        say(f"wrote {options.json}")
    if options.chart is not None and told.get("beside"):
        console.write(options.chart, chart.draw(told))
        say(f"drew {options.chart}")
    return int(not all(row["reached"] for row in told["verdict"]))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(console.positive(word) for word in text.split(","))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
