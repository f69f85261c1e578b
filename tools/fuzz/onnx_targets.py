"""Target that reads .onnx files: their fields changed at any depth, and their bytes."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import Message

from edgenet.graph.executor import run
from edgenet.workflows.sources import SourceOptions, open_source
from tools.fuzz.mutations import BINARY
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target


@cache
def onnx_seeds() -> dict[str, bytes]:
    """Return small models with the usual layers."""
    import onnx
    from onnx import numpy_helper
    from onnx_models import Onnx

    found = {}
    for name, last in (("relu", "Relu"), ("clip", "Clip"), ("swish", "HardSwish")):
        net = Onnx()
        x = net.op(
            "BatchNormalization",
            [net.conv("image", 4), *(net.random(4) for _ in range(3)), net.constant(np.ones(4, np.float32))],
        )
        x = net.op(
            last, [x] if last != "Clip" else [x, net.constant(np.float32(0)), net.constant(np.float32(6))]
        )
        x = net.op("Add", [x, net.op("MaxPool", [x], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})])
        x = net.op("Flatten", [net.op("GlobalAveragePool", [x])])
        x = net.op("Gemm", [x, net.random(5, 4), net.random(5)], {"transB": 1})
        found[name] = net.model(net.op("Softmax", [x])).SerializeToString()
    net = Onnx()
    x = net.op("Conv", ["image", net.random(6, 3, 3, 3)], {"strides": [2, 2], "auto_pad": b"SAME_UPPER"})
    shape = net.constant(np.array([1, -1], np.int64))
    x = net.op(
        "MatMul",
        [net.op("Reshape", [net.op("Transpose", [x], {"perm": [0, 2, 3, 1]}), shape]), net.random(96, 5)],
    )
    model = net.model(x)
    found["reshape"] = model.SerializeToString()
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))
        onnx.external_data_helper.set_external_data(tensor, location="net.onnx.data", offset=0, length=4)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
    return {**found, "external": model.SerializeToString()}


def onnx_files(folder: Path) -> Check:
    """Read an .onnx as `convert` does."""
    path = folder / "net.onnx"
    from survival import _is_small, _photo

    def check(data: bytes) -> None:
        path.write_bytes(data)
        source = open_source(str(path), SourceOptions(normalization="-1..1"))
        if _is_small(source.graph):
            run(source.graph, _photo(source.graph))

    return check


def onnx_fields_changed(data: bytes, rng: random.Random) -> bytes:
    """Change, remove or copy fields of an ONNX model at any depth."""
    import onnx

    try:
        model = onnx.ModelProto.FromString(data)
    except Exception:  # damaged before
        return rng.choice(BINARY)(data, rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        messages = list(_messages(model))
        kind = rng.choice(sorted({type(one).__name__ for one in messages}))
        _change_field(rng.choice([one for one in messages if type(one).__name__ == kind]), rng)
    try:
        return model.SerializeToString()
    except ValueError:
        return data


def _messages(message: Message) -> list[Message]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                found += _messages(inner)
    return found


def _change_field(message: Message, rng: random.Random) -> None:
    field = rng.choice(message.DESCRIPTOR.fields)
    values = getattr(message, field.name)
    if rng.random() < 0.15:
        message.ClearField(field.name)
    elif field.message_type is not None:
        if field.is_repeated and len(values):
            one = rng.choice(values)
            values.add().CopyFrom(one) if rng.random() < 0.5 else values.remove(one)
    elif field.is_repeated:
        way = rng.random()
        if len(values) and way < 0.3:
            del values[rng.randrange(len(values))]
        elif len(values) and way < 0.7:
            values[rng.randrange(len(values))] = _scalar(field, values[0], rng)
        else:
            values.extend([_scalar(field, None, rng)] * rng.choice((1, 1, 5, 1000)))
    else:
        setattr(message, field.name, _scalar(field, values, rng))


_INTEGERS = (0, 1, -1, 2, 3, 7, 8, 127, 1 << 16, (1 << 31) - 1, -(1 << 31))


def _scalar(field: Any, before: Any, rng: random.Random) -> Any:
    if field.cpp_type == field.CPPTYPE_STRING:
        word = rng.choice(
            (
                "",
                "image",
                "x" * 5000,
                "\x1b[2J",
                "a\nb",
                "../x",
                "/etc/passwd",
                "\u202e",
                "N",
                "Conv",
                "Relu",
                "SAME_LOWER",
            )
        )
        if field.type == field.TYPE_BYTES:
            return rng.choice(BINARY)(before, rng) if isinstance(before, bytes) and before else word.encode()
        return word
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice((0.0, -1.0, 1e30, -1e30, 1e-30, float("nan"), float("inf")))
    if field.cpp_type == field.CPPTYPE_ENUM:
        return rng.choice([one.number for one in field.enum_type.values])
    value = rng.choice(
        (*_INTEGERS, 1 << 40, (1 << 63) - 1, -(1 << 63))
        if field.cpp_type == field.CPPTYPE_INT64
        else _INTEGERS
    )
    return abs(value) if field.cpp_type in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64) else value


TARGETS = (
    Target(
        "onnx",
        ".onnx",
        ("edgenet.graph.onnx_reader", "edgenet.graph.onnx_state"),
        onnx_seeds,
        (*BINARY, *[onnx_fields_changed] * 6),
        onnx_files,
        weight=2,
    ),
)
