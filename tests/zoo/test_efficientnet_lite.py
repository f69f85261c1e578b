"""EfficientNet-Lite's five networks have the published blocks and parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgenet.zoo.counting import count_variant
from edgenet.zoo.efficientnet_lite import SIZES, blocks_of
from edgenet.zoo.registry import ARCHITECTURES, build, parse_variant

# Resolution, millions of parameters and of mult-adds in the authors' table (models/official/efficientnet/lite).
CARD = (
    ("efficientnet_lite0_1.0_224", 4.7, 407),
    ("efficientnet_lite1_1.0_240", 5.4, 631),
    ("efficientnet_lite2_1.0_260", 6.1, 899),
    ("efficientnet_lite3_1.0_280", 8.2, 1440),
    ("efficientnet_lite4_1.0_300", 13.0, 2640),
)


@pytest.mark.parametrize(("name", "parameters", "mult_adds"), CARD)
def test_cost_is_that_of_the_authors_table(name: str, parameters: float, mult_adds: float) -> None:
    """The table counts biases and batch normalization as parameters, and a few percent more mult-adds than ours."""
    with torch.device("meta"):
        network = build(name)
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1) == parameters
    cost = count_variant(name)
    assert 1.03 < mult_adds / (cost.mult_adds / 1e6) < 1.06
    variant = parse_variant(name)
    assert ARCHITECTURES[variant.architecture].published == ((1.0, variant.resolution),)


def test_depth_grows_except_at_both_ends() -> None:
    assert [len(list(blocks_of(size))) for size in SIZES] == [16, 21, 21, 24, 30]
    for size in SIZES:
        blocks = list(blocks_of(size))
        assert [stride for _, stride, _, _ in blocks].count(2) == 4
        assert [expansion for _, _, expansion, _ in blocks].count(1) == 1


def test_there_is_neither_squeeze_nor_hard_swish() -> None:
    with torch.device("meta"):
        network = build("efficientnet_lite4_1.0_300")
    assert not any(isinstance(m, nn.Hardswish | nn.Hardsigmoid | nn.SiLU) for m in network.modules())
    assert network.features[0].conv.out_channels == 32
    assert network.classifier.in_features == 1280
