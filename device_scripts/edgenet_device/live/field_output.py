"""What the live camera learns from the field: photos to keep, counts by day; both are outputs of the live loop."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgenet_device.entry import between
from edgenet_device.output_files import state_folder

if TYPE_CHECKING:
    from edgenet_device.classifier import Classifier
    from edgenet_device.events.hub import Tell
    from edgenet_device.field.daily_counts import DailyCounts
    from edgenet_device.field.keeper import PhotoKeeper

FOLDER = "field"
"""The folder of kept photos, within the state folder."""
_MB = 1_000_000


@dataclass(frozen=True)
class FieldOptions:
    """What to learn from the field.

    Attributes:
        budget_mb: megabytes for kept photos; None keeps none.
        folder: where they are kept; None for a folder within the state folder.
        counts: whether to count by day, as a service does.
    """

    budget_mb: float | None = None
    folder: Path | None = None
    counts: bool = False


def add_field_options(shape: argparse.ArgumentParser) -> None:
    """Add the options to camera.py's command line."""
    group = shape.add_argument_group("learning from the field (docs/on-the-device.md)")
    group.add_argument(
        "--keep-uncertain",
        metavar="MB",
        type=between(0.1, 1e6),
        help="keep photos that the network is unsure of, or that a person corrects on the page, in at most MB "
        "megabytes; edgenet collect brings them over",
    )
    group.add_argument(
        "--keep-in",
        metavar="DIR",
        type=Path,
        help="where --keep-uncertain keeps them (default: the folder 'field' in edgenet's state folder)",
    )


@dataclass(frozen=True)
class FieldOutputs:
    """What was opened; None for what was not asked for."""

    keeper: PhotoKeeper | None = None
    counts: DailyCounts | None = None


def opened_field(
    options: FieldOptions, classifier: Classifier, threshold: float, tell: Tell, open_parts: ExitStack
) -> FieldOutputs:
    """Open what the options ask for, which `open_parts` closes. Each part is imported when it is needed.

    Raises:
        EdgenetError: the folder cannot be used.
    """
    keeper, counts = None, None
    model = classifier.model
    if options.budget_mb is not None:
        from edgenet_device.field.keeper import PhotoKeeper
        from edgenet_device.field.kept_photos import KeptPhotos

        photos = KeptPhotos(options.folder or state_folder() / FOLDER, round(options.budget_mb * _MB))
        keeper = open_parts.enter_context(
            PhotoKeeper(photos, (model.path, model.sha256), classifier.labels, tell)
        )
    if options.counts:
        from edgenet_device.field.daily_counts import FILE_NAME, DailyCounts

        key = f"{model.sha256} {threshold:g}"
        counts = open_parts.enter_context(DailyCounts(state_folder() / FILE_NAME, key, tell))
    return FieldOutputs(keeper, counts)
