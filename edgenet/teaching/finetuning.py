"""Fine-tunes a pretrained network from a linear head that already knows the classes.

Everything that makes small sets hard to learn from is held back: batch normalization keeps the statistics of the
pretrained network, early layers learn more slowly than late ones, AdamW (arXiv 1711.05101) evens out the layers' very
different gradients, and the result is the moving average of the weights. At the end, `blend` gives any mixture of the
network before and after (weight-space ensembles, arXiv 2109.01903), so that `mixture.py` can decide how far to go.
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
from edgenet.teaching.features import features_of
from edgenet.teaching.head import LinearHead
from edgenet.teaching.optimizers import AdamW
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
PASSES = 30
"""How often fine-tuning shows each photo, between LEAST_STEPS and MOST_STEPS steps."""
LEAST_STEPS, MOST_STEPS = 60, 1500


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


def wanted_steps(photos: int, batch: int) -> int:
    """Return how many steps fine-tuning should have for so many photos."""
    return min(max(round(PASSES * photos / batch), LEAST_STEPS), MOST_STEPS)


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
