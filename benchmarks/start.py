"""How long do `edgenet --help`, `--version` and `models` take, as multiples of a bare start of Python?

    .venv/bin/python -m benchmarks.start [--rounds 20]

In every round Python starts and does nothing, then each command runs once; the ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

COMMANDS = ("--help", "--version", "models")


def seconds(*command: str) -> float:
    """Return the wall time of the whole process, in seconds."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def measure(rounds: int) -> tuple[list[float], dict[str, list[float]]]:
    """Return the seconds of a bare start of Python in every round, and those of each command of edgenet."""
    edgenet = str(Path(sysconfig.get_path("scripts")) / "edgenet")
    python_s: list[float] = []
    edgenet_s: dict[str, list[float]] = {command: [] for command in COMMANDS}
    for _ in range(rounds):
        python_s.append(seconds(sys.executable, "-c", "pass"))
        for command, times in edgenet_s.items():
            times.append(seconds(edgenet, command))
    return python_s, edgenet_s


def main() -> None:
    """Print the medians, and the median ratio of each command."""
    parser = argparse.ArgumentParser(prog="benchmarks.start", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="default: 20")
    rounds = parser.parse_args().rounds
    python_s, edgenet_s = measure(rounds)
    print(f"medians of {rounds} rounds; python -c pass: {1e3 * statistics.median(python_s):.0f} ms")
    for command, times in edgenet_s.items():
        ratio = statistics.median(time / python for time, python in zip(times, python_s, strict=True))
        print(f"edgenet {command:9}  {1e3 * statistics.median(times):4.0f} ms, {ratio:.1f} starts of Python")


if __name__ == "__main__":
    main()
