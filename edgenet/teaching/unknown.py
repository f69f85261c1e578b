"""The output "nothing I know": one more class that answers for everything that the user's photos do not show.

The softmax is taken over [logits / T, u]. T is the temperature that makes the probabilities of the known classes true
(Guo et al. 2017, "On calibration of modern neural networks", arXiv 1706.04599). u = weight . features + bias is linear
in the features like any class, so the file computes it and every client obeys it by its best class.

The row is fitted by logistic regression between the user's photos and photos of other things, with the energy
E = log sum exp(logits / T) (Liu et al. 2020, "Energy-based out-of-distribution detection", arXiv 2010.03759) as a fixed
part of its argument: P(known | x) = sigmoid(E - u), which is what the softmax says. A strong penalty leaves a constant
u, the threshold of the energy alone; the chosen one adds what the photos of other things teach. Then the bias is set so
that a stated share of the user's photos stays known, each judged by heads and rows that were fitted without it.

What the pretrained network's own classes are says more than a few photos can: if the user's photos excite its dogs and
the other things its buildings, then so will fresh ones. So the row has one direction of the features that costs less
than the others: that of the pretrained last layer, each class weighted by how much more probable it is on the photos of
other things than on the user's.

Photos that come with edgenet may show one of the classes: there are dogs and cars among them. So the row is fitted a
second time, without those of them that look more known than half of the user's photos. And they may be so unlike the
user's that a threshold far below does as well against them: fresh photos need that room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from edgenet_device.classifier import NOTHING_KNOWN
from edgenet_device.frames.photos import MAX_BYTES, read_photo
from numpy.typing import NDArray
from torch.nn.functional import softplus

from edgenet.assets import calibration_photos
from edgenet.data.folders import Files, open_files
from edgenet.data.photos import PhotoSet, open_photos
from edgenet.errors import EdgenetError
from edgenet.teaching.head import LinearHead
from edgenet.teaching.optimizers import Lbfgs

BACKGROUND_NAMES = ("none", "background", "unknown", "nothing", NOTHING_KNOWN.casefold())
"""Names of a class whose photos show other things than the classes; letter case does not matter."""
KEEP = 0.95
STRENGTH = 1e-3
"""The penalty of the row, in the scale of the head's. It was chosen on superclasses of ImageNet photos, hand signs and
CIFAR-10, against photos of other classes and of each other. A third or three times of it is as good."""
CHEAPER = 3.0
"""A row along the direction of the pretrained classes costs so many times less than one along any other."""
CLOSE_UP = 0.5
"""Side of a close-up, as a share of the photo's shorter side."""
_NEARLY_ALL = 0.99
"""The threshold is lowered only if this share of the other photos stays below it."""
_ENOUGH = 20
"""The least number of other photos that can lower the threshold."""
_FOLDS = 5
_STEPS = 100
_LEAST_TEMPERATURE, _MOST_TEMPERATURE = 0.05, 20.0

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Unknown:
    """A head with the output "nothing I know", and how well it tells known from unknown things.

    Attributes:
        head: the head with one more row, the last; the logits of the classes are divided by the temperature.
        temperature: the number that the logits were divided by.
        kept: share (0 to 1) of the user's photos that stay known, judged by rows fitted without them.
        auroc: probability that a known photo looks more known than a background photo, both judged by rows fitted
            without them; None if there are fewer than two background photos.
        false_alarms: share (0 to 1) of the background photos that are called a known class, judged the same way; None
            if there are fewer than two.
        judged: number of background photos behind `auroc` and `false_alarms`.
    """

    head: LinearHead
    temperature: float
    kept: float
    auroc: float | None
    false_alarms: float | None
    judged: int


def background_class(class_names: Sequence[str]) -> str | None:
    """Return the class whose photos show other things than the classes, such as "none"; None if there is none.

    Raises:
        EdgenetError: several classes have such a name.
    """
    found = [name for name in class_names if name.strip().casefold() in BACKGROUND_NAMES]
    if len(found) > 1:
        raise EdgenetError(
            f"the classes {' and '.join(map(repr, found))} are both for photos of other things",
            "put these photos into one folder",
        )
    return found[0] if found else None


