"""The ``tinfront`` command: ``run``, ``check``; over the control socket ``status``, ``stacks``, ``reload``, ``stop``.

Exit codes:

0 stopped as asked · 1 failed while running · 2 wrong usage · 4 the app cannot be loaded (MODULE:APP only; with a file
the other sites go on) · 71 cannot listen · 78 the configuration is wrong
"""

from __future__ import annotations

import atexit
import getopt
import json
import os
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.python import usage

from tinfront import __version__
from tinfront.catalog import discover
from tinfront.config import cores
from tinfront.config.describe import describe
from tinfront.config.load import control_socket, single_app
from tinfront.config.model import App, Config
from tinfront.control import ask
from tinfront.dev import watch
from tinfront.errors import ConfigError
from tinfront.signals import remember_early
from tinfront.status import stacks_text, table
from tinfront.tap import EX_CONFIG, EX_FAILED, EX_NO_APP, EX_OSERR, EX_USAGE, fail, install_loop, read, reader, refuse

if TYPE_CHECKING:
    from tinfront.config.source import Source
    from tinfront.service import Site
    from tinfront.workers.generations import Generations

EXAMPLES = """\
examples:
  tinfront run etc/site.ini                 serve the site that the file describes
  tinfront run mysite.wsgi:application      serve one app on http://127.0.0.1:8000
  tinfront run "mysite:make_app()" -b :8080 -w 4
  tinfront run --dev mysite.wsgi:application    … and reload it when its code changes
  tinfront status etc/site.ini              how the running server fares
  tinfront check etc/site.ini               show what a file means, or all its errors
"""

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_ENDINGS = (".ini", ".conf", ".cfg")
"""A file is meant, and not a module."""


class Command(usage.Options):
    """What all parts of the command have."""

    synopsis: str

    def opt_version(self) -> None:
        """Print the version and exit."""
        print(f"tinfront {__version__}")
        raise SystemExit(0)

    def getSynopsis(self) -> str:
        """The usage line, as it stands in the class."""
        return f"Usage: {self.synopsis}"


