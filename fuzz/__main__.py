"""``python -m fuzz [--seconds N] [TARGET …]``: each target in turn, in a process of its own.

Exit status: 0; 1 if a target broke, and then its bytes are in ``fuzz/.work``; 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
WORK = HERE / ".work"
NAMES = ("head", "chunked", "ini")
LONGEST = 4096
"""Bytes of an input: more than it takes to reach every limit of the targets."""


def fuzz(name: str, seconds: int) -> bool:
    """Run one target for some seconds; False if it broke."""
    found = WORK / name
    found.mkdir(parents=True, exist_ok=True)
    options = (
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={WORK}/{name}-",
        f"-dict={HERE}/{name}.dict",
    )
    print(f"fuzz: {name} for {seconds} s", flush=True)
    command = [sys.executable, "-m", "fuzz.run", name, *options, str(found), str(HERE / "corpus" / name)]
    return subprocess.run(command, cwd=HERE.parent, check=False).returncode == 0


def main() -> int:
    """Run the targets that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m fuzz")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("target", nargs="*", help=f"one of {', '.join(NAMES)}; all of them if none is named")
    arguments = parser.parse_args()
    for name in arguments.target:
        if name not in NAMES:
            parser.error(f"there is no target {name}")
    broken = [name for name in arguments.target or NAMES if not fuzz(name, arguments.seconds)]
    print(f"fuzz: broken: {' '.join(broken)}, see {WORK}" if broken else "fuzz: nothing found")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
