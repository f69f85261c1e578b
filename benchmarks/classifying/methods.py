"""The methods of teaching that the benchmark compares; each gets a folder of photos and gives back a classifier.

`linear` is what Teachable Machine and Create ML do: logistic regression on frozen features. `today` is `edgenet train`
with ImageNet weights and its defaults. `adamw` is the loop of tutorials. `auto` is edgenet's own choice among methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.teaching.optimizers import AdamW, Lbfgs
from edgenet.training.starting import IMAGENET, StartingWeights, pretrained_network
from edgenet.workflows.package import load
from edgenet.workflows.teach import MINUTES, teach
from edgenet.workflows.train import TrainingOptions, train
from edgenet.zoo.checkpoint import LoadedNetwork, load_checkpoint
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import parse_variant

BATCH = 32
HEAD_EPOCHS, HEAD_RATE = 5, 1e-3
ALL_EPOCHS, ALL_RATE = 10, 1e-4


@dataclass(frozen=True)
class Lesson:
    """What a method is given.

    Attributes:
        photos: the folder with a folder of training photos for each class.
        resolution: side of the network's input, pixels.
        seed: seed of the method's random choices.
        work: an empty folder for the method's files.
        minutes: how long `auto` may take; it decides how long by itself within this.
    """

    photos: Path
    resolution: int
    seed: int
    work: Path
    minutes: float = MINUTES

    @property
    def variant(self) -> str:
        """The network that every method teaches: MobileNetV2 with torchvision's ImageNet weights."""
        return f"mobilenet_v2_1.0_{self.resolution}"


@dataclass(frozen=True)
class Int8:
    """An int8 file's labels, and its scores; see `Taught`."""

    class_names: tuple[str, ...]
    score: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class Taught:
    """A classifier that a method made.

    Attributes:
        class_names: the classes, in the order of the scores.
        score: returns scores [n, classes] of uint8 RGB pictures [n, resolution, resolution, 3].
        details: what the method says about itself, for the report.
        int8: the int8 file, if the method makes one.
    """

    class_names: tuple[str, ...]
    score: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    details: dict[str, Any] = field(default_factory=dict)
    int8: Int8 | None = None


def linear(lesson: Lesson) -> Taught:
    """Fit a logistic regression to the features of the photos; see `fit_logistic_regression`."""
    photos = open_photos(lesson.photos)
    network = load_network("mobilenet_v2_1.0_224", lesson.resolution)
    network.module.classifier = nn.Identity()  # type: ignore[assignment]  # what is left computes features
    features = network_scores(network, load_all(photos, lesson.resolution).images)
    weight, bias = fit_logistic_regression(features, [label or 0 for label in photos.labels])
    return Taught(photos.class_names, lambda images: network_scores(network, images) @ weight.T + bias)


