"""The side that runs the application: pools of threads or pre-forked processes behind one PEP 3333 gateway.

In the order of a job: ``processes`` (policy) → ``jobs`` (queue) → ``child`` (a worker's life) → ``environ``,
``gateway``, ``headers`` (PEP 3333) → ``replies``, ``streamed`` (answers). ``crew``, ``nurse`` and ``nursery`` keep the
processes; ``turnover``, ``wear`` and ``sizing`` say how many and for how long; ``deadlines``, ``rescue``, ``witness``
and ``stacks`` deal with those that are late; ``board`` and ``frames`` are what both sides share; ``threads`` does
without processes.

``nursery``, ``child``, ``gateway``, ``headers``, ``environ``, ``loader``, ``applog``, ``frames``, ``board`` and
``passing`` also run in the worker processes: they import the standard library and each other, nothing else.
"""
