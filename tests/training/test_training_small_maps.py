"""Depthwise convolutions over small maps: the values and gradients are torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from edgenet.training.step import FastSmallMaps


def name_of_gradient(*given: object) -> str:
    with FastSmallMaps():
        return type(functional.conv2d(*given).grad_fn).__name__  # type: ignore[arg-type]


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    ("size", "padded"),
    [(size, True) for size in ((1, 1), (2, 2), (3, 2), (4, 4), (2, 9), (6, 6))]
    + [(size, False) for size in ((5, 5), (5, 9), (7, 7))],
)
@pytest.mark.parametrize("biased", [True, False])
def test_gradients_are_torch_s(
    kernel: int, stride: int, size: tuple[int, int], padded: bool, biased: bool
) -> None:
    padding = kernel // 2 if padded else 0
    torch.manual_seed(1)
    x = torch.randn(4, 6, *size).to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn(6, 1, kernel, kernel, requires_grad=True)
    bias = torch.randn(6, requires_grad=True) if biased else None
    given = (x, weight, bias, (stride, stride), (padding, padding), (1, 1), 6)
    trained = (x, weight) if bias is None else (x, weight, bias)
    expected = functional.conv2d(*given)
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, trained, gradient)
    with FastSmallMaps():
        found = functional.conv2d(*given)
    assert torch.equal(found, expected)
    assert (name_of_gradient(*given) == "_DepthwiseConvBackward") == (kernel + stride - 1 > min(size))
    for ours, theirs in zip(torch.autograd.grad(found, trained, gradient), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_others_are_left_alone() -> None:
    x = torch.randn(2, 4, 2, 2)
    full, depthwise = (torch.randn(4, inputs, 3, 3, requires_grad=True) for inputs in (4, 1))
    pair = (1, 1)
    assert name_of_gradient(x, depthwise, None, 1, 1, 1, 4) == "_DepthwiseConvBackward"
    for given in (
        (x, full, None, pair, pair, pair, 1),
        (x, depthwise, None, pair, "same", pair, 4),
        (x, depthwise, None, pair, (2, 2), (2, 2), 4),
    ):
        assert name_of_gradient(*given) != "_DepthwiseConvBackward"
