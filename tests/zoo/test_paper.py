"""The papers' figures: those that agree with ours, and computed reasons for those that do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.counting import count, count_variant
from edgenet.zoo.mobilenet_v3 import SMALL, Design, MobileNetV3
from edgenet.zoo.paper import FIGURES, PaperFigures, matches_rounded, paper_figures
from edgenet.zoo.registry import build, catalogue


def millions(name: str, classes: int = 1000) -> tuple[float, float]:
    cost = count_variant(name, classes)
    return cost.mult_adds / 1e6, cost.parameters / 1e6


def unallocated(name: str) -> Classifier:
    with torch.device("meta"):
        return build(name)


def all_values(name: str) -> int:
    """Return the number of weights, biases and learned batch normalization parameters."""
    return sum(parameter.numel() for parameter in unallocated(name).parameters())


def matrices(name: str) -> float:
    """Return the mult-adds of the fully connected layers, in millions."""
    layers = (layer for layer in unallocated(name).modules() if isinstance(layer, nn.Linear))
    return sum(layer.weight.numel() for layer in layers) / 1e6


@pytest.mark.parametrize("row", FIGURES, ids=lambda row: row.variant)
def test_a_figure_comes_out_or_has_a_reason_why_not(row: PaperFigures) -> None:
    mult_adds, parameters = millions(row.variant)
    if row.mult_adds is not None:
        assert matches_rounded(row.mult_adds, mult_adds, row.step) == (not row.mult_adds_why), mult_adds
    if row.parameters is not None:
        assert matches_rounded(row.parameters, parameters) == (not row.parameters_why), parameters


def test_every_row_is_in_the_catalogue_once() -> None:
    names = [row.variant for row in FIGURES]
    assert len(names) == len(set(names))
    assert set(names) <= {variant.name for variant in catalogue()}
    assert paper_figures("mobilenet_v1_1.0_224") == FIGURES[0]
    assert paper_figures("mobilenet_v2_0.35_96") is None


@pytest.mark.parametrize(
    ("published", "exact", "step", "same"),
    [
        (569, 568.74, 1, True),
        (290, 290.7, 1, True),
        (570, 568.74, 1, False),
        (4.2, 4.209, 1, True),
        (1.32, 1.33, 1, False),
        (4.0, 3.968, 1, True),
        (720, 724.4, 10, True),
        (720, 724.4, 1, False),
        (5000, 5713.2, 1000, True),
        (15300, 15470.3, 100, False),
    ],
)
def test_rounding_and_rounding_down(published: float, exact: float, step: float, same: bool) -> None:
    assert matches_rounded(published, exact, step) is same


# The reasons, in the order of the data ----------------------------------------------------------------------------


def test_v2_1_4_and_v3_large_are_the_authors_later_card() -> None:
    """tensorflow/models, research/slim/nets/mobilenet/README.md."""
    assert tuple(map(round, millions("mobilenet_v2_1.4_224"))) == (582, 6)
    assert round(millions("mobilenet_v2_1.4_224")[1], 2) == 6.06
    assert round(millions("mobilenet_v3_large_1.0_224")[0]) == 217


def test_full_mobilenet_without_its_fully_connected_layer() -> None:
    name = "mobilenet_full_1.0_224"
    assert round(millions(name)[0] - matrices(name), 1) == 4866.3


def test_vgg16_without_its_fully_connected_layers() -> None:
    without = millions("vgg16_1.0_224")[0] - matrices("vgg16_1.0_224")
    assert round(without, 1) == 15346.6
    assert matches_rounded(15300, without, step=100)


def test_squeezenet_counts_one_by_one_and_with_biases() -> None:
    twice = 2 * millions("squeezenet_1.0_227")[0]
    assert round(twice) == 1665
    assert matches_rounded(1700, twice, step=100)
    assert all_values("squeezenet_1.0_227") == 1_248_424
    assert matches_rounded(1.25, 1.248424)


def test_googlenet_in_k_of_1024() -> None:
    """Its paper's table 1 gives K that sum to 6,798; both of the MobileNets paper's figures are in that unit."""
    mult_adds, parameters = (figure / 1.024 for figure in millions("googlenet_1.0_224"))
    assert int(1000 * parameters) == 6826
    assert matches_rounded(6.8, parameters)
    assert round(mult_adds, 1) == 1545.6
    assert matches_rounded(1550, mult_adds, step=10)


def test_v4_medium_in_units_of_2_to_the_20() -> None:
    """As the paper's 31 M of Conv-Large, whose weights have 32.6 M (timm): 31.1."""
    assert round(millions("mobilenet_v4_conv_medium_1.0_256")[1] * 1e6 / 2**20, 2) == 9.2


def test_v4_small_with_batch_normalization() -> None:
    assert round(all_values("mobilenet_v4_conv_small_1.0_224") / 1e6, 2) == 3.77
    assert matches_rounded(3.8, 3.77)


def test_xception_with_batch_normalization() -> None:
    assert all_values("xception_1.0_299") == 22_855_952


def test_inception_in_k_of_1024() -> None:
    assert [round(millions("inception_v3_1.0_299", n)[1], 2) for n in (1000, 120)] == [23.80, 22.00]
    assert matches_rounded(23.2, millions("inception_v3_1.0_299")[1] / 1.024)


def v3(design: Design, width: float = 1.0) -> float:
    """Return the mult-adds, in millions."""
    with torch.device("meta"):
        return count(MobileNetV3(design, width, NetworkOptions(classes=1000)), 224).mult_adds / 1e6


def test_v3_small_0_75_with_the_first_versions_last_layer() -> None:
    assert round(v3(replace(SMALL, head=1280), 0.75), 1) == 43.8
    assert matches_rounded(44, 43.8)


def test_v3_small_with_its_third_stride_a_block_later() -> None:
    """The card's 66 and 65 both follow from it; its parameters (2.9) are those of 1,280 channels at the end."""
    fourth, fifth = SMALL.bottlenecks[3:5]
    rows = (
        *SMALL.bottlenecks[:3],
        replace(fourth, stride=1),
        replace(fifth, stride=2),
        *SMALL.bottlenecks[5:],
    )
    assert round(v3(replace(SMALL, bottlenecks=rows)), 1) == 65.8
    plain = tuple(replace(row, squeeze=False) for row in rows)
    assert round(v3(replace(SMALL, bottlenecks=plain)), 1) == 65.4


def test_alexnet_has_the_papers_mult_adds_by_its_groups() -> None:
    """Two groups in three layers: without them these would cost twice as much."""
    grouped = 27**2 * 256 * 25 * 48 + 13**2 * 9 * 192 * (384 + 256)
    without = millions("alexnet_1.0_227")[0] + grouped / 1e6
    assert round(without) == 1135
    assert not matches_rounded(720, without, step=10)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mobilenet_v3_large_1.0_224", 5_483_032),
        ("mobilenet_v3_small_1.0_224", 2_542_856),
        ("mobilenet_v4_conv_small_1.0_224", 3_774_024),
        ("mobilenet_v4_conv_medium_1.0_256", 9_715_512),
        ("squeezenet_1.0_227", 1_248_424),
        ("vgg16_1.0_224", 138_357_544),
    ],
)
def test_other_implementations_have_as_many_values(name: str, values: int) -> None:
    """torchvision's figures of its weights (V3, SqueezeNet, VGG16); timm's networks (V4)."""
    assert all_values(name) == values
