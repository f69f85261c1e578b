"""Where a network spends its time: each operator's latency and share, with its mult-adds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet_device.model_file import ModelFile, open_model
from edgenet_device.runtime import load_runtime, make_interpreter, operator_kinds

from edgenet.errors import EdgenetError
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.program import FileOperator, Program


@dataclass(frozen=True)
class OperatorTime:
    """The time of one operator.

    Attributes:
        index: its place in the network.
        kind: such as CONV_2D; None if the runtime does not report it.
        output: the name of its output tensor; None if the runtime does not report it.
        ms: how much it adds to the network's latency, milliseconds; negative values are possible if the
            runtime fuses it with the next operator.
        low_ms, high_ms: the 95 % confidence interval of `ms`; None if unknown.
        share: its share of all operators' time, 0..1.
        mult_adds: multiply-adds for one picture; None if edgenet cannot read the network or cannot match the
            operator.
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
    """The operators' times of one network on one device.

    Attributes:
        target: as the user gave it.
        device: the device's model or CPU.
        method, clock: how the operators were timed.
        threads: number of threads.
        p50_ms: median latency of the whole network, milliseconds.
        valid: whether `p50_ms` may be quoted.
        reasons: why it may not be quoted.
        kinds: milliseconds for each kind of operator, the slowest first.
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
    """Return the operators of a report's profile, in their order."""
    rows = profile["operators"]
    total = sum(row["ms"] for row in rows)
    return tuple(OperatorTime(**row, share=row["ms"] / total if total else 0.0) for row in rows)


def by_kind(operators: Sequence[OperatorTime]) -> dict[str, float]:
    """Return the milliseconds for each kind of operator, the slowest kind first."""
    sums: dict[str, float] = {}
    for operator in operators:
        name = operator.kind or "unknown"
        sums[name] = sums.get(name, 0.0) + operator.ms
    return dict(sorted(sums.items(), key=lambda item: -item[1]))


def with_mult_adds(profile: dict[str, Any], model: Path) -> dict[str, Any]:
    """Return a device's profile with each operator's mult-adds added."""
    known = _mult_adds(model)
    rows = [
        {**row, "mult_adds": None if known is None or row["output"] is None else known.get(row["output"], 0)}
        for row in profile["operators"]
    ]
    return {**profile, "operators": rows}


def _mult_adds(model: Path) -> dict[str, int] | None:
    """Return mult-adds by the name of the operator's output; None if edgenet cannot read the network."""
    try:
        program = read_tflite(open_model(model).data, str(model))
    except EdgenetError:
        return None
    return {program.tensors[one.outputs[0]].name: _count_mult_adds(program, one) for one in program.operators}


def _count_mult_adds(program: Program, operator: FileOperator) -> int:
    """Count mult-adds like `graph.shapes.node_mult_adds`, but from the shapes in any tool's file."""
    if operator.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return 0
    weights = program.tensors[operator.inputs[1]].shape
    window = weights[1:3] if operator.kind == "DEPTHWISE_CONV_2D" else weights[1:]
    return math.prod(program.tensors[operator.outputs[0]].shape) * math.prod(window)


def operators_of(model: ModelFile) -> list[str] | None:
    """Return the kinds of a model's operators, in order; None if this machine's runtime does not list them.

    It is for measurements whose own runtime does not list them.
    """
    return operator_kinds(make_interpreter(load_runtime(), model, 1))
