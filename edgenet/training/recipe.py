"""The training recipe: with the photos and the initial weights, these numbers decide the result.

The learning rate of each step and the resolution of each epoch follow from it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from edgenet.errors import EdgenetError

Precision = Literal["auto", "float32", "bfloat16"]


def check_device_name(name: str) -> None:
    """Check that a text names a kind of device that can train; whether this machine has one is not checked.

    Raises:
        EdgenetError: it is not "auto", "cpu", "mps", "cuda" or "cuda:N".
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", name):
        raise EdgenetError(f"'{name}' is not a device to train on", "give auto, cpu, mps, cuda or cuda:N")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    """Check that an option lies in its range, ends included.

    Raises:
        EdgenetError: it does not.
    """
    if not low <= value <= high:  # also false for NaN
        raise EdgenetError(f"{name} is {value:g}", f"give {low:g} to {high:g}")


@dataclass(frozen=True)
class Augmentation:
    """How training photos are changed at random each time they are shown.

    Attributes:
        crop_scale: the smallest share of the photo's area that a crop covers; with 1, crops are as large as fits.
        flip: whether to mirror photos left to right with a probability of one half.
        colour: brightness, contrast and saturation are each multiplied by 1 - colour to 1 + colour.
        mixup: the parameter a of mixup's Beta(a, a) distribution (arXiv 1710.09412, section 2); 0 turns mixup off.
    """

    crop_scale: float = 0.35
    flip: bool = True
    colour: float = 0.2
    mixup: float = 0.0

    def __post_init__(self) -> None:
        _check_range("the smallest crop", self.crop_scale, 0.05, 1)
        _check_range("the colour jitter", self.colour, 0, 0.9)
        _check_range("mixup", self.mixup, 0, 10)


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training.

    Attributes:
        epochs: the number of epochs; each shows as many photos as there are.
        batch: photos per step, over all processes together.
        learning_rate: the highest learning rate.
        weight_decay: the weight decay of linear layers and of convolutions that are not depthwise.
        warmup_epochs: epochs of linear learning-rate warm-up; fractions are allowed.
        label_smoothing: the share of the target that is spread over all classes (arXiv 1512.00567, section 7).
        ema_decay: decay of the weights' moving average, which is the result; with 0 the last weights are the result.
        freeze_epochs: the number of epochs at the start that train only the last layer.
        progressive: for speed, train 40 % of the epochs at half the resolution, then 30 % at three quarters of it.
        balance: whether to show every class equally often.
        precision: "auto" means bfloat16 on GPUs that support it, else float32.
        seed: the seed of all random numbers.
        augmentation: how training photos are changed at random.
    """

    epochs: int = 30
    batch: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    ema_decay: float = 0.999
    freeze_epochs: int = 0
    progressive: bool = False
    balance: bool = False
    precision: Precision = "auto"
    seed: int = 0
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        _check_range("the number of epochs", self.epochs, 1, 100_000)
        _check_range("the batch", self.batch, 2, 1_000_000)
        _check_range("the learning rate", self.learning_rate, 1e-8, 100)
        _check_range("the weight decay", self.weight_decay, 0, 1)
        _check_range("the label smoothing", self.label_smoothing, 0, 0.9)
        _check_range("the decay of the average", self.ema_decay, 0, 0.999999)
        _check_range("the number of frozen epochs", self.freeze_epochs, 0, self.epochs)
        _check_range("the number of epochs to warm up", self.warmup_epochs, 0, self.epochs)
        _check_range("the seed", self.seed, 0, 2**63 - 1)
        if self.precision not in get_args(Precision):
            raise EdgenetError(
                f"the precision is {self.precision}", f"give one of {', '.join(get_args(Precision))}"
            )


@dataclass(frozen=True)
class Distillation:
    """How much a teacher counts (knowledge distillation).

    Attributes:
        weight: the weight of the teacher loss; the label loss has the weight 1 - weight.
        temperature: the divisor of the logits of both networks in the teacher loss (arXiv 1503.02531, section 2).
    """

    weight: float = 0.7
    temperature: float = 2.0

    def __post_init__(self) -> None:
        _check_range("the teacher's weight", self.weight, 0, 1)
        _check_range("the temperature", self.temperature, 0.1, 100)


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    In the frozen epochs it is the highest rate. Afterwards it rises linearly from 0 over `warmup_epochs` and then
    falls to 0 along half a cosine (arXiv 1608.03983, equation 5, without restarts).

    Args:
        recipe: the training recipe.
        step: the step, counted from 0 over the whole training.
        steps: the number of steps in an epoch.
    """
    thawed = step - recipe.freeze_epochs * steps
    if thawed < 0:
        return recipe.learning_rate
    total = (recipe.epochs - recipe.freeze_epochs) * steps
    # A warm-up over more than half of the training would leave too little time at higher rates.
    warmup = min(recipe.warmup_epochs * steps, total / 2)
    if thawed < warmup:
        return recipe.learning_rate * (thawed + 1) / (warmup + 1)
    progress = (thawed - warmup) / max(total - warmup, 1)
    return recipe.learning_rate * (1 + math.cos(math.pi * progress)) / 2


PROGRESSIVE_STAGES = ((0.4, 0.5), (0.7, 0.75))
"""(end, scale) pairs: until the share `end` of the epochs, the resolution is multiplied by `scale`; later by 1."""
MULTIPLE_OF = 16
LEAST_RESOLUTION = 32


def resolution_in(recipe: Recipe, epoch: int, resolution: int) -> int:
    """Return the side of an epoch's training pictures, pixels.

    Early epochs can use smaller pictures, from which a network learns most of what it needs in less time (progressive
    learning, arXiv 2104.00298, section 4). The smaller sides are multiples of 16 and at least 32.

    Args:
        recipe: the training recipe.
        epoch: the epoch, from 0.
        resolution: the full resolution, pixels; the result is never larger.
    """
    share = next((part for until, part in PROGRESSIVE_STAGES if epoch < int(until * recipe.epochs)), 1.0)
    if not recipe.progressive or share == 1:
        return resolution
    smaller = round(share * resolution / MULTIPLE_OF) * MULTIPLE_OF
    return min(max(smaller, LEAST_RESOLUTION), resolution)
