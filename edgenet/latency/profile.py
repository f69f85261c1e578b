"""Where the time goes in a network: each operator's share, beside what it computes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_scripts.model_file import open_model
from edgenet.errors import EdgenetError
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.program import FileOperator, Program


@dataclass(frozen=True)
class OperatorTime:
    """One operator.

    Attributes:
        kind: such as CONV_2D; None where the runtime does not tell.
        output: the name of the tensor it makes; None where the runtime does not tell.
        ms: what it adds to the network's latency, and the 95 % interval of that, `low_ms` to `high_ms`, None where it
            is not told; it may be below zero where the runtime joins it with the next one.
        share: of all operators' time, 0..1.
        mult_adds: for one picture; None where edgenet cannot read the network, or tell which operator it is.
    """

    index: int
    kind: str | None
    output: str | None
    ms: float
    low_ms: float | None
    high_ms: float | None
    share: float
    mult_adds: int | None


@dataclass(frozen=True)
class Profile:
    """A network's operators on a device.

    Attributes:
        device: where.
        method, clock: how the operators were timed.
        p50_ms: of the whole network, and whether that may be quoted.
        reasons: why it may not.
        kinds: milliseconds of each kind of operator, the most first.
    """

    target: str
    device: str
    method: str
    clock: str
    threads: int
    p50_ms: float
    valid: bool
    reasons: tuple[str, ...]
    operators: tuple[OperatorTime, ...]
    kinds: dict[str, float]


def operator_times(profile: dict[str, Any]) -> tuple[OperatorTime, ...]:
    """The operators of a report's profile, in their order."""
    rows = profile["operators"]
    total = sum(row["ms"] for row in rows)
    return tuple(OperatorTime(**row, share=row["ms"] / total if total else 0.0) for row in rows)


def by_kind(operators: Sequence[OperatorTime]) -> dict[str, float]:
    """Milliseconds of each kind of operator, the most first."""
    sums: dict[str, float] = {}
    for operator in operators:
        name = operator.kind or "unknown"
        sums[name] = sums.get(name, 0.0) + operator.ms
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def with_mult_adds(profile: dict[str, Any], model: Path) -> dict[str, Any]:
    """A profile as a device wrote it, and what each operator computes."""
    known = _mult_adds(model)
    rows = [
        {**row, "mult_adds": None if known is None or row["output"] is None else known.get(row["output"], 0)}
        for row in profile["operators"]
    ]
    return {**profile, "operators": rows}


def _mult_adds(model: Path) -> dict[str, int] | None:
    """By the name of the operator's output; None for a network that edgenet does not read."""
    try:
        program = read_tflite(open_model(model).data, str(model))
    except EdgenetError:
        return None
    return {program.tensors[one.outputs[0]].name: _counted(program, one) for one in program.operators}


def _counted(program: Program, operator: FileOperator) -> int:
    """As `graph.cost.node_mult_adds`, from the shapes in the file: for files of other tools too."""
    if operator.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    weights = program.tensors[operator.inputs[1]].shape
    window = weights[1:3] if operator.kind == "DEPTHWISE_CONV_2D" else weights[1:]
    return math.prod(program.tensors[operator.outputs[0]].shape) * math.prod(window)
