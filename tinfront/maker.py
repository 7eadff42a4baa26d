"""What a plugin file is made of: one line for each handler or filter. It imports no more of tinfront than this.

A package adds its own with a file ``tinfront/plugins/NAME.py`` (no ``__init__.py`` beside it)::

    from tinfront.maker import FilterMaker

    greet = FilterMaker("greet", "my_package.greet")
"""

from __future__ import annotations

from twisted.plugin import IPlugin
from zope.interface import implementer

from tinfront.interfaces import IFilterMaker, IHandlerMaker


class _Maker:
    """A word, and the module that is imported once a site uses it."""

    __slots__ = ("module", "name")

    def __init__(self, name: str, module: str) -> None:
        """:param module: dotted; it provides what ``interfaces.IMaker`` says."""
        self.name = name
        self.module = module

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.module!r})"


@implementer(IPlugin, IFilterMaker)
class FilterMaker(_Maker):
    """Offers a type of filter: ``[filter:NAME] type = name``."""

    __slots__ = ()


@implementer(IPlugin, IHandlerMaker)
class HandlerMaker(_Maker):
    """Offers a handler: ``name = …`` in a ``[route:…]``."""

    __slots__ = ()
