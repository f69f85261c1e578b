"""Into how many parts a file falls when XNNPACK runs it, and what the operators between the parts cost."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from edgenet_device.runtime import (
    REFUSALS,
    bare_interpreter,
    find_delegate,
    load_runtime,
    operators_outside_the_delegate,
)

from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.program import Program, ProgramBuilder


@dataclass(frozen=True)
class Partitions:
    """How XNNPACK runs a file.

    Attributes:
        count: connected parts of the network that XNNPACK runs; 1 is best.
        operators_taken, operators: the operators that XNNPACK runs, and all of them.
        outside: the number of operators of each kind that LiteRT's own kernels run.
        share: the share of an inference's time that those take, 0 to 1, measured on this machine with one thread;
            None if there are none.
    """

    count: int
    operators_taken: int
    operators: int
    outside: dict[str, int]
    share: float | None

    def describe(self) -> str:
        """Return one line about more than one partition, and what that costs."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.outside.items())
        line = f"{self.count} partitions: XNNPACK runs {self.operators_taken} of {self.operators} operators"
        if self.share is None:
            return line
        return f"{line}; LiteRT's own kernels run {kinds}, which take {self.share:.0%} of the time (here, 1 thread)"


def find_partitions(program: Program, data: bytes) -> Partitions | None:
    """Find out how XNNPACK runs a file on this machine; None if the runtime does not tell.

    Args:
        program: the file's operators.
        data: the file.
    """
    runtime = load_runtime()
    try:
        interpreter = bare_interpreter(runtime, data, 1)
    except REFUSALS:  # whoever runs the file will be told why
        return None
    found, outside = find_delegate(interpreter), operators_outside_the_delegate(interpreter)
    if found.partitions is None or found.nodes_taken is None or outside is None:
        return None
    if found.nodes_total != len(
        program.operators
    ):  # the file was written in another form than the program has
        return None
    kinds = dict(Counter(program.operators[index].kind for index in outside))
    share = None
    if outside and found.partitions:
        own = sum(_time_ms(bare_interpreter(runtime, _alone(program, index), 1)) for index in outside)
        share = min(own / _time_ms(interpreter), 1.0)
    return Partitions(found.partitions, found.nodes_taken, len(program.operators), kinds, share)


def _alone(program: Program, index: int) -> bytes:
    """Return a file of one operator of the program; its first computed input is the file's, others are zero."""
    operator = program.operators[index]
    builder = ProgramBuilder("one operator")
    builder.tensors = list(program.tensors)
    computed = [i for i in operator.inputs if i >= 0 and program.tensors[i].data is None]
    for position in computed[1:]:
        tensor = program.tensors[position]
        if position != computed[0]:
            zeros = np.zeros(tensor.shape, np.dtype(tensor.dtype))
            builder.tensors[position] = replace(tensor, data=zeros)
    used = sorted({*(i for i in operator.inputs if i >= 0), *operator.outputs})
    place = {old: new for new, old in enumerate(used)}
    builder.tensors = [builder.tensors[i] for i in used]
    moved = replace(
        operator,
        inputs=tuple(place.get(i, -1) for i in operator.inputs),
        outputs=tuple(place[i] for i in operator.outputs),
    )
    builder.operators = [moved]
    return write_tflite(builder.program(place[computed[0]], place[operator.outputs[0]]))


WARM_UP, RUNS = 3, 15


def _time_ms(interpreter: Any) -> float:
    """Return the median time of an inference, milliseconds."""
    times = []
    for number in range(WARM_UP + RUNS):
        begun = time.perf_counter_ns()
        interpreter.invoke()
        if number >= WARM_UP:
            times.append((time.perf_counter_ns() - begun) / 1e6)
    return statistics.median(times)