def fit_logistic_regression(
    features: NDArray[np.float32], labels: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weights [classes, channels] and biases [classes] of scikit-learn's default `LogisticRegression`.

    They minimize the sum of the photos' cross-entropies plus half the squared norm of the weights (C = 1).
    """
    x, target = torch.from_numpy(features).double(), torch.tensor(labels)
    classes = int(target.max()) + 1
    weight = x.new_zeros(classes, x.shape[1]).requires_grad_()
    bias = x.new_zeros(classes).requires_grad_()
    optimizer = Lbfgs(
        [weight, bias], max_iter=1000, tolerance_grad=1e-5, history_size=20, line_search_fn="strong_wolfe"
    )

    def objective() -> Tensor:
        weight.grad = bias.grad = None
        loss = cross_entropy(x @ weight.T + bias, target, reduction="sum") + weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(objective)
    return weight.detach().float().numpy(), bias.detach().float().numpy()


def today(lesson: Lesson) -> Taught:
    """Fine-tune with `edgenet train --pretrained imagenet` and its defaults."""
    options = TrainingOptions(pretrained=IMAGENET, seed=lesson.seed)
    made = train(lesson.variant, lesson.photos, lesson.work / "run", options=options)
    assert made is not None
    return _checkpoint(Path(made.out), {"reported": made.top1, "reported_n": made.n})


def adamw(lesson: Lesson) -> Taught:
    """Train the last layer, then all layers, with AdamW; batch norm is always in training mode.

    The photos are mirrored at random, and nothing else is done to them or to the learning rate.
    """
    photos = open_photos(lesson.photos)
    network = pretrained_network(
        parse_variant(lesson.variant), photos.class_names, StartingWeights(IMAGENET), lesson.seed
    )
    images = load_all(photos, lesson.resolution).images
    target = torch.tensor([label or 0 for label in photos.labels])
    generator = torch.Generator().manual_seed(lesson.seed)
    torch.manual_seed(lesson.seed)  # dropout
    module = network.module.train()
    for epochs, rate, parameters in (
        (HEAD_EPOCHS, HEAD_RATE, list(module.classifier.parameters())),
        (ALL_EPOCHS, ALL_RATE, list(module.parameters())),
    ):
        module.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_()
        optimizer = AdamW(parameters, lr=rate)
        for _ in range(epochs):
            for rows in _batches(len(images), generator):
                x = _mirrored(_pixels(images[rows.numpy()]), generator)
                module.zero_grad()
                cross_entropy(module(network.normalization(x)), target[rows]).backward()
                optimizer.step()
    module.eval()
    return Taught(photos.class_names, lambda pictures: network_scores(network, pictures))


def auto(lesson: Lesson) -> Taught:
    """Let edgenet choose: the method behind `edgenet train --data PHOTOS --out RUN`."""
    made = teach(
        lesson.photos,
        lesson.work / "run",
        resolution=lesson.resolution,
        minutes=lesson.minutes,
        seed=lesson.seed,
    )
    lite = load(made.out, threads=torch.get_num_threads())

    def int8_score(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack([lite.score_prepared(image) for image in images])

    interval = made.judged.interval
    details = {
        "minutes": lesson.minutes,
        "method": made.method,
        "choices": made.choices,
        "reported": made.judged.top1,
        "reported_interval": [interval.low, interval.high],
        "reported_n": made.judged.photos,
        "scenes": made.judged.scenes,
        "auroc": made.unknown and made.unknown.auroc,
        "first_seconds": made.first_seconds,
    }
    taught = _checkpoint(Path(made.checkpoint), details)
    return replace(taught, int8=Int8(tuple(lite.labels), int8_score))


METHODS: dict[str, Callable[[Lesson], Taught]] = {
    "linear": linear,
    "today": today,
    "adamw": adamw,
    "auto": auto,
}
VERSIONS = {"auto": 4}
"""The version of each method; 1 where none is named. To be raised when a method teaches other classifiers than before,
so that its older results no longer count.

`auto` 4 gives photos that are neither strange nor familiar to the network a quarter of the fine-tuning without proof,
which version 3 gave only to those that proved it. Version 3 gave strange photos as much of it as is not surely worse
than less. Version 2 gave strange photos the share with the smallest loss, and version 1 had three older rules."""


def _checkpoint(path: Path, details: dict[str, Any] | None = None) -> Taught:
    network = load_checkpoint(path)
    return Taught(network.labels, lambda images: network_scores(network, images), details or {})


@torch.no_grad()
def network_scores(network: LoadedNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the network gives for uint8 RGB pictures [n, size, size, 3]."""
    module = network.module.eval()
    parts = [
        module(network.normalization(_pixels(images[start : start + BATCH])))
        for start in range(0, len(images), BATCH)
    ]
    return torch.cat(parts).numpy()


def _pixels(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)


def _mirrored(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each picture with a probability of a half."""
    chosen = torch.rand(len(x), generator=generator) < 0.5
    return torch.where(chosen[:, None, None, None], x.flip(3), x)


def _batches(n: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the rows in a random order, in batches; a last batch of one, for which batch norm fails, is left out."""
    for rows in torch.randperm(n, generator=generator).split(BATCH):
        if len(rows) > 1:
            yield rows
