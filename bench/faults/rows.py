"""The faults, a row each: inject, and judge what came back."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench import peers
from bench.faults.load import Asker, Load, Tally, reason_of
from bench.faults.servers import GUNICORN, TINFRONT, Crew, Server, knows, started, write_app
from bench.stage import Stage

BOTH = (TINFRONT, GUNICORN)

NEWS = 8.0
"""Seconds after which new code that does not answer never will."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How one server fared.

    :ivar reached: None: it was not tried, and ``said`` tells why.
    """

    reached: bool | None
    said: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A fault.

    :ivar run: gets the stage, the server's name and the seconds it should last.
    """

    name: str
    title: str
    goal: str
    run: Callable[[Stage, str, float], Finding]
    servers: tuple[str, ...] = BOTH


def _numbers(tally: Tally, **more: Any) -> dict[str, Any]:
    counts = {"answered": tally.answered, "wrong": len(tally.wrong), "lost": len(tally.lost), "reset": len(tally.reset)}
    refused = {reason: len(names) for reason, names in tally.refused.items()}
    return counts | {"refused": refused, "worst_ms": round(tally.worst * 1000, 1)} | more


def _beats(seconds: float, every: float) -> Iterator[int]:
    """Count, evenly, for a while."""
    began = time.monotonic()
    for number in range(1, int(seconds / every) + 1):
        time.sleep(max(0.0, began + number * every - time.monotonic()))
        yield number


