"""How long do the quick commands of `edgenet` take: --help, --version and models?

    .venv/bin/python -m benchmarks.start [--rounds 20]

In every round Python starts and does nothing, then each command runs. Beside its median time, each command has the
median of its ratio to Python's own start, which says more than the time on a busy machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

COMMANDS = (("--help",), ("--version",), ("models",), ("models", "--paper"))


def seconds(*command: str) -> float:
    """Return the wall time of the whole process, in seconds."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> None:
    """Print the median time of each command, and its median ratio to the time of Python's own start."""
    parser = argparse.ArgumentParser(prog="benchmarks.start", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, metavar="N", help="default: 20")
    rounds = parser.parse_args().rounds
    edgenet = str(Path(sysconfig.get_path("scripts")) / "edgenet")
    python_s: list[float] = []
    found: dict[tuple[str, ...], list[float]] = {command: [] for command in COMMANDS}
    for _ in range(rounds):
        python_s.append(seconds(sys.executable, "-c", "pass"))
        for command, times in found.items():
            times.append(seconds(edgenet, *command))
    print(f"medians of {rounds} rounds; python -c pass: {statistics.median(python_s) * 1e3:.0f} ms")
    for command, times in found.items():
        ratio = statistics.median(time_s / start_s for time_s, start_s in zip(times, python_s, strict=True))
        print(
            f"edgenet {' '.join(command)}: {statistics.median(times) * 1e3:.0f} ms, {ratio:.1f} times Python"
        )


if __name__ == "__main__":
    main()
