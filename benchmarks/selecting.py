"""Does `edgenet select` find what a whole sweep finds, and with how much of its training?

    .venv/bin/python -m benchmarks.selecting [docs/cifar-sweep.csv]

It reads the table of a sweep, in which every candidate was trained and timed, and replays `select` for every budget
that makes a difference: each p50 in the table. It decides with the functions that `select` uses, and sees only the
accuracies of the candidates that it chooses to train. The exit status is 1 if a choice is more than a point worse than
the best that fits, or took more than a third of all training (counted in mult-adds).
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from edgenet.latency.comparing import TRAINING_SHARE, Candidate, train_promising

GOAL_POINTS = 1.0
TABLE = Path("docs/cifar-sweep.csv")


@dataclass(frozen=True)
class Choice:
    """The result of `select` with one budget.

    Attributes:
        budget_ms: the latency budget.
        fitting: number of candidates that fit it.
        trained: number of candidates that were trained.
        share: the trained candidates' share of all candidates' mult-adds.
        chosen: name of the best trained candidate.
        top1: int8 top-1 of the chosen candidate, percent.
        best_top1: the best int8 top-1 of all candidates that fit, percent.
        stopped: why no more candidates were trained.
    """

    budget_ms: float
    fitting: int
    trained: int
    share: float
    chosen: str
    top1: float
    best_top1: float
    stopped: str

    @property
    def gap(self) -> float:
        """Return the points of top-1 below the best that fits."""
        return self.best_top1 - self.top1

    @property
    def missed(self) -> bool:
        """Return whether the goal was missed."""
        return self.gap > GOAL_POINTS or self.share > TRAINING_SHARE


def main() -> int:
    """Print a table; return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.selecting", description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=Path, nargs="?", default=TABLE)
    choices = replay(*read(parser.parse_args().table))
    print(
        "budget ms  fit  trained  training  chosen                      top-1   best   missed  stopped because"
    )
    for one in choices:
        print(
            f"{one.budget_ms:9.3f}  {one.fitting:3}  {one.trained:7}  {one.share:7.0%}   {one.chosen:26} "
            f"{one.top1:6.2f} {one.best_top1:6.2f}  {one.gap:6.2f}   {one.stopped}"
        )
    missed = sum(one.missed for one in choices)
    print(
        f"{len(choices) - missed} of {len(choices)} budgets: within {GOAL_POINTS:g} point of the best that fits, "
        "with at most a third of the training"
    )
    return int(missed > 0)


def read(table: Path) -> tuple[list[Candidate], dict[str, float]]:
    """Return the candidates of a sweep's table, and their int8 top-1 by name."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    candidates = [
        Candidate(
            name=row["variant"],
            mult_adds=int(row["mult_adds"]),
            bytes=int(row["bytes"]),
            p50_ms=float(row["latency_p50_ms"]),
            valid=row["latency_valid"] == "True",
            reasons=(),
            fits=False,
        )
        for row in rows
    ]
    return candidates, {row["variant"]: float(row["int8_top1"]) for row in rows}


def replay(candidates: list[Candidate], top1: dict[str, float]) -> list[Choice]:
    """Return a choice for every budget that lets one more candidate fit, the smallest budget first."""
    return [_choice(candidates, top1, budget) for budget in sorted({one.p50_ms for one in candidates})]


def _choice(candidates: list[Candidate], top1: dict[str, float], budget_ms: float) -> Choice:
    judged = [replace(one, fits=one.p50_ms <= budget_ms) for one in candidates]
    trained, stopped = train_promising(judged, lambda one: top1[one.name])
    chosen, found = max(trained, key=lambda pair: pair[1])
    share = sum(one.mult_adds for one, _ in trained) / sum(one.mult_adds for one in judged)
    best = max(top1[one.name] for one in judged if one.fits)
    fitting = sum(one.fits for one in judged)
    return Choice(budget_ms, fitting, len(trained), share, chosen.name, found, best, stopped)


if __name__ == "__main__":
    sys.exit(main())
