"""Users and groups of this machine, as options name them. Used by ``schema`` and ``app_options``."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable

from tinfront.config.option import Kind

_ID_MAX = 2**32 - 2


def _user(text: str, directory: str) -> str:  # noqa: ARG001 - every parser is given the directory
    return _known(text, "user", pwd.getpwnam)


def _group(text: str, directory: str) -> str:  # noqa: ARG001
    return _known(text, "group", grp.getgrnam)


def _known(text: str, what: str, find: Callable[[str], object]) -> str:
    if text.isdecimal() and text.isascii():
        if int(text) > _ID_MAX:
            raise ValueError(f"{text} is too large for the number of a {what}")
        return text
    try:
        find(text)
    except (KeyError, ValueError):
        raise ValueError(f'this machine has no {what} "{text}"') from None
    return text


def needs_group(user: str) -> bool:
    """Whether a user is only a number, so that nobody knows the group that goes with it."""
    if not user.isdecimal():
        return False
    try:
        pwd.getpwuid(int(user))
    except KeyError:
        return True
    return False


user = Kind("the name or number of a user", _user)
group = Kind("the name or number of a group", _group)
