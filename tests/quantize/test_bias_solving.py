"""The bias of a layer is solved so that each channel's mean after the activation is the wanted one."""

from __future__ import annotations

import math

import pytest
import torch

from edgenet.quantize.calibrate_layers import solve_bias

CHANNELS = 48
BOUNDS = [(0.0, 6.0), (0.0, math.inf), (-math.inf, math.inf)]


def sums_and_bias(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(rows)
    before = torch.randn(rows, CHANNELS, generator=random) * 2
    return before, torch.randn(CHANNELS, generator=random, dtype=torch.float64)


def means(before: torch.Tensor, bias: torch.Tensor, bounds: tuple[float, float]) -> torch.Tensor:
    return (before.double() + bias).clamp(*bounds).mean(0)


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("rows", [75, 1000, 6000])
def test_the_means_are_met_on_all_rows(rows: int, bounds: tuple[float, float]) -> None:
    before, bias = sums_and_bias(rows)
    wanted = means(before, bias, bounds)
    start = bias + 0.2 * torch.linspace(-1, 1, CHANNELS, dtype=torch.float64)
    solved = solve_bias(before, start, wanted, bounds)
    off = [(means(before, one, bounds) - wanted).abs().max() for one in (start, solved)]
    assert off[0] > 0.05
    assert off[1] < 2e-3


def test_a_channel_that_is_clipped_throughout_keeps_its_bias() -> None:
    before, bias = sums_and_bias(3000)
    bias[:4] = -100
    wanted = means(before, bias, (0.0, 6.0)) + 0.1
    solved = solve_bias(before, bias, wanted, (0.0, 6.0))
    assert torch.equal(solved[:4], bias[:4])
    assert (means(before, solved, (0.0, 6.0)) - wanted)[4:].abs().max() < 5e-3
