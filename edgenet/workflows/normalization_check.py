"""Notices a wrong normalization: with the right one, a network is surer of photos, and of more different things.

How sure it is, is measured by the mutual information of photo and class, in nats: the entropy of the mean answer minus
the mean entropy of the answers. Confidence alone would not do: a network whose input is a hundred times too large may
be sure of everything, but calls it all by the same name. The logits are first brought to the same standard deviation,
because the logits of many networks simply grow with their input.

Measured on 64 photos of `calibration_data` with Google's official MobileNetV1 0.25/224 (float), whose normalization is
-1..1: what -1..1 gains over a wrong one, with its standard error:

    | normalization given | gain, nats |
    |---|---|
    | imagenet | 0.18 (0.04) |
    | 0..1 | 0.16 (0.02) |
    | 0..255 | 0.76 (0.07) |

With few classes the logits say too little: nothing is found out about networks with fewer than LEAST_CLASSES.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from edgenet_device.classifier import Classifier
from edgenet_device.file_kind import TFLITE, file_kind
from edgenet_device.model_file import ModelFile
from edgenet_device.normalization import (
    NORMALIZATIONS,
    PixelNormalization,
    normalization_named,
    stated_normalization,
)
from edgenet_device.ports import PicturePort, read_ports
from numpy.typing import NDArray

from edgenet.data.loading import load_all
from edgenet.data.photos import PhotoSet
from edgenet.files import sha256
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.tflite.forms import without_softmax

PHOTOS = 64
"""How many photos are asked about at most; each is run once for every normalization that is promising."""
LEAST_GAIN = 0.05
"""A gain of mutual information below this, in nats, says nothing: networks tolerate small changes of their input."""
STANDARD_ERRORS = 3.0
"""The gain is clear if it is at least so many standard errors over the photos."""
SPREAD = 1.5
"""The standard deviation that the logits are brought to; with 2.5 the gains of the table are less clear."""
LEAST_CLASSES, LEAST_PHOTOS = 10, 8
GLIMPSE = 16
"""How many of the photos are asked about first: a normalization that is no better on them is not tried on all."""
Score = Callable[[PixelNormalization, int], NDArray[np.float32]]


def surer_normalization(score: Score, given: PixelNormalization) -> str | None:
    """Return the name of the known normalization that makes a network clearly surer than the given one, or None.

    Args:
        score: returns the network's logits for the first of the photos under a normalization, float32 [n, classes]; it
            is given the largest number of photos.
        given: the normalization in use.
    """
    others = [
        (name, other)
        for name, other in NORMALIZATIONS.items()
        # centred is edgenet's own, half a pixel value from -1..1.
        if name != "centred" and not _alike(other, given)
    ]
    now = information(score(given, GLIMPSE))
    if len(now) < LEAST_PHOTOS:
        return None
    promising = [
        (name, other) for name, other in others if (information(score(other, GLIMPSE)) - now).mean() > 0
    ]
    return _clearly_surer(score, given, promising) if promising else None


def _clearly_surer(
    score: Score, given: PixelNormalization, others: Sequence[tuple[str, PixelNormalization]]
) -> str | None:
    """Return the name of the best of the others if it is clearly better than the given one on all photos."""
    now = information(score(given, PHOTOS))
    best, most = None, 0.0
    for name, other in others:
        gains = information(score(other, PHOTOS)) - now
        mean, error = float(gains.mean()), float(gains.std(ddof=1)) / np.sqrt(len(gains))
        if mean > max(LEAST_GAIN, STANDARD_ERRORS * error, most):
            best, most = name, mean
    return best


def _alike(one: PixelNormalization, other: PixelNormalization) -> bool:
    """Return whether two normalizations differ by less than a step of pixel values, as -1..1 and centred do."""
    values = [*one.mean, *one.std]
    others = (
        [*other.mean, *other.std] if len(other.mean) == len(one.mean) else [*other.mean * 3, *other.std * 3]
    )
    return all(abs(a - b) < 1 for a, b in zip(values, others, strict=True))


def information(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what each photo adds to the mutual information of photo and class, nats [n]; their mean is it."""
    centred = logits.astype(np.float64) - logits.mean(axis=1, keepdims=True)
    spread = SPREAD * centred / max(float(centred.std()), 1e-12)
    powers = np.exp(spread - spread.max(axis=1, keepdims=True))
    p = powers / powers.sum(axis=1, keepdims=True)
    logarithms, of_mean = (np.log(np.maximum(values, 1e-300)) for values in (p, p.mean(axis=0)))
    return np.asarray((p * (logarithms - of_mean)).sum(axis=1))


