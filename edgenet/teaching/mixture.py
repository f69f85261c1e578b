"""Decides how much of a fine-tuning a network takes: nothing, all of it, or a mixture of before and after.

Photos that are held out in turns judge every mixture of the head and the fine-tuning. The same folds give the figure
that is reported. For that, each fold is judged by the mixture that the other folds chose, so that no photo has a part
in the choice that is judged by it.

A few photos can hardly tell whether fine-tuning helps, so what holds without their proof depends on how familiar the
photos are to the pretrained network (`familiarity`, which needs no labels). Fine-tuning spoils features that suit the
photos already: familiar ones have to prove that it helps. Photos unlike all that the network has seen have little to
lose: they have to prove that it harms, and get as much of it as they do not speak against. Those in between get a
little of it without proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from edgenet.progress import StageProgress
from edgenet.teaching.features import PhotoFeatures
from edgenet.teaching.finetuning import FineTuning, blend, by_each, fine_tune, head_of, with_head
from edgenet.teaching.head import chosen_by_other_folds, fit_head, photo_losses
from edgenet.teaching.unknown import auroc, fit_temperature
from edgenet.training.photos import TrainingPhotos
from edgenet.zoo.checkpoint import LoadedNetwork

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of the fine-tuning a mixture has; 0 is the head on the frozen network."""
FOLDS = 3
STRANGE = 0.25
"""Photos that are less familiar than this are strange to the network; see `familiarity`."""
FAMILIAR = 0.6
"""Photos that are more familiar than this are familiar to the network, so what it knows is worth keeping."""
_SURE = 1.64
"""The one-sided 95 % quantile of a normal distribution, in standard errors."""


@dataclass(frozen=True)
class CrossFit:
    """What photos that were held out in turns say about a method.

    Attributes:
        share: the share of the fine-tuning in the best mixture.
        logits: each photo's logits by a network that was trained without its fold, float32 [n, classes]; zeros for
            photos of fold -1.
        folds: the fold of each photo, int64 [n]; -1 for photos that are not judged.
        photo_losses: the cross-entropy of each judged photo for each of `SHARES`, each share at its best temperature,
            float64 [shares, judged photos].
        steps: the number of steps for all photos; without a fold there were fewer.
        networks: for each fold, a network that was trained without its photos, by the choice of the other folds.
    """

    share: float
    logits: NDArray[np.float32]
    folds: NDArray[np.int64]
    photo_losses: NDArray[np.float64]
    steps: int
    networks: tuple[LoadedNetwork, ...]

    @property
    def losses(self) -> tuple[float, ...]:
        """The mean loss for each of `SHARES`."""
        return tuple(self.photo_losses.mean(axis=1).tolist())


def familiarity(
    network: LoadedNetwork, features: NDArray[np.float32], everyday: NDArray[np.float32]
) -> float:
    """Return the probability, 0 to 1, that one of the photos excites the pretrained network more than an everyday one.

    The measure is the energy, log sum exp of the logits of the classes that the network was trained with
    (arXiv 2010.03759). MobileNetV2 at 96 pixels gives superclasses of its own ImageNet photos 0.74 to 0.84, drawings
    on photos 0.68 to 0.74, hand signs 0.45 to 0.50, CIFAR-10 0.31 to 0.43, grey pictures of clothes 0.33 to 0.37, and
    solar cells that glow 0.02 to 0.09. At 224 pixels all but the solar cells, with 0.19, had more than 0.5.

    Args:
        network: the pretrained network, with the last layer that it was trained with.
        features: the features of the photos by it, float32 [n, channels].
        everyday: the features of everyday photos by it, float32 [m, channels].
    """
    head = head_of(network.module)
    own, other = (
        torch.from_numpy(head.logits(values)).double().logsumexp(dim=1).numpy()
        for values in (features, everyday)
    )
    return auroc(own, other)


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
    *,
    familiar: float = 1.0,
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
        familiar: how familiar the photos are to the network; see `familiarity` and `worthwhile`.

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
        mixtures = [blend(before, after, share) for share in SHARES]
        judged = by_each(mixtures, photos.photoset.take(out.tolist()))
        by_share[:, out] = [logits for _, logits in judged]
    cooled = _at_their_temperatures(by_share, features.labels, folds)
    choose = partial(worthwhile, familiar=familiar)
    chosen = chosen_by_other_folds(cooled, features.labels, folds, choose)[1]
    losses = np.stack([photo_losses(one, features.labels)[folds >= 0] for one in cooled])
    everyone = np.arange(count)
    return CrossFit(
        share=SHARES[choose(losses)],
        logits=by_share[chosen, everyone],
        folds=folds,
        photo_losses=losses,
        steps=plan.steps,
        networks=tuple(
            blend(*pair, SHARES[int(chosen[folds == fold][0])])
            for fold, pair in zip(names, pairs, strict=True)
        ),
    )


def worthwhile(losses: NDArray[np.float64], familiar: float = 1.0) -> int:
    """Return the choice to take: 0 is the head, the others have fine-tuning in them, the last one the most.

    It is the choice that is surely better than the head by the most, if any is. Surely means: by the lower end of the
    one-sided 95 % interval of the mean difference. With a few photos chance alone makes fine-tuning look better than
    the head in one set of six by one standard error, more often still for the best of several shares. Of two shares
    with the same mean gain, this takes the one whose gain the photos agree on, which is mostly the smaller share.

    If none is surely better, familiar photos keep the head. Others take the first choice with fine-tuning in it,
    unless it is surely worse than the head: in six draws of CIFAR-10, Fashion-MNIST, and ImageNet photos of 36 pixels,
    10 a class, a quarter of the fine-tuning gained 0.6 to 4.9 points on independent photos, and the photos held out
    proved one of these gains. All of it lost 9 and 10 points on the photos of 36 pixels.

    Strange photos take the last choice, with the most fine-tuning, of those that are not surely worse than the one
    with the smallest mean loss. On 20 and 60 solar cells, in six draws, all of the fine-tuning was within 1.5 points of
    the best share and 7 to 11 points better than the head, while the photos held out preferred a smaller share, or the
    head, in five of them.

    Args:
        losses: the loss of each photo for each choice, float64 [choices, n].
        familiar: how familiar the photos are to the pretrained network; see `familiarity`.
    """
    if losses.shape[1] < 2:
        return 0
    strange = familiar < STRANGE
    reference = int(losses.mean(axis=1).argmin()) if strange else 0
    gains = losses[reference] - losses
    means, errors = gains.mean(axis=1), gains.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    if strange:
        return int(np.flatnonzero(means + _SURE * errors >= 0).max())
    surest = int((means - _SURE * errors).argmax())
    if surest == 0 and familiar < FAMILIAR and means[1] + _SURE * errors[1] >= 0:
        return 1
    return surest


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
