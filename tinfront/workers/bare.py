"""Processes that are started as bare interpreters: without reactor, plugins or third-party code, and what they share.

They are the keeper's and the nurseries'. Their code is in one place with the front's, but not on their ``sys.path``.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Mapping
from types import FrameType
from typing import Any

import tinfront

BOOTSTRAP = """
import sys, types
package = types.ModuleType("tinfront")
package.__path__, package.__version__ = [sys.argv[1]], sys.argv[2]
sys.modules["tinfront"] = package
from {} import main
main(sys.argv[3])
"""
"""An empty package ``tinfront`` that only knows where its modules are, then the ``main`` of one of them."""

_PR_SET_CHILD_SUBREAPER = 36


def command(python: str, isolation: str, module: str, settings: Mapping[str, Any]) -> list[str]:
    """The command line of such a process: ``main`` of ``module`` is called with the settings as JSON.

    :param isolation: the interpreter's own option: ``-I``, or ``-P`` if the environment is the app's to set.
    """
    package = os.path.abspath(tinfront.__path__[0])
    return [python, isolation, "-c", BOOTSTRAP.format(module), package, tinfront.__version__, json.dumps(settings)]


def entitle(text: str) -> None:
    """Show this name for the process in ps and top, if setproctitle is there."""
    try:
        import setproctitle  # noqa: PLC0415 - it belongs to the app's virtual environment, and may be missing
    except ImportError:
        return
    setproctitle.setproctitle(text)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that somebody can wait for them (prctl(2))."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass  # init will be their parent


def wake_up(number: int, frame: FrameType | None) -> None:
    """For ``signal.signal``: a signal came; that is all, the descriptor of ``set_wakeup_fd`` tells the loop."""
