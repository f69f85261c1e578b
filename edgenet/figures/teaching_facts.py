"""The facts that the report of a training on one's own photos is made of, what follows from them, and its JSON file.

Mix-ups and advice follow from the facts. The JSON file is the report for programs, in the format
`edgenet.training.v1`, which docs/file-formats.md describes. `edgenet studio` shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from edgenet_device.foreign_text import json_text
from numpy.typing import NDArray

from edgenet.accuracy import Interval
from edgenet.files import write_atomically
from edgenet.teaching.label_errors import LabelError, softmax

if TYPE_CHECKING:
    from edgenet.teaching.learning_curve import LearningCurve


FEW_SCENES = 8
"""A class with fewer scenes is advised to get more."""
LOW_RECALL = 85.0
"""A class with a lower recall, in percent, is advised on its mix-ups."""


@dataclass(frozen=True)
class PhotoFacts:
    """One photo of the set.

    Attributes:
        file: its path within the data, with forward slashes, such as "train/bolt/1.jpg".
        sha256: the SHA-256 of its file, 64 hexadecimal digits.
        given: the class index of its label.
        group: the number of its group of near-duplicates, or of one scene.
        predicted: the class index that a network answered which had not seen the photo's group; None if it was not
            judged.
        confidence: the probability of that answer, 0 to 1.
    """

    file: str
    sha256: str
    given: int
    group: int
    predicted: int | None = None
    confidence: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether the photo was judged and the answer is not its label."""
        return self.predicted is not None and self.predicted != self.given


def photo_facts(
    files: Sequence[str],
    contents: Sequence[bytes],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    logits: NDArray[np.float32],
    judged: NDArray[np.bool_],
) -> tuple[PhotoFacts, ...]:
    """Return the facts of each photo.

    Args:
        files: the paths within the data [n].
        contents: the SHA-256 of each file, 32 bytes [n].
        labels: class indices [n].
        groups: the numbers of the groups [n].
        logits: the scores of each photo by a network that had not seen its group [n, classes].
        judged: whether there are such scores for a photo [n].
    """
    shares = softmax(logits)
    answers = logits.argmax(axis=1)
    return tuple(
        PhotoFacts(
            file,
            contents[i].hex(),
            int(labels[i]),
            int(groups[i]),
            int(answers[i]) if judged[i] else None,
            float(shares[i, answers[i]]) if judged[i] else 0.0,
        )
        for i, file in enumerate(files)
    )


