"""``python -m bench.faults``: row by row, server by server, then the table.

Progress goes to stderr, the table to stdout. A full run writes ``bench/results/faults.json``. Exit status: 0; 1 if
tinfront missed a goal; 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench import peers, report
from bench.faults.rows import ROWS, Finding, Row
from bench.faults.servers import TINFRONT, Absent
from bench.stage import Stage

JSON = Path("bench/results/faults.json")
SECONDS = 20.0
"""How long each fault lasts."""

Results = list[tuple[Row, str, Finding]]


def run(rows: Sequence[Row], seconds: float) -> Results:
    """Try them all."""
    results = []
    with Stage([]) as stage:
        for row in rows:
            for server in row.servers:
                try:
                    finding = row.run(stage, server, seconds)
                except Absent as error:
                    finding = Finding(None, str(error))
                print(f"{row.name}, {server}: {verdict(finding)}: {finding.said}", file=sys.stderr, flush=True)
                results.append((row, server, finding))
    return results


def verdict(finding: Finding) -> str:
    """One word."""
    return "-" if finding.reached is None else "reached" if finding.reached else "MISSED"


def table(results: Results) -> str:
    """The findings as lines of text, a block for each fault."""
    lines, shown = [], None
    for row, server, finding in results:
        if row is not shown:
            lines.append(f"{row.title}: {row.goal}")
            shown = row
        lines.append(f"  {server:<17} {verdict(finding):<8} {finding.said}")
    return "\n".join(lines)


def document(results: Results, seconds: float) -> dict[str, object]:
    """What is written to the JSON file."""
    found = [{"fault": row.name, "goal": row.goal, "server": server} | asdict(each) for row, server, each in results]
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    about = {"date": now, "seconds": seconds, "machine": report.machine(), "versions": peers.versions()}
    return {**about, "findings": found}


def main(argv: Sequence[str]) -> int:
    """Run the fault bench. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__.partition("\n")[0])
    names = [row.name for row in ROWS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="FAULT", help=", ".join(names))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each fault (default: %(default)g)")
    parser.add_argument("--json", type=Path, help=f"write the findings there (full run: {JSON})")
    options = parser.parse_args(argv)
    results = run([row for row in ROWS if row.name in options.only], options.seconds)
    print(table(results))
    path = options.json or (JSON if options.only == names and options.seconds == SECONDS else None)
    if path is not None:
        report.write(path, document(results, options.seconds))
    return int(any(server == TINFRONT and finding.reached is False for _, server, finding in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
