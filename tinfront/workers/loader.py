"""Finds the WSGI application that ``wsgi = package.module:object`` names, in the process that will run it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

CALLABLE_DEFAULT = "application"


def prepare(path: Iterable[str], chdir: str | None = None) -> None:
    """Put the app's directories first on ``sys.path`` and change to its directory.

    :raises OSError: the directory cannot be entered.
    """
    if chdir:
        os.chdir(chdir)
    wanted = list(path)
    sys.path[:] = wanted + [entry for entry in sys.path if entry not in wanted]


def load(name: str) -> Callable[..., Any]:
    """The application ``package.module:object``, ``package.module:object.attribute`` or ``package.module:factory()``.

    :raises Exception: whatever the import raises; ImportError, AttributeError or TypeError if there is no such app.
    """
    module_name, _, expression = name.partition(":")
    expression = expression.strip() or CALLABLE_DEFAULT
    attribute = expression.removesuffix("()")
    found = _find(module_name, attribute)
    if attribute != expression:
        found = found()
    if not callable(found):
        raise TypeError(f"{name} is a {type(found).__name__}, which is no WSGI application: it cannot be called")
    return found  # type: ignore[no-any-return]


def call(name: str) -> None:
    """Call ``package.module:callable``, an app's hook, without arguments; ``…:factory()`` calls what that returns.

    :raises Exception: whatever it raises, or the import.
    """
    module_name, _, expression = name.partition(":")
    attribute = expression.strip().removesuffix("()")
    found = _find(module_name, attribute)
    if attribute != expression.strip():
        found = found()
    found()


def _find(module_name: str, attribute: str) -> Any:
    found: Any = importlib.import_module(module_name.strip())
    for part in attribute.split("."):
        found = getattr(found, part)
    return found
