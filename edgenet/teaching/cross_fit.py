"""Decides how far to fine-tune: photos that are held out in turns judge every mixture of the head and the fine-tuning.

The same folds give the figure that is reported. For that, each fold is judged by the mixture that the other folds
chose, so that no photo has a part in the choice that is judged by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from edgenet.progress import StageProgress
from edgenet.teaching.features import PhotoFeatures
from edgenet.teaching.finetuning import FineTuning, blend, features_and_logits, fine_tune, with_head
from edgenet.teaching.head import chosen_by_other_folds, fit_head, photo_losses
from edgenet.teaching.unknown import fit_temperature
from edgenet.training.photos import TrainingPhotos
from edgenet.zoo.checkpoint import LoadedNetwork

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of the fine-tuning a mixture has; 0 is the head on the frozen network."""
FOLDS = 3
PASSES = 30
"""How often fine-tuning shows each photo, between LEAST_STEPS and MOST_STEPS steps."""
LEAST_STEPS, MOST_STEPS = 60, 1500


@dataclass(frozen=True)
class CrossFit:
    """What photos that were held out in turns say about a method.

    Attributes:
        share: the share of the fine-tuning in the best mixture.
        logits: each photo's logits by a network that was trained without its fold, float32 [n, classes]; zeros for
            photos of fold -1.
        folds: the fold of each photo, int64 [n]; -1 for photos that are not judged.
        losses: the mean cross-entropy of the photos held out for each of `SHARES`, each at its best temperature.
        steps: the number of steps for all photos; without a fold there were fewer.
        networks: for each fold, a network that was trained without its photos, by the choice of the other folds.
    """

    share: float
    logits: NDArray[np.float32]
    folds: NDArray[np.int64]
    losses: tuple[float, ...]
    steps: int
    networks: tuple[LoadedNetwork, ...]


def wanted_steps(photos: int, batch: int) -> int:
    """Return how many steps fine-tuning should have for so many photos."""
    return min(max(round(PASSES * photos / batch), LEAST_STEPS), MOST_STEPS)


def cross_fit(
    network: LoadedNetwork,
    features: PhotoFeatures,
    photos: TrainingPhotos,
    folds: NDArray[np.int64],
    labels: Sequence[str],
    strength: float,
    plan: FineTuning,
    device: torch.device,
    progress: StageProgress | None = None,
) -> CrossFit:
    """Fine-tune without each fold in turn, and judge every mixture on its photos.

    Args:
        network: the pretrained network.
        features: the photos' features by that network.
        photos: the same photos, in the same order.
        folds: the fold of each photo, int64 [n]; photos of fold -1 always train.
        labels: the class names.
        strength: the strength of the heads' penalty.
        plan: the numbers of the fine-tuning on all photos; without a fold there are fewer steps.
        device: the device to train on.
        progress: called with the number of steps done and of all.

    Raises:
        EdgenetError: see `fine_tune`.
    """
    count, names = len(folds), np.unique(folds[folds >= 0])
    by_share = np.zeros((len(SHARES), count, len(labels)), np.float32)
    plans = [replace(plan, steps=max(round(plan.steps * np.mean(folds != fold)), 1)) for fold in names]
    pairs: list[tuple[LoadedNetwork, LoadedNetwork]] = []
    for place, (fold, shorter) in enumerate(zip(names, plans, strict=True)):
        train, out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        head = fit_head(features.values[train], features.labels[train], len(labels), strength)
        before = with_head(network, head, labels, network.origin)
        done = sum(one.steps for one in plans[:place])
        tell = None if progress is None else _offset(progress, done, sum(one.steps for one in plans))
        after = fine_tune(before, photos.take(train.tolist()), shorter, device, tell)
        pairs.append((before, after))
        for row, share in enumerate(SHARES):
            judged = features_and_logits(blend(before, after, share), photos.photoset.take(out.tolist()))
            by_share[row, out] = judged[1]
    cooled = _at_their_temperatures(by_share, features.labels, folds)
    chosen = chosen_by_other_folds(cooled, features.labels, folds, worthwhile)[1]
    losses = np.stack([photo_losses(one, features.labels)[folds >= 0] for one in cooled])
    everyone = np.arange(count)
    return CrossFit(
        share=SHARES[worthwhile(losses)],
        logits=by_share[chosen, everyone],
        folds=folds,
        losses=tuple(losses.mean(axis=1).tolist()),
        steps=plan.steps,
        networks=tuple(
            blend(*pair, SHARES[int(chosen[folds == fold][0])])
            for fold, pair in zip(names, pairs, strict=True)
        ),
    )


def worthwhile(losses: NDArray[np.float64]) -> int:
    """Return the choice with the smallest mean loss, or 0 if it is better than choice 0 by chance only.

    By chance means: by less than the standard error of the mean difference. Without this rule a few photos make
    fine-tuning look better in half of the cases where it is not.

    Args:
        losses: the loss of each photo for each choice, float64 [choices, n].
    """
    best = int(losses.mean(axis=1).argmin())
    gain = losses[0] - losses[best]
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return best if gain.mean() > error else 0


def _offset(progress: StageProgress, before: int, total: int) -> StageProgress:
    return lambda done, of: progress(before + done, total)


def _at_their_temperatures(
    by_share: NDArray[np.float32], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> list[NDArray[np.float32]]:
    """Return the logits of each share divided by its best temperature.

    Label smoothing makes the logits of a long fine-tuning small; that must not count for or against it.
    """
    judged = folds >= 0
    return [one / np.float32(fit_temperature(one[judged], labels[judged])) for one in by_share]