def look_alikes(groups: NDArray[np.int64]) -> tuple[tuple[int, ...], ...]:
    """Return the indices of the photos of each group [n] with two or more photos."""
    order = np.argsort(groups, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    return tuple(tuple(part.tolist()) for part in parts if len(part) > 1)


@dataclass(frozen=True)
class JudgedAccuracy:
    """The accuracy that is reported.

    Attributes:
        top1: percent.
        interval: its 95 % interval, which counts groups, percent.
        photos: number of photos that it was judged on.
        groups: number of their groups.
        how: how these photos were kept apart, as the end of a sentence, such as "by cross-validation in 5 parts".
    """

    top1: float
    interval: Interval
    photos: int
    groups: int
    how: str


@dataclass(frozen=True)
class Int8Beside:
    """The int8 file beside the float network on the same photos.

    Attributes:
        file: the name of the file.
        size_bytes: its size.
        float_top1: top-1 of the float network, percent.
        int8_top1: top-1 of the file, percent.
        photos: number of photos.
        verdict: the comparison in words; see `edgenet.accuracy.verdict`.
    """

    file: str
    size_bytes: int
    float_top1: float
    int8_top1: float
    photos: int
    verdict: str


@dataclass(frozen=True)
class UnknownFigures:
    """How well the file tells known things from others.

    Attributes:
        kept: share of the user's photos that stay known, percent.
        false_alarms: share of the other photos that are called known, percent.
        auroc: area under the ROC curve, 0 to 1.
        background: what the other photos are, such as "48 photos that come with edgenet".
        label: the answer for unknown things.
    """

    kept: float
    false_alarms: float
    auroc: float
    background: str
    label: str


@dataclass(frozen=True)
class TeachingReport:
    """The facts on the page.

    Attributes:
        title: the page's heading.
        data: the path of the photos as the user gave it.
        movable: whether the photos lie in a folder, so that `edgenet train --review` can move them.
        variant: the network.
        choices: what was chosen and why, in whole sentences.
        class_names: by class index.
        photos: all photos that were read.
        accuracy: the figure that is reported.
        label_errors: indices are those of `photos`; likeliest first.
        duplicates: groups of indices of `photos` that are near-duplicates or one scene, each of two or more.
        curve: None if there were too few photos.
        int8: None if there is no int8 file.
        unknown: None if the file does not tell unknown things.
        warnings: in whole sentences.
        skipped: (name, reason) of the files that were left out.
    """

    title: str
    data: str
    variant: str
    choices: tuple[str, ...]
    class_names: tuple[str, ...]
    photos: tuple[PhotoFacts, ...]
    accuracy: JudgedAccuracy
    label_errors: tuple[LabelError, ...] = ()
    duplicates: tuple[tuple[int, ...], ...] = ()
    curve: LearningCurve | None = None
    int8: Int8Beside | None = None
    unknown: UnknownFigures | None = None
    warnings: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    movable: bool = True

    @cached_property
    def mixups(self) -> tuple[Mixup, ...]:
        """The pairs of classes that are mixed up, most photos first."""
        return _mixups(self.photos)

    @cached_property
    def classes(self) -> tuple[ClassFacts, ...]:
        """The figures of each class, by class index."""
        return _class_facts(self)


@dataclass(frozen=True)
class Mixup:
    """Photos of class `given` that were taken for class `predicted`; indices of photos, surest answer first."""

    given: int
    predicted: int
    photos: tuple[int, ...]


@dataclass(frozen=True)
class ClassFacts:
    """One class.

    Attributes:
        index: the class index.
        photos: number of photos.
        groups: number of groups, that is, of different scenes.
        judged: number of photos that were judged.
        right: number of those that are right.
        precision: share of the photos taken for this class that are of it, percent; None if there are none.
        advice: what to photograph, in whole sentences; empty if the class needs nothing.
    """

    index: int
    photos: int
    groups: int
    judged: int
    right: int
    precision: float | None
    advice: tuple[str, ...]

    @property
    def recall(self) -> float | None:
        """The share of the class's judged photos that are right, percent; None if none was judged."""
        return 100 * self.right / self.judged if self.judged else None


def _mixups(photos: Sequence[PhotoFacts]) -> tuple[Mixup, ...]:
    pairs: dict[tuple[int, int], list[int]] = {}
    for index, photo in enumerate(photos):
        if photo.wrong and photo.predicted is not None:
            pairs.setdefault((photo.given, photo.predicted), []).append(index)
    found = (Mixup(*pair, surest_first(rows, photos)) for pair, rows in pairs.items())
    return tuple(sorted(found, key=lambda one: (-len(one.photos), one.given, one.predicted)))


def surest_first(rows: Iterable[int], photos: Sequence[PhotoFacts]) -> tuple[int, ...]:
    """Return the indices of photos in the order of the confidence of their answers, highest first."""
    return tuple(sorted(rows, key=lambda index: (-photos[index].confidence, index)))


def _class_facts(report: TeachingReport) -> tuple[ClassFacts, ...]:
    photos = report.photos
    number = Counter(photo.given for photo in photos)
    groups: dict[int, set[int]] = {}
    for photo in photos:
        groups.setdefault(photo.given, set()).add(photo.group)
    judged = Counter(photo.given for photo in photos if photo.predicted is not None)
    taken = Counter(photo.predicted for photo in photos if photo.predicted is not None)
    right = Counter(photo.given for photo in photos if photo.predicted == photo.given)
    usual = sorted(number.values())[len(number) // 2] if number else 0
    return tuple(
        ClassFacts(
            index,
            number[index],
            len(groups.get(index, ())),
            judged[index],
            right[index],
            100 * right[index] / taken[index] if taken[index] else None,
            _advice(report, index, (number[index], usual), len(groups.get(index, ())), judged[index]),
        )
        for index in range(len(report.class_names))
    )


def _advice(
    report: TeachingReport, index: int, numbers: tuple[int, int], scenes: int, judged: int
) -> tuple[str, ...]:
    """Return what to photograph for a class; `numbers` are its photos and the usual number of photos of a class."""
    number, usual = numbers
    if number == 0:
        return ("It has no photos that could be read. Photograph it.",)
    advice = []
    if scenes < FEW_SCENES and scenes < number:
        advice.append(
            f"Its {number} photos look like {scenes} scene{'s' * (scenes != 1)}. Photograph it in other places, "
            "in other light and from other distances, with a new object where you can."
        )
    elif scenes < FEW_SCENES:
        advice.append(
            f"It has only {number} photo{'s' * (number != 1)}. Add at least {FEW_SCENES - number} more."
        )
    if number * 2 <= usual:
        advice.append(f"It has {number} photos where other classes have about {usual}. Add {usual - number}.")
    own = [mixup for mixup in report.mixups if mixup.given == index]
    missed = sum(len(mixup.photos) for mixup in own)
    if judged and 100 * (judged - missed) / judged < LOW_RECALL:
        count, other = len(own[0].photos), report.class_names[own[0].predicted]
        if 3 * count >= missed and count > 1:
            advice.append(
                f"{count} of its {judged} photos are taken for {other}. Photograph both from the same angles and on "
                "the same backgrounds, and show what sets them apart."
            )
        else:
            advice.append(
                f"{missed} of its {judged} photos get another name, not one above all. Photograph it from more sides, "
                "closer, and on more backgrounds."
            )
    return tuple(advice)


FORMAT = "edgenet.training.v1"


def write_report_json(path: Path, report: TeachingReport) -> None:
    """Write the report.

    Raises:
        EdgenetError: the file cannot be written.
    """
    write_atomically(path, json_text(report_json(report)).encode() + b"\n")


def report_json(report: TeachingReport) -> dict[str, Any]:
    """Return the report as a value that JSON can hold; classes and photos are referred to by their indices."""
    curve = report.curve
    return {
        "format": FORMAT,
        "data": report.data,
        "variant": report.variant,
        "choices": list(report.choices),
        "warnings": list(report.warnings),
        "classes": [
            {
                "name": report.class_names[one.index],
                "photos": one.photos,
                "scenes": one.groups,
                "judged": one.judged,
                "right": one.right,
                "recall": one.recall,
                "precision": one.precision,
                "advice": list(one.advice),
            }
            for one in report.classes
        ],
        "accuracy": asdict(report.accuracy),
        "photos": [_photo(one) for one in report.photos],
        "mixups": [asdict(one) for one in report.mixups],
        "label_errors": [asdict(one) for one in report.label_errors],
        "alike": [list(group) for group in report.duplicates],
        "twice_as_many_photos": None if curve is None or curve.doubled is None else asdict(curve.doubled),
        "int8": None if report.int8 is None else asdict(report.int8),
        "unknown": None if report.unknown is None else asdict(report.unknown),
        "skipped": [{"file": name, "reason": reason} for name, reason in report.skipped],
    }


def _photo(photo: PhotoFacts) -> dict[str, Any]:
    return {
        "file": photo.file,
        "sha256": photo.sha256,
        "class": photo.given,
        "scene": photo.group,
        "answer": photo.predicted,
        "confidence": round(photo.confidence, 4),
    }
