"""The report of a training on one's own photos for programs: the facts of the page as one JSON object.

The format is `edgenet.training.v1`; docs/file-formats.md describes it. `edgenet studio` shows it.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgenet_device.foreign_text import json_text

from edgenet.figures.teaching_facts import PhotoFacts, TeachingReport
from edgenet.files import write_atomically

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
