"""How closely an int8 .tflite follows its float network, measured in the same way for every tool's file.

LiteRT (XNNPACK) runs every file with one change: the output is the input of the file's softmax. This works for every
tool's file, loses nothing to the coarse steps of an int8 softmax, and gives logits, for which SQNR is defined. The
file's input stays as the file has it: uint8 pixels, or normalized values as int8 or float32.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from benchmarks.normalizations import Normalization
from benchmarks.tflite_files import put_pixels
from edgenet.errors import EdgenetError
from edgenet.quantize.quantization_errors import logit_errors, sqnr_db

_BEHIND_LOGITS = (schema.BuiltinOperator.SOFTMAX, schema.BuiltinOperator.DEQUANTIZE)


@dataclass(frozen=True)
class Figures:
    """An int8 file compared with its float network on the same `n` labelled photos.

    Attributes:
        float_top1, top1: percent of the photos whose highest logit (the first of equals) is the right class.
        drop: float_top1 - top1, in percentage points; negative if int8 is right more often.
        agreement: percent of the photos on which both have the same highest logit.
        sqnr_db: SQNR of the logits, 10 * log10(sum(x^2) / sum((x - q)^2)) over all photos and classes.
        centred_sqnr_db: the SQNR after subtracting the mean over the classes from every photo's logits; softmax
            ignores that mean.
        lost: number of photos that only the float network gets right.
        won: number of photos that only the int8 file gets right.
        kl, worst_db, saturated: see `quantize.quantization_errors.LogitErrors`; the number of saturated photos is
            None for a file whose logits are float.
    """

    n: int
    float_top1: float
    top1: float
    drop: float
    agreement: float
    sqnr_db: float
    centred_sqnr_db: float
    lost: int
    won: int
    kl: float
    worst_db: float
    saturated: int | None


def compare(
    real: NDArray[np.float32],
    logits: NDArray[np.float32],
    labels: NDArray[np.intp],
    highest: float | None = None,
) -> Figures:
    """Return the figures of an int8 file.

    Args:
        real: the float network's logits [n, N].
        logits: the int8 file's dequantized logits [n, N].
        labels: index of the right output of every photo [n].
        highest: the highest logit that the int8 file can hold; None for float logits.
    """
    errors = logit_errors(logits, real, highest)
    best, chosen = real.argmax(axis=1), logits.argmax(axis=1)
    right, kept = best == labels, chosen == labels
    return Figures(
        n=len(labels),
        float_top1=_percent(right),
        top1=_percent(kept),
        drop=_percent(right) - _percent(kept),
        agreement=_percent(best == chosen),
        sqnr_db=_sqnr(real, logits),
        centred_sqnr_db=_sqnr(_centred(real), _centred(logits)),
        lost=int((right & ~kept).sum()),
        won=int((kept & ~right).sum()),
        kl=errors.kl,
        worst_db=errors.worst_db,
        saturated=errors.saturated,
    )


def logits_of(path: Path, pixels: NDArray[np.uint8], normalization: Normalization) -> NDArray[np.float32]:
    """Return the input of a file's softmax, dequantized, float32 [n, N].

    Args:
        pixels: uint8 RGB [n, H, W, 3].
        normalization: the input normalization, for files that do not take uint8 pixels.
    """
    interpreter, scale, zero_point = _open(path)
    raw = _run(interpreter, pixels, normalization)
    if raw.dtype == np.float32:
        return raw
    return (raw.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def integer_logits_of(
    path: Path, pixels: NDArray[np.uint8], normalization: Normalization
) -> NDArray[np.int8]:
    """Return the int8 logits of a file [n, N], which edgenet's integer arithmetic computes too."""
    interpreter, _, _ = _open(path)
    return _run(interpreter, pixels, normalization)


def highest_logit(path: Path) -> float | None:
    """Return the highest logit that a file can hold; None if its logits are float."""
    interpreter, scale, zero_point = _open(path)
    kind = interpreter.get_output_details()[0]["dtype"]
    return None if kind == np.float32 else float((np.iinfo(kind).max - zero_point) * scale)


def cut_at_logits(tflite: bytes) -> bytes:
    """Return the file with the softmax's input as its output; a DEQUANTIZE before the softmax is skipped too.

    Only one number in the file changes: the softmax stays in it and its result is ignored.

    Raises:
        EdgenetError: the file does not end in a softmax.
    """
    changed = bytearray(tflite)
    model = schema.Model.GetRootAs(changed, 0)
    graph = model.Subgraphs(0)
    producers = {graph.Operators(i).Outputs(0): graph.Operators(i) for i in range(graph.OperatorsLength())}
    tensor, met = graph.Outputs(0), set()
    while tensor in producers and (code := _code(model, producers[tensor])) in _BEHIND_LOGITS:
        tensor = producers[tensor].Inputs(0)
        met.add(code)
    if schema.BuiltinOperator.SOFTMAX not in met:
        raise EdgenetError("the .tflite does not end in a softmax", "give a classifier")
    graph.OutputsAsNumpy()[0] = tensor  # a view of `changed`
    return bytes(changed)


def _code(model: Any, operator: Any) -> int:
    # Old files have the code in the deprecated field, new ones in both; the larger value is right (schema.fbs).
    code = model.OperatorCodes(operator.OpcodeIndex())
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode())


def _open(path: Path) -> tuple[Any, float, int]:
    """Return an interpreter of the file up to its logits, and the logits' scale and zero point."""
    content = cut_at_logits(path.read_bytes())
    interpreter = Interpreter(model_content=content, num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    return interpreter, *interpreter.get_output_details()[0]["quantization"]


def _run(interpreter: Any, pixels: NDArray[np.uint8], normalization: Normalization) -> NDArray:
    output = interpreter.get_output_details()[0]["index"]
    logits = []
    for image in pixels:
        put_pixels(interpreter, image[None], normalization)
        interpreter.invoke()
        logits.append(interpreter.get_tensor(output).ravel())
    return np.stack(logits)


def _percent(hits: NDArray[np.bool_]) -> float:
    return 100 * float(hits.mean())


def _centred(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    return logits.astype(np.float64) - logits.mean(axis=1, keepdims=True, dtype=np.float64)


def _sqnr(real: NDArray[np.floating], logits: NDArray[np.floating]) -> float:
    signal = np.square(real, dtype=np.float64).sum()
    return sqnr_db(float(signal), float(np.square(real - logits, dtype=np.float64).sum()))
