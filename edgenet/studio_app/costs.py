"""What a threshold for "nothing I know" costs: counted on photos by classifiers that had not seen them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeGuard

from edgenet_device.foreign_text import read_json

from edgenet.errors import EdgenetError
from edgenet.files import read_limited

_LARGEST_REPORT = 64 << 20
_STEPS = 100


def read_costs(path: Path) -> dict[str, Any] | None:
    """Return how many photos each threshold hides; None if there is no report of a run that says it.

    Args:
        path: the report (`edgenet.training.v1`); none of it is trusted.

    Returns:
        `right` and `wrong` are lists of 101 counts: so many photos whose answer was right, or wrong, had a score below
        a threshold of 0, 1, ... 100 %. `judged` is the number of photos, and `errors` that of the wrong answers. `kept`
        is the percent of known photos that the classifier's own answer for unknown things leaves known, and
        `false_alarms` that of other photos that it calls known; both are None if it has no such answer.
    """
    try:
        report = read_json(read_limited(path, _LARGEST_REPORT), _LARGEST_REPORT)
    except (EdgenetError, OSError, ValueError):
        return None
    photos = report.get("photos") if isinstance(report, dict) else None
    if not isinstance(photos, list):
        return None
    scores: dict[bool, list[float]] = {True: [], False: []}
    for photo in photos:
        if not isinstance(photo, dict) or photo.get("answer") is None:
            continue  # a photo that nobody judged
        confidence = photo.get("confidence")
        if _is_number(confidence):
            scores[photo["answer"] == photo.get("class")].append(float(confidence))
    judged = len(scores[True]) + len(scores[False])
    if not judged:
        return None
    unknown = report.get("unknown")
    shares = unknown if isinstance(unknown, dict) else {}
    return {
        "judged": judged,
        "right": _hidden(scores[True]),
        "wrong": _hidden(scores[False]),
        "errors": len(scores[False]),
        **{name: _share(shares.get(name)) for name in ("kept", "false_alarms")},
    }


def _hidden(scores: list[float]) -> list[int]:
    return [sum(score < step / _STEPS for score in scores) for step in range(_STEPS + 1)]


def _share(value: Any) -> float | None:
    return float(value) if _is_number(value) and 0 <= value <= 100 else None


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
