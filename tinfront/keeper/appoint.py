"""Which keeper a server has: decided once, when it is put together, by who started it and whom it is to become."""

from __future__ import annotations

import os

from tinfront.config.model import Config
from tinfront.errors import ConfigError
from tinfront.keeper.identity import find
from tinfront.keeper.local import LocalKeeper
from tinfront.keeper.nurseries import identity_of
from tinfront.keeper.remote import RemoteKeeper


def appoint(config: Config) -> LocalKeeper:
    """The keeper; nothing is started yet."""
    user = config.server.user
    if user is not None and not os.geteuid() and config.place.file:
        identity = find(user, config.server.group)
        if identity.uid:
            return RemoteKeeper(os.path.join(config.directory, os.path.basename(config.place.file)), identity)
    return LocalKeeper()


def require_rights(config: Config) -> None:
    """Look whether this process may become the users that the configuration names.

    :raises ConfigError: it may not.
    """
    if not os.geteuid():
        return
    findings = []
    own = os.geteuid(), os.getegid()
    server = config.server
    if server.user is not None:
        identity = find(server.user, server.group)
        if (identity.uid, identity.gid) != own:
            findings.append(f"[server] user: only root can become {server.user}; start the server as root, or as that")
    for app in config.apps.values():
        if identity_of(app) is not None:
            where = f"{app.place.file}:{app.place.line}: [app:{app.name}] user"
            findings.append(f"{where}: only root can run it as {app.user}; start the server as root")
    if findings:
        raise ConfigError(*findings)
