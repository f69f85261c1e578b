"""Classifiers of a few hundred bytes as other makers write them: the mean colour (or brightness) decides the class.

Every layout that people ship is made by `classifier_file`: float32, uint8 with TensorFlow 1's asymmetric weights, or
int8; RGB or grey; any shape; a softmax, a sigmoid or bare logits at the end; with or without a signature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.program import ProgramBuilder, Quantization

PIXELS = {  # scale and zero point of an input whose real values are pixels / 127.5 - 1
    "uint8": Quantization((1 / 127.5,), (127,)),
    "int8": Quantization((1 / 127.5,), (-1,)),
}
LOGITS = Quantization((1 / 16,), (0,))
WEIGHT = 8.0


@dataclass(frozen=True)
class Layout:
    """What a file takes and gives.

    Attributes:
        shape: of the input; channels last, first ([1, 3, H, W]), or none ([1, H, W]).
        dtype: of the input, the weights and the output.
        classes: number of outputs; each reads the channel of its own number. One output reads the first channel.
        head: the last operator, such as "SOFTMAX"; None for logits.
    """

    shape: tuple[int, ...] = (1, 8, 8, 3)
    dtype: str = "float32"
    classes: int = 3
    head: str | None = "SOFTMAX"

    @property
    def channels(self) -> int:
        """Number of colour channels."""
        return 1 if len(self.shape) == 3 else self.shape[1] if self.shape[1] == 3 else self.shape[3]


def classifier_file(layout: Layout = Layout()) -> bytes:
    """Return the bytes of a .tflite with this layout."""
    build = ProgramBuilder("small")
    encoding = PIXELS.get(layout.dtype)
    source = build.tensor("picture", layout.shape, layout.dtype, encoding)
    first = len(layout.shape) == 4 and layout.shape[1] == 3
    axes = build.constant("axes", np.array([2, 3] if first else [1, 2], np.int32))
    mean = build.tensor("mean", (1, layout.channels), layout.dtype, encoding)
    keep = len(layout.shape) == 4
    if not keep:
        flat = build.tensor("flat", (1, *layout.shape[1:], 1), layout.dtype, encoding)
        shape = build.constant("shape", np.array((1, *layout.shape[1:], 1), np.int32))
        build.operator("RESHAPE", 1, (source, shape), flat)
    version = 1 if layout.dtype == "float32" else 2
    build.operator("MEAN", version, (source if keep else flat, axes), mean, {"keepDims": False})
    logits = build.tensor("logits", (1, layout.classes), layout.dtype, _logits(layout.dtype))
    version = {"float32": 1, "uint8": 1, "int8": 4}[layout.dtype]
    build.operator("FULLY_CONNECTED", version, (mean, *_weights(build, layout)), logits)
    if layout.head is None:
        return write_tflite(build.program(source, logits))
    scores = build.tensor("scores", (1, layout.classes), layout.dtype, _scores(layout))
    options = {"beta": 1.0} if layout.head == "SOFTMAX" else {}
    version = 1 if layout.dtype == "float32" else 2
    build.operator(layout.head, version, (logits,), scores, options)
    return write_tflite(build.program(source, scores))


def _logits(dtype: str) -> Quantization | None:
    return {"uint8": Quantization((1 / 16,), (128,)), "int8": LOGITS}.get(dtype)


def _scores(layout: Layout) -> Quantization | None:
    return {"uint8": Quantization((1 / 256,), (0,)), "int8": Quantization((1 / 256,), (-128,))}.get(
        layout.dtype
    )


def _weights(build: ProgramBuilder, layout: Layout) -> tuple[int, int]:
    """Add weights with which class c reads channel c; uint8 ones have a zero point far from the middle."""
    real = np.zeros((layout.classes, layout.channels), np.float32)
    for number in range(layout.classes):
        # With one channel, the second class is the opposite of the first.
        real[number, number % layout.channels] = WEIGHT if number < layout.channels else -WEIGHT
    bias = np.zeros(layout.classes, np.float32)
    if layout.dtype == "float32":
        return build.constant("weight", real), build.constant("bias", bias)
    scale, zero = (WEIGHT / 100, 100) if layout.dtype == "uint8" else (WEIGHT / 100, 0)
    stored = (np.rint(real / scale) + zero).astype(layout.dtype)
    return (
        build.constant("weight", stored, Quantization((scale,), (zero,))),
        build.constant("bias", bias.astype(np.int32), Quantization((scale / 127.5,), (0,))),
    )


def changed(data: bytes, change: Callable[[schema.ModelT], None]) -> bytes:
    """Return a file after a change of its tables, for files that no writer of ours makes."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_custom_operator(data: bytes, name: str) -> bytes:
    """Return the file with its last operator replaced by a custom one."""

    def change(model: schema.ModelT) -> None:
        code = model.operatorCodes[model.subgraphs[0].operators[-1].opcodeIndex]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = name
        model.subgraphs[0].operators[-1].builtinOptions = None
        model.subgraphs[0].operators[-1].builtinOptionsType = 0

    return changed(data, change)


def with_output(data: bytes, shape: tuple[int, ...]) -> bytes:
    """Return the file with another shape stated for its output."""

    def change(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.outputs[0]].shape = list(shape)

    return changed(data, change)