class RunOptions(Command):
    """Options of ``tinfront run``."""

    synopsis = "tinfront run FILE.ini | MODULE:APP [-b ADDRESS]… [-w N] [--threads N]"
    longdesc = (
        "Serves in the foreground, until TERM or INT. With MODULE:APP and no file: on 127.0.0.1:8000, or on "
        "0.0.0.0:$PORT where PORT is set; $WEB_CONCURRENCY is the default of --workers."
    )
    optFlags = [["dev", None, "For development: reload whenever the app's code or the file has changed."]]
    optParameters = [
        ["workers", "w", None, "Worker processes (MODULE:APP only)."],
        ["threads", None, None, "Threads in each worker (MODULE:APP only); 1 if not given."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self["bind"] = []
        self["target"] = ""

    def opt_bind(self, address: str) -> None:
        """Listen here, as in ``address =`` of the INI file (MODULE:APP only; may be given again)."""
        self["bind"].append(address)

    opt_b = opt_bind

    def parseOptions(self, options: list[str]) -> None:  # type: ignore[override]
        """Take options before and behind the argument, as gunicorn does."""
        try:
            given, rest = getopt.gnu_getopt(options, self.shortOpt, self.longOpt)
        except getopt.error as error:
            raise usage.UsageError(str(error)) from error
        flat = [part for name, value in given for part in ((name, value) if value else (name,))]
        super().parseOptions([*flat, "--", *rest])  # type: ignore[no-untyped-call]

    def parseArgs(self, target: str) -> None:  # type: ignore[override]
        """The one argument."""
        self["target"] = target

    def postOptions(self) -> None:
        """Look whether numbers are numbers."""
        for name in ("workers", "threads"):
            if self[name] is not None:
                self[name] = _count(self[name], f"--{name}")

    @property
    def has_file(self) -> bool:
        """Whether the target is a file, and not an app."""
        return ":" not in self["target"] or os.path.exists(self["target"])

    def config(self) -> Config:
        """The configuration that was asked for.

        :raises usage.UsageError: the arguments contradict each other.
        :raises ConfigError: what they name cannot be used.
        """
        target = self["target"]
        if self.has_file:
            if _MODULE.fullmatch(target) and not target.endswith(_ENDINGS) and not os.path.exists(target):
                raise usage.UsageError(f'there is no file "{target}"; did you mean the app "{target}:application"?')
            if self["bind"] or (self["workers"], self["threads"]) != (None, None):
                raise usage.UsageError("-b, -w and --threads go with MODULE:APP; a file says it itself")
            return read(target)
        bind = self["bind"] or ([f"0.0.0.0:{os.environ['PORT']}"] if os.environ.get("PORT") else [])
        threads = 1 if self["threads"] is None else self["threads"]
        return single_app(target, bind=bind, workers=self._workers(), threads=threads, vocabulary=discover())

    def again(self) -> Callable[[Source], Config]:
        """What makes the configuration once more."""
        return reader(self["target"]) if self.has_file else lambda _: self.config()

    def _workers(self) -> int:
        if self["workers"] is not None:
            workers: int = self["workers"]
            return workers
        given = os.environ.get("WEB_CONCURRENCY", "")
        return _count(given, "WEB_CONCURRENCY") if given else 1 if self["dev"] else cores.auto()


def _count(text: str, name: str) -> int:
    if re.fullmatch("[0-9]{1,9}", text) is None:
        raise usage.UsageError(f'{name} is "{text}", not a number')
    return int(text)


class CheckOptions(Command):
    """Options of ``tinfront check``."""

    synopsis = "tinfront check FILE.ini"
    longdesc = (
        "Shows the sites, routes, apps and listeners that a file means, or all its errors (exit code 78). Apps are not "
        "imported."
    )

    def parseArgs(self, file: str) -> None:  # type: ignore[override]
        """The one argument."""
        self["file"] = file


class ControlOptions(Command):
    """Options of ``tinfront reload`` and ``tinfront stop``."""

    synopsis = "tinfront reload | stop FILE.ini"
    longdesc = (
        "Tells the server that runs with FILE, over its control socket ([server] control), to load the file, the "
        "certificates and the apps' code again, or to stop with all running requests finished. A reload is waited for: "
        "if it cannot be done nothing changes, the reasons are shown, and the exit code is 1."
    )

    def parseArgs(self, file: str) -> None:  # type: ignore[override]
        """The one argument."""
        self["file"] = file


class StatusOptions(ControlOptions):
    """Options of ``tinfront status``."""

    synopsis = "tinfront status [--json] FILE.ini"
    longdesc = "Shows how the server that runs with FILE fares. It needs a control socket ([server] control)."
    optFlags = [["json", None, "As JSON, for programs."]]


class StacksOptions(StatusOptions):
    """Options of ``tinfront stacks``."""

    synopsis = "tinfront stacks [--json] FILE.ini"
    longdesc = (
        "Shows what every worker of the server that runs with FILE is doing right now: its requests, and the Python "
        "stacks of its threads. Requests go on meanwhile."
    )


class Options(Command):
    """Options of ``tinfront``."""

    synopsis = "tinfront run | check | status | stacks | reload | stop [options]"
    longdesc = "The web server in front of a Python site and the workers behind it, in one process tree."
    subCommands = [
        ["run", None, RunOptions, "Serve a site."],
        ["check", None, CheckOptions, "Tell what a configuration means, or what is wrong with it."],
        ["status", None, StatusOptions, "Show how a running server fares."],
        ["stacks", None, StacksOptions, "Show what the workers of a running server are doing."],
        ["reload", None, ControlOptions, "Give a running server its new configuration and code."],
        ["stop", None, ControlOptions, "Stop a running server, with its requests finished."],
    ]

    def getUsage(self, width: int | None = None) -> str:
        """Usage, then examples."""
        return f"{super().getUsage(width)}\n{EXAMPLES}"


def main(arguments: list[str] | None = None) -> None:
    """The command. Ends by SystemExit."""
    options: Any = Options()  # type: ignore[no-untyped-call]
    try:
        options.parseOptions(sys.argv[1:] if arguments is None else arguments)
        if options.subCommand == "run":
            remember_early()
            chosen = options.subOptions
            raise SystemExit(run(chosen.config(), chosen))
        if options.subCommand == "check":
            raise SystemExit(check(options.subOptions["file"]))
        if options.subCommand is not None:
            raise SystemExit(control(options.subCommand, options.subOptions))
    except usage.UsageError as error:
        fail(EX_USAGE, f"tinfront: {error}", "Try: tinfront --help")
    except ConfigError as error:
        fail(EX_CONFIG, *error.findings)
    fail(EX_USAGE, str(options))


def check(file: str) -> int:
    """Show what a file means; everything is made but nothing is started."""
    config = read(file)
    from twisted.internet import reactor  # noqa: PLC0415 - this chooses it

    from tinfront.inspection import inspect  # noqa: PLC0415
    from tinfront.service import build  # noqa: PLC0415

    found = inspect(config, reactor)
    try:
        build(config, None)
    except ConfigError as error:
        found.findings[:0] = error.findings
    for note in found.notes:
        print(note, file=sys.stderr)
    if found.findings:
        refuse(file, found.findings)
    print(describe(config, discover()), end="")
    print(f"{file}: ok")
    return 0


_TEXTS = {"status": table, "stacks": stacks_text}


def control(word: str, options: Any) -> int:
    """Talk to a running server."""
    path = control_socket(options["file"])
    if path is None:
        fail(EX_CONFIG, f"{options['file']}: the server has no control socket; add to [server]: control = run/control")
    try:
        said = ask(path, word)
    except OSError as error:
        fail(EX_FAILED, f"tinfront: no server answers at {path}: {error.strerror or error}")
    if word in _TEXTS and "error" not in said:
        print(json.dumps(said, indent=2) if options["json"] else _TEXTS[word](said), end="\n" * options["json"])
        return 0
    for note in said.get("notes", ()):
        print(note)
    if "error" in said:
        nothing = ["nothing has changed"] if said.get("done") is False else []
        fail(EX_FAILED, f"tinfront: {said['error']}", *nothing)
    return 0


def run(config: Config, options: RunOptions) -> int:
    """Serve until a signal ends it, or, without a file and ``--dev``, until an app turns out to be broken.

    Returns the exit code.
    """
    _fill_standard_descriptors()
    loop = install_loop()
    from twisted.internet import reactor  # noqa: PLC0415 - after the choice

    from tinfront.keeper.appoint import require_rights  # noqa: PLC0415
    from tinfront.service import build  # noqa: PLC0415

    _log_to_stderr()
    require_rights(config)
    service = build(config, loop, options.again())
    try:
        service.privilegedStartService()
    except OSError as error:
        fail(EX_OSERR, f"tinfront: {error}")
    service.startService()
    core: Any = reactor
    core.callWhenRunning(_show, service)
    broken: list[App] = []
    needs_app = not (options.has_file or options["dev"])
    for pools in service.pools.values() if needs_app else ():
        _end_if_broken(service, pools, broken)
    if options["dev"]:
        watch(service, options["target"] if options.has_file else "")
    core.addSystemEventTrigger("before", "shutdown", service.stopService)
    core.run()
    return EX_NO_APP if broken else 0


def _end_if_broken(service: Site, pools: Generations, broken: list[App]) -> None:
    """Stop, and add the app to ``broken``, once it is known that no generation of it can be started."""

    def started(ready: bool, asked: Any) -> None:
        latest = pools.coming or pools.current
        if ready:
            return
        if service.stopping:
            pools.hurry(0.0)  # no client waits for what never could answer
        elif latest is not asked:  # there was a reload meanwhile: this one was ended by it, or may be mended by it
            latest.when_ready().addCallback(started, latest)
        else:
            broken.append(pools.app)
            service.stop_now()

    pools.when_ready().addCallback(started, pools.current)


def _show(service: Site) -> None:
    for url in service.urls():
        sys.stderr.write(f"tinfront serves {url}\n")  # as one piece: the log is written by a thread


def _fill_standard_descriptors() -> None:
    """Started without standard input, output or error, the next thing opened would take its number."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def _log_to_stderr() -> None:
    """Readable lines from level info on, whoever reads them or does not."""
    from twisted.logger import (  # noqa: PLC0415
        FilteringLogObserver,
        LogLevel,
        LogLevelFilterPredicate,
        globalLogBeginner,
        textFileLogObserver,
    )

    from tinfront.front.errorlog import ErrorLog  # noqa: PLC0415

    log: Any = ErrorLog()
    log.start()
    atexit.register(log.stop)
    text = textFileLogObserver(log)
    levels = LogLevelFilterPredicate(LogLevel.info)
    globalLogBeginner.beginLoggingTo([FilteringLogObserver(text, [levels])], redirectStandardIO=False)
