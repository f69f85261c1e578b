"""Judge every file of a run, and write the report.

This module is imported only when all conversions are done, because the memory of this process would count towards the
peak memory of the processes that it starts.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.quantizing.converters import our_name
from benchmarks.quantizing.dead_channels import compare_cut
from benchmarks.quantizing.goals import Goal, cut_goal, judge_goals, total_goals
from benchmarks.quantizing.inputs import draw_name
from benchmarks.quantizing.judging import Judge, judge_file, open_judge
from benchmarks.quantizing.plan import Made
from benchmarks.quantizing.rows import Row
from benchmarks.quantizing.totals import totals
from benchmarks.tflite_files import operators

CUT_NETWORK = "v1"  # TF-slim's weights have dead channels in the first layer


def report_on(made: Made, latency: bool) -> dict[str, Any]:
    """Return the report: networks, references, rows, totals and goals as plain values.

    Args:
        latency: also time the network that has dead channels with and without them.
    """
    rows: list[Row] = []
    references: list[Row] = []
    goals: list[Goal] = []
    counts = {key: sum(operators(path).values()) for key, path in made.floats.items()}
    for key, network in made.networks.items():
        judge = open_judge(network, made.floats[key])
        references += [judge_file(judge, one, False) for one in made.references if one.network == key]
        own = _rows(judge, made)
        rows += own
        goals += judge_goals(own, counts)
        if latency and key == CUT_NETWORK:
            goals.append(cut_goal(key, compare_cut(judge, made.floats[key].parent.parent / "cut")))
    sums = totals(rows)
    goals += total_goals(sums)
    titles = {key: network.title for key, network in made.networks.items()}
    return {
        "networks": {key: {"title": titles[key], "float_operators": counts[key]} for key in titles},
        "references": [dataclasses.asdict(row) for row in references],
        "rows": [dataclasses.asdict(row) for row in rows],
        "totals": [dataclasses.asdict(one) for one in sums],
        "goals": [dataclasses.asdict(goal) for goal in goals],
    }


def _rows(judge: Judge, made: Made) -> list[Row]:
    rows = []
    for one in made.files:
        if one.network == judge.network.key:
            ours = one.converter.startswith(our_name(""))
            rows.append(judge_file(judge, one, check_integers=ours and one.photos == draw_name(0)))
    return rows
