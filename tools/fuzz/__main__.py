"""Run the fuzz: `python -m tools.fuzz --minutes 10`, or `make fuzz MINUTES=10`.

Prints a table of the inputs tried, taken, refused and bad for each parser and server. The exit status is 1 if there was
a bad one. The corpus and the bad inputs are kept in the folder, each bad one with a command that tries it again.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from tools.fuzz import ROOT
from tools.fuzz.targets import TARGETS
from tools.fuzz.workers import Outcome, minimised, replay, run_target

DEFAULT_FOLDER = ROOT / "build" / "fuzz"


def main() -> int:
    """Run what the command line asks for, and return the exit status."""
    given = _parser().parse_args()
    torch.set_num_threads(1)  # threads would not survive the fork of a worker
    os.environ["OMP_NUM_THREADS"] = "1"
    if given.replay:
        return _replay(given.replay)
    chosen = [TARGETS[name] for name in given.target or TARGETS]
    given.folder.mkdir(parents=True, exist_ok=True)
    weights = sum(target.weight for target in chosen)
    began = time.monotonic()
    if given.inputs:
        shares = {target.name: 1e9 for target in chosen}
    else:
        shares = {target.name: given.minutes * 60 * given.jobs * target.weight / weights for target in chosen}
    print(
        f"{'parser or server':<56} {'tried':>8} {'taken':>8} {'refused':>8} {'bad':>5} {'per s':>7}",
        flush=True,
    )
    faults = 0
    gc.freeze()  # else each fork would look through all that torch made, and so copy its memory
    with ProcessPoolExecutor(given.jobs, get_context("fork")) as pool:
        tasks = [(target, pool.submit(_run, target.name, given, shares[target.name])) for target in chosen]
        for target, task in tasks:
            outcome = task.result()
            print(_row(target.title, outcome), flush=True)
            for verdict, path in outcome.faults.values():
                faults += 1
                print(
                    f"    BAD: {verdict.said[:300]}\n    again: {sys.executable} -m tools.fuzz --replay {path}",
                    flush=True,
                )
    print(
        f"{faults} different faults in {time.monotonic() - began:.0f} s with seed {given.seed}; kept in {given.folder}"
    )
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.fuzz", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="minutes for all targets together (default: 10)"
    )
    parser.add_argument(
        "--inputs", type=int, help="inputs for each target, or a part where they take long, instead of a time"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same inputs (default: 0)"
    )
    parser.add_argument("--jobs", type=int, default=1, help="targets that run at a time (default: 1)")
    parser.add_argument(
        "--target", action="append", choices=sorted(TARGETS), help="only this target; may be repeated"
    )
    parser.add_argument(
        "--folder", type=Path, default=DEFAULT_FOLDER, help="keeps corpus and crashes (default: build/fuzz)"
    )
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="try one saved input again and show what is bad"
    )
    return parser


def _run(name: str, given: argparse.Namespace, seconds: float) -> Outcome:
    target = TARGETS[name]
    target.seeds()  # made before the clock starts, and once for all workers
    inputs = math.ceil(target.part * given.inputs) if given.inputs else sys.maxsize
    outcome = run_target(target, given.seed, given.folder, time.monotonic() + seconds, inputs)
    for verdict, path in outcome.faults.values():
        path.write_bytes(minimised(target, path.read_bytes(), verdict))
    return outcome


def _row(title: str, outcome: Outcome) -> str:
    speed = outcome.tried / max(outcome.seconds, 0.001)
    return f"{title:<56} {outcome.tried:>8} {outcome.accepted:>8} {outcome.refused:>8} {outcome.bad:>5} {speed:>7.0f}"


def _replay(path: Path) -> int:
    target = TARGETS.get(path.resolve().parents[1].name)
    if target is None:
        print(f"{path} does not lie in FOLDER/TARGET/bad/, so its target is unknown", file=sys.stderr)
        return 2
    verdict = replay(target, path.read_bytes())
    print(f"{target.title}: {verdict.kind}: {verdict.said}\n{verdict.detail}")
    return 1 if verdict.kind == "bad" else 0


if __name__ == "__main__":
    sys.exit(main())
