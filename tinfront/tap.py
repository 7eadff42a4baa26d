"""What ``twistd tinfront`` runs: its options, and the service they make.

``cli.py`` uses the same two, so that both commands understand a configuration alike.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from twisted.python import usage

from tinfront import __version__
from tinfront.catalog import discover
from tinfront.config.load import load
from tinfront.config.model import Config
from tinfront.errors import ConfigError
from tinfront.signals import remember_early

if TYPE_CHECKING:
    from tinfront.config.source import Source
    from tinfront.service import Site

EX_FAILED, EX_USAGE, EX_NO_APP, EX_OSERR, EX_CONFIG = 1, 2, 4, 71, 78
"""Exit codes; the last two are those of sysexits.h."""


def install_loop() -> asyncio.AbstractEventLoop | None:
    """Choose the reactor, if nobody has yet.

    It is Twisted's asyncio reactor on a uvloop loop, whose own transports are the fast path.

    :returns: that loop; None if another reactor is installed or uvloop is not to be had: then connections run on
        Twisted's transports.
    """
    if "twisted.internet.reactor" in sys.modules:
        return None
    try:
        import uvloop  # noqa: PLC0415 - there may be none for this platform
    except ImportError:
        return None
    from twisted.internet import asyncioreactor  # noqa: PLC0415 - it may not be imported before the choice

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    asyncioreactor.install(loop)
    return loop


def fail(status: int, *lines: str) -> NoReturn:
    """Say why on standard error, and exit."""
    for line in lines:
        print(line, file=sys.stderr)
    raise SystemExit(status)


class Options(usage.Options):
    """Options of ``twistd tinfront``."""

    synopsis = "[--config FILE]"
    longdesc = (
        "Serves the site that FILE describes. In the background by default; `twistd -n tinfront …` stays in the "
        "foreground. `tinfront check FILE` tells whether the file is right."
    )
    optParameters = [["config", "c", "etc/site.ini", "The configuration, an INI file."]]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.loop: asyncio.AbstractEventLoop | None = None
        self.model: Config | None = None

    def opt_version(self) -> None:
        """Print tinfront's version and exit."""
        print(f"tinfront {__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the configuration now, while errors can still be shown, and choose the reactor."""
        remember_early([signal.SIGHUP])  # USR1 is twistd's own until the site runs
        self._path = os.path.abspath(self["config"])
        self.model = self._as_told(read(self["config"]))
        self.loop = install_loop()

    def again(self, source: Source) -> Config:
        """What the file says by now, wherever the process has gone, with what plugins there are then.

        :raises ConfigError: it has errors.
        """
        return self._as_told(load(self._path, discover(), source))

    def _as_told(self, model: Config) -> Config:
        """With the user of twistd's own options: it drops privileges, the server has to know to whom."""
        parent: Any = self.parent or {}
        uid, gid = parent.get("uid"), parent.get("gid")
        if uid is None:
            return model
        return replace(model, server=replace(model.server, user=str(uid), group=None if gid is None else str(gid)))


def read(path: str) -> Config:
    """The configuration in a file, or every error on standard error and exit 78."""
    try:
        return load(path, discover())
    except ConfigError as error:
        refuse(path, error.findings)


def refuse(path: str, findings: Sequence[str]) -> NoReturn:
    """Say everything that is wrong with the file at ``path``, and exit 78."""
    count = len(findings)
    fail(EX_CONFIG, *findings, f"{os.path.basename(path)}: {count} error{'s' * (count > 1)}, nothing started")


def reader(path: str) -> Callable[[Source], Config]:
    """What loads the file at ``path`` again, wherever the process has gone, with what plugins there are then."""
    path = os.path.abspath(path)
    return lambda source: load(path, discover(), source)


def makeService(options: Options) -> Site:
    """The service of a whole site; see ``service.py``."""
    from tinfront.keeper.appoint import require_rights  # noqa: PLC0415 - as the next
    from tinfront.service import build  # noqa: PLC0415 - it needs the reactor to be chosen

    assert options.model is not None
    try:
        require_rights(options.model)
        return build(options.model, options.loop, options.again)
    except ConfigError as error:
        fail(EX_CONFIG, *error.findings)
