"""Reads an .onnx classifier into a graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph, Shape
from edgenet.graph.onnx_operators import REMEDIES, RULES, Rule
from edgenet.graph.onnx_state import NCHW, Array, OnnxNode, OnnxReadState, Value, as_score_vector
from edgenet.graph.shapes import LARGEST_SIDE, GraphBuilder

FIXED_SHAPE_REMEDY = (
    "export with a fixed batch of 1 and fixed height and width, "
    "or give the shape, e.g. --input-shape 1,3,224,224"
)


def read_onnx(path: Path, input_shape: Shape | None = None) -> Graph:
    """Read an ONNX file.

    Args:
        path: the file; external data beside it is loaded too.
        input_shape: replaces the input's shape in the file, which may leave sizes open.

    Raises:
        EdgenetError: the file is missing or not ONNX, has several inputs or outputs, an open shape, or an
            operator that is not supported.
    """
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "give the path of an .onnx file")
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf and onnx raise many types for a damaged file
        raise EdgenetError(
            f"{path} is not a readable ONNX file ({_first_line(error)})", "export it again"
        ) from None
    if not model.graph.node:
        raise EdgenetError(f"{path} holds no ONNX graph", "export it again")
    return read_onnx_model(model, path.stem, input_shape)


def read_onnx_model(model: ModelProto, name: str, input_shape: Shape | None = None) -> Graph:
    """Read a loaded ONNX model; see `read_onnx`."""
    constants = _initializers(model)
    input_name, shape = _only_input(model, constants, input_shape)
    builder, value = _start(name, input_name, shape)
    state = OnnxReadState(builder, constants=constants)
    state.values[input_name] = value
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    for number, proto in enumerate(model.graph.node):
        _read_node(state, proto, number, opsets)
    return builder.graph(_only_output(model, state))


def _initializers(model: ModelProto) -> dict[str, Array]:
    constants = {}
    for tensor in model.graph.initializer:
        try:
            constants[tensor.name] = numpy_helper.to_array(tensor)
        except Exception as error:  # onnx raises nearly any type for damaged bytes or an unknown type
            raise EdgenetError(
                f"the ONNX constant '{tensor.name}' cannot be read ({_first_line(error)})", "export it again"
            ) from None
    return constants


def _only_input(model: ModelProto, constants: dict[str, Array], given: Shape | None) -> tuple[str, Shape]:
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(f"'{value.name}' {_text_shape(value)}" for value in inputs) or "none"
        raise EdgenetError(
            f"the ONNX model has {len(inputs)} inputs ({names}), edgenet takes one picture",
            "export a classifier with a single image input",
        )
    value = inputs[0]
    shape = given or tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim)
    if len(shape) != 4 or min(shape) < 1 or shape[0] != 1 or max(shape) > LARGEST_SIDE:
        found = list(given) if given else _text_shape(value)
        raise EdgenetError(f"the ONNX input '{value.name}' has the shape {found}", FIXED_SHAPE_REMEDY)
    return value.name, shape


def _text_shape(value: onnx.ValueInfoProto) -> str:
    dims = value.type.tensor_type.shape.dim
    return "[" + ", ".join(str(d.dim_value) if d.dim_value else d.dim_param or "?" for d in dims) + "]"


def _start(name: str, input_name: str, shape: Shape) -> tuple[GraphBuilder, Value]:
    """Return a builder whose input is the NHWC picture, and the ONNX input as a value on that tensor."""
    if shape[1] == 3:
        return GraphBuilder(name, input_name, (1, shape[2], shape[3], 3)), Value(input_name, NCHW)
    if shape[3] == 3:
        return GraphBuilder(name, input_name, shape), Value(input_name, (0, 1, 2, 3))
    raise EdgenetError(
        f"the ONNX input '{input_name}' has the shape {list(shape)}, which is not an RGB picture",
        "edgenet takes [1, 3, H, W] or [1, H, W, 3]; train a grey network on three equal channels",
    )


def _only_output(model: ModelProto, state: OnnxReadState) -> str:
    """Return the graph tensor [1, N] of the model's only output."""
    names = [value.name for value in model.graph.output]
    if len(names) != 1:
        raise EdgenetError(
            f"the ONNX model has {len(names)} outputs ({', '.join(names)}), edgenet takes one vector of scores",
            "export a classifier with a single output [1, classes]",
        )
    if names[0] not in state.values:
        raise EdgenetError(f"the ONNX output '{names[0]}' does not depend on the picture", "export it again")
    return as_score_vector(state, state.values[names[0]], f"the ONNX output '{names[0]}'", names[0])


def _read_node(state: OnnxReadState, proto: NodeProto, number: int, opsets: dict[str, int]) -> None:
    node = _node(proto, number)
    try:
        if proto.op_type == "Shape" and proto.input[0] in state.values:
            shape = state.shape(state.values[proto.input[0]])
            picked = shape[node.integer("start", 0) : node.integer("end", len(shape))]
            state.constants[proto.output[0]] = np.array(picked, np.int64)
        elif all(not given or given in state.constants for given in proto.input):
            _fold(state, proto, node, opsets)
        else:
            state.values[proto.output[0]] = _rule(state, proto, node)(state, node)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, MemoryError) as error:
        # a malformed node can make its rule raise any of these
        raise state.refusal(
            node,
            f"its inputs or attributes do not follow the ONNX standard ({_first_line(error)})",
            "export it again",
        ) from None


def _node(proto: NodeProto, number: int) -> OnnxNode:
    try:
        attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        names = (proto.name, *proto.output, f"{proto.op_type}_{number}")
        name = next(name for name in names if name).strip("/")
    except (ValueError, TypeError) as error:  # an attribute without a type, a name that is not UTF-8
        raise EdgenetError(
            f"the ONNX node number {number} is damaged ({_first_line(error)})", "export it again"
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
        raise state.refusal(node, f"its constants cannot be computed ({_first_line(error)})") from None
    for output, result in zip(proto.output, results, strict=False):
        if output:
            state.constants[output] = np.asarray(result)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
