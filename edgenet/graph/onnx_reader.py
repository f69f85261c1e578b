"""Reads an .onnx classifier into a graph, from the file to the output that holds the class scores.

The file is loaded with the files beside it that hold its weights, and what is missing or damaged is named. A torch
module is exported to such a model here as well.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from edgenet_device.foreign_text import is_number, one_line
from google.protobuf.message import Message
from onnx import ModelProto, NodeProto, TensorProto, external_data_helper, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgenet.errors import EdgenetError
from edgenet.graph.fold import add_grey
from edgenet.graph.ir import Graph, Shape
from edgenet.graph.onnx_operators import REMEDIES, RULES, RULES_OF_SEVERAL_OUTPUTS, Rule
from edgenet.graph.onnx_state import NCHW, Array, OnnxNode, OnnxReadState, Value, as_score_vector
from edgenet.graph.shapes import LARGEST_SIDE, GraphBuilder


def load_onnx(path: Path) -> ModelProto:
    """Return the model of an .onnx file, with its external data loaded.

    Raises:
        EdgenetError: the file is missing or not ONNX, or a file with its weights is missing, too short, or outside
            the .onnx file's own folder.
    """
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "give the path of an .onnx file")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf and onnx raise many types for a damaged file
        raise EdgenetError(
            f"{path} is not a readable ONNX file ({first_line(error)})", "export or download it again"
        ) from None
    _check_texts(model, path)
    _check_external_data(model, path)
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:  # the helper raises many types for a path or a length that is not usable
        raise EdgenetError(
            f"the weights of {path} cannot be read ({first_line(error)})", "export or download it again"
        ) from None
    return model


def takes_bytes(path: Path) -> bool:
    """Return whether the readable .onnx file takes uint8 pixels, so that it normalizes them itself."""
    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    return bool(inputs) and inputs[0].type.tensor_type.elem_type == TensorProto.UINT8


def _check_texts(message: Message, path: Path) -> None:
    """Raise EdgenetError if a name is not UTF-8: protobuf then gives bytes, where all that follows expects text."""
    for field, value in message.ListFields():
        values = [value] if isinstance(value, (str, bytes, Message)) else value
        if field.message_type is not None:
            for one in values:
                _check_texts(one, path)
        elif field.type == field.TYPE_STRING and any(isinstance(one, bytes) for one in values):
            raise EdgenetError(
                f"{path} has a {field.name} that is not UTF-8: it is damaged", "export it again"
            )


def _check_external_data(model: ModelProto, path: Path) -> None:
    """Raise EdgenetError if a file with weights is not beside the .onnx file, or ends too early."""
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        name = entries.get("location", "")
        file = path.parent / name
        if not name or not os.path.isfile(file):  # unlike Path.is_file, it takes names of any length
            shown = one_line(name)
            raise EdgenetError(
                f"{path} keeps its weights in another file, '{shown}', which is not beside it",
                f"put {shown} into the same folder, or export with the weights inside the .onnx file",
            )
        length = sum(int(entries[key]) for key in ("offset", "length") if is_number(entries.get(key, "")))
        if length > file.stat().st_size:
            raise EdgenetError(
                f"{file} has {file.stat().st_size:,} bytes, and {path} reads it up to {length:,}",
                "copy both files again",
            )


def first_line(error: Exception) -> str:
    """Return the first line of an error of somebody else's code, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


EXPORT_OPSET = 17
"""The ONNX opset that current converters accept."""


def export_onnx(module: torch.nn.Module, size: tuple[int, int], opset: int) -> onnx.ModelProto:
    """Export a classifier to ONNX with an input named "image".

    This uses torch's TorchScript-based exporter: on a MobileNet it takes 1 s and needs no further package,
    while the exporter based on `torch.export` takes 8 s and needs onnxscript (measured with torch 2.13).

    Args:
        module: the network in evaluation mode; takes normalized RGB [1, 3, H, W] and returns logits [1, N].
        size: height and width of the picture, pixels.
        opset: version of ONNX's operator set.
    """
    buffer: Any = io.BytesIO()  # Any: this exporter accepts BytesIO, but torch's annotations do not list it
    example = torch.zeros(1, 3, *size)
    with warnings.catch_warnings(), _printing_no_graph():
        warnings.simplefilter("ignore")  # the exporter warns that it is deprecated
        torch.onnx.export(
            module, (example,), buffer, dynamo=False, opset_version=opset, input_names=["image"]
        )
    return onnx.load_from_string(buffer.getvalue())


