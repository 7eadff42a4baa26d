"""Who a process is: the ids of a user, and how to become it. Used on both sides."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
from dataclasses import dataclass

_PR_SET_DUMPABLE = 4


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the kernel and a shell see it.

    :ivar groups: all of them, ``gid`` too.
    :ivar name: of the user, or its number.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str

    def environment(self) -> dict[str, str]:
        """The variables that tell a program who it is."""
        return {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}

    def assume(self) -> None:
        """Become this user for good.

        :raises OSError: that is not allowed.
        """
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


def find(user: str, group: str | None = None) -> Identity:
    """The identity of a user, by name or number; ``group`` in the place of the user's own.

    :raises KeyError: this machine does not know the one or the other.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        if not user.isdecimal():
            raise
        return _of_number(int(user), group)
    gid = entry.pw_gid if group is None else _gid(group)
    groups = tuple(dict.fromkeys((gid, *os.getgrouplist(entry.pw_name, gid))))
    return Identity(entry.pw_uid, gid, groups, entry.pw_name, entry.pw_dir)


def _of_number(uid: int, group: str | None) -> Identity:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        if group is None:
            raise
        gid = _gid(group)
        return Identity(uid, gid, (gid,), str(uid), "/")
    return find(name, group)


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        if not group.isdecimal():
            raise
        return int(group)


def hide_memory() -> None:
    """No core dump, and nobody of the same user looks into this process: it has keys in its memory (prctl(2))."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (OSError, AttributeError):
        pass
