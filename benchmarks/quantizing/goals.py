"""What the project wants of its int8 files, and whether a run showed it. Means are over the calibration draws."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.quantizing.chance import chance_within
from benchmarks.quantizing.contenders import PEER_NAMES, our_name
from benchmarks.quantizing.inputs import FEW, FEW_NAME, draw_name
from benchmarks.quantizing.rows import CutComparison, Row, Summary, summarize

CALIBRATION_DATA = "calibration_data"
# The float file has one DEQUANTIZE in front and a SOFTMAX behind; an int8 one needs a QUANTIZE and a DEQUANTIZE more.
EXTRA_OPERATORS = 2
SPREAD_POINTS = 0.5
OTHER_SOURCE_POINTS = 0.5
CUT_LATENCY, CUT_POINTS = 0.96, 0.5


@dataclass(frozen=True)
class Limits:
    """What a recipe must reach on a network; None where nothing is asked."""

    drop: float
    agreement: float
    sqnr_db: float | None = None
    wall_s: float | None = None


LIMITS: Mapping[tuple[str, str], Limits] = {
    ("v1", "fast"): Limits(1.0, 94.0, wall_s=20),
    ("v1", "balanced"): Limits(0.3, 98.5, 26.5, 90),
    ("v1", "best"): Limits(0.2, 99.0, 28.0, 600),
    ("v2", "fast"): Limits(1.0, 94.0, wall_s=20),
    ("v2", "balanced"): Limits(0.5, 96.5, 22.5, 120),
    ("v2", "best"): Limits(0.2, 97.5, 25.0, 600),
    ("lite0", "balanced"): Limits(0.5, 95.0),
}


@dataclass(frozen=True)
class Goal:
    """One thing that was wanted, what was seen, and whether that is enough; `met` is None where it was not measured."""

    network: str
    goal: str
    seen: str
    met: bool | None


def judge_goals(rows: Sequence[Row], float_operators: Mapping[str, int]) -> list[Goal]:
    """Every goal that the rows can speak about.

    Args:
        float_operators: how many operators the float file has, by network.
    """
    goals: list[Goal] = []
    for network in dict.fromkeys(row.network for row in rows):
        own = [row for row in rows if row.network == network]
        recipes = [key for key in ("fast", "balanced", "best") if any(_is(row, key) for row in own)]
        for recipe in recipes:
            goals += _limits(network, recipe, own)
        for recipe in recipes:
            if recipe != "fast":
                goals += _beats_peers(network, recipe, own)
        ours = [row for row in own if row.contender not in PEER_NAMES]
        for contender in dict.fromkeys(row.contender for row in ours):
            goals += _of_each(network, contender, ours, float_operators[network])
            goals += _sensitivity(network, contender, ours)
    return goals


def cut_goal(network: str, cut: CutComparison | None) -> Goal:
    """With its dead channels cut out a network must be measurably faster, and as accurate."""
    wanted = f"dead channels cut out: latency at most {CUT_LATENCY:.2f} of the uncut file's, same accuracy"
    if cut is None:
        return Goal(network, wanted, "there is none to cut", None)
    (before, after), (top1, cut_top1), (size, cut_size) = cut.latency_ms, cut.top1, cut.bytes
    seen = (
        f"{cut.ratio:.3f} ({before:.2f} to {after:.2f} ms), top-1 {top1:.2f} to {cut_top1:.2f} %,"
        f" {size:,} to {cut_size:,} bytes"
    )
    met = cut.ratio <= CUT_LATENCY and abs(cut_top1 - top1) <= CUT_POINTS
    return Goal(network, wanted, seen, met)


def _is(row: Row, recipe: str) -> bool:
    return row.contender == our_name(recipe)


def draws_of(rows: Sequence[Row], contender: str) -> list[Row]:
    """A contender's rows of the calibration draws, without those of other calibration sets."""
    draws = {draw_name(draw) for draw in range(5)}
    return [row for row in rows if row.contender == contender and row.photos in draws]


