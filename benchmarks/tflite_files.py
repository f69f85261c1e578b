"""Facts about .tflite files from reading and running them: operators, top-1 on photos, latency of two files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from benchmarks.normalizations import SLIM, Normalization

if TYPE_CHECKING:
    from edgenet.workflows.mixed_precision import LatencyRatio

_OPERATOR_NAMES = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}


def operators(path: Path) -> dict[str, int]:
    """Return how often each operator occurs in the first subgraph, the most frequent first."""
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    counts: Counter[str] = Counter()
    for index in range(graph.OperatorsLength()):
        code = model.OperatorCodes(graph.Operators(index).OpcodeIndex())
        # Old files have the code in the deprecated field, new ones in both; the larger value is right (schema.fbs).
        counts[_OPERATOR_NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]] += 1
    return dict(counts.most_common())


def open_file(path: Path) -> Any:
    """Return a LiteRT interpreter for the file: one thread, XNNPACK, tensors allocated."""
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def put_pixels(interpreter: Any, pixels: np.ndarray, normalization: Normalization = SLIM) -> None:
    """Set the input from uint8 RGB pixels [1, H, W, 3]; the network takes uint8, or normalized int8 or float32.

    int8: q = x / scale + zero point with x = (pixel - mean) / std.
    """
    details = interpreter.get_input_details()[0]
    if details["dtype"] is np.uint8:
        interpreter.set_tensor(details["index"], pixels)
        return
    mean, std = (np.array(values) for values in normalization)
    values = (pixels - mean) / std
    if details["dtype"] is np.int8:
        scale, zero_point = details["quantization"]
        values = np.clip(np.rint(values / scale) + zero_point, -128, 127)
    interpreter.set_tensor(details["index"], values.astype(details["dtype"]))


def top1(path: Path, photos: Sequence[np.ndarray]) -> list[int]:
    """Return the best class of each photo (uint8 RGB [1, H, W, 3]); the lowest index among equals."""
    interpreter = open_file(path)
    output = interpreter.get_output_details()[0]["index"]
    best = []
    for pixels in photos:
        put_pixels(interpreter, pixels)
        interpreter.invoke()
        best.append(int(interpreter.get_tensor(output)[0].argmax()))
    return best


def latency_ratio(first: Path, second: Path, photo: np.ndarray) -> LatencyRatio:
    """Time `invoke` of two .tflite files of the same network in turns, on a photo, uint8 RGB [1, H, W, 3]."""
    # It imports torch, which the clients that only run a file do not need.
    from edgenet.workflows import mixed_precision

    interpreters = [open_file(first), open_file(second)]
    for interpreter in interpreters:
        put_pixels(interpreter, photo)
    return mixed_precision.latency_ratio(interpreters[0].invoke, interpreters[1].invoke)
