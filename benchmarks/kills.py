"""Does what is killed at any moment, and then continued, end with the same bytes as what was never killed?

    .venv/bin/python -m benchmarks.kills --count 50 --seed 1

`train`, `sweep`, `select` and `train` without a network's name each run once to their end, on small photos. Then each
runs again and again: SIGKILL ends it at a random moment after its folder has appeared, the next command continues it,
and in one of three cases SIGKILL ends that, too. Every other kill takes the program alone, as the kernel does when
memory is short, and leaves its children behind; the others take all its processes, as a power cut does. The networks,
the int8 files, the bundles and the tables without times must then be the same to the byte. The exit status is 1 if one
of them is not, or if a command fails; its folder then stays. Nobody may change the code meanwhile.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from benchmarks.environments import ROOT

NETWORK = "mobilenet_v1_0.25_32"
CLASSES = {"blue": (200, 90, 60), "green": (90, 200, 60), "red": (90, 60, 200)}
"""BGR, near to each other, so that no network is right at once."""
PHOTOS = 20
SECOND_KILL = 1 / 3
_COMPARED = {".safetensors", ".tflite", ".edgenet", ".csv"}
_STATE = "state.safetensors"
"""It also holds how long everything took, so it is never the same twice."""
_MEASURED = ("_s", "_ms", "latency_", "front", "device")
"""How the names of columns with times, or with what follows from times, begin or end."""
Command = list[str]


@dataclass(frozen=True)
class Case:
    """A command that may be killed.

    Attributes:
        name: what it is called in the table.
        begin: returns the command that writes into a folder.
        again: returns the command that continues in that folder.
    """

    name: str
    begin: Callable[[Path], Command]
    again: Callable[[Path], Command]


@dataclass
class Tally:
    """What became of the kills of a command.

    Attributes:
        kills: number of kills.
        same: number of runs that ended with the same bytes.
        faults: what was wrong with the others, one line each.
    """

    kills: int = 0
    same: int = 0
    faults: list[str] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line, run and print; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="number of kills (50)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments (1)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of train, sweep, select and teach")
    given = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="edgenet-kills-"))
    tallies = kill_all(folder, given.count, given.seed, given.only)
    print(f"{'command':8} {'kills':>6} {'runs':>6} {'same':>6}")
    for name, tally in tallies.items():
        print(f"{name:8} {tally.kills:6} {tally.same + len(tally.faults):6} {tally.same:6}")
    faults = [f"{name}: {fault}" for name, tally in tallies.items() for fault in tally.faults]
    if not faults:
        shutil.rmtree(folder)
    print("\n".join(faults) or "all ended with the same bytes")
    return int(bool(faults))


def kill_all(folder: Path, count: int, seed: int, only: Sequence[str] | None = None) -> dict[str, Tally]:
    """Kill the commands in turns until there are `count` kills.

    Args:
        folder: for everything that they write.
        count: number of kills of all commands together.
        seed: seed of the moments.
        only: names of the commands; None for all.

    Returns:
        What became of the kills, by command.
    """
    rng = random.Random(seed)
    whole = folder / "whole"
    cases = _cases(_write_photos(folder / "photos"), whole)
    chosen = [case for case in cases if only is None or case.name in only]
    expected, seconds = {}, {}
    for case in cases:
        if case in chosen or case.name == "train":  # whose network `teach` starts from
            seconds[case.name] = _run(case.begin(whole / case.name), whole / case.name)
            expected[case.name] = _digests(whole / case.name)
    tallies = {case.name: Tally() for case in chosen}
    for turn, case in enumerate(cycle(chosen)):
        if sum(tally.kills for tally in tallies.values()) >= count:
            break
        out = folder / f"{turn}-{case.name}" / "out"
        out.parent.mkdir()
        tally = tallies[case.name]
        fault = _kill_and_continue(case, out, seconds[case.name], rng, tally) or _difference(
            expected[case.name], _digests(out)
        )
        if fault:
            tally.faults.append(f"{fault}; see {out.parent}")
        else:
            tally.same += 1
            shutil.rmtree(out.parent)
        print(f"{case.name}, kill {tally.kills}: {fault or 'the same'}", file=sys.stderr, flush=True)
    return tallies


def _cases(photos: Path, whole: Path) -> list[Case]:
    def edgenet(*words: object) -> Command:
        return [sys.executable, "-m", "edgenet", *map(str, words)]

    def train(out: Path) -> Command:
        options = ("--epochs", 4, "--batch", 8, "--seed", 3, "--mixup", 0.2)
        return edgenet("train", NETWORK, "--data", photos, "--out", out, *options)

    def resume(out: Path) -> Command:
        return edgenet("train", "--resume", out) if (out / _STATE).exists() else train(out)

    grid = ("--widths", "0.25,0.1", "--resolutions", "32", "--recipe", "minmax", "--settle", 0)
    quick = (*grid, "--epochs", 2, "--batch", 8)

    def sweep(out: Path) -> Command:
        return edgenet("sweep", "--data", photos, "--out", out, *quick)

    def select(out: Path) -> Command:
        return edgenet("select", "--data", photos, "--out", out, "--budget-ms", 1000, *quick)

    def teach(out: Path) -> Command:
        start = whole / "train" / f"{NETWORK}.safetensors"
        return edgenet("train", "--data", photos, "--out", out, "--pretrained", start, "--resolution", 32)

    return [
        Case("train", train, resume),
        Case("sweep", sweep, sweep),
        Case("select", select, select),
        Case("teach", teach, teach),
    ]


def _write_photos(root: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, colour in CLASSES.items():
        (root / name).mkdir(parents=True)
        for number in range(PHOTOS):
            coarse = rng.integers(40, 200, (5, 7, 3), dtype=np.uint8)
            photo = cv2.resize(coarse, (80, 60), interpolation=cv2.INTER_CUBIC)
            x, y = (int(value) for value in rng.integers(15, 45, 2))
            cv2.circle(photo, (x, y), int(rng.integers(8, 22)), colour, -1)
            cv2.imwrite(str(root / name / f"{number}.png"), photo)
    return root


def _start(command: Command, out: Path) -> subprocess.Popen[bytes]:
    """Start a command in a group of its own, with a cache of its own, so that it begins with nothing prepared."""
    out.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "EDGENET_CACHE": f"{out}-cache", "OMP_NUM_THREADS": "1"}
    with open(f"{out}-log", "ab") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def _run(command: Command, out: Path) -> float:
    """Run a command to its end; return the seconds since its folder appeared.

    Raises:
        RuntimeError: it failed; the message is its last line.
    """
    with _start(command, out) as process:
        _wait_for(out, process)
        began = time.perf_counter()
    if process.returncode:
        raise RuntimeError(
            f"exit status {process.returncode}: {Path(f'{out}-log').read_text().splitlines()[-1:]}"
        )
    return time.perf_counter() - began


def _kill_and_continue(case: Case, out: Path, seconds: float, rng: random.Random, tally: Tally) -> str | None:
    """Kill a command once or twice, then run it to its end; return what failed, or None."""
    groups, command = [], case.begin(out)
    again = True
    while again:
        process, killed = _kill_at(command, out, rng.uniform(0, seconds), alone=rng.random() < 0.5)
        groups.append(process)
        tally.kills += killed
        command = case.again(out)
        again = killed and len(groups) == 1 and rng.random() < SECOND_KILL
    try:
        _run(command, out)
    except RuntimeError as error:
        return str(error)
    finally:
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
    return None


def _kill_at(command: Command, out: Path, moment: float, alone: bool) -> tuple[int, bool]:
    """Kill a command this many seconds after its folder appeared; return its group, and whether it still ran."""
    with _start(command, out) as process:
        _wait_for(out, process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        killed = process.poll() is None
        if killed:
            (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    return process.pid, killed


def _wait_for(out: Path, process: subprocess.Popen[bytes]) -> None:
    while not out.exists() and process.poll() is None:
        time.sleep(0.01)


def _digests(out: Path) -> dict[str, str]:
    """Return what must be the same of every file in a folder, as a hash, by the file's path."""
    paths = [path for path in out.rglob("*") if path.suffix in _COMPARED and path.name != _STATE]
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(
            _without_times(path) if path.suffix == ".csv" else path.read_bytes()
        ).hexdigest()
        for path in paths
    }


def _without_times(table: Path) -> bytes:
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    kept = [
        {
            name: text
            for name, text in row.items()
            if not (name.startswith(_MEASURED) or name.endswith(_MEASURED))
        }
        for row in rows
    ]
    return repr(kept).encode()


def _difference(expected: dict[str, str], found: dict[str, str]) -> str | None:
    names = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    return f"{', '.join(names)} differ" if names else None


if __name__ == "__main__":
    sys.exit(main())
