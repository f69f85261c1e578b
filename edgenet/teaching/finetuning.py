"""Fine-tunes a pretrained network from a linear head that already knows the classes.

Everything that makes small sets hard to learn from is held back: batch normalization keeps the statistics of the
pretrained network, early layers learn more slowly than late ones, AdamW (arXiv 1711.05101) evens out the layers' very
different gradients, and the result is the moving average of the weights. At the end, `blend` gives any mixture of the
network before and after (weight-space ensembles, arXiv 2109.01903), so that photos that were held out can say how far
to go.

How far to go is decided by photos that are held out in turns: they judge every mixture of the head and the
fine-tuning. The same folds give the figure that is reported. For that, each fold is judged by the mixture that the
other folds chose, so that no photo has a part in the choice that is judged by it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from edgenet_device.preprocess import prepare
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.progress import StageProgress
from edgenet.teaching.features import PhotoFeatures, features_of
from edgenet.teaching.head import LinearHead, chosen_by_other_folds, fit_head, photo_losses
from edgenet.teaching.optimizers import AdamW
from edgenet.teaching.unknown import fit_temperature
from edgenet.training.learner import channels_last, decay_groups
from edgenet.training.loader import Batch, Purpose, load_epoch, seed_torch, steps_per_epoch
from edgenet.training.photos import TrainingPhotos
from edgenet.training.processes import ProcessShare
from edgenet.training.recipe import Augmentation, Recipe
from edgenet.training.step import FastSmallMaps
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.classifier import Classifier
from edgenet.zoo.registry import build_with

_JUDGED_AT_ONCE = 8
_PIXELS_AT_ONCE = 32 * 96 * 96
"""So many pixels of photos train together on a processor; see `_together`."""
_MOST_AVERAGED = 0.98
"""Decay of the moving average, reached after a few hundred steps; earlier it forgets faster, as n / (n + 10)."""


@dataclass(frozen=True)
class FineTuning:
    """The numbers of a fine-tuning.

    Attributes:
        steps: the number of steps.
        batch: photos per step.
        rate: the highest learning rate, of the last layer.
        slower: the learning rate of each block of layers is that of the block after it times this.
        weight_decay: AdamW's weight decay of convolutions that are not depthwise.
        warmup: steps of linear warm-up; afterwards the rate falls to 0 along half a cosine.
        label_smoothing: share of the target that is spread over all classes.
        augmentation: how photos are changed at random.
        seed: the seed of the order and the augmentation.
    """

    steps: int
    batch: int = 32
    rate: float = 1e-3
    slower: float = 0.9
    weight_decay: float = 0.02
    warmup: int = 20
    label_smoothing: float = 0.1
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(crop_scale=0.5))
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """Return the share of the highest learning rate that a step has, counted from 0."""
        rising = min(1.0, (step + 1) / min(self.warmup, max(1, self.steps // 4)))
        return rising * (1 + math.cos(math.pi * step / self.steps)) / 2


def with_head(network: LoadedNetwork, head: LinearHead, labels: Sequence[str], origin: str) -> LoadedNetwork:
    """Return the network with another last layer.

    Args:
        network: the pretrained network; it is not changed.
        head: the weights of the last layer.
        labels: one label per row of the head.
        origin: where the new weights come from.
    """
    module = build_with(network.variant, replace(network.module.options, classes=len(labels)))
    kept = {n: t for n, t in network.module.state_dict().items() if not n.startswith("classifier.")}
    module.load_state_dict(kept, strict=False)
    with torch.no_grad():
        module.classifier.weight.copy_(torch.from_numpy(head.weight).reshape(module.classifier.weight.shape))
        assert module.classifier.bias is not None
        module.classifier.bias.copy_(torch.from_numpy(head.bias))
    return replace(network, module=module.eval(), labels=tuple(labels), origin=origin)


def head_of(module: Classifier) -> LinearHead:
    """Return the last layer of a network as a head."""
    assert module.classifier.bias is not None
    weight = module.classifier.weight.detach().reshape(module.classifier.weight.shape[:2])
    return LinearHead(weight.cpu().numpy().copy(), module.classifier.bias.detach().cpu().numpy().copy())


def fine_tune(
    network: LoadedNetwork,
    photos: TrainingPhotos,
    plan: FineTuning,
    device: torch.device,
    progress: StageProgress | None = None,
) -> LoadedNetwork:
    """Return the network after fine-tuning; its batch normalization keeps its statistics.

    Args:
        network: the network to start from, its last layer too; it is not changed.
        photos: the photos to train with.
        plan: the numbers.
        device: the device to train on.
        progress: called after each step with the number of steps done and of all; an exception of it ends the training.

    Raises:
        EdgenetError: the training diverged, or a photo can no longer be read.
    """
    seed_torch(plan.seed, Purpose.NETWORK)
    module = channels_last(copy.deepcopy(network.module).to(device))
    average = copy.deepcopy(module).eval()
    optimizer = AdamW(_groups(module, plan))
    highest = [group["lr"] for group in optimizer.param_groups]
    module.train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()
    recipe = Recipe(batch=plan.batch, augmentation=plan.augmentation, seed=plan.seed)
    per_epoch = steps_per_epoch(len(photos), plan.batch)
    step, losses = 0, 0.0
    for epoch in range(-(-plan.steps // per_epoch)):
        batches = load_epoch(photos, recipe, epoch, network.variant.resolution, 0, ProcessShare(0, 1))
        try:
            for batch in batches:
                for group, rate in zip(optimizer.param_groups, highest, strict=True):
                    group["lr"] = rate * plan.rate_at(step)
                losses = _step(module, batch, network, optimizer, plan, device)
                step += 1
                _follow(average, module, min(_MOST_AVERAGED, step / (step + 10)))
                if progress is not None:
                    progress(step, plan.steps)
                if step == plan.steps:
                    break
        finally:
            batches.close()
    if not math.isfinite(losses):
        raise EdgenetError("the fine-tuning diverged", "give --no-finetune, or report the photos")
    return replace(network, module=average.cpu())


def _step(
    module: Classifier,
    batch: Batch,
    network: LoadedNetwork,
    optimizer: AdamW,
    plan: FineTuning,
    device: torch.device,
) -> float:
    """Train on one batch and return its loss."""
    x = network.normalization(batch.pixels.to(device).permute(0, 3, 1, 2).float())
    labels, mean = batch.labels.to(device), 0.0
    module.zero_grad()
    with FastSmallMaps():
        for start in range(0, len(x), _together(x)):
            part = slice(start, start + _together(x))
            losses = cross_entropy(
                module(x[part]), labels[part], label_smoothing=plan.label_smoothing, reduction="sum"
            )
            loss = losses / len(x)
            loss.backward()
            mean += float(loss.detach())
    optimizer.step()
    return mean


def _together(x: torch.Tensor) -> int:
    """Return how many photos of the batch [n, 3, size, size] go through the network together.

    The statistics of batch normalization stand still, so the sum of the parts' gradients is that of the batch. On a
    processor, small parts stay in its cache: at 160 pixels a step then takes two thirds of the time.
    """
    return len(x) if x.device.type != "cpu" else max(1, _PIXELS_AT_ONCE // (x.shape[2] * x.shape[3]))


def _groups(module: Classifier, plan: FineTuning) -> list[dict]:
    """Return AdamW's groups: each block of layers has its learning rate, and only some weights decay."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    decaying = decay_groups(module).decaying
    blocks: list[nn.Module] = [*module.features, nn.ModuleList([module.head, module.classifier])]
    groups = []
    for place, block in enumerate(reversed(blocks)):
        for decays in (True, False):
            chosen = [p for p in block.parameters() if (names[id(p)] in decaying) == decays]
            if chosen:
                decay = plan.weight_decay if decays else 0.0
                groups.append({"params": chosen, "lr": plan.rate * plan.slower**place, "weight_decay": decay})
    return groups