@contextmanager
def _printing_no_graph() -> Iterator[None]:
    """Keep torch's exporter from printing its whole graph where it fails; torch 2.13 does so even when it is not asked.

    (Its `setup_onnx_logging` tests a function instead of calling it.)
    """
    name = "_jit_onnx_log"
    given = getattr(torch._C, name, None)
    if given is None:
        yield
        return
    setattr(torch._C, name, lambda *_: None)
    try:
        yield
    finally:
        setattr(torch._C, name, given)


FIXED_SHAPE_REMEDY = "export with a fixed height and width, or give the shape, e.g. --input-shape 1,3,224,224"


def read_onnx(path: Path, input_shape: Shape | None = None, output: str | None = None) -> Graph:
    """Read an ONNX file.

    Args:
        path: the file; external data beside it is loaded too.
        input_shape: replaces the input's shape in the file, which may leave sizes open.
        output: the name of the output with the class scores; None if the file has only one, or if it is plain
            which one it is.

    Raises:
        EdgenetError: the file, or a file with its weights, is missing or not ONNX; it has several inputs or an
            open height or width; its output is not plain; or an operator is not supported.
    """
    model = load_onnx(path)
    if not model.graph.node:
        raise EdgenetError(f"{path} holds no ONNX graph", "export it again")
    return read_onnx_model(model, path.stem, input_shape, output)


# Damaged numbers may overflow when constants are folded; numpy would warn on stderr, in lines that are not our output.
@np.errstate(all="ignore")
def read_onnx_model(
    model: ModelProto, name: str, input_shape: Shape | None = None, output: str | None = None
) -> Graph:
    """Read a loaded ONNX model; see `read_onnx`."""
    constants = _initializers(model)
    value, shape = _only_input(model, constants, input_shape)
    scores = choose_output(model, value.name, shape, output)
    builder, picture = _start(name, value.name, shape)
    state = OnnxReadState(builder, constants=constants)
    state.values[value.name] = picture
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    for number, proto in enumerate(model.graph.node):
        if any(made in scores.needed for made in proto.output):
            _read_node(state, proto, number, opsets)
    if scores.name not in state.values:
        raise EdgenetError(
            f"the ONNX output '{scores.name}' does not depend on the picture", "export it again"
        )
    what = f"the ONNX output '{scores.name}'"
    return builder.graph(as_score_vector(state, state.values[scores.name], what, scores.name))


def _initializers(model: ModelProto) -> dict[str, Array]:
    constants = {}
    for tensor in model.graph.initializer:
        try:
            constants[tensor.name] = numpy_helper.to_array(tensor)
        except Exception as error:  # onnx raises nearly any type for damaged bytes or an unknown type
            raise EdgenetError(
                f"the ONNX constant '{tensor.name}' cannot be read ({first_line(error)})", "export it again"
            ) from None
    return constants


def _only_input(
    model: ModelProto, constants: dict[str, Array], given: Shape | None
) -> tuple[onnx.ValueInfoProto, Shape]:
    """Return the only input and its shape; an open batch is 1."""
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(f"'{value.name}' {_text_shape(value)}" for value in inputs) or "none"
        raise EdgenetError(
            f"the ONNX model has {len(inputs)} inputs ({names}), edgenet takes one picture",
            "export a classifier with a single image input",
        )
    value = inputs[0]
    stated = tuple(d.dim_value if d.dim_value > 0 else -1 for d in value.type.tensor_type.shape.dim)
    shape = given or (1, *stated[1:]) if stated[:1] == (-1,) else given or stated
    if len(shape) != 4 or min(shape) < 1 or shape[0] != 1 or max(shape) > LARGEST_SIDE:
        found = list(given) if given else _text_shape(value)
        raise EdgenetError(f"the ONNX input '{value.name}' has the shape {found}", FIXED_SHAPE_REMEDY)
    return value, shape


