"""``python -m bench``: scenario by scenario all servers are started, checked, and loaded in turn (A B C A B C …).

Progress goes to stderr, the tables to stdout. A full run writes ``bench/results/latest.json`` and the chart; a part of
one (``--only``, ``--peers``, ``--quick``) writes only where ``--json`` and ``--chart`` say. Exit status: 0; 1 if a
server answered wrongly or made errors; 2 for a wrong command line or no wrk; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import chart, console, peers, report, scenarios
from bench.measure import Sample, measure
from bench.peers import Peer
from bench.report import Trial
from bench.scenarios import Scenario
from bench.stage import Running, Stage

JSON = Path("bench/results/latest.json")
CHART = Path("docs/images/bench.svg")
WARM = 1
"""Seconds each server is loaded before its first round of a trial."""
SET_UP = 2.0
"""Seconds that starting and ending one scenario's servers takes, about: for the estimate only."""


class Run:
    """One run: what was measured so far, and what was left out and why.

    :ivar plan: rounds, and seconds of each.
    :ivar say: told every step.
    """

    def __init__(self, plan: tuple[int, int], warm: int, say: Callable[[str], None]) -> None:
        self.rounds, self.seconds = plan
        self.warm = warm
        self.say = say
        self.trials: list[Trial] = []
        self.left_out: list[dict[str, Any]] = []

    def estimate(self, wanted: Sequence[Scenario], servers: Sequence[Peer]) -> float:
        """Return about how many seconds :meth:`go` will take."""
        per_trial = self.rounds * (self.seconds + 0.1) + self.warm
        taking_part = [(each, sum(each.kind in peer.kinds for peer in servers)) for each in wanted]
        return sum(SET_UP + count * len(each.connections) * per_trial for each, count in taking_part if count)

    def go(self, stage: Stage, wanted: Sequence[Scenario], servers: Sequence[Peer]) -> None:
        """Measure every scenario on the servers that take part in it."""
        for scenario in wanted:
            parts = [peer for peer in servers if scenario.kind in peer.kinds]
            if not parts:
                continue
            self.say(f"{scenario.name}: starting {', '.join(peer.name for peer in parts)}")
            with stage.started(parts, scenario) as running:
                for server in running:
                    if server.why:
                        self._drop(server, scenario)
                for connections in scenario.connections:
                    self._trial(Trial(scenario, connections), [server for server in running if not server.why])
                for server in running:
                    if not server.why and (wrong := server.check(scenario)):
                        server.why = f"after the load: {wrong}"
                        self._drop(server, scenario)

    def _trial(self, trial: Trial, servers: Sequence[Running]) -> None:
        self.trials.append(trial)
        for number in range(self.rounds + 1):
            seconds = self.seconds if number else self.warm
            for server in servers:
                if server.why or not seconds:
                    continue
                step = f"round {number}/{self.rounds}" if number else "warm-up"
                where = f"{trial.scenario.name} @{trial.connections} {step} {server.peer.name}"
                sample = self._sample(server, trial, seconds)
                if sample is None:
                    self._drop(server, trial.scenario)
                    continue
                faults = f", {sample.errors} errors, {sample.wrong} wrong" if sample.errors or sample.wrong else ""
                self.say(f"{where}: {sample.rate:,.0f} req/s, {sample.cpu_us:.1f} µs CPU each{faults}")
                if number:
                    trial.samples.setdefault(server.peer, []).append(sample)
        if trial.samples:
            print(f"\n{report.table(report.as_dict(trial))}\n", flush=True)

    def _sample(self, server: Running, trial: Trial, seconds: int) -> Sample | None:
        """Load a server once; None (and ``server.why``) if that failed."""
        try:
            return measure(server.url(trial.scenario), server.pids(), trial.scenario, (trial.connections, seconds))
        except (ValueError, subprocess.TimeoutExpired) as error:
            server.why = f"the load failed: {error}"
            return None
        finally:
            server.trim()
            server.ended()

    def _drop(self, server: Running, scenario: Scenario) -> None:
        self.say(f"{scenario.name}: WITHOUT {server.peer.name}: {server.why}")
        for entry in self.left_out:
            if (entry["server"], entry["why"]) == (server.peer.name, server.why):
                entry["scenarios"].append(scenario.name)
                return
        self.left_out.append({"server": server.peer.name, "why": server.why, "scenarios": [scenario.name]})
        if output := server.output():
            self.say("    " + output.replace("\n", "\n    "))

    def failed(self) -> bool:
        """Tell whether any server made errors, or was left out for another reason than not being installed."""
        samples = [sample for trial in self.trials for each in trial.samples.values() for sample in each]
        faults = any(sample.errors or sample.wrong for sample in samples)
        return faults or any(not entry["why"].startswith(peers.NOT_INSTALLED) for entry in self.left_out)


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line. Exits with status 2 if it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="tinfront side by side with its peers.")
    parser.add_argument("--rounds", type=console.positive, default=3, help="alternating rounds (default: %(default)s)")
    parser.add_argument("--seconds", type=console.positive, default=4, help="of load per round (default: %(default)s)")
    names = ", ".join(scenario.name for scenario in scenarios.SCENARIOS)
    parser.add_argument("--only", type=console.words, default=[], metavar="SCENARIO,…", help=names)
    parser.add_argument("--peers", type=console.words, default=[], metavar="PEER,…", help=", ".join(peers.words()))
    parser.add_argument("--quick", action="store_true", help="one round of one second, no warm-up")
    parser.add_argument("--json", type=Path, metavar="PATH", help=f"write the numbers there (full run: {JSON})")
    parser.add_argument("--chart", type=Path, metavar="PATH", help=f"draw the chart there (full run: {CHART})")
    parser.add_argument("--draw", type=Path, metavar="JSON", help="measure nothing, draw the chart of these numbers")
    options = parser.parse_args(argv)
    try:
        options.scenarios = scenarios.chosen(options.only)
        options.servers = peers.chosen(options.peers)
    except ValueError as error:
        parser.error(str(error))
    if options.quick:
        options.rounds = options.seconds = 1
    elif not options.only and not options.peers:
        options.json = options.json or JSON
        options.chart = options.chart or CHART
    return options


def main(argv: Sequence[str]) -> int:
    """Run the bench. Returns the exit status."""
    options = arguments(argv)
    if options.draw is not None:
        console.write(options.chart or CHART, chart.draw(json.loads(options.draw.read_text())))
        return 0
    if peers.find("wrk") is None:
        print("bench: wrk is not installed (Debian: apt-get install wrk, or make bench-setup)", file=sys.stderr)
        return 2
    run = Run((options.rounds, options.seconds), 0 if options.quick else WARM, console.teller())
    run.say(f"about {run.estimate(options.scenarios, options.servers) / 60:.1f} minutes")
    signal.signal(signal.SIGTERM, console.terminated)
    try:
        with Stage(options.scenarios) as stage:
            run.go(stage, options.scenarios, options.servers)
    except KeyboardInterrupt:
        print("bench: interrupted; all servers are ended", file=sys.stderr)
        return 130
    told = report.document(run.trials, peers.versions(), (options.rounds, options.seconds), run.left_out)
    if options.json is not None:
        report.write(options.json, told)
        run.say(f"wrote {options.json}")
    if options.chart is not None:
        console.write(options.chart, chart.draw(told))
        run.say(f"drew {options.chart}")
    return int(run.failed())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
