"""Our shape rules against torch's own results, on random sizes."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from edgenet.zoo.counting import RULES


@pytest.mark.parametrize("seed", range(40))
def test_windows(seed: int) -> None:
    draw = random.Random(seed)
    x = torch.zeros(2, 4, draw.randint(7, 20), draw.randint(7, 20))
    kernel, stride, groups = draw.randint(1, 5), draw.randint(1, 3), draw.choice([1, 2, 4])
    before, up = draw.randint(0, kernel // 2), draw.random() < 0.5
    weight = torch.zeros(8, 4 // groups, kernel, draw.randint(1, 3))
    convolution = (x, weight, None, (stride, draw.randint(1, 3)), (before, 1), (1, 2), groups)
    pooling = (x, kernel, stride, before)
    assert RULES[F.conv2d](*convolution) == tuple(F.conv2d(*convolution).shape)
    assert RULES[F.max_pool2d](*pooling, ceil_mode=up) == tuple(F.max_pool2d(*pooling, ceil_mode=up).shape)
    assert RULES[F.avg_pool2d](*pooling, up, False, None) == tuple(F.avg_pool2d(*pooling, up).shape)


def test_other_functions() -> None:
    x, gate = torch.zeros(2, 3, 5, 6), torch.zeros(2, 3, 1, 1)
    assert RULES[torch.Tensor.mul](x, gate) == RULES[torch.Tensor.add](gate, x) == (2, 3, 5, 6)
    assert RULES[torch.cat]([x, x[:, :2]], dim=1) == (2, 5, 5, 6)
    assert RULES[F.adaptive_avg_pool2d](x, 1) == (2, 3, 1, 1)
    assert RULES[F.linear](torch.zeros(2, 7), torch.zeros(4, 7)) == (2, 4)


def test_a_mismatch_is_reported() -> None:
    with pytest.raises(ValueError, match="8 input channels got 4"):
        RULES[F.conv2d](torch.zeros(1, 4, 5, 5), torch.zeros(2, 8, 1, 1), None, (1, 1), (0, 0), (1, 1), 1)
    with pytest.raises(ValueError, match="7 inputs got 6"):
        RULES[F.linear](torch.zeros(2, 6), torch.zeros(4, 7))
