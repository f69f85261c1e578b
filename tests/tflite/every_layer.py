"""A small network with every kind of layer, and its files; `python every_layer.py` prints their hashes."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from small_graphs import build, conv, depthwise, fully_connected, photos, quantize

from edgenet.graph.ir import (
    Activation,
    Binary,
    Concat,
    Graph,
    Mean,
    Pad,
    Pads,
    Pool,
    Reshape,
    Transpose,
    Unary,
)
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import float_program, int8_program, raw_program

SIZE = (12, 12)
CLASSES = 7


def network() -> Graph:
    """Build a network from 12x12 pixels to 7 logits."""
    rng = np.random.default_rng(11)

    def make(builder: GraphBuilder, x: str) -> str:
        stem = conv(rng, 3, 8, (3, 3), pads=Pads(0, 1, 0, 1))
        x = builder.add(replace(stem, stride=(2, 2), activation=Activation.RELU6), [x], "stem")
        y = builder.add(depthwise(rng, 8, (3, 3), pads=Pads(1, 1, 1, 1)), [x], "depthwise")
        y = builder.add(Unary("hard_swish"), [y], "swish")
        y = builder.add(Binary("add"), [x, y], "residual")
        gate = builder.add(Unary("sigmoid"), [builder.add(Mean(), [y], "squeeze")], "gate")
        y = builder.add(Binary("mul", Activation.RELU), [y, gate], "gated")
        y = builder.add(
            Concat(3),
            [y, builder.add(Pool("average", (3, 3), (1, 1), Pads(1, 1, 1, 1)), [y], "blur")],
            "both",
        )
        y = builder.add(Pad(Pads(1, 0, 1, 0)), [y], "padded")
        y = builder.add(replace(conv(rng, 16, 6, (2, 2), groups=2), dilation=(2, 2)), [y], "grouped")
        y = builder.add(Pool("max", (2, 2), (2, 2), Pads(0, 1, 0, 1)), [y], "pooled")
        y = builder.add(Reshape((1, 54)), [builder.add(Transpose((0, 3, 1, 2)), [y], "turned")], "flat")
        return builder.add(fully_connected(rng, 54, CLASSES), [y], "logits")

    return build(make, SIZE)


@cache
def quantized_network() -> QuantizedGraph:
    """Return the network as int8."""
    return quantize(network(), photos(6, SIZE, 1))


def files() -> dict[str, bytes]:
    """Return the network in every kind of file that edgenet writes."""
    quantized = quantized_network()
    programs = {
        "float": float_program(quantized.graph),
        "int8": int8_program(quantized),
        "raw": raw_program(quantized),
    }
    return {
        name: write_tflite(program, b"metadata", {"labels.txt": b"a\n"}) for name, program in programs.items()
    }


def with_weights_behind(data: bytes) -> bytes:
    """Return the file as ai-edge-quantizer writes it: the bytes of large buffers stand after the flatbuffer."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    moved = [buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data) > 64]
    contents = [bytes(buffer.data) for buffer in moved]
    front, start = b"", 2
    for _ in range(2):  # the second time with the offsets that the first showed
        offset = start
        for buffer, content in zip(moved, contents, strict=True):
            buffer.data, buffer.offset, buffer.size = None, offset, len(content)
            offset += -(-len(content) // 16) * 16
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        front = bytes(builder.Output())
        start = -(-len(front) // 16) * 16
    return b"".join(part.ljust(-(-len(part) // 16) * 16, b"\0") for part in (front, *contents))


if __name__ == "__main__":
    for name, data in files().items():
        print(name, hashlib.sha256(data).hexdigest())
