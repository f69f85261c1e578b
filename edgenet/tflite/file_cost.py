"""The cost of a file, counted from its tensors alone: of files that the graph's readers do not take, too."""

from __future__ import annotations

import math

from edgenet.graph.shapes import Cost
from edgenet.tflite.program import FileOperator, Program

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def file_cost(program: Program) -> Cost:
    """Count a file's cost for one picture, as `edgenet.graph.shapes.cost` counts a graph's."""
    constants = {
        i
        for operator in program.operators
        if operator.kind in _WEIGHTED
        for i in operator.inputs[1:3]
        if i >= 0 and program.tensors[i].data is not None
    }
    return Cost(
        mult_adds=sum(operator_mult_adds(program, operator) for operator in program.operators),
        parameters=sum(math.prod(program.tensors[i].shape) for i in constants),
        peak_activation_values=_peak(program),
    )


def operator_mult_adds(program: Program, operator: FileOperator) -> int:
    """Return an operator's mult-adds: its output values times the weights each one uses; 0 without weights."""
    if operator.kind not in _WEIGHTED or min(operator.inputs[1:2], default=-1) < 0 or not operator.outputs:
        return 0
    outputs = math.prod(program.tensors[operator.outputs[0]].shape)
    weight = program.tensors[operator.inputs[1]].shape
    if operator.kind == "CONV_2D":
        return outputs * math.prod(weight[1:])
    return outputs * (
        math.prod(weight[1:3]) if operator.kind == "DEPTHWISE_CONV_2D" else math.prod(weight[-1:])
    )


def _peak(program: Program) -> int:
    """Return the most values in memory at once: those read later, and those of the operator that runs."""
    last_read = {program.output: len(program.operators)}
    for number, operator in enumerate(program.operators):
        last_read |= {i: max(last_read.get(i, 0), number) for i in operator.inputs if i >= 0}
    computed = [program.input]
    peak = 0
    for number, operator in enumerate(program.operators):
        computed += operator.outputs
        live = {i for i in computed if last_read.get(i, number) >= number}
        peak = max(peak, sum(math.prod(program.tensors[i].shape) for i in live))
    return peak
