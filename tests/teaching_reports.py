"""Reports of trainings that nobody did, for the tests of their page."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import cv2
import numpy as np

from edgenet.accuracy import Interval
from edgenet.figures.teaching_facts import (
    Int8Beside,
    JudgedAccuracy,
    PhotoFacts,
    TeachingReport,
    UnknownFigures,
)
from edgenet.teaching.label_errors import LabelError
from edgenet.teaching.learning_curve import CurvePoint, LearningCurve


@functools.cache
def thumbnail(index: int) -> bytes:
    """Return a small JPEG of one colour."""
    colour = np.random.default_rng(index).integers(0, 255, 3, np.uint8)
    return cv2.imencode(".jpg", np.full((24, 32, 3), colour, np.uint8))[1].tobytes()


def small_report(interval: Interval = Interval(70.0, 91.0), **changes: Any) -> TeachingReport:  # noqa: B008 (frozen)
    """Return a report of two classes with something in every part, after `changes`."""
    photos = (
        PhotoFacts("bolt/0.jpg", "0" * 64, 0, 0, 0, 0.9),
        PhotoFacts("bolt/1.jpg", "1" * 64, 0, 1, 1, 0.99),
        PhotoFacts("bolt/2.jpg", "2" * 64, 0, 2, 0, 0.7),
        PhotoFacts("nut/3.jpg", "3" * 64, 1, 1, 1, 0.8),
        PhotoFacts("nut/4.jpg", "4" * 64, 1, 3, 0, 0.6),
        PhotoFacts("nut/5.jpg", "5" * 64, 1, 4, 1, 0.6),
        PhotoFacts("nut/6.jpg", "6" * 64, 1, 5, 1, 0.6),
    )
    points = (CurvePoint(1, 60.0, Interval(40, 80)), CurvePoint(2, 70.0, Interval(50, 85)))
    report = TeachingReport(
        title="Bolts and nuts",
        data="photos",
        variant="mobilenet_v2_1.0_96",
        choices=("A linear head was as good as fine-tuning.",),
        class_names=("bolt", "nut"),
        photos=photos,
        accuracy=JudgedAccuracy(83.0, interval, 7, 6, "by cross-validation in 5 parts"),
        label_errors=(LabelError(1, 0, 1, 0.97),),
        duplicates=((1, 3),),
        curve=LearningCurve(
            (*points, CurvePoint(4, 83.0, Interval(70, 91))), CurvePoint(8, 90.0, Interval(75, 97))
        ),
        int8=Int8Beside("photos.tflite", 2_600_000, 83.0, 82.5, 7, "no loss was seen"),
        unknown=UnknownFigures(95.0, 7.0, 0.96, "48 photos that come with edgenet", "nothing I know"),
        warnings=("4 photos of nut look like 3 scenes",),
        skipped=(("IMG_1.HEIC", "it is HEIC"),),
    )
    return dataclasses.replace(report, **changes)


def many_classes(classes: int, per_class: int) -> TeachingReport:
    """Return a report of many classes, with a third of the answers wrong."""
    random = np.random.default_rng(0)
    photos = []
    for index in range(classes * per_class):
        given = index // per_class
        answer = int(random.integers(classes)) if random.random() < 0.33 else given
        photos.append(
            PhotoFacts(
                f"class {given}/{index}.jpg", f"{index:064d}", given, index, answer, float(random.random())
            )
        )
    wrong = [index for index, photo in enumerate(photos) if photo.wrong]
    errors = tuple(
        LabelError(i, photos[i].given, photos[i].predicted or 0, 0.9 - n / 1000)
        for n, i in enumerate(wrong[:300])
        if photos[i].predicted is not None
    )
    return small_report(
        class_names=tuple(f"class {index} with a rather long name" for index in range(classes)),
        photos=tuple(photos),
        label_errors=errors,
        duplicates=tuple((i, i + 1, i + 2) for i in range(0, 300, 3)),
    )