def background_photos() -> PhotoSet:
    """Return the photos of other things that come with edgenet; every second one is a close-up of its middle.

    A close-up is like what a camera sees of things held before it, which whole views of places and animals are not.
    """
    photos = open_photos(calibration_photos())
    return replace(photos, _files=_CloseUps(open_files(calibration_photos()), frozenset(photos.names[1::2])))


@dataclass(frozen=True)
class _CloseUps:
    """Files of which some photos are read as close-ups of their middle."""

    files: Files
    close: frozenset[str]

    def names(self) -> list[str]:
        return self.files.names()

    def hidden(self) -> int:
        return self.files.hidden()

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        data = self.files.read(name, most)
        if name not in self.close:
            return data
        photo = read_photo(data, name)
        height, width = photo.shape[:2]
        side = max(int(CLOSE_UP * min(height, width)), 1)
        top, left = (height - side) // 2, (width - side) // 2
        middle = photo[top : top + side, left : left + side]
        return cv2.imencode(".png", middle, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def calibrate_unknown(
    head: LinearHead,
    values: Rows,
    oof_logits: Rows,
    labels: NDArray[np.int64],
    background: Rows,
    keep: float = KEEP,
    *,
    folds: NDArray[np.int64] | None = None,
    more_background: Rows | None = None,
    users_own: bool = True,
    pretrained: LinearHead | None = None,
) -> Unknown:
    """Add the output "nothing I know" to a head; for a fine-tuned network see `unknown_after_tuning`.

    Args:
        head: the head, fitted to the user's photos.
        values: features of the user's photos as the device sees them, float32 [n, channels].
        oof_logits: their logits by heads that were fitted without them, float32 [n, classes].
        labels: their class indices, int64 [n].
        background: features of photos of other things, float32 [m, channels]; m may be 0, then u is constant.
        keep: the share of the user's photos that shall stay known, above 0 and below 1.
        folds: the fold of each photo of the user, int64 [n]; photos of one group should be in one fold. None deals the
            photos out evenly.
        more_background: features of further photos of other things, such as edgenet's own beside the user's, float32
            [k, channels]. They help to fit, except those that look like a class, and count in no figure.
        users_own: whether the photos of `background` are the user's, and so show other things for sure. If they are
            edgenet's own, those that look like one of the classes do not help to fit, but count in the figures; and the
            threshold is lowered if hardly any of them comes near it, so that more than `keep` stay known.
        pretrained: the last layer of the network as it was pretrained, if the photos are familiar to it; else None.

    Raises:
        EdgenetError: there are no photos of the user, or `keep` is not between 0 and 1.
    """
    if not len(values) or not 0 < keep < 1:
        raise EdgenetError(
            f"{len(values)} photos to keep a share of {keep} known",
            "give photos, and a share between 0 and 1",
        )
    temperature = fit_temperature(oof_logits, labels)
    scaled = LinearHead(head.weight / temperature, head.bias / temperature)
    more = background[:0] if more_background is None else more_background
    known = JudgedPhotos(values, oof_logits / temperature)
    others, extra = (JudgedPhotos(rows, scaled.logits(rows)) for rows in (background, more))
    sure = np.append(np.full(len(background), users_own), np.zeros(len(more), np.bool_))
    fit = partial(fit_row, pretrained=pretrained)
    known_margins, all_margins, fitted = _judged(known, others.joined(extra), sure, folds, fit)
    other_margins = all_margins[: len(background)]
    shift = threshold(known_margins, keep)
    if not users_own:
        shift = lowered(shift, other_margins)
    weight, bias = fit(known, fitted)
    judged = len(background) if len(background) > 1 else 0
    return Unknown(
        head=with_row(scaled, weight, bias + shift),
        temperature=temperature,
        kept=float(np.mean(known_margins >= shift)),
        auroc=auroc(known_margins, other_margins) if judged else None,
        false_alarms=float(np.mean(other_margins >= shift)) if judged else None,
        judged=judged,
    )


def fit_temperature(logits: Rows, labels: NDArray[np.int64]) -> float:
    """Return the T with the smallest mean cross-entropy of logits / T (arXiv 1706.04599, section 4.2).

    Of each photo, the share 1 / (n + 2) counts as spread over all classes: n photos that are all right do not mean that
    the next one is (Laplace's rule of succession), and without it T would be as small as it may.

    Args:
        logits: float32 [n, classes], of photos that the head was not fitted to.
        labels: class indices, int64 [n].
    """
    doubt = 1 / (len(labels) + 2)
    # The mean cross-entropy is convex in 1/T, so its logarithm has one minimum: a golden section finds it.
    low, high = np.log(_LEAST_TEMPERATURE), np.log(_MOST_TEMPERATURE)
    golden = (np.sqrt(5) - 1) / 2

    def loss(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_temperature)
        right = scaled[np.arange(len(labels)), labels]
        return float(np.mean(_energy(scaled) - (1 - doubt) * right - doubt * scaled.mean(axis=1)))

    for _ in range(40):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def auroc(known: NDArray[np.floating], unknown: NDArray[np.floating]) -> float:
    """Return the area under the ROC curve: P(known > unknown) + P(equal) / 2, as in the Mann-Whitney U test.

    Args:
        known: scores of known photos [n]; higher means more known.
        unknown: scores of photos of other things [m].
    """
    ordered = np.sort(unknown)
    below, not_above = np.searchsorted(ordered, known, "left"), np.searchsorted(ordered, known, "right")
    return float(np.mean(below + not_above) / (2 * len(unknown)))


class JudgedPhotos(NamedTuple):
    """Photos by their features [n, channels] and by their logits, divided by the temperature [n, classes]."""

    values: Rows
    logits: Rows

    def take(self, chosen: NDArray[np.bool_]) -> JudgedPhotos:
        return JudgedPhotos(self.values[chosen], self.logits[chosen])

    def joined(self, other: JudgedPhotos) -> JudgedPhotos:
        return JudgedPhotos(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))

    def margins(self, weight: NDArray[np.float64], bias: float) -> NDArray[np.float64]:
        """Return how far the best class is above "nothing I know" [n]."""
        return self.logits.max(axis=1).astype(np.float64) - (self.values @ weight + bias)


