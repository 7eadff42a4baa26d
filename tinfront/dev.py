"""``tinfront run --dev``: a reload whenever the code of an app, or the configuration, has changed on disk.

Watched are the files of the modules that the apps have imported, and the ``.py`` files beside them, for there the
module may be made that an import has missed. Files are looked at twice a second; with watchfiles installed, as soon as
the kernel tells of a change.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from tinfront.workers.sources import Look, look

if TYPE_CHECKING:
    from tinfront.service import Site

log = Logger(namespace="tinfront.dev")

POLL = 0.5
"""Seconds between two looks."""

QUIET = 50
"""Milliseconds without a change that watchfiles waits for: editors and version control write several files."""

FILES_MAX = 20_000
"""Files that are looked at."""


def watch(site: Site, file: str) -> Watch:
    """Watch for as long as the site runs.

    :param file: its configuration, or "".
    """
    watching = Watch(site, site.assembly.reactor, [os.path.abspath(file)] if file else [])
    watching.start()
    site.assembly.reactor.addSystemEventTrigger("before", "shutdown", watching.stop)
    return watching


class Watch:
    """Looks at files, and has the site reloaded.

    :param site: offers ``pools`` and ``reload``.
    :param reactor: provides ``IReactorTime`` and ``IReactorFromThreads``.
    :param files: watched besides those of the apps.
    """

    def __init__(self, site: Any, reactor: Any, files: Iterable[str] = ()) -> None:
        self._site = site
        self._reactor = reactor
        self._files = tuple(files)
        self._seen: dict[str, Look | None] | None = None
        self._over = threading.Event()
        self._poll = LoopingCall(self.look)
        self._poll.clock = reactor

    def start(self) -> None:
        """Begin; what is there now is no change."""
        self._poll.start(POLL)
        try:
            watchfiles = importlib.import_module("watchfiles")
        except ImportError:
            return
        threading.Thread(target=self._listen, args=(watchfiles,), name="tinfront-dev", daemon=True).start()

    def stop(self) -> None:
        """That was all."""
        self._over.set()
        if self._poll.running:
            self._poll.stop()

    def look(self) -> None:
        """Reload if something is not as it was at the last look.

        What has only just become known, as a reload imports it, is compared from then on.
        """
        now = {path: look(path) for path in self._paths()}
        before, self._seen = self._seen, now
        if before is None:
            return
        here = _directories(before)
        changed = [path for path in now if now[path] != before.get(path, now[path])]
        changed += [path for path in now.keys() - before.keys() if os.path.dirname(path) in here]
        changed += [path for path in before.keys() - now.keys() if look(path) is None and before[path] is not None]
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            log.info("{path}{more} changed: reloading", path=os.path.relpath(min(changed)), more=more)
            self._site.reload()

    def _paths(self) -> Iterator[str]:
        paths = dict.fromkeys(self._files)
        directories: dict[str, None] = {}
        for pools in self._site.pools.values():
            sources = pools.current.sources()
            for path in sources.looks if sources is not None else ():
                paths[path] = None
                if "-packages" + os.sep not in path:
                    directories[os.path.dirname(path)] = None
            directories.update(dict.fromkeys(pools.app.path))
        for directory in directories:
            try:
                names = os.listdir(directory)
            except OSError:
                continue
            paths.update(dict.fromkeys(os.path.join(directory, name) for name in names if name.endswith(".py")))
        return iter(list(paths)[:FILES_MAX])

    def _listen(self, watchfiles: Any) -> None:
        """In a thread: be told of changes until the end. Which they are is looked up in the reactor."""
        while not self._over.is_set():
            watched = _directories(self._seen or ())
            try:
                news = watchfiles.watch(
                    *watched, stop_event=self._over, recursive=False, step=QUIET, yield_on_timeout=True
                )
                for _ in news:
                    self._reactor.callFromThread(self._look_now)
                    if _directories(self._seen or ()) != watched:
                        break  # the new code lies elsewhere, too
            except OSError:
                return  # a directory is gone, or there are too many: twice a second must do

    def _look_now(self) -> None:
        if self._poll.running:
            self.look()


def _directories(paths: Iterable[str]) -> set[str]:
    return {directory for path in paths if os.path.isdir(directory := os.path.dirname(path))}
