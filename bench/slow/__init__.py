"""What slow clients, bursts and overload do to a server, side by side with the peers.

``python -m bench.slow`` (or ``make bench-slow``). ``crowd`` is the load: thousands of slow clients in one process;
``servers`` are the peers; ``beside``, ``memory``, ``burst``, ``overload`` and ``soak`` are the scenarios.
"""
