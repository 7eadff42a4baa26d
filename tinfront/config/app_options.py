"""The options of an ``[app:NAME]``; see ``schema``."""

from __future__ import annotations

import os

from tinfront.config import accounts
from tinfront.config import option as kinds
from tinfront.config.model import App
from tinfront.config.option import Kind, Option

_APP = App("", "")  # the model holds the defaults; the rows only repeat them


def _workers(text: str, directory: str) -> int:
    if text == "auto":
        return len(os.sched_getaffinity(0))
    value = kinds.integer_between(1, 1024).parse(text, directory)
    assert isinstance(value, int)
    return value


APP = (
    Option("wsgi", kinds.module_object, None, "The WSGI application, or a factory of it.", required=True),
    Option("path", kinds.existing_paths, (), "Directories in which the application and its packages are found."),
    Option("chdir", kinds.directory, None, "The working directory of the application."),
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
        "How many processes run the application. With auto it is one for each processor that may be used.",
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
)