def graph_warnings(graph: Graph, given: PixelNormalization, photos: PhotoSet) -> tuple[str, ...]:
    """Return a warning if another normalization makes a float network clearly surer of photos.

    Args:
        graph: the network, with the given normalization folded into it.
        given: that normalization, one number or three for mean and std.
        photos: the photos to ask about, at most PHOTOS of them.
    """
    if graph.classes < LEAST_CLASSES:
        return ()
    pixels = load_all(photos, graph.size, limit=PHOTOS).images.astype(np.float32)
    mean, std = (np.array(values, np.float32) for values in (given.mean, given.std))

    def score(other: PixelNormalization, count: int) -> NDArray[np.float32]:
        # The network takes (x - mean) / std. These pixels make that what the other normalization would give.
        changed = (pixels[:count] - np.array(other.mean, np.float32)) / np.array(
            other.std, np.float32
        ) * std + mean
        return run(graph, cast(NDArray[np.uint8], changed))  # `run` takes fractions of a pixel value, too

    return _warnings(surer_normalization(score, given), given)


def given_normalization(source: object, given: str | None) -> PixelNormalization | None:
    """Return the normalization that the user gave for a float source, else that of a .tflite's metadata, or None."""
    if given is not None:
        return normalization_named(given)
    if isinstance(source, str | Path) and Path(source).is_file() and file_kind(Path(source)) is TFLITE:
        return stated_normalization(Path(source).read_bytes())
    return None


def file_warnings(model: ModelFile, given: PixelNormalization | None, photos: PhotoSet) -> tuple[str, ...]:
    """Return a warning if another normalization makes a finished file clearly surer of photos.

    Args:
        model: the file; nothing is found out about one with integer scores.
        given: the normalization that the user gave; None for the file's own, which an integer input's scale states.
        photos: the photos to ask about, at most PHOTOS of them.
    """
    ports = read_ports(model.data, str(model.path))
    picture = ports.picture
    used = given or _own_normalization(model, picture)
    # The 256 steps of integer scores are too coarse.
    if used is None or ports.scores.port.dtype != "float32" or ports.scores.classes < LEAST_CLASSES:
        return ()
    logits = without_softmax(model.data)
    bare = replace(model, data=logits, sha256=sha256(logits), labels=())
    pixels = load_all(photos, (picture.height, picture.width), limit=PHOTOS).images

    def score(other: PixelNormalization, count: int) -> NDArray[np.float32]:
        classifier = Classifier(bare, normalization=None if other is used and given is None else other)
        return np.stack([_logits(classifier, image) for image in pixels[:count]])

    return _warnings(surer_normalization(score, used), used)


def _logits(classifier: Classifier, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    classifier.score_prepared(image)
    return classifier.values()


def _own_normalization(model: ModelFile, picture: PicturePort) -> PixelNormalization | None:
    """Return what the metadata or the scale of an integer input states; None for pixels without a scale."""
    port = picture.port
    if port.dtype == "float32":
        return stated_normalization(model.data)
    if not port.scale:
        return None
    return PixelNormalization(
        (port.zero_point + (128.0 if port.dtype == "int8" else 0.0),), (1 / port.scale,)
    )


def _warnings(name: str | None, used: PixelNormalization) -> tuple[str, ...]:
    """Return the warning for a normalization that `surer_normalization` found; nothing for None."""
    if name is None:
        return ()
    known = {other: name for name, other in NORMALIZATIONS.items()}
    values = f"mean {used.mean[0]:g} and standard deviation {used.std[0]:g}"
    return (
        f"the network is clearly surer of the photos with --normalization {name} than with the present one "
        f"({known.get(used, values)}): a wrong normalization costs more accuracy than int8 does",
    )
