"""Max pooling with SAME padding, and branches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import nn

from edgenet.zoo.classifier import Branches, SameMaxPool2d, average_pool, max_pool, same_padding


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (3, 1), (2, 2), (5, 3), (3, 3)])
@pytest.mark.parametrize("size", [(1, 2), (3, 4), (7, 8), (9, 10), (13, 11)])
def test_same_max_pooling_is_padding_with_minus_infinity(
    kernel: int, stride: int, size: tuple[int, int]
) -> None:
    x = torch.randn(2, 3, *size) - 5  # negative, so that zeros would be seen
    (top, bottom), (left, right) = (same_padding(n, kernel, stride) for n in size)
    padded = F.pad(x, (left, right, top, bottom), value=-torch.inf)
    expected = F.max_pool2d(padded, kernel, stride)
    pooled = SameMaxPool2d(kernel, stride)(x)
    assert pooled.shape[2:] == tuple(-(-n // stride) for n in size)
    assert torch.equal(pooled, expected)


def test_paddings() -> None:
    x = torch.randn(1, 2, 8, 8)
    assert max_pool("same")(x).shape[2:] == (4, 4)
    assert max_pool("symmetric")(x).shape[2:] == (4, 4)
    assert max_pool("valid")(x).shape[2:] == (3, 3)
    assert not torch.equal(max_pool("same")(x), max_pool("symmetric")(x))


def test_average_pooling_leaves_padding_out_of_its_count() -> None:
    ones = torch.ones(1, 1, 3, 4)
    assert torch.equal(average_pool()(ones), ones)


def test_branches_put_channels_one_after_the_other() -> None:
    x = torch.randn(1, 2, 3, 3)
    joined = Branches(nn.Identity(), nn.ReLU())(x)
    assert torch.equal(joined, torch.cat([x, x.relu()], dim=1))
