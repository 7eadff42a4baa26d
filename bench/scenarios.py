"""What is asked of the servers: seven kinds of request, the files behind them, and the answers that are right.

``measure`` sends a scenario's requests by wrk; ``stage`` writes its files and asks it of every server before the clock
starts. The URL of one request is the template with a number in place of ``{n}``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import app

KIB = 1024
UPLOAD = 16 * KIB
"""Bytes of a POST's body."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of request.

    :ivar kind: ``static`` or ``wsgi``: decides which servers take part.
    :ivar template: the path, with ``{n}`` for a number in ``range(count)``.
    :ivar body: the right answer; None: the file of that path.
    :ivar size: length of a right answer in bytes.
    :ivar variants: how many different requests are sent in turn.
    """

    name: str
    title: str
    kind: str
    template: str
    count: int
    size: int
    body: bytes | None = None
    method: str = "GET"
    upload: int = 0
    tls: bool = False
    connections: tuple[int, ...] = (32,)
    variants: int = 8191

    def path(self, number: int) -> str:
        """Return the path of request ``number``."""
        return self.template.replace("{n}", str(number % self.count))

    def expected(self, number: int, www: Path) -> bytes:
        """Return the right body of the answer to request ``number``; files are read below ``www``."""
        return (www / self.path(number).lstrip("/")).read_bytes() if self.body is None else self.body


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("static-1k", "Static file, 1 KiB", "static", "/static/1k/{n}.bin", 64, KIB, connections=(32, 256)),
    Scenario("static-100k", "Static file, 100 KiB", "static", "/static/100k/{n}.bin", 16, 100 * KIB),
    Scenario("static-10m", "Static file, 10 MiB", "static", "/static/10m/{n}.bin", 4, 10 * KIB * KIB),
    Scenario("https-1k", "Static file, 1 KiB, TLS", "static", "/static/1k/{n}.bin", 64, KIB, tls=True),
    Scenario(
        "hello", "WSGI, 14 bytes", "wsgi", "/hello/{n}?ref=home", 8191, len(app.HELLO), app.HELLO, connections=(32, 256)
    ),
    Scenario("page", "WSGI, 32 KiB page", "wsgi", "/page/{n}?ref=home", 8191, len(app.PAGE), app.PAGE),
    Scenario(
        "post",
        "WSGI, POST of 16 KiB",
        "wsgi",
        "/echo/{n}",
        1021,
        len(b"%d\n" % UPLOAD),
        b"%d\n" % UPLOAD,
        method="POST",
        upload=UPLOAD,
        variants=1021,
    ),
)


def chosen(names: Sequence[str]) -> tuple[Scenario, ...]:
    """Return the scenarios of these names, all for none. Raises ValueError for a name that is not one."""
    known = {scenario.name for scenario in SCENARIOS}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no such scenario: {', '.join(unknown)} (there are: {', '.join(sorted(known))})")
    return tuple(scenario for scenario in SCENARIOS if not names or scenario.name in names)


def write_files(www: Path, scenarios: Sequence[Scenario]) -> None:
    """Write the files of the static scenarios below ``www``: different in every file, the same in every run."""
    (www / "static").mkdir(parents=True)
    for scenario in scenarios:
        if scenario.kind != "static":
            continue
        for number in range(scenario.count):
            path = www / scenario.path(number).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(random.Random(number * scenario.size).randbytes(scenario.size))