def _until(happened: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# --- killed workers


def kill_get(stage: Stage, name: str, seconds: float) -> Finding:
    """SIGKILL under GET: every request is answered."""
    tally, kills, _ = _killed(stage, name, seconds, "GET")
    return Finding(not tally.errors, f"{kills} kills, {tally.said()}", _numbers(tally, kills=kills))


def kill_post(stage: Stage, name: str, seconds: float) -> Finding:
    """SIGKILL under POST: a kill costs the one request that its worker had claimed, with an answer; none runs twice."""
    tally, kills, begun = _killed(stage, name, seconds, "POST")
    twice = sum(count > 1 for count in begun.values())
    others = [reason for reason in tally.refused if not reason.startswith("502")]
    bad = tally.wrong or tally.unanswered or others or twice or tally.refusals > kills
    said = f"{kills} kills, {tally.said()}" + (f", {twice} begun twice" if twice else "")
    return Finding(not bad, said, _numbers(tally, kills=kills, twice=twice))


def _killed(stage: Stage, name: str, seconds: float, method: str) -> tuple[Tally, int, Counter[str]]:
    log = stage.root / "begun"
    log.unlink(missing_ok=True)
    kills = 0
    with started(stage, name, Crew(env={"BENCH_BEGUN": str(log)})) as server:
        with Load(server.address, what=f"{method} /work") as load:
            for _ in _beats(seconds, 0.2):
                with contextlib.suppress(ProcessLookupError):
                    pid, _ = load.newest
                    if pid:
                        os.kill(pid, signal.SIGKILL)
                        kills += 1
            time.sleep(0.5)
        return load.tally, kills, Counter(log.read_text().split())


# --- new code


def reload(stage: Stage, name: str, seconds: float) -> Finding:
    """New code, a version a second: the last one answers, and nobody notices."""
    with started(stage, name, Crew()) as server:
        with Load(server.address) as load:
            if not _takes(server, load, 1):
                return Finding(None, "not supported: a reload does not load new code")
            for number in _beats(seconds, 1.0):
                server.put(number + 1)
                server.reload()
            last = int(seconds) + 1
            newest = _until(lambda: load.newest[1] == last, NEWS)
            time.sleep(0.5)
        tally = load.tally
    seen = len(tally.versions) - 1
    said = f"{last} reloads, {seen} versions seen, {tally.said()}" + ("" if newest else ", the last never answered")
    return Finding(newest and not tally.errors, said, _numbers(tally, reloads=last, versions=seen))


def reload_broken(stage: Stage, name: str, seconds: float) -> Finding:
    """Code that cannot be imported: the old code stays, and nobody notices."""
    with started(stage, name, Crew()) as server:
        with Load(server.address) as load:
            if not _takes(server, load, 1):
                return Finding(None, "not supported: a reload does not load new code")
            server.put(2, broken=True)
            done = server.reload()
            time.sleep(min(seconds, NEWS))
            keeps = load.answers
            alive = _until(lambda: load.answers > keeps and load.newest[1] == 1, NEWS)
        tally = load.tally
        told = "broken on purpose" in server.log() + (done.stdout + done.stderr if done is not None else "")
    said = tally.said() + ("" if alive else ", the old code is gone") + ("" if told else ", nobody says why")
    return Finding(alive and told and not tally.errors, said, _numbers(tally, told=told))


def _takes(server: Server, load: Load, version: int) -> bool:
    server.put(version)
    server.reload()
    return _until(lambda: load.newest[1] == version, NEWS)


# --- a new start on the same socket

_ACTIVATE = """\
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
if sys.argv[1] != "3":
    os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.execv(sys.argv[2], sys.argv[2:])
"""

_ACTIVATED = """\
[server]
access_log = off
[listen:web]
address = systemd:web
[site:bench]
default = yes
[route:bench /]
app = hello
[app:hello]
wsgi = app:application
path = .
workers = 2
"""


def restart(stage: Stage, _: str, seconds: float) -> Finding:
    """TERM under load, then a new start on the socket that systemd keeps open: nobody is reset."""
    home = stage.root / "activated"
    home.mkdir()
    write_app(home, 0)
    (home / "site.ini").write_text(_ACTIVATED)
    codes = []
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening, open(home / "log", "ab") as log:
        process = _activated(home, listening, log)
        try:
            with Load(listening.getsockname()) as load:
                for number in _beats(max(4.0, seconds), 4.0):
                    _until(lambda: load.newest[1] == number - 1, NEWS)  # noqa: B023 - called at once
                    write_app(home, number)
                    process.terminate()
                    codes.append(process.wait(60))
                    process = _activated(home, listening, log)
                fresh = _until(lambda: load.newest[1] == number, NEWS)
        finally:
            process.terminate()
            codes.append(process.wait(60))
    tally = load.tally
    said = f"{len(codes) - 1} restarts, {tally.said()}, exit codes {sorted({*codes})}, slowest {tally.worst:.1f} s"
    numbers = _numbers(tally, restarts=len(codes) - 1)
    return Finding(fresh and not tally.errors and not any(codes), said, numbers)


def _activated(home: Path, listening: socket.socket, log: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _ACTIVATE, str(listening.fileno()), peers.find("tinfront") or "tinfront"]
    return subprocess.Popen(
        [*command, "run", "site.ini"],
        cwd=home,
        env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"},
        pass_fds=[listening.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )


# --- stuck code


def spin(stage: Stage, name: str, seconds: float) -> Finding:
    """A thread in ``while True``."""
    return _stuck(stage, name, seconds, "/spin")


def native(stage: Stage, name: str, seconds: float) -> Finding:
    """A thread in C code that keeps the interpreter's lock."""
    return _stuck(stage, name, seconds, "/native")


_STACK = re.compile(r"\bapp\.py.*\bapplication\b|File .*app\.py.*line \d+ in application")


def _stuck(stage: Stage, name: str, seconds: float, path: str) -> Finding:
    limit = 2.0
    with started(stage, name, Crew(threads=4, timeout=limit)) as server:
        with Load(server.address, 8) as load:
            _until(lambda: load.answers > 100, NEWS)
            began = time.monotonic()
            with contextlib.closing(Asker(server.address)) as asker:
                try:
                    answer = reason_of(*asker.ask(path, "stuck"))
                except OSError as error:
                    answer = "no answer" if isinstance(error, TimeoutError) else "reset"
            took = time.monotonic() - began
            time.sleep(max(2.0, min(seconds, 4.0)))
        tally = load.tally
        stacks = _until(lambda: _STACK.search(server.log()) is not None, limit)
    on_time = answer.startswith("504") and abs(took - limit) <= 0.5
    said = f"{answer} after {took:.1f} s, {'stack' if stacks else 'no stack'} in the log; others: {tally.said()}"
    reached = on_time and stacks and not tally.errors
    return Finding(reached, said, _numbers(tally, answer=answer, after_s=round(took, 2), stacks=stacks))


# --- memory


def leak(stage: Stage, name: str, seconds: float) -> Finding:
    """10 MB a request, 40 requests a second, for ever."""
    crew = Crew(more="max_rss = 200m")
    if not knows(stage, crew):
        return Finding(None, "not supported: there is no option max_rss")
    most = 0.0
    with started(stage, name, crew) as server:
        with Load(server.address, 4, "GET /leak", pause=0.1) as load:
            for _ in _beats(seconds, 0.1):
                most = max(most, server.pss_mb())
        tally = load.tally
    leaked = tally.answered * 10
    said = f"{leaked / 1000:.1f} GB leaked, at most {most:.0f} MB held, {tally.said()}"
    return Finding(most < 1200 and not tally.errors, said, _numbers(tally, most_mb=round(most), leaked_mb=leaked))


def sharing(stage: Stage, _: str, seconds: float) -> Finding:
    """8 workers with 300 MB of objects each: how much of it is theirs alone, and how soon a dead one is replaced."""
    crew = {"workers": 8, "env": {"BENCH_HEAP": "300"}}
    ours = _touched(stage, TINFRONT, Crew(**crew))
    apart = _touched(stage, TINFRONT, Crew(**crew, preload=False))
    refork = _refork(stage, Crew(workers=1, env=crew["env"]), max(3, int(seconds / 4)))
    share = ours / apart
    said = f"{ours:.0f} MB, {share:.2f} of {apart:.0f} MB of separate imports; a re-fork takes {refork * 1000:.0f} ms"
    numbers = {"shared_mb": ours, "separate_mb": apart, "share": round(share, 3), "refork_ms": round(refork * 1000, 1)}
    return Finding(share <= 0.4 and refork <= 0.1, said, numbers)


def _touched(stage: Stage, name: str, crew: Crew) -> float:
    """PSS in MB once every worker has answered often."""
    with started(stage, name, crew) as server:
        with Load(server.address, 16, "GET /touch") as load:
            _until(lambda: load.answers > 100 * crew.workers, 60.0)
        return round(server.pss_mb())


def _refork(stage: Stage, crew: Crew, times: int) -> float:
    """Seconds from the death of the only worker to the answer of the next one: the median."""
    took = []
    with started(stage, TINFRONT, crew) as server, contextlib.closing(Asker(server.address)) as asker:
        for number in range(times):
            _, body = asker.ask("/work", f"id-{number}")
            time.sleep(1.0)
            began = time.monotonic()
            os.kill(int(body.split()[1]), signal.SIGKILL)
            asker.ask("/work", f"again-{number}")
            took.append(time.monotonic() - began)
    return median(took)


ROWS = (
    Row("kill-get", "a worker killed every 200 ms, GET", "0 wrong, 0 lost, 0 errors", kill_get),
    Row("kill-post", "a worker killed every 200 ms, POST", "all answered; 502 only for those claimed", kill_post),
    Row("reload", "new code every second", "0 errors of any kind", reload),
    Row("reload-broken", "new code that cannot be imported", "0 errors, the old code answers", reload_broken),
    Row("restart", "TERM, a new start on systemd's socket", "0 resets", restart, (TINFRONT,)),
    Row("spin", "a thread in while True", "504 in 2 s ± 0.5 s, others unaffected", spin),
    Row("native", "a thread in C that keeps the lock", "504 in 2 s ± 0.5 s, others unaffected", native),
    Row("leak", "10 MB leaked a request", "at most 1.2 GB, 0 errors", leak, (TINFRONT,)),
    Row("sharing", "300 MB of objects, 8 workers", "≤ 0.4 of separate imports; re-fork ≤ 100 ms", sharing, (TINFRONT,)),
)
