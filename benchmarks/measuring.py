"""Does measuring change the latency? Our loop compared with a bare one and with LiteRT's own benchmark tool.

    .venv/bin/python -m benchmarks.measuring MODEL.tflite... [--rounds 20] [--runs 200]

In every round each of the three measures `runs` inferences of the same file with one thread, in an order that rotates.
The ratio of their medians is taken in each round, and the result is the median of these ratios. Ours is the block of
edgenet_device/latency/interleaved.py, which also reads clock, temperature and throttling afterwards. Bare is a loop of
two clock readings around Invoke on the same interpreter. LiteRT's is ai_edge_litert.tools.benchmark_litert_model in a
process of its own; it rounds to 0.01 ms, so choose networks that take several ms. The exit status is 1 if a ratio
differs from 1 by more than 2 %.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from edgenet_device.latency.affinity import Setting, found_sets
from edgenet_device.latency.interleaved import LoadedModel, load_model, measure_in_turns
from edgenet_device.latency.report import Protocol
from edgenet_device.runtime import load_runtime

GOAL = 0.02


def main() -> int:
    """Print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.measuring", description=__doc__.partition("\n")[0])
    parser.add_argument("models", metavar="MODEL", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=200)
    given = parser.parse_args()
    missed = False
    for model in given.models:
        found = rounds_of(model, given.rounds, given.runs)
        ours = statistics.median(found["ours"])
        print(f"{model.name}: ours p50 {ours:.4f} ms, {given.rounds} rounds of {given.runs} runs")
        for other in ("bare", "LiteRT"):
            ratios = [a / b for a, b in zip(found["ours"], found[other], strict=True)]
            ratio, quarters = statistics.median(ratios), statistics.quantiles(ratios, n=4)
            missed |= abs(ratio - 1) > GOAL
            print(f"  ours / {other}: {ratio:.4f} (middle half {quarters[0]:.4f} to {quarters[2]:.4f})")
    print("MISSED: a ratio is more than 2 % from 1" if missed else "all ratios are within 2 % of 1")
    return int(missed)


def rounds_of(model: Path, rounds: int, runs: int) -> dict[str, list[float]]:
    """Return the p50 (ms) of each round, by way of measuring."""
    loaded = load_model(model, load_runtime(), Setting(1, found_sets()[0]))
    ways: list[tuple[str, Callable[[], float]]] = [
        ("ours", lambda: ours(loaded, runs)),
        ("bare", lambda: bare(loaded, runs)),
        ("LiteRT", lambda: litert(model, runs)),
    ]
    found: dict[str, list[float]] = {name: [] for name, _ in ways}
    for number in range(rounds):
        first = number % len(ways)
        for name, way in ways[first:] + ways[:first]:
            found[name].append(way())
    return found


def ours(loaded: LoadedModel, runs: int) -> float:
    """Return the p50 (ms) of a block as `edgenet bench` measures it."""
    loaded.blocks.clear()
    measure_in_turns(
        [loaded], Protocol(runs=runs, min_seconds=0, blocks=1, warmup=5), "", lambda *progress: None
    )
    return loaded.p50_ms


def bare(loaded: LoadedModel, runs: int) -> float:
    """Return the p50 (ms) of a loop with only Invoke between two readings of the clock."""
    invoke, clock = loaded.interpreter.invoke, time.perf_counter_ns
    for _ in range(5):
        invoke()
    samples = []
    for _ in range(runs):
        start = clock()
        invoke()
        samples.append(clock() - start)
    return float(np.median(samples)) / 1e6


def litert(model: Path, runs: int) -> float:
    """Return the p50 (ms) from LiteRT's own benchmark tool."""
    with TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", "--model", str(model)]
        command += ["--num_runs", str(runs), "--warmup_runs", "5", "--num_threads", "1"]
        subprocess.run([*command, "--result_json", str(result)], check=True, capture_output=True)
        report = json.loads(result.read_text())
    return float(report["latency"]["median_ms"])


if __name__ == "__main__":
    sys.exit(main())
