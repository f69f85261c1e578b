"""The gate of a conversion: the accuracy of the float and the int8 network on labelled photos, and the largest drop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.model_file import ModelFile
from torch import nn

from edgenet.accuracy import Paired
from edgenet.data.labels import outputs_for
from edgenet.data.loading import content_hashes
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.files import check_output, write_atomically
from edgenet.manifest import Accuracy
from edgenet.progress import Progress
from edgenet.workflows.calibration import better_recipe
from edgenet.workflows.evaluate import Evaluation, EvaluationOptions, evaluate_scorers, open_labelled
from edgenet.workflows.scoring import float_scorer, lite_scorer
from edgenet.workflows.sources import Source


@dataclass(frozen=True)
class GateResult:
    """The accuracy of float and int8 on labelled photos.

    Attributes:
        evaluation: accuracy of the float network, then of the int8 file as LiteRT runs it.
        calibrating: number of labelled photos that were left out because they were used for calibration.
    """

    evaluation: Evaluation
    calibrating: int

    @property
    def paired(self) -> Paired:
        """The paired comparison of int8 with float."""
        paired = self.evaluation.models[1].against_first
        assert paired is not None
        return paired

    def accuracy(self) -> Accuracy:
        """Return the accuracy in the form that the file and its bundle record."""
        real, given = self.evaluation.models
        name = Path(self.evaluation.data).resolve().name
        return Accuracy(real.top1, given.top1, self.evaluation.n, name)


@dataclass(frozen=True)
class AccuracyGate:
    """The accuracy test for a new int8 file.

    Attributes:
        photos: labelled photos.
        max_drop: percentage points of top-1 that int8 may lose against float; None to measure the drop
            without a limit.
    """

    photos: PhotoSet
    max_drop: float | None

    def check_classes(self, source: Source) -> None:
        """Check that the network has all classes of the photos.

        Raises:
            EdgenetError: it does not; see `outputs_for`.
        """
        used = {label for label in self.photos.labels if label is not None}
        outputs_for(self.photos.class_names, used, float_scorer("", source).labels, self.photos.origin)

    def measure(
        self, calibrated: PhotoSet, source: Source, model: ModelFile, progress: Progress
    ) -> GateResult:
        """Evaluate float and int8 on the labelled photos.

        Photos whose contents were used for calibration are left out, because int8 would look better on them than
        it is.

        Raises:
            EdgenetError: no photo is left, or none can be read.
        """
        seen = set(content_hashes(calibrated))
        fresh = [i for i, content in enumerate(content_hashes(self.photos)) if content not in seen]
        if not fresh:
            raise EdgenetError(
                f"all {len(self.photos)} photos in {self.photos.origin} were used for calibration",
                "give --data other photos",
            )
        options = EvaluationOptions()
        scorers = [
            float_scorer(source.facts.name, source),
            lite_scorer(str(model.path), model, options.threads),
        ]
        evaluation = evaluate_scorers(scorers, self.photos.take(fresh), options, progress)
        return GateResult(evaluation, len(self.photos) - len(fresh))

    def enforce(self, measured: GateResult, out: Path, data: bytes, recipe: str) -> None:
        """Write a file whose drop exceeds the limit to `rejected(out)` and raise; leave `out` alone.

        Args:
            data: the new .tflite file.
            recipe: the recipe that made it, for the advice.

        Raises:
            EdgenetError: the drop is larger than the limit.
        """
        paired, max_drop = measured.paired, self.max_drop
        # compared in photos, with a tolerance for rounding, so that a drop of exactly the limit passes
        if max_drop is None or paired.lost - paired.won <= max_drop * paired.n / 100 + 1e-9:
            return
        aside = rejected(out)
        write_atomically(aside, data)
        real, given = measured.evaluation.models
        found = (
            f"int8 loses {paired.drop:.2f} points of top-1 on {paired.n} photos of {measured.evaluation.data} "
            f"(float {real.top1:.2f} %, int8 {given.top1:.2f} %, 95 % interval of the drop {paired.interval.low:.2f} "
            f"to {paired.interval.high:.2f} points), more than --max-drop {max_drop:g}; the new file is kept "
            f"aside as {aside}, {out} is untouched"
        )
        chance = (
            ", or more photos in --data: with so few the drop may be chance"
            if paired.interval.low <= max_drop
            else ""
        )
        raise EdgenetError(
            found,
            f"try {better_recipe(recipe)}more calibration photos, or photos more like those in --data{chance}",
        )


def open_gate(data: Path, max_drop: float | None, out: Path, source: str | Path | nn.Module) -> AccuracyGate:
    """Open the labelled photos, and report everything that can be reported before the long work begins.

    Raises:
        EdgenetError: `max_drop` is not a number of at least 0, the photos have no labels, or a rejected file
            could not be written.
    """
    if max_drop is not None:
        if not (math.isfinite(max_drop) and max_drop >= 0):
            raise EdgenetError(f"--max-drop is {max_drop}", "give points of top-1, 0 or more, such as 0.5")
        check_output(rejected(out), *(() if isinstance(source, nn.Module) else (source,)))
    return AccuracyGate(open_labelled(data), max_drop)


def rejected(out: Path) -> Path:
    """Return the path for a file that lost too much accuracy: NAME.rejected.tflite beside `out`."""
    return out.with_name(f"{out.stem}.rejected{out.suffix}")
