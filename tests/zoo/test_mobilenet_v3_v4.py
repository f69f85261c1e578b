"""What MobileNetV3 and MobileNetV4 have that the others do not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgenet.zoo.classifier import BlockStyle
from edgenet.zoo.mobilenet_v3 import LARGE, SMALL, SqueezeExcite
from edgenet.zoo.mobilenet_v4 import Universal, UniversalInvertedBottleneck
from edgenet.zoo.registry import build


def count_layers(name: str, kind: type[nn.Module]) -> int:
    with torch.device("meta"):
        network = build(name)
    return sum(isinstance(layer, kind) for layer in network.modules())


def kernels(name: str) -> set[int]:
    with torch.device("meta"):
        network = build(name)
    return {layer.kernel_size[0] for layer in network.modules() if isinstance(layer, nn.Conv2d)}


def test_squeeze_excite_and_hard_swish_are_where_the_tables_have_them() -> None:
    """arXiv 1905.02244, tables 1 and 2."""
    assert count_layers("mobilenet_v3_large_1.0_224", SqueezeExcite) == 8
    assert count_layers("mobilenet_v3_small_1.0_224", SqueezeExcite) == 9
    assert [row.swish for row in LARGE.bottlenecks].index(True) == 6
    assert [row.swish for row in SMALL.bottlenecks].index(True) == 3
    assert kernels("mobilenet_v3_large_1.0_224") == kernels("mobilenet_v3_small_1.0_224") == {1, 3, 5}


@pytest.mark.parametrize("size", ["large", "small"])
def test_minimalistic_has_neither_nor_large_kernels(size: str) -> None:
    name = f"mobilenet_v3_{size}_minimalistic_1.0_224"
    assert count_layers(name, SqueezeExcite) == count_layers(name, nn.Hardswish) == 0
    assert kernels(name) == {1, 3}


def test_squeeze_excite_by_hand() -> None:
    layer = SqueezeExcite(16, "same").eval()
    x = torch.randn(2, 16, 3, 5)
    means = x.mean((2, 3))
    reduced = (means @ layer.reduce.weight.flatten(1).T + layer.reduce.bias).relu()
    gate = reduced @ layer.expand.weight.flatten(1).T + layer.expand.bias
    expected = x * ((gate + 3).clamp(0, 6) / 6)[:, :, None, None]
    assert layer.reduce.out_channels == 8  # a quarter, but at least 8
    torch.testing.assert_close(layer(x), expected)


def test_last_layer_is_not_made_narrower() -> None:
    for name, wide in (("mobilenet_v3_small", 1024), ("mobilenet_v3_large", 1280)):
        assert build(f"{name}_0.35_32", classes=3).classifier.weight.shape == (3, wide)
    assert build("mobilenet_v3_small_1.25_32", classes=3).classifier.weight.shape == (3, 1280)


@pytest.mark.parametrize(
    ("row", "strides"),
    [
        (Universal(3, 5, 4, 24, stride=2), {"first": 1, "expand": 1, "depthwise": 2, "project": 1}),
        (Universal(3, 0, 4, 24, stride=2), {"first": 2, "expand": 1, "project": 1}),
        (Universal(0, 3, 4, 24, stride=2), {"expand": 1, "depthwise": 2, "project": 1}),
        (Universal(0, 0, 4, 24), {"expand": 1, "project": 1}),
    ],
)
def test_universal_bottleneck_has_the_stride_inside_where_it_can(
    row: Universal, strides: dict[str, int]
) -> None:
    block = UniversalInvertedBottleneck((16, row.outputs), row, BlockStyle())
    assert {name: part.conv.stride[0] for name, part in block.layers.named_children()} == strides
    assert block(torch.zeros(1, 16, 8, 8)).shape == (1, 24, 8 // row.stride, 8 // row.stride)
    activated = {name for name, part in block.layers.named_children() if hasattr(part, "activation")}
    assert activated == strides.keys() & {"expand", "depthwise"}


def test_universal_bottleneck_adds_its_input_where_shapes_allow() -> None:
    same = UniversalInvertedBottleneck((16, 16), Universal(3, 3, 2, 16), BlockStyle()).eval()
    x = torch.randn(1, 16, 4, 4)
    torch.testing.assert_close(same(x), x + same.layers(x))
    wider = UniversalInvertedBottleneck((16, 24), Universal(3, 3, 2, 24), BlockStyle())
    assert not wider.residual


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v3_small_minimalistic",
        "mobilenet_v3_large",
        "mobilenet_v4_conv_small",
        "mobilenet_v4_conv_medium",
    ],
)
def test_one_pixel_remains_of_32(name: str) -> None:
    network = build(f"{name}_0.5_32", classes=10).eval()
    with torch.inference_mode():
        assert network.features(torch.zeros(1, 3, 32, 32)).shape[2:] == (1, 1)