def _text_shape(value: onnx.ValueInfoProto) -> str:
    dims = value.type.tensor_type.shape.dim
    return "[" + ", ".join(str(d.dim_value) if d.dim_value > 0 else d.dim_param or "?" for d in dims) + "]"


def _start(name: str, input_name: str, shape: Shape) -> tuple[GraphBuilder, Value]:
    """Return a builder whose input is the NHWC picture in RGB, and the ONNX input as a value."""
    layout = next((i for i, axis in ((NCHW, 1), ((0, 1, 2, 3), 3)) if shape[axis] == 3), None)
    layout = layout or next((i for i, axis in ((NCHW, 1), ((0, 1, 2, 3), 3)) if shape[axis] == 1), None)
    if layout is None:
        raise EdgenetError(
            f"the ONNX input '{input_name}' has the shape {list(shape)}, which is not a picture",
            "edgenet takes [1, 3, H, W] or [1, H, W, 3], and grey pictures with one channel",
        )
    _, height, width, channels = (shape[layout.index(axis)] for axis in range(4))
    builder = GraphBuilder(name, input_name, (1, height, width, 3))
    tensor = input_name if channels == 3 else add_grey(builder, input_name)
    return builder, Value(tensor, layout)


def _read_node(state: OnnxReadState, proto: NodeProto, number: int, opsets: dict[str, int]) -> None:
    node = _node(proto, number)
    try:
        if proto.op_type == "Shape" and proto.input[0] in state.values:
            shape = state.shape(state.values[proto.input[0]])
            picked = shape[node.integer("start", 0) : node.integer("end", len(shape))]
            state.constants[proto.output[0]] = np.array(picked, np.int64)
        elif all(not given or given in state.constants for given in proto.input):
            _fold(state, proto, node, opsets)
        elif several := RULES_OF_SEVERAL_OUTPUTS.get(proto.op_type):
            state.values |= dict(zip(proto.output, several(state, node), strict=True))
        else:
            state.values[proto.output[0]] = _rule(state, proto, node)(state, node)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, MemoryError) as error:
        # a malformed node can make its rule raise any of these
        raise state.refusal(
            node,
            f"its inputs or attributes do not follow the ONNX standard ({first_line(error)})",
            "export it again",
        ) from None


def _node(proto: NodeProto, number: int) -> OnnxNode:
    try:
        attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        names = (proto.name, *proto.output, f"{proto.op_type}_{number}")
        name = next(name for name in names if name).strip("/")
    except (ValueError, TypeError) as error:  # an attribute without a type, a name that is not UTF-8
        raise EdgenetError(
            f"the ONNX node number {number} is damaged ({first_line(error)})", "export it again"
        ) from None
    return OnnxNode(name, proto.op_type, tuple(proto.input), tuple(proto.output), attributes)


def _rule(state: OnnxReadState, proto: NodeProto, node: OnnxNode) -> Rule:
    rule = RULES.get(proto.op_type)
    if rule is None or proto.domain not in ("", "ai.onnx"):
        remedy = REMEDIES.get(proto.op_type, f"edgenet takes {', '.join(sorted(RULES))}")
        raise state.refusal(node, "this operator is not supported", remedy)
    return rule


def _fold(state: OnnxReadState, proto: NodeProto, node: OnnxNode, opsets: dict[str, int]) -> None:
    """Compute a node that reads only constants, with ONNX's own reference implementation."""
    feeds = {given: state.constants[given] for given in proto.input if given}
    try:
        results = ReferenceEvaluator(proto, opsets=opsets).run(None, feeds)
    except Exception as error:  # the reference raises many types
        raise state.refusal(node, f"its constants cannot be computed ({first_line(error)})") from None
    for output, result in zip(proto.output, results, strict=False):
        if output:
            state.constants[output] = np.asarray(result)


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
