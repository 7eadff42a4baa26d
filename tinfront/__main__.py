"""Where the ``tinfront`` command and ``python -m tinfront`` begin: signals are minded before anything large is there.

Importing the command takes a while, in which a HUP or USR1 would end the process; who sends one cannot know. So this
imports next to nothing by itself.
"""

from __future__ import annotations

import sys

from tinfront.signals import remember_early


def main() -> None:
    """The command. Ends by SystemExit."""
    if sys.argv[1:2] == ["run"]:
        remember_early()
    from tinfront import cli  # noqa: PLC0415 - see the module

    cli.main()


if __name__ == "__main__":
    main()
