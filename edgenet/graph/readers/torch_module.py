"""Reading a torch module into the graph: traced by torch.fx, layer by layer.

Torch and ONNX both work on NCHW and mean the same by their layers, so every layer is described as the ONNX operator
that it is and read by that operator's rule. No ONNX is written for it: torch's exporter takes 100 MB that stay with the
process (torch 2.13, MobileNetV1), and announces its end.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from edgenet.errors import EdgenetError
from edgenet.graph.builder import GraphBuilder
from edgenet.graph.ir import Graph
from edgenet.graph.readers.onnx_operators import RULES
from edgenet.graph.readers.translation import NCHW, Array, OnnxNode, Translation, Value
from edgenet.zoo.layers import SameConv2d, same_padding
from edgenet.zoo.pooling import SameMaxPool2d

INPUT = "image"


def read_torch(module: nn.Module, size: tuple[int, int], name: str) -> Graph:
    """Reads a classifier that takes normalized RGB [1, 3, H, W] and returns logits [1, N].

    Args:
        module: in evaluation mode, on the CPU. Its weights are copied.
        size: height and width of the picture.
        name: the graph's name.

    Raises:
        EdgenetError: a layer or function that has no counterpart in the graph.
    """
    state = Translation(GraphBuilder(name, INPUT, (1, *size, 3)))
    traced = _Tracer().trace(module)
    for node in traced.nodes:
        if node.op == "placeholder":
            state.values[node.name] = Value(INPUT, NCHW)
        elif node.op == "output":
            return state.builder.graph(state.values[node.args[0].name].tensor)
        else:
            _read(state, module, node)
    raise AssertionError("torch.fx ends every graph with its output")


class _Tracer(fx.Tracer):
    """Takes torch's own layers whole, and ours that look at the size of what they are given."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SameConv2d | SameMaxPool2d) or super().is_leaf_module(m, module_qualified_name)


def _read(state: Translation, module: nn.Module, node: fx.Node) -> None:
    """Adds what one step of the trace computes."""
    inputs = [given.name for given in node.all_input_nodes]
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        picture = state.shape(state.values[inputs[0]])
        rule = next((rule for kind, rule in LAYERS.items() if isinstance(layer, kind)), None)
        step = rule(layer, picture[2:]) if rule else None
    else:
        step = FUNCTIONS[node.target](node) if node.target in FUNCTIONS else None
    if step is None:
        what = type(layer).__name__ if node.op == "call_module" else str(node.target)
        raise EdgenetError(
            f"cannot read '{node.name}', {what}", f"edgenet takes {', '.join(k.__name__ for k in LAYERS)}"
        )
    constants = {f"{node.name}.{position}": array for position, array in enumerate(step.constants)}
    state.constants |= constants
    described = OnnxNode(_path(node), step.kind, (*inputs, *constants), (node.name,), step.attributes)
    state.values[node.name] = RULES[step.kind](state, described)
    for constant in constants:
        del state.constants[constant]


def _path(node: fx.Node) -> str:
    """The module that computes it: "features.1/layers/depthwise/conv"."""
    if node.op == "call_module":
        path = str(node.target)
    else:
        modules = node.meta.get("nn_module_stack") or {}
        path = next(reversed(modules), "") or node.name
    return re.sub(r"\.(?!\d+(\.|$))", "/", path)


@dataclass(frozen=True)
class _Step:
    """A layer as ONNX describes it: its operator, its constant inputs after the computed ones, its attributes."""

    kind: str
    constants: tuple[Array, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


def _convolution(layer: nn.Conv2d, size: tuple[int, ...]) -> _Step | None:
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
    return _Step("Conv", _copied(layer.weight, layer.bias), attributes)


def _normalization(layer: nn.BatchNorm2d, _: tuple[int, ...]) -> _Step:
    constants = _copied(layer.weight, layer.bias, layer.running_mean, layer.running_var)
    return _Step("BatchNormalization", constants, {"epsilon": layer.eps})


def _linear(layer: nn.Linear, _: tuple[int, ...]) -> _Step:
    return _Step("Gemm", _copied(layer.weight, layer.bias), {"transB": 1})


def _same_max_pool(layer: SameMaxPool2d, size: tuple[int, ...]) -> _Step:
    sides = [same_padding(n, layer.kernel, layer.stride) for n in size]
    window = {"kernel_shape": (layer.kernel,) * 2, "strides": (layer.stride,) * 2}
    return _Step("MaxPool", (), window | {"pads": (*(s[0] for s in sides), *(s[1] for s in sides))})


def _max_pool(layer: nn.MaxPool2d, _: tuple[int, ...]) -> _Step:
    return _Step("MaxPool", (), _window(layer) | {"dilations": _pair(layer.dilation)})


def _average_pool(layer: nn.AvgPool2d, _: tuple[int, ...]) -> _Step | None:
    if layer.divisor_override is not None:
        return None
    return _Step("AveragePool", (), _window(layer) | {"count_include_pad": int(layer.count_include_pad)})


def _window(layer: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Any]:
    return {
        "kernel_shape": _pair(layer.kernel_size),
        "strides": _pair(layer.stride),
        "pads": _pair(layer.padding) * 2,
        "ceil_mode": int(layer.ceil_mode),
    }


def _mean(layer: nn.AdaptiveAvgPool2d, _: tuple[int, ...]) -> _Step | None:
    return _Step("GlobalAveragePool") if _pair(layer.output_size) == (1, 1) else None


def _flatten(layer: nn.Flatten, _: tuple[int, ...]) -> _Step | None:
    return _Step("Flatten") if (layer.start_dim, layer.end_dim) == (1, -1) else None


def _pair(given: Any) -> tuple[int, int]:
    return (given, given) if isinstance(given, int) else tuple(given)


def _copied(*tensors: torch.Tensor | None) -> tuple[Array, ...]:
    """Numbers of their own: the graph's must not follow a network that is trained on."""
    return tuple(tensor.detach().float().numpy().copy() for tensor in tensors if tensor is not None)


def _plain(kind: str) -> Callable[[Any, Any], _Step]:
    return lambda _, __: _Step(kind)


def _clip(low: float, high: float) -> _Step:
    return _Step("Clip", (), {"min": low, "max": high})


LAYERS: Mapping[type[nn.Module], Callable[[Any, tuple[int, ...]], _Step | None]] = {
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _normalization,
    nn.Linear: _linear,
    nn.ReLU: _plain("Relu"),
    nn.ReLU6: lambda _, __: _clip(0.0, 6.0),
    nn.Hardswish: _plain("HardSwish"),
    nn.Hardsigmoid: lambda _, __: _Step("HardSigmoid", (), {"alpha": 1 / 6}),
    SameMaxPool2d: _same_max_pool,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: _mean,
    nn.Flatten: _flatten,
    nn.Dropout: _plain("Dropout"),
    nn.Identity: _plain("Identity"),
    nn.Softmax: lambda layer, _: _Step("Softmax", (), {"axis": layer.dim}),
}
FUNCTIONS: Mapping[Any, Callable[[fx.Node], _Step]] = {
    operator.add: lambda _: _Step("Add"),
    operator.mul: lambda _: _Step("Mul"),
    torch.cat: lambda node: _Step("Concat", (), {"axis": node.kwargs.get("dim", 0)}),
    torch.relu: lambda _: _Step("Relu"),
    functional.relu6: lambda _: _clip(0.0, 6.0),
    functional.hardsigmoid: lambda _: _Step("HardSigmoid", (), {"alpha": 1 / 6}),
}
