"""How long does `edgenet --help` take, in starts of Python itself?

    .venv/bin/python -m benchmarks.start [--rounds 20]

In every round Python starts and does nothing, then `edgenet --help` runs; the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path


def seconds(*command: str) -> float:
    """Return the wall time of the whole process, in seconds."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Print the two medians and their ratio."""
    parser = argparse.ArgumentParser(prog="benchmarks.start", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="default: 20")
    rounds = parser.parse_args().rounds
    edgenet = str(Path(sysconfig.get_path("scripts")) / "edgenet")
    pairs = [(seconds(sys.executable, "-c", "pass"), seconds(edgenet, "--help")) for _ in range(rounds)]
    python_s, help_s = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(help_time / python_time for python_time, help_time in pairs)
    print(f"python -c pass: {python_s * 1e3:.0f} ms; edgenet --help: {help_s * 1e3:.0f} ms")
    print(f"median ratio over {rounds} rounds: {ratio:.1f}")


if __name__ == "__main__":
    main()
