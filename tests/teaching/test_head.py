"""The linear head: the optimum of its objective, the same as another solver's, and cross-validation without leaks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edgenet.teaching.head import LinearHead, cross_validated, fit_head


def clusters(
    n: int, channels: int, classes: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features [n, 2, channels] of classes that overlap, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, channels))
    values = centres[labels][:, None] + 2 * rng.normal(size=(n, 2, channels)) + 5
    return values.astype(np.float32), labels


def objective(
    head: LinearHead, values: NDArray[np.float32], labels: NDArray[np.int64], strength: float
) -> float:
    """Compute the documented objective from the head alone."""
    x = torch.from_numpy(values.reshape(-1, values.shape[2])).double()
    scale = (x - x.mean(0)).square().sum(1).mean().sqrt()
    weight, bias = torch.from_numpy(head.weight).double(), torch.from_numpy(head.bias).double()
    target = torch.from_numpy(np.repeat(labels, values.shape[1]))
    loss = torch.nn.functional.cross_entropy(x @ weight.T + bias, target)
    return float(loss + strength / 2 * (weight * scale).square().sum())


@pytest.mark.parametrize(("n", "channels"), [(40, 200), (300, 20)])
def test_the_head_minimizes_its_objective(n: int, channels: int) -> None:
    values, labels = clusters(n, channels, 3)
    head = fit_head(values, labels, 3, 1e-3)
    best = objective(head, values, labels, 1e-3)
    rng = np.random.default_rng(1)
    for size in (1e-3, 1e-2, 1e-1):
        shift = rng.normal(size=head.weight.shape).astype(np.float32) * size * np.abs(head.weight).mean()
        assert objective(LinearHead(head.weight + shift, head.bias), values, labels, 1e-3) > best
    # Plain gradient descent, a solver that shares nothing with the head's, comes to the same value.
    x = torch.from_numpy(values.reshape(-1, channels)).double()
    x = (x - x.mean(0)) / (x - x.mean(0)).square().sum(1).mean().sqrt()
    weight = torch.zeros(3, channels, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    target = torch.from_numpy(np.repeat(labels, 2))
    moves = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for _ in range(3000):
        loss = torch.nn.functional.cross_entropy(x @ weight.T + bias, target) + 5e-4 * weight.square().sum()
        with torch.no_grad():
            for place, move, slope in zip(
                (weight, bias), moves, torch.autograd.grad(loss, (weight, bias)), strict=True
            ):
                place -= 2.0 * move.mul_(0.95).add_(slope)
    assert best == pytest.approx(float(loss.detach()), abs=2e-5)


def test_the_same_features_give_the_same_head() -> None:
    values, labels = clusters(60, 30, 4)
    first, second = (fit_head(values, labels, 4, 1e-4) for _ in range(2))
    assert (first.weight == second.weight).all()
    assert (first.bias == second.bias).all()


def test_cross_validation_chooses_the_strength_that_is_best_on_new_photos() -> None:
    values, labels = clusters(120, 60, 3)
    fresh, answers = clusters(3000, 60, 3)[0], clusters(3000, 60, 3)[1]
    found = cross_validated(values, labels, np.arange(120) % 5, 3)
    accuracy = {
        strength: (fit_head(values, labels, 3, strength).logits(fresh[:, 0]).argmax(1) == answers).mean()
        for strength in (found.strength, 1e-6)
    }
    assert accuracy[found.strength] >= accuracy[1e-6]
    assert found.loss < 1.0


def test_a_photo_is_judged_by_a_head_that_never_saw_it() -> None:
    values, labels = clusters(60, 200, 3)
    shuffled = np.random.default_rng(0).permutation(labels)  # labels that the features cannot know
    found = cross_validated(values, shuffled, np.arange(60) % 5, 3)
    # With 200 channels for 60 photos a head knows its own photos by heart, and cannot know others.
    assert (fit_head(values, shuffled, 3, 1e-6).logits(values[:, 0]).argmax(1) == shuffled).all()
    assert (found.logits.argmax(1) == shuffled).mean() < 0.6


def test_photos_that_always_train_are_not_judged() -> None:
    values, labels = clusters(40, 20, 2)
    folds = np.arange(40) % 4
    folds[:6] = -1
    found = cross_validated(values, labels, folds, 2)
    assert (found.logits[:6] == 0).all()
    assert (found.logits[6:] != 0).any(axis=1).all()
