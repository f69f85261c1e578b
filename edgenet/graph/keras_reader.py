"""Reads a Keras classifier into a graph: walks its Sequential and Functional models and translates each layer."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgenet.errors import EdgenetError, one_line
from edgenet.graph.fold import add_grey
from edgenet.graph.ir import Graph, Reshape, Shape
from edgenet.graph.keras_call import EXPORT, KerasCall, KerasReadState, KerasTensor
from edgenet.graph.keras_file import KerasFile, LayerPlace, open_keras
from edgenet.graph.keras_layers import IN_TRAINING_ONLY, OPERATIONS, RULES
from edgenet.graph.shapes import LARGEST_SIDE, GraphBuilder

INPUT = "image"


@dataclass(frozen=True)
class KerasNetwork:
    """A Keras classifier as a graph.

    Attributes:
        graph: takes the numbers that the model's first layer takes.
        scales_pixels: whether the model scales its picture itself (Rescaling, Normalization), so that it takes 0..255.
    """

    graph: Graph
    scales_pixels: bool


def read_keras(path: Path, size: tuple[int, int] | None = None) -> KerasNetwork:
    """Read a Keras model's file.

    Args:
        path: the file; see `open_keras`.
        size: height and width of the picture, for a model that leaves them open. Without it, such a model takes the
            size that a layer Resizing in it gives.

    Raises:
        EdgenetError: the file cannot be opened (see `open_keras`), a layer is not supported, the model has several
            inputs or outputs, or its picture has no known size.
    """
    file = open_keras(path)
    try:
        return _read(file, size)
    except (
        KeyError,
        TypeError,
        ValueError,
        LookupError,
        ArithmeticError,
        AttributeError,
        RecursionError,
    ) as error:
        # a damaged description can make a rule raise any of these
        reason = one_line(f"{type(error).__name__}: {error}")
        raise EdgenetError(f"{path} describes its layers wrongly ({reason})", "save it again") from error


def _read(file: KerasFile, size: tuple[int, int] | None) -> KerasNetwork:
    shape = _picture(file, size)
    builder = GraphBuilder(file.path.stem, INPUT, (*shape[:3], 3))
    picture = INPUT if shape[3] == 3 else add_grey(builder, INPUT)
    state = KerasReadState(file, builder, picture)
    scores = _run_model(state, file.model, [picture], LayerPlace())
    found = state.builder.shapes[scores]
    if math.prod(found) != max(found):
        raise EdgenetError(f"{file.path} gives {list(found)}", "edgenet takes classifiers: [1, classes]")
    if len(found) != 2:
        scores = state.builder.add(Reshape((1, max(found))), [scores], "output/flat")
    return KerasNetwork(state.builder.graph(scores), state.scales_pixels)


def _picture(file: KerasFile, size: tuple[int, int] | None) -> Shape:
    """Return the shape [1, H, W, C] of the model's picture; C is 3, or 1 for a grey picture."""
    stated = _input_shape(file.model)
    if stated is None or len(stated) != 4:
        found = (
            "does not state the shape of its input"
            if stated is None
            else f"takes {stated}, which is no picture"
        )
        raise EdgenetError(
            f"{file.path} {found}", "build the model with an input of [height, width, 3] and save it"
        )
    _, height, width, channels = stated
    if channels not in (1, 3):
        raise EdgenetError(
            f"{file.path} takes {stated}, which is no picture", "edgenet takes RGB or grey pictures"
        )
    if height is None or width is None:
        found_size = size or _resized(file.model)
        if found_size is None:
            raise EdgenetError(f"{file.path} leaves the size of its picture open", "give --resolution")
        height, width = found_size
    elif size not in (None, (height, width)):
        raise EdgenetError(f"{file.path} has its own resolution, {height}x{width}", "leave out --resolution")
    if not 1 <= min(height, width) <= max(height, width) <= LARGEST_SIDE:
        raise EdgenetError(f"{file.path} takes a picture of {height}x{width}", "check the file")
    return (1, int(height), int(width), channels)


