"""Who is tried: tinfront, and nginx + gunicorn, with the settings of the other bench and what a row adds to them.

``rows`` starts one server at a time, with :func:`started`, and asks it for what both can do: load new code, end, show
its log and its memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import peers
from bench.faults.load import Address
from bench.measure import memory_mb, processes, tree
from bench.peers import Peer, Place
from bench.scenarios import SCENARIOS
from bench.stage import Running, Stage, free_ports, stop

TINFRONT, GUNICORN = "tinfront", "nginx + gunicorn"

START = 60.0
"""Seconds a server may take to answer its first request: with eight heaps to make it needs some."""

_BY_NAME = {peer.name: peer for peer in peers.PEERS}
_HELLO = next(scenario for scenario in SCENARIOS if scenario.name == "hello")


@dataclasses.dataclass(frozen=True, slots=True)
class Crew:
    """How an app is to be run, in words that both sides understand.

    :ivar env: of the workers.
    :ivar more: lines that only tinfront has.
    """

    workers: int = 2
    threads: int = 1
    timeout: float = 30.0
    preload: bool = True
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    more: str = ""

    def for_tinfront(self) -> str:
        """Lines of ``[app:NAME]``."""
        lines = [f"workers = {self.workers}", f"threads = {self.threads}", f"timeout = {int(self.timeout * 1000)}ms"]
        lines += [] if self.preload else ["preload = no"]
        lines += ["env ="] + [f"    {name}={value}" for name, value in self.env.items()] if self.env else []
        return "\n".join([*lines, self.more, ""])

    def for_gunicorn(self) -> str:
        """Lines of its file, in Python."""
        kind = "gthread" if self.threads > 1 else "sync"
        return (
            f"workers = {self.workers}\nthreads = {self.threads}\nworker_class = {kind!r}\n"
            f"timeout = {max(1, round(self.timeout))}\n"
            f"raw_env = {[f'{name}={value}' for name, value in self.env.items()]!r}\n"
        )


class Server:
    """One that runs.

    :ivar name: ``TINFRONT`` or ``GUNICORN``.
    """

    def __init__(self, name: str, running: Running) -> None:
        self.name = name
        self._running = running
        self._place = running.place

    @property
    def address(self) -> Address:
        """Where it is asked."""
        return "127.0.0.1", self._place.http

    def put(self, version: int, broken: bool = False) -> None:
        """Put new code in the place of the old."""
        write_app(self._place.app, version, broken)

    def reload(self) -> subprocess.CompletedProcess[str] | None:
        """Ask for the new code, as its operators do."""
        if self.name == GUNICORN:
            self._running.leaders[0].send_signal(signal.SIGHUP)
            return None
        command = [peers.find("tinfront") or "tinfront", "reload", str(self._place.work / "tinfront.ini")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def pss_mb(self) -> float:
        """Proportional memory of the whole tree."""
        return memory_mb(tree(self._running.pids(), processes()))[0]

    def log(self) -> str:
        """What it has printed and logged."""
        paths = [self._place.work / name for name in ("output.log", "error.log")]
        return "\n".join(path.read_text(errors="replace") for path in paths if path.exists())


def write_app(directory: Path, version: int, broken: bool = False) -> None:
    """Write the application: a size of its own for each version, for clocks are coarse."""
    text = Path(__file__).with_name("app.py").read_text("utf-8")
    line = f"VERSION = {version}  # {'=' * (version % 1000)}"
    text = text.replace("VERSION = 0", line + ("\nraise ImportError('broken on purpose')" if broken else ""), 1)
    fresh = directory / "app.py.new"
    fresh.write_text(text, "utf-8")
    os.replace(fresh, directory / "app.py")


def tinfront_ini(place: Place, crew: Crew) -> str:
    """The text of its file: the other bench's, a control socket, and the row's lines for the app."""
    text = place.fill(peers.TINFRONT).replace("[server]\n", "[server]\ncontrol = control\n", 1)
    return text + place.fill(peers.TINFRONT_APP, mode="prefork") + crew.for_tinfront()


def knows(stage: Stage, crew: Crew) -> bool:
    """Whether this tinfront has these options."""
    work = stage.root / "check"
    work.mkdir(exist_ok=True)
    place = Place(work, stage.www, stage.app, stage.certificate, stage.key, 8080, 8443)
    path = place.write("check.ini", tinfront_ini(place, crew))
    command = [peers.find("tinfront") or "tinfront", "check", path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return not re.search("unknown option", done.stdout + done.stderr)


def _tinfront(crew: Crew) -> Peer:
    def prepare(place: Place) -> list[list[str]]:
        ini = place.write("tinfront.ini", tinfront_ini(place, crew))
        return [[peers.find("tinfront") or "tinfront", "run", ini]]

    return dataclasses.replace(_BY_NAME["tinfront-prefork"], prepare=prepare)


def _gunicorn(crew: Crew) -> Peer:
    peer = _BY_NAME["nginx+gunicorn"]

    def prepare(place: Place) -> list[list[str]]:
        commands = peer.prepare(place)
        with open(place.work / "gunicorn.conf.py", "a") as file:
            file.write(crew.for_gunicorn())
        return commands

    return dataclasses.replace(peer, prepare=prepare)


class Absent(Exception):
    """A server is not installed, or it did not start; the text says which and why."""


@contextlib.contextmanager
def started(stage: Stage, name: str, crew: Crew) -> Iterator[Server]:
    """Start a server on free ports, and end it on the way out.

    :raises Absent: it is not there, or does not come up.
    """
    home = stage.root / "fault"
    place = Place(home / "work", stage.www, home, stage.certificate, stage.key, *free_ports(2))
    running = Running(_tinfront(crew) if name == TINFRONT else _gunicorn(crew), place)
    if running.why:
        raise Absent(running.why)
    home.mkdir()
    write_app(home, 0)
    try:
        running.start()
        running.wait(_HELLO, time.monotonic() + START)
        if running.why:
            raise Absent(f"{running.why}\n{running.output()}")
        yield Server(name, running)
    finally:
        stop([running])
        shutil.rmtree(home, ignore_errors=True)
