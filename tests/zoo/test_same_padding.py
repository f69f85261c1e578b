"""SAME padding is TensorFlow's, for every size, kernel and stride, and exports to simple graphs."""

from __future__ import annotations

import io
import warnings
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from edgenet.zoo.classifier import SameConv2d, same_padding
from edgenet.zoo.registry import build


def convolve_same(x: np.ndarray, kernel: np.ndarray, stride: int, dilation: int) -> np.ndarray:
    """TensorFlow's SAME convolution of [C,H,W] with [O,C,k,k], element by element.

    The window of output i starts at i * stride - before; what lies outside is 0.
    """
    size, reach = x.shape[1], (kernel.shape[2] - 1) * dilation + 1
    outputs = int(np.ceil(size / stride))
    total = (reach - stride if size % stride == 0 else reach - size % stride) if reach > 0 else 0
    before = max(total, 0) // 2
    result = np.zeros((kernel.shape[0], outputs, outputs))
    for row in range(outputs):
        for column in range(outputs):
            for i in range(kernel.shape[2]):
                for j in range(kernel.shape[3]):
                    y, z = (
                        row * stride - before + i * dilation,
                        column * stride - before + j * dilation,
                    )
                    if 0 <= y < size and 0 <= z < size:
                        result[:, row, column] += kernel[:, :, i, j] @ x[:, y, z]
    return result


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_convolution_equals_tensorflows_rule(size: int, kernel: int, stride: int, dilation: int) -> None:
    torch.manual_seed(size * 100 + kernel * 10 + stride)
    layer = SameConv2d(2, 3, kernel, stride, dilation=dilation, bias=False).double()
    x = torch.randn(1, 2, size, size, dtype=torch.float64)
    expected = convolve_same(x[0].numpy(), layer.weight.detach().numpy(), stride, dilation)
    np.testing.assert_allclose(layer(x)[0].detach().numpy(), expected, atol=1e-12)


def test_extra_zero_comes_after() -> None:
    assert same_padding(224, 3, 2) == (0, 1)
    assert same_padding(225, 3, 2) == (1, 1)
    assert same_padding(7, 3, 1) == (1, 1)
    assert same_padding(8, 1, 2) == (0, 0)


def test_height_and_width_are_padded_each_by_its_own_size() -> None:
    layer = SameConv2d(1, 1, 3, 2, bias=False)
    nn.init.ones_(layer.weight)
    # Rows are even (no zero above), columns are odd (one zero on the left).
    corner = layer(torch.ones(1, 1, 6, 5))[0, 0, 0, 0].item()
    assert corner == 6.0


def exported(network: nn.Module, x: torch.Tensor) -> onnx.ModelProto:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(network, (x,), buffer, dynamo=False, opset_version=17)
    return onnx.load_from_string(buffer.getvalue())


def run(model: onnx.ModelProto, x: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]


def settled(name: str, padding: str, size: int) -> tuple[nn.Module, torch.Tensor]:
    """A network whose batch norms have seen data, so that its logits are not all alike."""
    torch.manual_seed(1)
    network = build(name, classes=5, padding=padding)  # type: ignore[arg-type]
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        network.train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        network(x)
    nn.init.normal_(network.classifier.weight)
    return network.eval(), x[:1]


@pytest.mark.parametrize(
    ("name", "padding", "size", "pads"),
    [
        # 64 is even down to 4 x 4; only 65 -> 33 -> 17 -> 9 -> 5 is odd all the way.
        ("mobilenet_v1_0.25_64", "same", 64, 5),
        ("mobilenet_v1_0.25_64", "same", 65, 0),
        ("mobilenet_v2_0.35_64", "same", 64, 5),
        ("mobilenet_v2_0.35_64", "symmetric", 64, 0),
    ],
)
def test_exported_graph_is_simple_and_equal(name: str, padding: str, size: int, pads: int) -> None:
    network, x = settled(name, padding, size)
    model = exported(network, x)
    operators = Counter(node.op_type for node in model.graph.node)
    expected = network(x).detach().numpy()
    assert operators["Pad"] == pads
    assert set(operators) <= {
        "Conv",
        "Clip",
        "Pad",
        "Add",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
        "Constant",
    }
    np.testing.assert_allclose(run(model, x), expected, rtol=0, atol=1e-4 * np.ptp(expected))


def test_export_says_nothing_of_traced_sizes() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.onnx.export(
            SameConv2d(3, 4, 3, 2), (torch.zeros(1, 3, 8, 8),), io.BytesIO(), dynamo=False, opset_version=17
        )
    assert not [w for w in caught if issubclass(w.category, torch.jit.TracerWarning)]
    assert not [w for w in caught if "onstant folding" in str(w.message)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_export_through_dynamo_is_equal() -> None:
    pytest.importorskip("onnxscript", reason="torch's newer exporter needs onnxscript")
    layer, x = SameConv2d(3, 4, 3, 2).eval(), torch.randn(1, 3, 8, 8)
    program = torch.onnx.export(layer, (x,), dynamo=True, verbose=False)
    assert program is not None
    np.testing.assert_allclose(run(program.model_proto, x), layer(x).detach().numpy(), atol=1e-5)
