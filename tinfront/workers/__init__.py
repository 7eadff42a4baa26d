"""The side that runs the application: pools of threads or pre-forked processes behind one PEP 3333 gateway.

``gateway``, ``frames``, ``board``, ``child`` and ``nursery`` also run in the worker processes: they import the
standard library and each other, nothing else.
"""
