"""A peer's figures on a network, and the project's goals beside the peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.comparing.peers import OURS, OURS_AS_PEERS
from benchmarks.quantizing.goals import Goal

SLOWER_ALLOWED = 1.02


@dataclass(frozen=True)
class Row:
    """The figures of one tool on one network; None for a figure that was not measured or does not exist.

    Attributes:
        name: the tool's name.
        error: why there is no file, or why it does not run.
        packages_mb: size of the packages that must be installed, with everything that they require.
        wall_s, peak_mib: wall time and peak memory of the whole process: a conversion, or for a pipeline the
            classification of one picture.
        bytes: size of the file.
        operators, transposes: number of operators, and of the transposes among them.
        latency_ms: latency of an inference, or for a pipeline of a frame.
        latency_ratio: latency relative to ours, the median over the pairs of blocks.
        top1_drop: top-1 drop against our float file on the same photos, points.
        agreement: agreement with the float file's first choice, percent.
    """

    name: str
    error: str | None = None
    packages_mb: float | None = None
    wall_s: float | None = None
    peak_mib: float | None = None
    bytes: int | None = None
    operators: int | None = None
    transposes: int | None = None
    latency_ms: float | None = None
    latency_ratio: float | None = None
    top1_drop: float | None = None
    agreement: float | None = None


def judge_goals(network: str, rows: Sequence[Row]) -> list[Goal]:
    """Return the goals: a file as fast as every peer's, converted with less time, memory and disk than by each peer.

    The peers do the same as recipe minmax, so conversions are compared with that recipe.
    """
    peers = [row for row in rows if row.name not in (OURS, OURS_AS_PEERS)]
    ratios = {row.name: 1 / row.latency_ratio for row in peers if row.latency_ratio is not None}
    goals = []
    if ratios:
        name, worst = max(ratios.items(), key=lambda item: item[1])
        wanted = f"latency at most {SLOWER_ALLOWED} of every peer's"
        goals.append(Goal(network, wanted, f"{worst:.3f} of that of {name}", worst <= SLOWER_ALLOWED))
    ours = next((row for row in rows if row.name == OURS_AS_PEERS), None)
    if ours is None:
        return goals
    figures: list[tuple[str, str, Callable[[Row], float | None]]] = [
        ("time", "{:.1f} s", lambda row: row.wall_s),
        ("memory", "{:.0f} MiB", lambda row: row.peak_mib),
        ("disk", "{:.0f} MB", lambda row: row.packages_mb),
    ]
    for what, form, figure in figures:
        mine = figure(ours)
        theirs = {row.name: value for row in peers if (value := figure(row)) is not None}
        if mine is None or not theirs:
            continue
        name, least = min(theirs.items(), key=lambda item: item[1])
        seen = f"{form.format(mine)}; the best peer needs {form.format(least)} ({name})"
        goals.append(Goal(network, f"converted in less {what} than by each peer", seen, mine < least))
    return goals
