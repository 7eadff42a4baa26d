"""``encoded_slashes = reject`` of a site: a path with ``%2F`` or ``%5C`` is refused.

Put by ``service`` before the filters of each of the site's routes, so that other sites pay nothing for it. It is for
sites behind something that decides by segments without decoding them (RFC 3986 section 2.2).
"""

from __future__ import annotations

import re
from typing import Any

from zope.interface import implementer

from tinfront.interfaces import IRequestFilter

_encoded = re.compile(r"%(?:2f|5c)", re.IGNORECASE).search


@implementer(IRequestFilter)
class EncodedSlashes:
    """Refuses paths that have other segments once they are decoded."""

    def on_request(self, exchange: Any) -> None:
        """See ``IRequestFilter``."""
        target = exchange.head.target
        if "%" in target and _encoded(target.partition("?")[0]):
            exchange.refuse(400, "encoded-slash", "the path has an encoded slash or backslash")
