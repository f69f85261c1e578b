"""Mult-adds and parameters: the way of counting."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgenet.zoo.counting import NetworkCost, count, count_variant
from edgenet.zoo.paper import matches_rounded
from edgenet.zoo.registry import build

# The authors' own later card (tensorflow/models, research/slim/nets/mobilenet/README.md): million
# mult-adds and parameters of V2 by variant. It corrects the paper's 585 and 6.9 of width 1.4.
V2_CARD = {
    "mobilenet_v2_1.4_224": (582, 6.06),
    "mobilenet_v2_1.3_224": (509, 5.34),
    "mobilenet_v2_1.0_224": (300, 3.47),
    "mobilenet_v2_1.0_128": (99, 3.47),
    "mobilenet_v2_1.0_96": (56, 3.47),
    "mobilenet_v2_0.75_224": (209, 2.61),
    "mobilenet_v2_0.5_160": (50, 1.95),
    "mobilenet_v2_0.35_224": (59, 1.66),
}


@pytest.mark.parametrize(("name", "figures"), V2_CARD.items())
def test_authors_card_of_v2_comes_out(name: str, figures: tuple[int, float]) -> None:
    cost = count_variant(name)
    assert matches_rounded(figures[0], cost.mult_adds / 1e6), cost
    assert matches_rounded(figures[1], cost.parameters / 1e6), cost


def test_share_of_pointwise_convolutions_is_the_papers() -> None:
    """Section 3.1, table 2 of arXiv 1704.04861: 94.86 % of the mult-adds, 74.59 % of the parameters."""
    network = build("mobilenet_v1_1.0_224")
    total = count(network, 224)
    resolutions = (112, 56, 56, 28, 28, *(14,) * 6, 7, 7)
    weights = [network.features[index].pointwise.conv.weight.numel() for index in range(1, 14)]
    mult_adds = sum(weight * size**2 for weight, size in zip(weights, resolutions, strict=True))
    assert 100 * mult_adds / total.mult_adds == pytest.approx(94.86, abs=0.1)
    assert 100 * sum(weights) / total.parameters == pytest.approx(74.59, abs=0.1)


def test_by_hand() -> None:
    layer = nn.Conv2d(4, 8, 3, padding=1, groups=2)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), layer, nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 25, 2))
    expected = 3 * 4 * 25 + 8 * 2 * 9 * 25 + 8 * 25 * 2
    assert count(network, 5) == NetworkCost(expected, 3 * 4 + 8 * 2 * 9 + 8 * 25 * 2)


def test_layer_used_twice_has_its_parameters_once() -> None:
    layer = nn.Conv2d(3, 3, 1)
    assert count(nn.Sequential(layer, layer), 4) == NetworkCost(2 * 9 * 16, 9)


def test_counting_leaves_the_network_as_it_was() -> None:
    network = build("mobilenet_v1_0.25_64", classes=3).train()
    network.features[0].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    count(network, 64)
    assert network.training
    assert not network.features[0].training
    for name, tensor in network.state_dict().items():
        assert tensor.device.type == "cpu"
        assert torch.equal(tensor, before[name])


class ComputedOnCpu(TorchDispatchMode):
    """Notes which operators give tensors with values, while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.device.type == "cpu":
            self.operators.add(str(func))
        return result


def test_counting_computes_no_value() -> None:
    network = build("mobilenet_v2_1.0_224")
    with ComputedOnCpu() as computed:
        count(network, 224)
    assert computed.operators == {"aten.detach.default"}  # the weights, before they lose their values
    with ComputedOnCpu() as computed:
        network.eval()(torch.zeros(1, 3, 32, 32))
    assert "aten.convolution.default" in computed.operators
