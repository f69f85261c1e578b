"""The report of a run: all figures and the conditions that affect them, as plain values.

This module is imported only when all conversions are done; `judging` says why.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from edgenet_device.latency.conditions import device_facts

from benchmarks.comparing.judging import peer_rows
from benchmarks.comparing.making import CALIBRATION, Made
from benchmarks.comparing.peers import OURS, OURS_AS_PEERS, versions_of
from benchmarks.comparing.pipeline_rows import PACKAGES, pipeline_rows
from benchmarks.comparing.rows import judge_goals
from benchmarks.pipelines import MEDIAPIPE, mediapipe_python
from benchmarks.quantizing.judging import held_out, open_judge


def report_on(files: Sequence[Made]) -> dict[str, Any]:
    """Return the machine, the versions, and each network with its rows and goals."""
    networks = {made.network.key: _network(made) for made in files}
    return {"machine": device_facts(), "versions": _versions(files[0]), "networks": networks}


def _network(made: Made) -> dict[str, Any]:
    judge = open_judge(made.network, made.float_file)
    rows = peer_rows(made, judge)
    pipelines = pipeline_rows(made, made.pair, judge) if made.pair else []
    indices = held_out(judge.draws, CALIBRATION)
    right = judge.real[indices].argmax(axis=1) == judge.labels[indices]
    return {
        "title": made.network.title,
        "photos": len(indices),
        "float_top1": 100 * float(right.mean()),
        "rows": [dataclasses.asdict(row) for row in rows],
        "pipelines": [dataclasses.asdict(row) for row in pipelines],
        "goals": [dataclasses.asdict(goal) for goal in judge_goals(made.network.key, rows)],
    }


def _versions(made: Made) -> dict[str, dict[str, str]]:
    """Return the versions of the packages that each environment was made for, and of those that edgenet runs on."""
    asked = {"edgenet" if peer.name == OURS else peer.name: peer for peer, _ in made.files}
    del asked[OURS_AS_PEERS]  # the same environment
    found = {name: versions_of(peer.python, peer.packages) for name, peer in asked.items()}
    if made.pair:
        found[MEDIAPIPE] = versions_of(mediapipe_python(), PACKAGES[MEDIAPIPE])
    return found
