"""The project's goals for its int8 files, and whether a run met them. Means are over the calibration draws."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.quantizing.chance import chance_within
from benchmarks.quantizing.converters import PEER_NAMES, our_name
from benchmarks.quantizing.inputs import FEW, FEW_NAME, draw_name
from benchmarks.quantizing.rows import CutComparison, Row, Summary, summarize
from benchmarks.quantizing.totals import ALL_NETWORKS, CALIBRATION_DATA, EVERY_SET, Total, draws_of

# The float file has one DEQUANTIZE in front and a SOFTMAX behind; an int8 one needs a QUANTIZE and a DEQUANTIZE more.
EXTRA_OPERATORS = 2
SPREAD_POINTS = 0.5
AGREEMENT_SPREAD_POINTS = 1.0
OTHER_SOURCE_POINTS = 0.5
CUT_LATENCY, CUT_POINTS = 0.96, 0.5
OTHER_SOURCE_AGREEMENT: Mapping[str, float] = {"v1": 98.5, "v2": 97.5, "lite0": 99.2, "v1-0.25": 95.0}
"""Least agreement, in percent, of `balanced` with photos of calibration_data/, on ImageNet's photos."""
LEAST_P = 0.2


@dataclass(frozen=True)
class Limits:
    """The limits that a recipe must keep on a network; None for no limit."""

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
    """One goal, what was measured for it (`seen`), and whether it was met; `met` is None if it was not measured."""

    network: str
    goal: str
    seen: str
    met: bool | None


def judge_goals(rows: Sequence[Row], float_operators: Mapping[str, int]) -> list[Goal]:
    """Return every goal for which the rows have figures.

    Args:
        float_operators: number of operators of the float file, by network.
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
        ours = [row for row in own if row.converter not in PEER_NAMES]
        for converter in dict.fromkeys(row.converter for row in ours):
            goals += _of_each(network, converter, ours, float_operators[network])
            goals += _sensitivity(network, converter, ours)
            goals += _agreement_spread(network, converter, ours)
        goals += _other_source(network, ours)
    return goals


def total_goals(sums: Sequence[Total]) -> list[Goal]:
    """Return the goals that edgenet's files lose no more photos than they win, over all networks of a run."""
    goals = []
    for one in sums:
        if one.converter not in PEER_NAMES and one.photos != EVERY_SET:
            goal = f"{one.converter}, {one.photos}: lost and won are not told apart, p above {LEAST_P}"
            seen = f"{one.lost} lost, {one.won} won of {one.judged} (networks: {one.networks}), p {one.p_value:.2f}"
            goals.append(Goal(ALL_NETWORKS, goal, seen, one.p_value > LEAST_P))
    return goals


def cut_goal(network: str, cut: CutComparison | None) -> Goal:
    """Return the goal that a network without its dead channels is measurably faster and as accurate."""
    wanted = f"dead channels cut out: latency at most {CUT_LATENCY:.2f} of the uncut file's, same accuracy"
    if cut is None:
        return Goal(network, wanted, "the network has no dead channels", None)
    (before, after), (top1, cut_top1), (size, cut_size) = cut.latency_ms, cut.top1, cut.bytes
    seen = (
        f"{cut.ratio:.3f} ({before:.2f} to {after:.2f} ms), top-1 {top1:.2f} to {cut_top1:.2f} %,"
        f" {size:,} to {cut_size:,} bytes"
    )
    met = cut.ratio <= CUT_LATENCY and abs(cut_top1 - top1) <= CUT_POINTS
    return Goal(network, wanted, seen, met)


def _is(row: Row, recipe: str) -> bool:
    return row.converter == our_name(recipe)


def _limits(network: str, recipe: str, rows: Sequence[Row]) -> Iterator[Goal]:
    limits = LIMITS.get((network, recipe))
    if limits is None:
        return
    seen = summarize(draws_of(rows, our_name(recipe)))
    values = (None,) * 4 if seen is None else (seen.drop, seen.agreement, seen.sqnr_db, seen.wall_s)
    goals = (
        ("top-1 drop at most {:.1f} points", limits.drop, -1),
        ("agreement at least {:.1f} %", limits.agreement, 1),
        ("SQNR of the logits at least {:.1f} dB", limits.sqnr_db, 1),
        ("at most {:.0f} s", limits.wall_s, -1),
    )
    for (text, limit, sign), value in zip(goals, values, strict=True):
        if limit is None:
            continue
        goal = f"{recipe}: {text.format(limit)}"
        if value is None:
            yield Goal(network, goal, "the conversion failed", False)
        else:
            # Rounded, so that the mean of three draws of 0.25 points does not miss a limit of 0.25 by a last bit.
            yield Goal(network, goal, f"{value:.2f}", round(sign * (value - limit), 6) >= 0)


