"""``[filter:NAME] type = shout``: plain text in capitals.

In the ini it is also ``type = tinfront_shout.filter:Shout``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from tinfront.config import option
from tinfront.config.option import Option
from tinfront.http.message import ResponseHead
from tinfront.interfaces import IBodyTransform, IResponseFilter

OPTIONS = (Option("mark", option.text, "", "What stands at the end."),)


def make(settings: Mapping[str, Any]) -> Shout:
    """The filter of one section."""
    return Shout(settings["mark"])


@implementer(IResponseFilter)
class Shout:
    """Looks at the head, and at the body only of plain text."""

    OPTIONS = OPTIONS
    make = staticmethod(make)

    def __init__(self, mark: str) -> None:
        self._mark = mark.encode()

    def on_response(self, exchange: Any, head: ResponseHead) -> Voice | None:
        """See ``IResponseFilter``."""
        if not (head.get("content-type") or "").startswith("text/plain"):
            return None
        head.length = None
        return Voice(self._mark)


@implementer(IBodyTransform)
class Voice:
    """One body on its way."""

    def __init__(self, mark: bytes) -> None:
        self._mark = mark

    def feed(self, data: bytes) -> bytes:
        """See ``IBodyTransform``."""
        return data.upper()

    def finish(self) -> bytes:
        """See ``IBodyTransform``."""
        return self._mark
