"""Torch modules read by torch.fx and through both of torch's ONNX exporters, compared with torch itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run, run_tensors
from edgenet.graph.ir import Binary, DepthwiseConv2D, Graph, Transpose, Unary
from edgenet.graph.lower import lower
from edgenet.graph.onnx_reader import EXPORT_OPSET, export_onnx, read_onnx, read_onnx_model
from edgenet.graph.simplify import simplify
from edgenet.graph.torch_reader import read_torch
from edgenet.zoo import classic
from edgenet.zoo.classifier import TORCHVISION
from edgenet.zoo.registry import ARCHITECTURES, Variant, build


class Gate(nn.Module):
    """Squeeze and excitation, as in MobileNetV3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down, self.up = nn.Conv2d(channels, 3, 1), nn.Conv2d(3, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * nn.functional.hardsigmoid(self.up(torch.relu(self.down(self.pool(x)))))


class Residual(nn.Module):
    """A block that adds its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + nn.functional.relu6(self.norm(self.conv(x)))


def network() -> nn.Module:
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        Residual(8),
        Gate(8),
        nn.Conv2d(8, 6, 1),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(6 * 16, 5),
    )
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_var, 0.1, 2)
        nn.init.normal_(norm.running_mean)
    return module.eval()


def check(module: nn.Module, graph: Graph) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    inputs = (torch.from_numpy(pixels).float() - torch.tensor(TORCHVISION.mean)) / torch.tensor(
        TORCHVISION.std
    )
    with torch.inference_mode():
        expected = module(inputs.permute(0, 3, 1, 2))
    lowered = lower(simplify(graph, TORCHVISION), exact_border=True)
    np.testing.assert_allclose(run(lowered, pixels), expected.numpy(), atol=1e-4)
    operators = [node.operator for node in lowered.nodes]
    assert Unary("hard_swish") in operators
    assert not any(isinstance(operator, Transpose) for operator in operators)
    assert {operator.kind for operator in operators if isinstance(operator, Binary)} == {"add", "mul"}
    # of the normalization and the residual block; the hard sigmoid went into the layers around it
    assert sum(isinstance(operator, DepthwiseConv2D) for operator in operators) == 2


def test_a_module_reads_as_torch_computes_it() -> None:
    module = network()
    check(module, read_torch(module, (16, 16), "small"))


@pytest.mark.slow
def test_an_export_through_torch_export_reads_alike(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="torch's newer exporter needs onnxscript")
    module, path = network(), tmp_path / "newer.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(1, 3, 16, 16),), path, dynamo=True, verbose=False)
    check(module, read_onnx(path))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_network_of_the_zoo_reads_as_its_onnx_export(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exporter folds batch normalization with torch's own square root, which is not always the nearest float."""
    monkeypatch.setattr(classic, "HIDDEN", 64)  # instead of hundreds of MB of fully connected layers
    width = 0.25 if ARCHITECTURES[architecture].scales else 1.0
    variant = Variant(architecture, width, 96)  # a resolution that all of them take
    torch.manual_seed(0)
    module, size = build(variant, classes=10).eval(), (variant.resolution,) * 2
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(norm.running_mean)
    theirs = simplify(read_onnx_model(export_onnx(module, size, EXPORT_OPSET), "x"), module.normalization)
    ours = simplify(read_torch(module, size, "x"), module.normalization)
    assert (ours.output, ours.shapes) == (theirs.output, theirs.shapes)
    for one, other in zip(ours.nodes, theirs.nodes, strict=True):
        assert (one.name, one.inputs, type(one.operator)) == (other.name, other.inputs, type(other.operator))
        for field in fields(one.operator):
            found, expected = getattr(one.operator, field.name), getattr(other.operator, field.name)
            if isinstance(found, np.ndarray):
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
            else:
                assert found == expected, (one.name, field.name)


def test_training_on_leaves_the_graph_as_it_was() -> None:
    module = network()
    graph = read_torch(module, (16, 16), "small")
    before = [
        array.copy() for node in graph.nodes for array in vars(node.operator).values() if is_array(array)
    ]
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.add_(1)
    after = [array for node in graph.nodes for array in vars(node.operator).values() if is_array(array)]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (nn.GELU(), "GELU"),
        (nn.Conv2d(3, 3, 3, padding="same"), "Conv2d"),
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), "Conv2d"),
        (nn.AdaptiveAvgPool2d(2), "AdaptiveAvgPool2d"),
        (nn.AvgPool2d(2, divisor_override=3), "AvgPool2d"),
        (nn.BatchNorm2d(3, affine=False), "BatchNorm2d"),
    ],
)
def test_a_layer_without_a_counterpart_is_refused_by_name(layer: nn.Module, named: str) -> None:
    module = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with pytest.raises(EdgenetError, match=f"cannot read '_?0', {named}, "):
        read_torch(module, (8, 8), "odd")


class Function(nn.Module):
    """A module that is one function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (torch.tanh, "tanh"),
        (lambda x: x * 2, "mul"),
        (lambda x: x + 1.0, "add"),
        (lambda x: x.mean((2, 3)), "mean"),
    ],
)
def test_a_function_without_a_counterpart_is_refused_by_name(
    function: Callable[[Tensor], Tensor], named: str
) -> None:
    with pytest.raises(EdgenetError, match=f"cannot read '{named}'"):
        read_torch(Function(function), (8, 8), "odd")


def test_an_output_that_is_not_a_vector_is_refused() -> None:
    with pytest.raises(EdgenetError, match=r"the output of odd has the shape \[1, 3, 8, 8\]"):
        read_torch(nn.Sequential(nn.ReLU()), (8, 8), "odd")
    with pytest.raises(EdgenetError, match="odd returns"):
        read_torch(Function(lambda x: (torch.relu(x), x)), (8, 8), "odd")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + x,
        lambda x: torch.cat([x, torch.relu(x), x], 1),
        lambda x: torch.cat((x, x), dim=-1),
        lambda x: functional.relu6(x, inplace=False) * x,
    ],
)
def test_functions_read_as_torch_computes_them(function: Callable[[Tensor], Tensor]) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), Function(function), nn.Flatten()).eval()
    graph = read_torch(module, (6, 6), "function")
    picture = torch.rand(1, 3, 6, 6) - 0.5
    with torch.inference_mode():
        found = run_tensors(graph, picture.permute(0, 2, 3, 1).contiguous())
        np.testing.assert_allclose(found.numpy(), module(picture).numpy(), atol=1e-6)