def _beats_peers(network: str, recipe: str, rows: Sequence[Row]) -> Iterator[Goal]:
    ours = summarize(draws_of(rows, our_name(recipe)))
    for name in PEER_NAMES:
        theirs = summarize(draws_of(rows, name))
        if theirs is None:
            continue
        goal = f"{recipe}: smaller drop, higher agreement and SQNR than {name}"
        if ours is None:
            yield Goal(network, goal, "the conversion failed", False)
            continue
        better = (
            ours.drop < theirs.drop and ours.agreement > theirs.agreement and ours.sqnr_db > theirs.sqnr_db
        )
        yield Goal(network, goal, f"{_three(ours)} against {_three(theirs)}", better)


def _three(one: Summary) -> str:
    return f"{one.drop:.2f}, {one.agreement:.1f} %, {one.sqnr_db:.1f} dB"


def _of_each(network: str, converter: str, rows: Sequence[Row], float_operators: int) -> Iterator[Goal]:
    """Return the goals that every single file of a recipe must meet."""
    own = [row for row in rows if row.converter == converter]
    for row in own:
        if row.integer is not None:
            check = row.integer
            seen = f"{check.different} of {check.values} logits differ, by at most {check.largest}"
            goal = f"{converter}: the integer reading equals LiteRT on {check.photos} photos"
            yield Goal(network, goal, check.error or seen, check.equal)
    if counts := [row.operators for row in own if row.figures is not None]:
        allowed = float_operators + EXTRA_OPERATORS
        goal = f"{converter}: at most {allowed} operators, {EXTRA_OPERATORS} more than the float file"
        yield Goal(network, goal, str(max(counts)), max(counts) <= allowed)
    again = [row.repeatable for row in own if row.repeatable is not None]
    if again:
        goal = f"{converter}: a second conversion gives the same bytes"
        yield Goal(network, goal, f"{sum(again)} of {len(again)}", all(again))


def _sensitivity(network: str, converter: str, rows: Sequence[Row]) -> Iterator[Goal]:
    """Return the goals about the choice of calibration photos, if sets other than the draws were tried."""
    figures = {row.photos: row.figures for row in rows if row.converter == converter and row.figures}
    drops = {photos: each["drop"] for photos, each in figures.items()}
    draws = [drop for name, drop in drops.items() if name not in (FEW_NAME, CALIBRATION_DATA)]
    if FEW_NAME in drops and len(draws) > 1:
        sets = [*draws, drops[FEW_NAME]]
        spread = max(abs(a - b) for a, b in itertools.combinations(sets, 2))
        goal = f"{converter}: {len(draws)} sets of 100 and one of {FEW} within {SPREAD_POINTS} points of each other"
        shown = ", ".join(f"{drop:.2f}" for drop in sets)
        judged = [each for photos, each in figures.items() if photos != CALIBRATION_DATA]
        decided = [int(each["lost"] + each["won"]) for each in judged]
        chance = chance_within(decided, int(SPREAD_POINTS * judged[0]["n"] / 100))
        seen = f"{spread:.2f} (drops {shown}; chance alone keeps them within it in {chance:.0%} of cases)"
        yield Goal(network, goal, seen, spread <= SPREAD_POINTS)
    if CALIBRATION_DATA in drops and draws:
        # This set is judged on the photos that draw 0 does not use, so it is compared with that draw.
        more = drops[CALIBRATION_DATA] - drops[draw_name(0)]
        goal = f"{converter}: drop with calibration_data/ at most {OTHER_SOURCE_POINTS} points larger"
        # Rounded, because the difference of two shares of the same photos may be a last bit above the limit.
        yield Goal(network, goal, f"{more:.2f}", round(more - OTHER_SOURCE_POINTS, 6) <= 0)


def _agreement_spread(network: str, converter: str, rows: Sequence[Row]) -> Iterator[Goal]:
    """Return the goal that the agreement hardly depends on the draw, if there are several draws."""
    seen = [row.figures["agreement"] for row in draws_of(rows, converter) if row.figures]
    if len(seen) > 1:
        spread = max(seen) - min(seen)
        goal = f"{converter}: agreement of {len(seen)} draws within {AGREEMENT_SPREAD_POINTS:.0f} point"
        shown = " ".join(f"{value:.2f}" for value in seen)
        yield Goal(network, goal, f"{spread:.2f} ({shown})", round(spread - AGREEMENT_SPREAD_POINTS, 6) <= 0)


def _other_source(network: str, rows: Sequence[Row]) -> Iterator[Goal]:
    """Return the goal of `balanced` with photos of another source."""
    limit = OTHER_SOURCE_AGREEMENT.get(network)
    for row in rows:
        if limit is not None and _is(row, "balanced") and row.photos == CALIBRATION_DATA:
            goal = f"balanced with calibration_data/: agreement at least {limit:.1f} %"
            if row.figures is None:
                yield Goal(network, goal, "the conversion failed", False)
            else:
                yield Goal(
                    network, goal, f"{row.figures['agreement']:.2f}", row.figures["agreement"] >= limit
                )
