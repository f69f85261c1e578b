"""The results of the teaching benchmark, kept as lines of JSON, and the goal that they are held against."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, stdev
from typing import Any, TypeVar

ALLOWED = 0.5
"""The most points that the judged method may lose to the better of the others, on the mean of a cell."""
WANTED = 1.0
"""The points by which it must be above the better one, on the mean of all cells."""

Kind = TypeVar("Kind")
Key = tuple[str, int, int, str, int, int]
"""Set, size, seed, method, resolution and version of a result."""


@dataclass(frozen=True)
class Result:
    """One training, judged.

    Attributes:
        set: the photo set's name.
        size: the photos a class that were asked for.
        seed: the seed of the split and of the method.
        method: the method's name.
        resolution: side of the network's input, pixels.
        photos: the number of training photos.
        n: the number of judged photos.
        top1: percent of the judged photos that are right.
        seconds: from the folder of photos to the classifier; it depends on the machine and on what else it does.
        details: what the method says about itself.
        version: the version of the method; results of other versions than the current one do not count.
    """

    set: str
    size: int
    seed: int
    method: str
    resolution: int
    photos: int
    n: int
    top1: float
    seconds: float
    details: dict[str, Any] = field(default_factory=dict)
    version: int = 1

    @property
    def key(self) -> Key:
        """What no two results that count have in common."""
        return self.set, self.size, self.seed, self.method, self.resolution, self.version


class Kept:
    """The results in a file, to which each new one is added at once, so that a killed run loses only one training."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[Key, Result]:
        """Return the results by their key, the last one where there are several; broken lines are passed over."""
        return {result.key: result for result in read_lines(self.path, Result)}

    def add(self, result: Result) -> None:
        """Add a result; see `add_line`."""
        add_line(self.path, asdict(result))


def read_lines(path: Path, kind: Callable[..., Kind]) -> Iterator[Kind]:
    """Yield what a file of JSON lines holds, as dataclasses of one kind; broken lines are passed over."""
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            yield kind(**json.loads(line))
        except (ValueError, TypeError):  # the last line of a run that was killed while it wrote
            continue


def add_line(path: Path, values: dict[str, Any]) -> None:
    """Add values to a file of JSON lines in a line of their own, even behind a line that was cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        cut = file.tell() > 0 and _last_byte(path) != b"\n"
        file.write(b"\n" * cut + json.dumps(values).encode() + b"\n")


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read()


@dataclass(frozen=True)
class Cell:
    """The results of every method for one set and size.

    Attributes:
        set, size: the set's name and the photos a class that were asked for.
        top1: for each method, the top-1 of each seed, percent.
        seconds: for each method, the mean time of a training, seconds.
        photos: the mean number of training photos.
    """

    set: str
    size: int
    top1: dict[str, dict[int, float]]
    seconds: dict[str, float]
    photos: float

    def gap(self, method: str) -> float | None:
        """Return how many points the method's mean is above that of the best other method, over the seeds of all.

        None if the method or all others are missing, or if they have no seed in common.
        """
        others = [name for name in self.top1 if name != method]
        if method not in self.top1 or not others:
            return None
        seeds = set.intersection(*(set(by_seed) for by_seed in self.top1.values()))
        if not seeds:
            return None
        means = {name: mean(self.top1[name][seed] for seed in seeds) for name in self.top1}
        return means[method] - max(means[name] for name in others)


@dataclass(frozen=True)
class Goal:
    """Whether a method is good enough.

    Attributes:
        gaps: for each set and size, the points above the best other method.
        missed: the sets and sizes with a gap below -`ALLOWED`.
        overall: the mean of the gaps; None without gaps.
        reached: whether nothing is missed and the mean is at least `WANTED`.
    """

    gaps: dict[tuple[str, int], float]
    missed: tuple[tuple[str, int], ...]
    overall: float | None
    reached: bool


def cells(results: Iterable[Result]) -> list[Cell]:
    """Group results of one resolution by set and size, in the order in which the sets come, then by size."""
    grouped: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        grouped.setdefault((result.set, result.size), []).append(result)
    order = {name: place for place, name in enumerate(dict.fromkeys(name for name, _ in grouped))}
    found = []
    for (name, size), own in sorted(grouped.items(), key=lambda item: (order[item[0][0]], item[0][1])):
        methods = dict.fromkeys(result.method for result in own)
        top1 = {m: {one.seed: one.top1 for one in own if one.method == m} for m in methods}
        seconds = {m: mean(one.seconds for one in own if one.method == m) for m in methods}
        found.append(Cell(name, size, top1, seconds, mean(one.photos for one in own)))
    return found


def judge(found: Sequence[Cell], method: str) -> Goal:
    """Hold a method against the best other one: `ALLOWED` points below it in a cell, `WANTED` above it on the mean."""
    gaps = {(cell.set, cell.size): gap for cell in found if (gap := cell.gap(method)) is not None}
    missed = tuple(place for place, gap in gaps.items() if gap < -ALLOWED)
    overall = mean(gaps.values()) if gaps else None
    return Goal(gaps, missed, overall, overall is not None and not missed and overall >= WANTED)


def table(found: Sequence[Cell], methods: Sequence[str]) -> str:
    """Return the cells as Markdown: mean, spread over the seeds (standard deviation), and the time of a training."""
    lines = [
        "| set | photos a class | " + " | ".join(methods) + " |",
        "|---|---" + "|---" * len(methods) + "|",
    ]
    for cell in found:
        columns = [_column(cell, method) for method in methods]
        lines.append(f"| {cell.set} | {cell.size} ({cell.photos:.0f} in all) | "
                     + " | ".join(columns) + " |")  # fmt: skip
    return "\n".join(lines)


def _column(cell: Cell, method: str) -> str:
    values = list(cell.top1.get(method, {}).values())
    if not values:
        return "-"
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread} % (n={len(values)}, {cell.seconds[method]:.0f} s)"
