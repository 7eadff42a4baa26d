"""The options of an ``[app:NAME]``; see ``schema``."""

from __future__ import annotations

import os

from tinfront.config import accounts, cores
from tinfront.config import option as kinds
from tinfront.config.model import App
from tinfront.config.option import Kind, Option

PYTHON_MIN = (3, 11)
"""The oldest interpreter that can run the workers' side of tinfront."""

_APP = App("", "")  # the model holds the defaults; the rows only repeat them


def _virtualenv(text: str, directory: str) -> str:
    path = kinds.directory.parse(text, directory)
    assert isinstance(path, str)
    try:
        with open(os.path.join(path, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            lines = [line.partition("=") for line in file]
    except PermissionError:
        return path  # whoever starts the app may be allowed to look
    except OSError:
        raise ValueError(f"{path} is not a virtual environment: there is no pyvenv.cfg in it") from None
    written = {key.strip().lower(): value.strip() for key, _, value in lines}
    version = written.get("version") or written.get("version_info", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers < PYTHON_MIN:
        raise ValueError(f"{path} is of Python {version}, but workers need {PYTHON_MIN[0]}.{PYTHON_MIN[1]} or later")
    if not os.path.exists(os.path.join(path, "bin", "python")):
        raise ValueError(f"{path} has no bin/python: was the Python that it was made with removed?")
    return path


def _umask(text: str, directory: str) -> int:  # noqa: ARG001
    digits = text.removeprefix("0o")
    if not 1 <= len(digits) <= 4 or set(digits) - set("01234567") or int(digits, 8) > 0o777:
        raise ValueError(f"{text} is not a file mode mask in octal, such as 022")
    return int(digits, 8)


def _workers(text: str, directory: str) -> int:
    if text == "auto":
        return cores.auto()
    value = kinds.integer_between(1, 1024).parse(text, directory)
    assert isinstance(value, int)
    return value


APP = (
    Option("wsgi", kinds.module_object, None, "The WSGI application, or a factory of it.", required=True),
    Option("path", kinds.existing_paths, (), "Directories in which the application and its packages are found."),
    Option("chdir", kinds.directory, None, "The working directory of the application."),
    Option(
        "virtualenv",
        Kind("the path of a virtual environment", _virtualenv),
        None,
        "The virtual environment whose Python runs the application, 3.11 or later. tinfront need not be in it.",
    ),
    Option("env", kinds.pairs, {}, "Variables of the application's environment."),
    Option(
        "mode",
        kinds.choice("prefork", "threads"),
        "prefork",
        "Whether the application runs in processes of its own, or in threads of the server.",
    ),
    Option(
        "workers",
        Kind("an integer of at least 1, or auto", _workers),
        _APP.workers,
        "How many processes run the application. With auto it is one for each processor that the control group and the "
        "affinity grant, 2 to 64.",
    ),
    Option(
        "workers_min",
        kinds.integer_between(0, 1024),
        _APP.workers_min,
        "Fewer processes than workers may be left when there is little to do, but never fewer than this. Zero: as "
        "many as workers.",
    ),
    Option(
        "workers_max",
        kinds.integer_between(0, 1024),
        _APP.workers_max,
        "More processes than workers are started while requests wait for one, but never more than this. Zero: as many "
        "as workers.",
    ),
    Option(
        "threads",
        kinds.integer_between(1, 1024),
        _APP.threads,
        "How many requests each process runs at once; with mode = threads, how many in all.",
    ),
    Option(
        "timeout",
        kinds.not_negative,
        _APP.timeout,
        "The time from the start of a request to the first byte of its response; then 504 and a new worker. Zero: "
        "none.",
    ),
    Option(
        "startup_timeout",
        kinds.positive,
        _APP.startup_timeout,
        "The time within which a worker must be ready.",
    ),
    Option(
        "queue_max",
        kinds.integer_between(1, 1000000),
        _APP.queue_max,
        "How many requests may wait for a worker; more are answered 503 at once.",
    ),
    Option(
        "queue_timeout",
        kinds.positive,
        _APP.queue_timeout,
        "How long a request may wait for a worker; then it is answered 503.",
    ),
    Option(
        "queue_newest_after",
        kinds.not_negative,
        _APP.queue_newest_after,
        "When the oldest request has waited this long, the newest is served first, until there is time for the others "
        "again: under lasting overload some clients are served quickly, in place of all too late. Zero: never.",
    ),
    Option(
        "queue_fair",
        kinds.boolean,
        _APP.queue_fair,
        "Whether clients take turns when all workers are busy, so that one with many connections cannot keep the "
        "others waiting. A client is an address, or the /64 of an IPv6 address.",
    ),
    Option(
        "preload",
        kinds.boolean,
        _APP.preload,
        "Whether the application is imported once, before the workers are forked, so that they share its memory.",
    ),
    Option(
        "user",
        accounts.user,
        _APP.user,
        "The user as whom the application is imported and run. The server must have been started as root. Without it "
        "the application runs as the server does.",
    ),
    Option("group", accounts.group, _APP.group, "The group that goes with user. Without it the user's own."),
    Option(
        "max_requests",
        kinds.integer_between(0),
        _APP.max_requests,
        "A process that has answered this many requests is replaced: the new one is ready before the old one stops, "
        "and there is one at a time. Zero: never.",
    ),
    Option(
        "max_requests_jitter",
        kinds.integer_between(0),
        _APP.max_requests_jitter,
        "Up to this many requests more, by chance, so that not all processes are replaced in a row.",
    ),
    Option(
        "max_lifetime",
        kinds.not_negative,
        _APP.max_lifetime,
        "A process that has served for this long is replaced likewise. Zero: never.",
    ),
    Option(
        "max_rss",
        kinds.size,
        _APP.max_rss,
        "A process that holds more memory of its own than this is replaced likewise; what it shares with others, as "
        "by preload, does not count. Zero: any amount.",
    ),
    Option(
        "umask",
        Kind("an octal file mode mask such as 022", _umask, lambda value: f"{value:03o}"),
        None,
        "The mask of the files that the application makes; by default that of the server.",
    ),
    Option(
        "post_fork",
        kinds.module_object,
        None,
        "A callable without arguments that each new process calls before its first request. If it fails, so does the "
        "start.",
    ),
    Option(
        "worker_exit",
        kinds.module_object,
        None,
        "A callable without arguments that each process calls after its last request, unless it is killed.",
    ),
)
