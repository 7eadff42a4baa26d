"""What clients see when something goes wrong: ``python -m bench.faults``, or ``make bench-faults``.

Steady load with an id in every request, faults injected, answers compared: side by side with nginx + gunicorn.
``load`` asks, ``app`` is what is asked, ``servers`` starts who answers, ``rows`` injects and judges.
"""