def _limits(network: str, recipe: str, rows: Sequence[Row]) -> Iterator[Goal]:
    limits = LIMITS.get((network, recipe))
    if limits is None:
        return
    seen = summarize(draws_of(rows, our_name(recipe)))
    for text, limit, value, sign in (
        ("top-1 drop at most {:.1f} points", limits.drop, seen and seen.drop, -1),
        ("agreement at least {:.1f} %", limits.agreement, seen and seen.agreement, 1),
        ("SQNR of the logits at least {:.1f} dB", limits.sqnr_db, seen and seen.sqnr_db, 1),
        ("at most {:.0f} s", limits.wall_s, seen and seen.wall_s, -1),
    ):
        if limit is None:
            continue
        goal = f"{recipe}: {text.format(limit)}"
        if value is None:
            yield Goal(network, goal, "it failed", False)
        else:
            # rounded: three draws of 0.25 points each must not miss 0.25 by the last bit
            yield Goal(network, goal, f"{value:.2f}", round(sign * (value - limit), 6) >= 0)


def _beats_peers(network: str, recipe: str, rows: Sequence[Row]) -> Iterator[Goal]:
    ours = summarize(draws_of(rows, our_name(recipe)))
    for name in PEER_NAMES:
        theirs = summarize(draws_of(rows, name))
        if theirs is None:
            continue
        goal = f"{recipe}: smaller drop, higher agreement and SQNR than {name}"
        if ours is None:
            yield Goal(network, goal, "it failed", False)
            continue
        better = (
            ours.drop < theirs.drop and ours.agreement > theirs.agreement and ours.sqnr_db > theirs.sqnr_db
        )
        yield Goal(network, goal, f"{_three(ours)} against {_three(theirs)}", better)


def _three(one: Summary) -> str:
    return f"{one.drop:.2f}, {one.agreement:.1f} %, {one.sqnr_db:.1f} dB"


def _of_each(network: str, contender: str, rows: Sequence[Row], float_operators: int) -> Iterator[Goal]:
    """What every file of a recipe must hold."""
    own = [row for row in rows if row.contender == contender]
    for row in own:
        if row.integer is not None:
            check = row.integer
            seen = f"{check.different} of {check.values} logits differ, by {check.largest} at most"
            goal = f"{contender}: the integer reading equals LiteRT on {check.photos} photos"
            yield Goal(network, goal, check.error or seen, check.equal)
    if counts := [row.operators for row in own if row.figures is not None]:
        allowed = float_operators + EXTRA_OPERATORS
        goal = f"{contender}: at most {allowed} operators, {EXTRA_OPERATORS} more than in float"
        yield Goal(network, goal, str(max(counts)), max(counts) <= allowed)
    again = [row.repeatable for row in own if row.repeatable is not None]
    if again:
        goal = f"{contender}: made again, the same bytes"
        yield Goal(network, goal, f"{sum(again)} of {len(again)}", all(again))


def _sensitivity(network: str, contender: str, rows: Sequence[Row]) -> Iterator[Goal]:
    """How much hangs on which photos calibrate; asked where other sets than the draws were tried."""
    figures = {row.photos: row.figures for row in rows if row.contender == contender and row.figures}
    drops = {photos: each["drop"] for photos, each in figures.items()}
    draws = [drop for name, drop in drops.items() if name not in (FEW_NAME, CALIBRATION_DATA)]
    if FEW_NAME in drops and len(draws) > 1:
        sets = [*draws, drops[FEW_NAME]]
        spread = max(abs(a - b) for a, b in itertools.combinations(sets, 2))
        goal = f"{contender}: {len(draws)} sets of 100 and one of {FEW} within {SPREAD_POINTS} points of each other"
        shown = ", ".join(f"{drop:.2f}" for drop in sets)
        judged = [each for photos, each in figures.items() if photos != CALIBRATION_DATA]
        decided = [int(each["lost"] + each["won"]) for each in judged]
        chance = chance_within(decided, int(SPREAD_POINTS * judged[0]["n"] / 100))
        seen = f"{spread:.2f} (drops {shown}; a coin for each photo that tells would do it in {chance:.0%} of cases)"
        yield Goal(network, goal, seen, spread <= SPREAD_POINTS)
    if CALIBRATION_DATA in drops and draws:
        # judged on the photos that draw 0 leaves, and so held against that draw
        more = drops[CALIBRATION_DATA] - drops[draw_name(0)]
        goal = f"{contender}: calibrated with calibration_data/ at most {OTHER_SOURCE_POINTS} points more"
        yield Goal(network, goal, f"{more:.2f}", more <= OTHER_SOURCE_POINTS)
