"""Chooses the output of an ONNX model that holds the class scores, and what it is computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx
from onnx import ModelProto

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Shape


@dataclass(frozen=True)
class Scores:
    """The output with the class scores.

    Attributes:
        name: its name.
        needed: the names of all values from which it is computed, and its own.
    """

    name: str
    needed: frozenset[str]


def choose_output(model: ModelProto, source: str, shape: Shape, wanted: str | None) -> Scores:
    """Return the output with the class scores.

    Without a wanted name it is the only output; else the only vector [1, N] among the outputs; else the vector from
    which none and to which all other vectors are computed, such as the logits behind the features.

    Args:
        model: the model.
        source: the name of its input.
        shape: the input's shape.
        wanted: the name of the output, or None.

    Raises:
        EdgenetError: there is no such output, or it is not plain which one has the scores.
    """
    names = [value.name for value in model.graph.output]
    if wanted is not None and wanted not in names:
        raise EdgenetError(f"the ONNX model has no output '{wanted}'", f"its outputs are {', '.join(names)}")
    if wanted is not None or len(names) == 1:
        return _scores(model, wanted or names[0])
    shapes = _output_shapes(model, source, shape)
    vectors = [_scores(model, name) for name in names if _is_vector(shapes.get(name))]
    last = [one for one in vectors if all(other.name in one.needed for other in vectors)]
    if len(last) == 1:
        return last[0]
    stated = ", ".join(f"{name} {list(shapes[name]) if name in shapes else ''}".strip() for name in names)
    raise EdgenetError(
        f"the ONNX model has {len(names)} outputs ({stated}), and it is not plain which one has the class scores",
        "name it: edgenet convert --output NAME",
    )


def _scores(model: ModelProto, name: str) -> Scores:
    needed = {name}
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(given for given in node.input if given)
    return Scores(name, frozenset(needed))


def _is_vector(shape: Shape | None) -> bool:
    return bool(shape) and math.prod(shape or ()) == max(shape or (0,))


def _output_shapes(model: ModelProto, source: str, shape: Shape) -> dict[str, Shape]:
    """Return the shapes of the outputs as far as ONNX can infer them; open sizes count as 1."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        if value.name == source:
            for dimension, size in zip(value.type.tensor_type.shape.dim, shape, strict=False):
                dimension.dim_value = size
    try:
        fixed = onnx.shape_inference.infer_shapes(fixed)
    except Exception:  # a damaged model raises many types; the reader then says what is wrong with it
        return {}
    return {
        value.name: tuple(dimension.dim_value or 1 for dimension in value.type.tensor_type.shape.dim)
        for value in fixed.graph.output
    }
