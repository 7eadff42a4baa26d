"""Side by side with the peers.

``python -m bench`` (or ``make bench``) starts nginx, gunicorn, uWSGI, granian and tinfront on this machine, loads them
in turn, and prints what each one did and the ratios between them. ``--help`` lists the options.
"""
