"""``python -m fuzz.run TARGET [libFuzzer's options and corpora]``: one target under atheris, until stopped."""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["tinfront", "fuzz.targets"]):
    from fuzz.targets import TARGETS


def main() -> None:
    """Look for bytes that break the target."""
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
