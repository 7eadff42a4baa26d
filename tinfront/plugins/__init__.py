"""Where handlers and filters are found: every directory ``tinfront/plugins`` on ``sys.path`` belongs to it."""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
__all__: list[str] = []
