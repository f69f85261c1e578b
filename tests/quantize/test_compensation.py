"""How far weights make up for errors of their input, on inputs whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from edgenet.quantize.rounding import compensation, paired_moments

K, OUTPUTS, ROWS = 12, 5, 400


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(4)


def inputs(random: torch.Generator, parts: int, sizes: Tensor) -> list[Tensor]:
    """Return steps of the size that int8 has; each direction has its own spread."""
    return [torch.randn(ROWS, K, generator=random) * sizes + 30 for _ in range(parts)]


def output_error(weight: Tensor, change: Tensor, seen: list[Tensor], real: list[Tensor]) -> float:
    """Return the mean squared error of the output without its mean, which the bias correction removes."""
    s, x = torch.cat(seen).double(), torch.cat(real).double()
    error = s @ (weight + change).T - x @ weight.T
    return float((error - error.mean(0)).square().mean())


def test_an_error_that_depends_on_the_input_is_corrected(random: torch.Generator) -> None:
    weight = torch.randn(OUTPUTS, K, generator=random, dtype=torch.float64)
    leak = 0.05 * torch.randn(K, K, generator=random)
    seen = inputs(random, 6, torch.full((K,), 20.0))
    real = [part + part @ leak.T for part in seen]
    change = compensation(weight, paired_moments(seen, real))
    np.testing.assert_allclose(change, weight @ leak.double(), atol=1e-4)


def test_directions_with_more_error_than_signal_are_read_less(random: torch.Generator) -> None:
    weight = torch.randn(OUTPUTS, K, generator=random, dtype=torch.float64)
    spread = torch.cat([torch.full((K // 2,), 20.0), torch.full((K // 2,), 1.0)])
    real = inputs(random, 8, spread)
    seen = [part + 2 * torch.randn(part.shape, generator=random) for part in real]
    change = compensation(weight, paired_moments(seen[:4], real[:4]))
    loud, quiet = slice(0, K // 2), slice(K // 2, K)
    assert change[:, loud].norm() < 0.05 * weight[:, loud].norm()
    kept = 1 + (change[:, quiet] * weight[:, quiet]).sum() / weight[:, quiet].square().sum()
    assert kept == pytest.approx(1 / (1 + 4), abs=0.1)  # Wiener's filter: signal / (signal + noise)
    others = output_error(weight, change, seen[4:], real[4:])
    assert others < 0.7 * output_error(weight, torch.zeros_like(change), seen[4:], real[4:])


def test_unused_directions_change_almost_nothing(random: torch.Generator) -> None:
    weight = torch.randn(OUTPUTS, K, generator=random, dtype=torch.float64)
    seen = [part[:10] for part in inputs(random, 4, torch.full((K,), 20.0))]
    real = [part + 3 * torch.randn(part.shape, generator=random) for part in seen]
    change = compensation(weight, paired_moments(seen, real))
    fresh = inputs(random, 4, torch.full((K,), 20.0))
    unlike = [part + 3 * torch.randn(part.shape, generator=random) for part in fresh]
    plain = output_error(weight, torch.zeros_like(change), fresh, unlike)
    assert output_error(weight, change, fresh, unlike) < 1.05 * plain


def test_without_judging_photos_nothing_changes(random: torch.Generator) -> None:
    weight = torch.randn(OUTPUTS, K, generator=random, dtype=torch.float64)
    seen = inputs(random, 1, torch.full((K,), 20.0))
    assert not compensation(weight, paired_moments(seen, [2 * part for part in seen])).any()


def test_an_exact_input_changes_nothing(random: torch.Generator) -> None:
    weight = torch.randn(OUTPUTS, K, generator=random, dtype=torch.float64)
    seen = inputs(random, 4, torch.full((K,), 20.0))
    assert not compensation(weight, paired_moments(seen, seen)).any()


def test_an_input_that_never_changes_is_borne(random: torch.Generator) -> None:
    weight = torch.randn(OUTPUTS, K, generator=random, dtype=torch.float64)
    seen = [torch.full((ROWS, K), 7.0) for _ in range(4)]
    change = compensation(weight, paired_moments(seen, [part + 1 for part in seen]))
    assert change.abs().max() < 1e-6


def test_depthwise_channels_are_matrices_of_one_row(random: torch.Generator) -> None:
    kernels = torch.randn(3, 1, K, generator=random, dtype=torch.float64)
    leak = 0.05 * torch.randn(3, K, K, generator=random)
    seen = [torch.randn(3, ROWS, K, generator=random) * 20 for _ in range(6)]
    real = [part + part @ leak.mT for part in seen]
    change = compensation(kernels, paired_moments(seen, real))
    np.testing.assert_allclose(change, kernels @ leak.double(), atol=1e-4)


def test_values_beyond_single_precision_change_nothing(random: torch.Generator) -> None:
    """As where a tensor was constant on all photos, so that its step is next to nothing."""
    weight = torch.randn(OUTPUTS, K, generator=random, dtype=torch.float64)
    seen = inputs(random, 4, torch.full((K,), 1e25))
    real = [part * 1.1 for part in seen]
    assert not compensation(weight, paired_moments(seen, real)).any()
