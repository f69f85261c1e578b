"""A peer's figures on a network, and what the project wants of its own beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.comparing.peers import OURS, OURS_AS_PEERS
from benchmarks.quantizing.goals import Goal

SLOWER_ALLOWED = 1.02


@dataclass(frozen=True)
class Row:
    """One way, on one network; None where it was not measured, or there is no such thing.

    Attributes:
        error: why there is no file, or why it does not run.
        packages_mb: the files of what must be installed, with all that it requires.
        wall_s, peak_mib: of the whole process: the conversion; of a pipeline, naming one picture.
        bytes: the file's.
        operators, transposes: how many there are; the latter are among the former.
        latency_ms: an inference; of a pipeline, a frame.
        latency_ratio: to ours, the median over the pairs of blocks.
        top1_drop: against our float file on the same photos, points.
        agreement: with the float file's first choice, percent.
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
    """At least as fast as every peer's file, and converted in less time, memory and disk than by each.

    What peers do is what recipe minmax does: that one is held against them where converting is compared.
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
        seen = f"{form.format(mine)}; the least of a peer {form.format(least)} ({name})"
        goals.append(Goal(network, f"converted in less {what} than by each peer", seen, mine < least))
    return goals
