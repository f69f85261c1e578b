"""Depthwise convolutions over small maps: the values and gradients are torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from edgenet.training import small_maps
from edgenet.training.small_maps import FastSmallMaps


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 2), (4, 4), (2, 9), (6, 6)])
@pytest.mark.parametrize("padded", [True, False])
def test_gradients_are_torch_s(kernel: int, stride: int, size: tuple[int, int], padded: bool) -> None:
    padding = kernel // 2 if padded else 0
    if not padded and min(size) < kernel:
        pytest.skip("the filter does not fit")
    torch.manual_seed(1)
    x = torch.randn(4, 6, *size).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(6, 1, kernel, kernel, requires_grad=True)
    given = (x, weight, None, (stride, stride), (padding, padding), (1, 1), 6)
    expected = functional.conv2d(*given)
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (x, weight), gradient)
    with FastSmallMaps():
        found = functional.conv2d(*given)
    assert torch.equal(found, expected)
    slow = kernel + stride - 1 > min(size)
    assert (type(found.grad_fn).__name__ == "_DepthwiseBackward") == slow
    for ours, theirs in zip(torch.autograd.grad(found, (x, weight), gradient), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_others_are_left_alone() -> None:
    x = torch.randn(2, 4, 2, 2)
    full, depthwise, bias = torch.randn(4, 4, 3, 3), torch.randn(4, 1, 3, 3), torch.randn(4)
    pair, one = (1, 1), (1, 1)
    assert not small_maps._is_slow(x, full, None, pair, one, pair, 1)
    assert not small_maps._is_slow(x, depthwise, bias, pair, one, pair, 4)
    assert not small_maps._is_slow(x, depthwise, None, pair, "same", pair, 4)
    assert not small_maps._is_slow(x, depthwise, None, pair, (2, 2), (2, 2), 4)
    assert small_maps._is_slow(x, depthwise, None, pair, one, pair, 4)
