"""tinfront: the web server in front of a Python site and the workers behind it, in one process tree.

``interfaces.py`` is the map of the house; ``front/exchange.py`` is the life of one request.
"""

__version__ = "0.1.0"