@torch.no_grad()
def _follow(average: Classifier, module: Classifier, decay: float) -> None:
    """Move the averaged weights towards the current ones; the statistics of both are the same."""
    ours, theirs = ([p.detach() for p in one.parameters()] for one in (average, module))
    torch._foreach_lerp_(ours, theirs, 1 - decay)


def blend(before: LoadedNetwork, after: LoadedNetwork, share: float) -> LoadedNetwork:
    """Return the network whose weights are (1 - share) of `before` and `share` of `after`."""
    if share == 0:
        return before
    if share == 1:
        return after
    module = copy.deepcopy(before.module)
    state = after.module.state_dict()
    mixed = {
        name: torch.lerp(tensor, state[name], share) if tensor.is_floating_point() else tensor
        for name, tensor in module.state_dict().items()
    }
    module.load_state_dict(mixed)
    return replace(after, module=module.eval())


def features_and_logits(
    network: LoadedNetwork, photos: PhotoSet
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the features [n, channels] and the logits [n, classes] of photos as the device sees them.

    Raises:
        EdgenetError: a photo cannot be read.
    """
    return by_each([network], photos)[0]


@torch.no_grad()
def by_each(
    networks: Sequence[LoadedNetwork], photos: PhotoSet
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return what `features_and_logits` returns, for each network; every photo is decoded only once.

    The networks have the same resolution and the same normalization of the input.
    """
    size, normalization = networks[0].variant.resolution, networks[0].normalization
    modules = [channels_last(network.module.eval()) for network in networks]
    parts: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in modules]
    for start in range(0, len(photos), _JUDGED_AT_ONCE):
        rows = range(start, min(start + _JUDGED_AT_ONCE, len(photos)))
        pixels = np.concatenate([prepare(photos.read(row), size) for row in rows])
        x = normalization(torch.from_numpy(pixels).permute(0, 3, 1, 2).float())
        for module, own in zip(modules, parts, strict=True):
            features = features_of(module, x)
            own.append((features, module.classifier(features)))
    return [(torch.cat([f for f, _ in own]).numpy(), torch.cat([s for _, s in own]).numpy()) for own in parts]


SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of the fine-tuning a mixture has; 0 is the head on the frozen network."""
FOLDS = 3
_SURE = 1.64
"""The one-sided 95 % quantile of a normal distribution, in standard errors."""
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
        mixtures = [blend(before, after, share) for share in SHARES]
        judged = by_each(mixtures, photos.photoset.take(out.tolist()))
        by_share[:, out] = [logits for _, logits in judged]
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
    """Return the choice that is surely better than choice 0 by the most, or 0 if none is surely better.

    Surely means: by the lower end of the one-sided 95 % interval of the mean difference. Fine-tuning spoils features
    that suit the photos already, and with a few photos chance alone makes it look better than the head in one set of
    six by one standard error, more often still for the best of several shares. Of two shares with the same mean gain,
    this takes the one whose gain the photos agree on, which is mostly the smaller share.

    Args:
        losses: the loss of each photo for each choice, float64 [choices, n].
    """
    if losses.shape[1] < 2:
        return 0
    gains = losses[0] - losses
    errors = gains.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return int((gains.mean(axis=1) - _SURE * errors).argmax())


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
