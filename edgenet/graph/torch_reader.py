"""Reads a torch module into a graph: torch.fx traces the module, and each layer is translated.

Torch and ONNX both work on NCHW, and their layers mean the same, so every layer is described as its ONNX
operator and read by that operator's rule. We do not export to ONNX: torch's exporter takes 100 MB that the
process never frees (torch 2.13, MobileNetV1), and it announces its own deprecation.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph
from edgenet.graph.onnx_operators import RULES
from edgenet.graph.onnx_state import NCHW, Array, OnnxNode, OnnxReadState, Value, as_score_vector
from edgenet.graph.shapes import GraphBuilder
from edgenet.zoo.classifier import SameConv2d, SameMaxPool2d, same_padding

INPUT = "image"


def read_torch(module: nn.Module, size: tuple[int, int], name: str) -> Graph:
    """Read a classifier that takes normalized RGB [1, 3, H, W] and returns logits [1, N].

    Args:
        module: in evaluation mode, on any device. Its weights are copied.
        size: height and width of the picture.
        name: the graph's name.

    Raises:
        EdgenetError: a layer or function has no counterpart in the graph, or the output is not a vector.
    """
    state = OnnxReadState(GraphBuilder(name, INPUT, (1, *size, 3)))
    nodes = list(_Tracer().trace(module).nodes)
    picture, *steps, output = nodes  # torch.fx ends every graph with its output node
    state.values[picture.name] = Value(INPUT, NCHW)
    for node in steps:
        _read(state, module, node)
    returned = output.args[0]
    if not isinstance(returned, fx.Node):
        raise EdgenetError(
            f"{name} returns {returned}, edgenet takes one vector of scores", "return only the logits"
        )
    return state.builder.graph(
        as_score_vector(state, state.values[returned.name], f"the output of {name}", "output")
    )


class _Tracer(fx.Tracer):
    """Traces no further into torch's own layers, nor into ours whose padding depends on the input's size."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SameConv2d | SameMaxPool2d) or super().is_leaf_module(m, module_qualified_name)


def _read(state: OnnxReadState, module: nn.Module, node: fx.Node) -> None:
    """Add the nodes of one step of the trace."""
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        what, step = type(layer).__name__, _layer(state, layer, node)
    else:
        what, step = getattr(node.target, "__name__", str(node.target)), _function(node)
    if step is None or not all(isinstance(given, fx.Node) for given in step.inputs):
        known = ", ".join(kind.__name__ for kind in LAYERS)
        raise EdgenetError(
            f"cannot read '{node.name}', {what}, because this use is not supported", f"edgenet takes {known}"
        )
    constants = {f"{node.name}.{position}": array for position, array in enumerate(step.constants)}
    inputs = (*(given.name for given in step.inputs), *constants)
    state.constants |= constants
    described = OnnxNode(_path(node), step.kind, inputs, (node.name,), step.attributes)
    state.values[node.name] = RULES[step.kind](state, described)
    for constant in constants:
        del state.constants[constant]


def _layer(state: OnnxReadState, layer: nn.Module, node: fx.Node) -> _LayerAsOnnx | None:
    """Describe a layer, which has one input; None if it is not supported."""
    rule = next((rule for kind, rule in LAYERS.items() if isinstance(layer, kind)), None)
    given = node.args[0]
    assert isinstance(given, fx.Node)
    step = rule(layer, state.shape(state.values[given.name])[2:]) if rule else None
    return replace(step, inputs=(given,)) if step else None


def _function(node: fx.Node) -> _LayerAsOnnx | None:
    """Describe a function call with its arguments; None if it is not supported."""
    rule = FUNCTIONS.get(node.target)
    try:
        return rule(*node.args, **node.kwargs) if rule else None
    except TypeError:  # the call has an argument that our rule does not know
        return None


def _path(node: fx.Node) -> str:
    """Return the path of the module that computes this step, such as "features.1/layers/depthwise/conv"."""
    if node.op == "call_module":
        path = str(node.target)
    else:
        modules = node.meta.get("nn_module_stack") or {}
        path = next(reversed(modules), "") or node.name
    return re.sub(r"\.(?!\d+(\.|$))", "/", path)


@dataclass(frozen=True)
class _LayerAsOnnx:
    """A layer or function, described as an ONNX node.

    Attributes:
        kind: the ONNX operator.
        constants: its constant inputs, which come after the computed ones.
        attributes: its ONNX attributes.
        inputs: its computed inputs, as nodes of the trace.
    """

    kind: str
    constants: tuple[Array, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Any, ...] = ()


def _convolution(layer: nn.Conv2d, size: tuple[int, ...]) -> _LayerAsOnnx | None:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    before = after = layer.padding
    if isinstance(layer, SameConv2d):
        sides = [
            same_padding(n, kernel, stride, dilation)
            for n, kernel, stride, dilation in zip(
                size, layer.kernel_size, layer.stride, layer.dilation, strict=True
            )
        ]
        before, after = tuple(side[0] for side in sides), tuple(side[1] for side in sides)
    attributes = {
        "strides": layer.stride,
        "dilations": layer.dilation,
        "pads": (*before, *after),
        "group": layer.groups,
    }
    return _LayerAsOnnx("Conv", _copied(layer.weight, layer.bias), attributes)


