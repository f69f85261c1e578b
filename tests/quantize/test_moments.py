"""Second moments in blocks, and rounding with them, which works for matrices of any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_graphs import depthwise, fully_connected

import edgenet.quantize.rounding as rounding
from edgenet.graph.ir import FullyConnected
from edgenet.quantize.rounding import (
    LARGEST_BLOCK,
    block_sizes,
    round_by_second_moments,
    round_nearest,
    scales_for,
    second_moments,
)

INPUTS = 12


def seen(columns: int, seed: int = 0) -> list[torch.Tensor]:
    """Return rows that depend on each other, in three parts, with a mean."""
    random = np.random.default_rng(seed)
    rows = random.normal(1, 1, (300, columns)) @ random.normal(0, 1, (columns, columns))
    return list(torch.from_numpy(rows.astype(np.float32)).split(100))


@pytest.mark.parametrize("inputs", [1, 1792, LARGEST_BLOCK, LARGEST_BLOCK + 1, 9216, 25088])
def test_parts_are_even_and_none_is_larger_than_it_may_be(inputs: int) -> None:
    sizes = block_sizes(inputs)
    assert sum(sizes) == inputs
    assert max(sizes) <= LARGEST_BLOCK
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-inputs // LARGEST_BLOCK)


def test_moments_are_the_covariance() -> None:
    rows = seen(INPUTS)
    (found,) = second_moments(fully_connected(np.random.default_rng(0), INPUTS, 3), rows)
    np.testing.assert_allclose(found, np.cov(torch.cat(rows).T.numpy(), bias=True), rtol=1e-4, atol=1e-3)


def test_moments_of_a_depthwise_convolution_are_each_channels_own() -> None:
    rows = [part.reshape(-1, 4, 3) for part in seen(INPUTS)]
    found = second_moments(depthwise(np.random.default_rng(0), 3, (2, 2)), rows)
    assert isinstance(found, torch.Tensor)
    assert found.shape == (3, 4, 4)
    for channel in range(3):
        own = torch.cat(rows)[:, :, channel].T.numpy()
        np.testing.assert_allclose(found[channel], np.cov(own, bias=True), rtol=1e-4, atol=1e-3)


def test_larger_layers_are_rounded_in_blocks_and_still_better_than_to_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operator = fully_connected(np.random.default_rng(1), INPUTS, 64)
    scales, rows = scales_for(operator, 1.0) * 16, seen(INPUTS)
    errors = {}
    for limit in (INPUTS, 5):
        monkeypatch.setattr(rounding, "LARGEST_BLOCK", limit)
        moments = second_moments(operator, rows)
        assert [len(block) for block in moments] == block_sizes(INPUTS)
        errors[limit] = output_error(
            operator, scales, round_by_second_moments(operator, scales, moments), rows
        )
    nearest = output_error(operator, scales, round_nearest(operator, scales), rows)
    assert errors[INPUTS] < errors[5] < 0.95 * nearest


def output_error(
    operator: FullyConnected, scales: np.ndarray, values: np.ndarray, rows: list[torch.Tensor]
) -> float:
    """Return the energy of the layer's error about its mean."""
    off = (torch.cat(rows) - torch.cat(rows).mean(0)).numpy() @ (values * scales[:, None] - operator.weight).T
    return float(np.square(off).sum())
