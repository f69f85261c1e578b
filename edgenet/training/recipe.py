"""How a network is trained: every number that its result depends on, beside the photos and the first weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from edgenet.errors import EdgenetError

Precision = Literal["auto", "float32", "bfloat16"]


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also false for NaN
        raise EdgenetError(f"{name} is {value:g}", f"give {low:g} to {high:g}")


@dataclass(frozen=True)
class Augmentation:
    """How a training photo differs each time it is seen.

    Attributes:
        crop_scale: smallest share of the photo's area that a crop covers; 1 covers as much as fits.
        flip: mirror every second photo.
        colour: how far brightness, contrast and saturation go from 1, to either side.
        mixup: the a of mixup's Beta(a, a) (arXiv 1710.09412, section 2); 0 for none.
    """

    crop_scale: float = 0.35
    flip: bool = True
    colour: float = 0.2
    mixup: float = 0.0

    def __post_init__(self) -> None:
        _check("the smallest crop", self.crop_scale, 0.05, 1)
        _check("the colour jitter", self.colour, 0, 0.9)
        _check("mixup", self.mixup, 0, 10)


@dataclass(frozen=True)
class Distillation:
    """How much a teacher counts.

    Attributes:
        weight: share of the loss that is the distance to the teacher; the rest is that to the labels.
        temperature: what logits are divided by before they are compared (arXiv 1503.02531, section 2).
    """

    weight: float = 0.7
    temperature: float = 2.0

    def __post_init__(self) -> None:
        _check("the teacher's weight", self.weight, 0, 1)
        _check("the temperature", self.temperature, 0.1, 100)


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training.

    Attributes:
        epochs: how often every photo is seen.
        batch: photos a step, over all processes together.
        learning_rate: the highest.
        weight_decay: of convolutions that are not depthwise, and of linear layers.
        warmup_epochs: over which the learning rate rises from 0; a fraction is fine.
        label_smoothing: share of the target that is spread over all classes (arXiv 1512.00567, section 7).
        ema_decay: of the average of the weights, which is what is kept; 0 keeps the weights themselves.
        freeze_epochs: so many at the beginning train the last layer alone.
        progressive: the first 40 % of the epochs at half the resolution, the next 30 % at three quarters, for speed.
        balance: show every class equally often.
        precision: auto is bfloat16 on GPUs that have it, else float32.
        seed: of everything that is drawn.
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
        _check("the number of epochs", self.epochs, 1, 100_000)
        _check("the batch", self.batch, 2, 1_000_000)
        _check("the learning rate", self.learning_rate, 1e-8, 100)
        _check("the weight decay", self.weight_decay, 0, 1)
        _check("the label smoothing", self.label_smoothing, 0, 0.9)
        _check("the decay of the average", self.ema_decay, 0, 0.999999)
        _check("the number of frozen epochs", self.freeze_epochs, 0, self.epochs)
        _check("the number of epochs to warm up", self.warmup_epochs, 0, self.epochs)
        _check("the seed", self.seed, 0, 2**63 - 1)
        if self.precision not in get_args(Precision):
            raise EdgenetError(
                f"the precision is {self.precision}", f"give one of {', '.join(get_args(Precision))}"
            )