def _normalization(layer: nn.BatchNorm2d, _: tuple[int, ...]) -> _LayerAsOnnx | None:
    constants = _copied(layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return (
        _LayerAsOnnx("BatchNormalization", constants, {"epsilon": layer.eps}) if len(constants) == 4 else None
    )


def _linear(layer: nn.Linear, _: tuple[int, ...]) -> _LayerAsOnnx:
    return _LayerAsOnnx("Gemm", _copied(layer.weight, layer.bias), {"transB": 1})


def _same_max_pool(layer: SameMaxPool2d, size: tuple[int, ...]) -> _LayerAsOnnx:
    sides = [same_padding(n, layer.kernel, layer.stride) for n in size]
    window = {"kernel_shape": (layer.kernel,) * 2, "strides": (layer.stride,) * 2}
    return _LayerAsOnnx("MaxPool", (), window | {"pads": (*(s[0] for s in sides), *(s[1] for s in sides))})


def _max_pool(layer: nn.MaxPool2d, _: tuple[int, ...]) -> _LayerAsOnnx:
    return _LayerAsOnnx("MaxPool", (), _window(layer) | {"dilations": _pair(layer.dilation)})


def _average_pool(layer: nn.AvgPool2d, _: tuple[int, ...]) -> _LayerAsOnnx | None:
    if layer.divisor_override is not None:
        return None
    return _LayerAsOnnx(
        "AveragePool", (), _window(layer) | {"count_include_pad": int(layer.count_include_pad)}
    )


def _window(layer: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Any]:
    return {
        "kernel_shape": _pair(layer.kernel_size),
        "strides": _pair(layer.stride),
        "pads": _pair(layer.padding) * 2,
        "ceil_mode": int(layer.ceil_mode),
    }


def _mean(layer: nn.AdaptiveAvgPool2d, _: tuple[int, ...]) -> _LayerAsOnnx | None:
    return _LayerAsOnnx("GlobalAveragePool") if _pair(layer.output_size) == (1, 1) else None


def _flatten(layer: nn.Flatten, _: tuple[int, ...]) -> _LayerAsOnnx | None:
    return _LayerAsOnnx("Flatten") if (layer.start_dim, layer.end_dim) == (1, -1) else None


def _pair(given: Any) -> tuple[int, int]:
    return (given, given) if isinstance(given, int) else tuple(given)


def _copied(*tensors: torch.Tensor | None) -> tuple[Array, ...]:
    """Copy tensors to float32 arrays: training the network further must not change the graph."""
    return tuple(tensor.detach().float().cpu().numpy().copy() for tensor in tensors if tensor is not None)


def _plain(kind: str) -> Callable[[Any, Any], _LayerAsOnnx]:
    return lambda _, __: _LayerAsOnnx(kind)


def _clip(low: float, high: float) -> _LayerAsOnnx:
    return _LayerAsOnnx("Clip", (), {"min": low, "max": high})


_HARD_SIGMOID = _LayerAsOnnx("HardSigmoid", (), {"alpha": 1 / 6})
LAYERS: Mapping[type[nn.Module], Callable[[Any, tuple[int, ...]], _LayerAsOnnx | None]] = {
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _normalization,
    nn.Linear: _linear,
    nn.ReLU: _plain("Relu"),
    nn.ReLU6: lambda _, __: _clip(0.0, 6.0),
    nn.Hardswish: _plain("HardSwish"),
    nn.Hardsigmoid: lambda _, __: _HARD_SIGMOID,
    SameMaxPool2d: _same_max_pool,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _mean,
    nn.Flatten: _flatten,
    nn.Dropout: _plain("Dropout"),
    nn.Identity: _plain("Identity"),
    nn.Softmax: lambda layer, _: _LayerAsOnnx("Softmax", (), {"axis": layer.dim}),
}
FUNCTIONS: Mapping[Any, Callable[..., _LayerAsOnnx]] = {
    operator.add: lambda a, b: _LayerAsOnnx("Add", inputs=(a, b)),
    operator.mul: lambda a, b: _LayerAsOnnx("Mul", inputs=(a, b)),
    torch.cat: lambda tensors, dim=0: _LayerAsOnnx("Concat", (), {"axis": dim}, tuple(tensors)),
    torch.relu: lambda x: _LayerAsOnnx("Relu", inputs=(x,)),
    functional.relu6: lambda x, inplace=False: replace(_clip(0.0, 6.0), inputs=(x,)),
    functional.hardsigmoid: lambda x, inplace=False: replace(_HARD_SIGMOID, inputs=(x,)),
}
