"""Starting the nursery of an app, as the app's user. Used on both sides; see ``workers.nursery``."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Mapping

from tinfront.config.model import App
from tinfront.keeper.identity import Identity, find
from tinfront.workers.nursery_process import command, environment


def spawn(app: App, preload: bool, inherited: Mapping[str, int], environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start it, with these descriptors under their own numbers and nothing else that is open here.

    It gets a process group of its own: Ctrl-C on a terminal is the front's to handle.

    :raises OSError: it cannot be started, or not as that user.
    """
    identity = identity_of(app)
    return subprocess.Popen(  # noqa: S603 - the arguments are ours
        command(app, preload, inherited),
        env=environment(app, environ, identity.environment() if identity is not None else {}),
        user=identity.uid if identity is not None else None,
        group=identity.gid if identity is not None else None,
        extra_groups=identity.groups if identity is not None else None,
        stdin=subprocess.DEVNULL,
        close_fds=True,
        pass_fds=tuple(inherited.values()),
        process_group=0,
    )


def identity_of(app: App) -> Identity | None:
    """The user as whom an app runs; None: whoever starts it.

    :raises OSError: there is no such user, or no longer.
    """
    if app.user is None:
        return None
    try:
        identity = find(app.user, app.group)
    except KeyError as error:
        raise OSError(errno.ENOENT, f"user {app.user}: {error.args[0]}") from None
    if os.geteuid() and identity.uid == os.geteuid() and identity.gid == os.getegid():
        return None  # that is us already, and there is nothing to change
    return identity