_FitRow = Callable[[JudgedPhotos, JudgedPhotos], tuple[NDArray[np.float64], float]]


def _judged(
    known: JudgedPhotos,
    others: JudgedPhotos,
    sure: NDArray[np.bool_],
    folds: NDArray[np.int64] | None,
    fit_row: _FitRow,
) -> tuple[NDArray[np.float64], NDArray[np.float64], JudgedPhotos]:
    """Return the margins of the known and of the other photos, and the other photos that the row is to be fitted to.

    Args:
        known: photos of the user.
        others: photos of other things.
        sure: whether each of these shows none of the classes for sure, bool [m].
        folds: the fold of each photo of the user; None deals them out evenly.
        fit_row: fits a row to known and other photos.
    """
    fit = np.ones(len(sure), np.bool_)
    margins = _out_of_fold(known, others, fit, folds, fit_row)
    if not sure.all():
        fit = sure | (margins[1] < np.median(margins[0]))
        margins = _out_of_fold(known, others, fit, folds, fit_row)
    return *margins, others.take(fit)


def _out_of_fold(
    known: JudgedPhotos,
    others: JudgedPhotos,
    fit: NDArray[np.bool_],
    folds: NDArray[np.int64] | None,
    fit_row: _FitRow,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the margins of the known and of the other photos, each by a row that was fitted without it.

    The rows are fitted to those of the other photos for which `fit` [m] is true.
    """
    known_folds = dealt(len(known.values)) if folds is None else folds
    names = np.unique(known_folds)
    other_folds = names[dealt(len(others.values), len(names))]
    margins = np.zeros(len(known.values)), np.zeros(len(others.values))
    for fold in names:
        out, other_out = known_folds == fold, other_folds == fold
        # The only fold there is would leave no known photo to fit with.
        fitted = known if out.all() else known.take(~out)
        row = fit_row(fitted, others.take(fit & ~other_out))
        margins[0][out] = known.take(out).margins(*row)
        margins[1][other_out] = others.take(other_out).margins(*row)
    return margins


def dealt(count: int, folds: int = _FOLDS) -> NDArray[np.int64]:
    """Deal photos out to the folds in turn, neighbours to different ones."""
    return np.arange(count) % folds


def fit_row(
    known: JudgedPhotos, others: JudgedPhotos, pretrained: LinearHead | None = None
) -> tuple[NDArray[np.float64], float]:
    """Return the weight [channels] and the bias of u; both kinds of photos count the same in all.

    The features are centred on the known photos and divided by one number, as in `fit_head`.

    Args:
        known: photos of the user.
        others: photos of other things; without any, u is 0.
        pretrained: the last layer that the network was pretrained with, if these are still its features.
    """
    mean = known.values.mean(axis=0, dtype=np.float64)
    if not len(others.values):
        return np.zeros(len(mean)), 0.0
    scale = float(np.sqrt(np.mean(np.sum((known.values - mean) ** 2, axis=1)))) or 1.0
    cheap = np.zeros(len(mean)) if pretrained is None else _direction(pretrained, known, others)
    # Stretching the features along a direction makes weights along it cost less.
    stretch = np.sqrt(CHEAPER) - 1
    parts = ((part.values - mean) / scale for part in (known, others))
    inside, outside = (torch.from_numpy(part + stretch * np.outer(part @ cheap, cheap)) for part in parts)
    inner, outer = (torch.from_numpy(_energy(part.logits.astype(np.float64))) for part in (known, others))
    weight, bias = torch.zeros(len(mean), dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    optimizer = Lbfgs(
        [weight.requires_grad_(), bias.requires_grad_()],
        max_iter=_STEPS,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def objective() -> torch.Tensor:
        weight.grad = bias.grad = None
        wrong_inside = softplus(inside @ weight + bias - inner).mean()
        wrong_outside = softplus(outer - outside @ weight - bias).mean()
        loss = (wrong_inside + wrong_outside) / 2 + STRENGTH / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(objective)
    row = weight.detach().numpy() / scale
    row += stretch * (row @ cheap) * cheap
    return row, float(bias.detach()) - float(row @ mean)


def _direction(pretrained: LinearHead, known: JudgedPhotos, others: JudgedPhotos) -> NDArray[np.float64]:
    """Return the unit vector [channels] along which the pretrained classes of other things lie; 0 if there is none."""
    known_mean, other_mean = (
        np.exp(logits - _energy(logits)[:, None]).mean(axis=0)
        for logits in (pretrained.logits(part.values).astype(np.float64) for part in (known, others))
    )
    weights = pretrained.weight - pretrained.weight.mean(axis=0, dtype=np.float64)
    direction = (other_mean - known_mean) @ weights
    return direction / (float(np.linalg.norm(direction)) or 1.0)


def threshold(margins: NDArray[np.float64], keep: float) -> float:
    """Return the margin that at least the share `keep` of these reach, halfway down to the next lower one.

    Halfway, because rounding to int8 must not decide about the photo at the threshold.
    """
    ordered = np.sort(margins)
    place = int(np.floor((1 - keep) * len(ordered)))
    below = ordered[place - 1] if place else ordered[0] - (np.median(ordered) - ordered[0]) / 10
    return float((ordered[place] + below) / 2)


def lowered(shift: float, others: NDArray[np.float64]) -> float:
    """Return the threshold, lowered halfway to the photos of other things if hardly any of them reaches it.

    Fresh photos, of another day or place, look less known than those that were held out. Where there is room for them,
    they shall keep a name.

    Args:
        shift: the threshold.
        others: the margins of photos of other things [m].
    """
    if len(others) < _ENOUGH:
        return shift
    nearly_all = float(np.quantile(others, _NEARLY_ALL))
    return (shift + min(shift, nearly_all)) / 2


def with_row(head: LinearHead, weight: NDArray[np.float64], bias: float) -> LinearHead:
    """Return the head with one more row, the last.

    The mean row is subtracted from all: the softmax stays the same, and the logits need a smaller range in int8.
    """
    weights = np.vstack([head.weight, weight[None]]).astype(np.float32)
    biases = np.append(head.bias, bias).astype(np.float32)
    return LinearHead(weights - weights.mean(axis=0), biases - biases.mean())


def _energy(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log sum exp of the logits [n, classes]."""
    most = logits.max(axis=1, keepdims=True)
    return (most + np.log(np.exp(logits - most).sum(axis=1, keepdims=True)))[:, 0]
