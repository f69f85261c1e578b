"""A linear head on frozen features: multinomial logistic regression, its strength chosen by cross-validation.

The objective is the mean cross-entropy over the pictures plus `strength` times half the squared norm of the weights,
over features that are centred and divided by one number. It is convex, so the result does not depend on a seed. The
solver is torch's L-BFGS, in float32, in the basis of the features' principal directions, where the curvature of each
coordinate is known well enough to even it out (the bound on the Hessian of Böhning, Ann. Inst. Statist. Math. 44,
1992).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from edgenet.teaching.optimizers import Lbfgs

STRENGTHS = tuple(10.0 ** (-exponent / 2) for exponent in range(4, 12))
"""The strengths that cross-validation chooses from, strongest first."""
_STEPS = 60
_WORSE = 2
"""Cross-validation ends when so many strengths in a row gave a larger loss than the best one."""


@dataclass(frozen=True)
class LinearHead:
    """Logits = features @ weight.T + bias.

    Attributes:
        weight: float32 [classes, channels].
        bias: float32 [classes].
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits, float32 [n, classes], of features [n, channels]."""
        return features @ self.weight.T + self.bias


@dataclass(frozen=True)
class CrossValidated:
    """What cross-validation found.

    Attributes:
        strength: the best strength, by the mean cross-entropy of the photos held out.
        logits: each photo's logits by a head that was fitted without its fold, float32 [n, classes]; zeros for photos
            in fold -1. The strength of that head was chosen by the other folds, so that no photo has a part in what
            judges it.
        loss: the mean cross-entropy with the best strength, without the photos of fold -1.
    """

    strength: float
    logits: NDArray[np.float32]
    loss: float


def fit_head(
    values: NDArray[np.float32], labels: NDArray[np.int64], classes: int, strength: float
) -> LinearHead:
    """Fit a head to all views of the photos.

    Args:
        values: the features, float32 [n, views, channels].
        labels: the class index of each photo, int64 [n].
        classes: the number of classes.
        strength: the weight of the penalty; see the formula above.
    """
    space = _Space(values)
    every = np.arange(len(values))
    start = torch.zeros(classes, space.size + 1)
    return space.head(space.minimize(every, labels, start, strength))


def cross_validated(
    values: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    classes: int,
    strengths: Sequence[float] = STRENGTHS,
) -> CrossValidated:
    """Fit heads without each fold in turn, and judge them on its photos as the device sees them.

    Args:
        values: the features, float32 [n, views, channels].
        labels: the class index of each photo, int64 [n].
        folds: the fold of each photo, int64 [n]; photos of fold -1 always train and judge nothing, and their logits
            are zero.
        classes: the number of classes.
        strengths: the strengths to choose from, strongest first.
    """
    space, judging = _Space(values), np.unique(folds[folds >= 0])
    weights = {fold: torch.zeros(classes, space.size + 1, dtype=torch.float32) for fold in judging}
    tried: list[NDArray[np.float32]] = []
    losses: list[float] = []
    for strength in strengths:
        logits = np.zeros((len(values), classes), np.float32)
        for fold in weights:
            # Each strength starts from the weights of the one before.
            weights[fold] = space.minimize(np.flatnonzero(folds != fold), labels, weights[fold], strength)
            out = np.flatnonzero(folds == fold)
            logits[out] = space.logits(weights[fold], out)[:, 0].numpy()
        tried.append(logits)
        losses.append(float(photo_losses(logits, labels)[folds >= 0].mean()))
        if int(np.argmin(losses)) < len(losses) - _WORSE:
            break
    best = int(np.argmin(losses))
    return CrossValidated(strengths[best], chosen_by_other_folds(tried, labels, folds)[0], losses[best])


def chosen_by_other_folds(
    tried: Sequence[NDArray[np.float32]],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    choose: Callable[[NDArray[np.float64]], int] = lambda losses: int(losses.mean(axis=1).argmin()),
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return each photo's logits by the choice that the other folds make, and that choice.

    Args:
        tried: for each choice, the logits of all photos by models that were fitted without their folds, float32
            [n, classes].
        labels: the class index of each photo, int64 [n].
        folds: the fold of each photo, int64 [n]; -1 for photos that are not judged.
        choose: returns the place in `tried` of the best choice, given the losses of some photos, float64
            [choices, n]; by default the choice with the smallest mean.

    Returns:
        logits, float32 [n, classes], and the place in `tried` of each photo's logits, int64 [n].
    """
    losses = np.stack([photo_losses(logits, labels) for logits in tried])
    chosen = np.zeros(len(labels), np.int64)
    for fold in np.unique(folds[folds >= 0]):
        others = (folds != fold) & (folds >= 0)
        chosen[folds == fold] = choose(losses[:, others]) if others.any() else 0
    return np.stack(tried)[chosen, np.arange(len(labels))], chosen


def photo_losses(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cross-entropy of each photo."""
    values = torch.from_numpy(logits).double()
    return cross_entropy(values, torch.from_numpy(labels), reduction="none").numpy()


class _Space:
    """The features in the basis of their principal directions, with the curvature along each.

    Weights here are float32 [classes, size + 1], the bias last.
    """

    def __init__(self, values: NDArray[np.float32]) -> None:
        n, self.views, channels = values.shape
        x = torch.from_numpy(values.reshape(n * self.views, channels)).double()
        self.mean = x.mean(dim=0)
        x = x - self.mean
        self.scale = float(x.square().sum(dim=1).mean().sqrt()) or 1.0
        x = x / self.scale
        # The best weights are combinations of the features, so with few photos their span is enough.
        if len(x) < channels:
            self.basis = torch.linalg.svd(x, full_matrices=False).Vh.T
        else:
            self.basis = torch.linalg.eigh(x.T @ x).eigenvectors
        x = (x @ self.basis).float()
        self.curvature = x.square().mean(dim=0)
        self.rows = torch.cat([x, x.new_ones(len(x), 1)], dim=1).reshape(n, self.views, -1)
        self.size = x.shape[1]

    def minimize(
        self, photos: NDArray[np.int64], labels: NDArray[np.int64], start: Tensor, strength: float
    ) -> Tensor:
        """Return the weights with the smallest objective over these photos, searched from `start`."""
        x = self.rows[torch.from_numpy(photos)].flatten(0, 1)
        target = torch.from_numpy(labels[photos]).repeat_interleave(self.views)
        penalty = torch.full((self.size + 1,), strength)
        penalty[-1] = 0.0
        curvature = torch.cat([self.curvature / 4, self.curvature.new_full((1,), 0.25)])
        step = (curvature + penalty).rsqrt()
        x = x * step
        free = (start / step).requires_grad_()
        search = Lbfgs(
            [free],
            max_iter=_STEPS,
            tolerance_grad=1e-6,
            tolerance_change=1e-8,
            history_size=10,
            line_search_fn="strong_wolfe",
        )

        def objective() -> Tensor:
            free.grad = None
            weights = free * step
            loss = cross_entropy(x @ free.T, target) + (penalty * weights.square()).sum() / 2
            loss.backward()
            return loss

        search.step(objective)
        return (free * step).detach()

    def logits(self, weights: Tensor, photos: NDArray[np.int64]) -> Tensor:
        """Return the logits [n, views, classes] of these photos."""
        return self.rows[torch.from_numpy(photos)] @ weights.T

    def head(self, weights: Tensor) -> LinearHead:
        """Return the head for features as the network gives them."""
        exact = weights.double()
        weight = exact[:, :-1] @ self.basis.T / self.scale
        bias = exact[:, -1] - weight @ self.mean
        return LinearHead(weight.float().numpy(), bias.float().numpy())