def _input_shape(model: Mapping[str, Any]) -> list[Any] | None:
    """Return the input's shape, with None for sizes that are open; None if the model does not state it."""
    for layer in _layers(model):
        config = layer["config"]
        shape = config.get("batch_input_shape") or config.get("batch_shape")
        shape = shape or (_input_shape(layer) if "layers" in config else None)
        if shape is not None:
            return list(shape)
        break
    built = model.get("build_config") or model.get("config") or {}
    shape = built.get("input_shape") or built.get("build_input_shape") if isinstance(built, dict) else None
    return None if shape is None else list(shape)


def _layers(model: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    config = model["config"]
    return (
        config if isinstance(config, list) else config["layers"]
    )  # the first Keras wrote Sequential as a list


def _resized(model: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the size that the model's first layer Resizing gives; None without one."""
    for layer in _layers(model):
        config = layer["config"]
        if layer["class_name"] == "Resizing":
            return int(config["height"]), int(config["width"])
        if "layers" in config and (found := _resized(layer)):
            return found
    return None


def _run_model(
    state: KerasReadState, model: Mapping[str, Any], inputs: Sequence[str], place: LayerPlace
) -> str:
    """Add a model's layers to the graph and return the tensor of its only output."""
    config = model["config"]
    if "layers" not in config and not isinstance(config, list):
        kind = one_line(str(model.get("class_name")))
        raise EdgenetError(
            f"{state.file.path} holds a model of its own class, '{kind}', whose layers are Python code",
            EXPORT,
        )
    if model["class_name"] != "Sequential":
        return _run_functional(state, config, inputs, place)
    if len(inputs) != 1:
        raise EdgenetError(
            f"the model '{place.names[-1]}' has {len(inputs)} inputs", "edgenet takes one picture"
        )
    tensor = inputs[0]
    for layer, counted in _counted(_layers(model)):
        if layer["class_name"] != "InputLayer":
            tensor = _call(state, layer, place.inner(_name(layer), counted), (KerasTensor(tensor),), {})
    return tensor


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer["config"].get("name") or layer.get("name"))


def _counted(layers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield each layer with the name that .keras gives it: its class in small letters, numbered from the second on."""
    used: Counter[str] = Counter()
    for layer in layers:
        kind = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", str(layer["class_name"]).rpartition(">")[2])
        kind = re.sub("([a-z])([A-Z])", r"\1_\2", kind).lower()
        yield layer, f"{kind}_{used[kind]}" if used[kind] else kind
        used[kind] += 1


@dataclass(frozen=True)
class _Reference:
    """The result of one call of a layer of a Functional model."""

    layer: str
    call: int


@dataclass(frozen=True)
class _Pending:
    """A call of a layer of a Functional model that has yet to be read."""

    layer: Mapping[str, Any]
    place: LayerPlace
    number: int
    operands: tuple[Any, ...]
    arguments: Mapping[str, Any]

    @property
    def references(self) -> list[_Reference]:
        """Return the results that the call needs."""
        return [
            value for value in (*self.operands, *self.arguments.values()) if isinstance(value, _Reference)
        ]

    def with_first_calls(self, calls: Mapping[str, int]) -> _Pending:
        """Return the call with the number 0 in each reference to a layer that is called only once."""
        operands = tuple(_to_first_call(value, calls) for value in self.operands)
        arguments = {name: _to_first_call(value, calls) for name, value in self.arguments.items()}
        return replace(self, operands=operands, arguments=arguments)


def _run_functional(
    state: KerasReadState, config: Mapping[str, Any], inputs: Sequence[str], place: LayerPlace
) -> str:
    sources, results = _references(config["input_layers"]), _references(config["output_layers"])
    for what, found, expected in (("inputs", sources, len(inputs)), ("outputs", results, 1)):
        if len(found) != expected:
            names = ", ".join(one_line(one.layer, 80) for one in found)
            raise EdgenetError(
                f"the model '{one_line(str(config.get('name')))}' has {len(found)} {what} ({names})",
                "give a classifier with one picture and one output [1, classes]",
            )
    values = dict(zip(sources, inputs, strict=True))
    pending = list(_calls(config["layers"], place))
    # Keras 2 counts the calls of a nested model from the one with which the model itself was built.
    calls = Counter(_key(call.layer) for call in pending)
    pending = [call.with_first_calls(calls) for call in pending]
    while pending:
        ready = [call for call in pending if all(one in values for one in call.references)]
        if not ready:
            raise ValueError(f"the layer '{_name(pending[0].layer)}' reads what no layer makes")
        for call in ready:
            operands = tuple(_resolved(value, values) for value in call.operands)
            arguments = {name: _resolved(value, values) for name, value in call.arguments.items()}
            tensor = _call(state, call.layer, call.place, operands, arguments)
            values[_Reference(_key(call.layer), call.number)] = tensor
        pending = [call for call in pending if call not in ready]
    return values[_to_first_call(results[0], calls)]


def _to_first_call(value: Any, calls: Mapping[str, int]) -> Any:
    if isinstance(value, _Reference) and calls.get(value.layer) == 1:
        return replace(value, call=0)
    return value


def _resolved(value: Any, values: Mapping[_Reference, str]) -> Any:
    return KerasTensor(values[value]) if isinstance(value, _Reference) else value


def _key(layer: Mapping[str, Any]) -> str:
    """Return the name by which other layers refer to this one."""
    return str(layer.get("name") or _name(layer))


def _calls(layers: Sequence[Mapping[str, Any]], place: LayerPlace) -> Iterator[_Pending]:
    for layer, counted in _counted(layers):
        if layer["class_name"] == "InputLayer":
            continue
        inner = place.inner(_name(layer), counted)
        for number, node in enumerate(layer["inbound_nodes"]):
            operands, arguments = _node(node)
            yield _Pending(layer, inner, number, operands, arguments)


def _node(node: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the operands and the named arguments of one call, with references to other layers."""
    if isinstance(node, dict):  # Keras 3
        arguments = {name: _value(value) for name, value in node.get("kwargs", {}).items()}
        return tuple(_flat(_value(value) for value in node["args"])), arguments
    entries = [node] if node and isinstance(node[0], str) else node
    operands: list[Any] = []
    arguments = {}
    for entry in entries:
        # Keras 2 writes [layer, call, output] and then the call's named arguments.
        operands.append(entry[2] if entry[0] == "_CONSTANT_VALUE" else _Reference(entry[0], int(entry[1])))
        arguments |= {name: _value(value) for name, value in (entry[3] if len(entry) > 3 else {}).items()}
    if "y" in arguments:  # the second operand of a function such as math.truediv
        operands.append(arguments.pop("y"))
    return tuple(operands), arguments


def _value(value: Any) -> Any:
    """Return an argument; what refers to another layer becomes a `_Reference`."""
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        layer, call, _ = value["config"]["keras_history"]
        return _Reference(str(layer), int(call))
    if isinstance(value, list):
        if len(value) == 3 and isinstance(value[0], str) and isinstance(value[1], int):
            return _Reference(value[0], value[1])
        return [_value(item) for item in value]
    return value


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _references(entries: Any) -> list[_Reference]:
    """Return what a model names as its inputs or outputs: one [layer, call, output], a list of them, or a dict."""
    if isinstance(entries, dict):
        entries = list(entries.values())
    if entries and isinstance(entries[0], str):
        entries = [entries]
    return [_Reference(str(entry[0]), int(entry[1])) for entry in entries]


TRAINING_MATTERS = ("BatchNormalization", "SyncBatchNormalization", *IN_TRAINING_ONLY)


def _call(
    state: KerasReadState,
    layer: Mapping[str, Any],
    place: LayerPlace,
    operands: tuple[Any, ...],
    arguments: Mapping[str, Any],
) -> str:
    """Add one call of a layer to the graph and return its tensor."""
    kind, config = str(layer["class_name"]), layer["config"]
    call = KerasCall(state, kind, config, place, operands, arguments)
    nested = kind in ("Sequential", "Functional", "Model") or "layers" in config
    # Keras 3 writes the argument too, and ignores it when it predicts.
    if arguments.get("training") is True and not state.is_keras_3 and (nested or kind in TRAINING_MATTERS):
        raise call.refusal(
            "it is called in training mode", "build the model with training=False and save it again"
        )
    if nested:
        return _run_model(state, layer, call.tensors, place)
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        call = replace(call, kind=str(config.get("function")))
    rule = OPERATIONS.get(call.kind) or RULES.get(call.kind)
    if rule is None or ">" in str(layer.get("registered_name") or ""):
        known = ", ".join(sorted(RULES))
        raise call.refusal("this layer is not supported", f"{EXPORT}; of a Keras file edgenet takes {known}")
    return rule(call)
