"""The one seam for acts that need privileges: ports, keys, logs, and nurseries with users of their own.

``local`` does them in the front. Started as root with a user to become, the front asks ``remote`` instead, which talks
to a process that has kept the privileges: ``process``. That process grants what the configuration names
(``config.charter``), as it reads it itself, and nothing else. ``messages`` is what the two say, ``ports`` and
``identity`` are what both do.

``process``, ``messages``, ``ports`` and ``identity`` import nothing of Twisted.
"""
