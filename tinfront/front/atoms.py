"""Access log formats written with gunicorn's atoms, such as ``%(h)s "%(r)s" %(s)s``: compiled once, at the start.

Known atoms: ``h`` client, ``l`` ``u`` a dash, ``t`` date, ``r`` request line, ``m`` method, ``U`` path, ``q`` query,
``H`` version, ``s`` status, ``b`` ``B`` bytes of the body (``-`` or 0 for none), ``f`` referer, ``a`` user agent,
``T`` ``M`` ``D`` ``L`` duration in seconds, milliseconds, microseconds, seconds with decimals, ``p`` worker pid,
``{name}i`` a request header, and tinfront's own ``id`` request id, ``reason`` reason code, ``site`` site's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinfront.config.logformat import find_atoms
from tinfront.front.accesslog import Moments, escaped

Atom = Callable[[Any, Moments], object]


def _field(name: str) -> Atom:
    return lambda exchange, _: escaped(exchange.head.fields.get(name, "-"))


def _duration(scale: float, decimals: int = 0) -> Atom:
    return lambda exchange, _: f"{(exchange.ended - exchange.started) * scale:.{decimals}f}"


ATOMS: dict[str, Atom] = {
    "h": lambda exchange, _: exchange.peer[0] or "unix:",
    "l": lambda *_: "-",
    "u": lambda *_: "-",
    "t": lambda exchange, moments: f"[{moments.clf(exchange.ended)}]",
    "r": lambda exchange, _: f"{exchange.head.method} {escaped(exchange.head.target)} {exchange.head.version}",
    "m": lambda exchange, _: exchange.head.method,
    "U": lambda exchange, _: escaped(exchange.head.path),
    "q": lambda exchange, _: escaped(exchange.head.query),
    "H": lambda exchange, _: exchange.head.version,
    "s": lambda exchange, _: exchange.status,
    "b": lambda exchange, _: exchange.sent or "-",
    "B": lambda exchange, _: exchange.sent,
    "f": _field("referer"),
    "a": _field("user-agent"),
    "T": _duration(1),
    "M": _duration(1e3),
    "D": _duration(1e6),
    "L": _duration(1, 6),
    "p": lambda exchange, _: exchange.pid or "-",
    "id": lambda exchange, _: exchange.request_id,
    "reason": lambda exchange, _: exchange.reason or "-",
    "site": lambda exchange, _: exchange.site.name if exchange.site else "-",
}


def compile_format(text: str) -> Callable[[Any, Moments], str]:
    """A function that makes the line of an exchange, ended by a newline. ``config.logformat`` has accepted ``text``."""
    atoms: list[Atom] = []
    template = ""
    end = 0
    for match in find_atoms(text):
        header, name = match.groups()
        atoms.append(ATOMS[name] if header is None else _field(header.lower()))
        template += text[end : match.start()].replace("%", "%%") + "%s"
        end = match.end()
    template += text[end:].replace("%", "%%") + "\n"
    return lambda exchange, moments: template % tuple([atom(exchange, moments) for atom in atoms])
