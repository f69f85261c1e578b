"""The accuracy gate of `convert`: float and int8 on the same labelled photos; what loses too much is kept aside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from device_scripts.model_file import ModelFile
from edgenet.accuracy.paired import Paired
from edgenet.bundle.manifest import Accuracy
from edgenet.data import PhotoSet, content_hashes, outputs_for
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.progress import Progress
from edgenet.verbs.evaluate import Evaluation, EvaluationOptions, evaluate_scorers, open_labelled
from edgenet.verbs.held_out import better_recipe
from edgenet.verbs.outputs import check_output
from edgenet.verbs.scorers import float_scorer, lite_scorer
from edgenet.verbs.sources import Source


@dataclass(frozen=True)
class Trial:
    """What a new int8 file has to pass.

    Attributes:
        data: labelled photos, as `evaluate` takes them.
        max_drop: points of top-1 that int8 may lose against float; None for any, it is only measured then.
    """

    data: Path
    max_drop: float | None = None


@dataclass(frozen=True)
class Measured:
    """What a trial found.

    Attributes:
        evaluation: the float network, then the int8 file as LiteRT runs it.
        calibrating: photos of the trial's data that were left out because they calibrated.
    """

    evaluation: Evaluation
    calibrating: int

    @property
    def paired(self) -> Paired:
        """int8 against float."""
        paired = self.evaluation.models[1].against_first
        assert paired is not None
        return paired

    def accuracy(self) -> Accuracy:
        """As the file and its bundle say it."""
        real, given = self.evaluation.models
        name = Path(self.evaluation.data).resolve().name
        return Accuracy(real.top1, given.top1, self.evaluation.n, name)


def open_trial(trial: Trial, out: Path, source: str) -> PhotoSet:
    """The photos of a trial, found before the long work, with everything that can be refused by then.

    Raises:
        EdgenetError: a limit that is none, photos without labels, no place to keep a rejected file.
    """
    if trial.max_drop is not None:
        if not (math.isfinite(trial.max_drop) and trial.max_drop >= 0):
            raise EdgenetError(
                f"--max-drop is {trial.max_drop}", "give points of top-1, 0 or more, such as 0.5"
            )
        check_output(rejected(out), source)
    return open_labelled(trial.data)


def check_classes(photos: PhotoSet, source: Source) -> None:
    """Refuses photos whose classes the network does not have.

    Raises:
        EdgenetError: see `outputs_for`.
    """
    used = {label for label in photos.labels if label is not None}
    outputs_for(photos.class_names, used, float_scorer("", source).labels, photos.origin)


def measure(
    photos: PhotoSet, calibrated: PhotoSet, source: Source, model: ModelFile, progress: Progress
) -> Measured:
    """Float and int8 on the labelled photos, without those whose contents calibrated: on them int8 would flatter.

    Raises:
        EdgenetError: no photo is left or none can be read.
    """
    seen = set(content_hashes(calibrated))
    fresh = [i for i, content in enumerate(content_hashes(photos)) if content not in seen]
    if not fresh:
        raise EdgenetError(
            f"all {len(photos)} photos in {photos.origin} calibrated the network", "give --data other photos"
        )
    options = EvaluationOptions()
    scorers = [float_scorer(source.facts.name, source), lite_scorer(str(model.path), model, options.threads)]
    evaluation = evaluate_scorers(scorers, photos.take(fresh), options, progress)
    return Measured(evaluation, len(photos) - len(fresh))


def rejected(out: Path) -> Path:
    """Where a file goes that lost too much: beside the one it would have replaced."""
    return out.with_name(f"{out.stem}.rejected{out.suffix}")


def pass_or_keep_aside(
    measured: Measured, max_drop: float | None, out: Path, data: bytes, recipe: str
) -> None:
    """Lets a file pass, or keeps it aside and leaves `out` alone.

    Raises:
        EdgenetError: the drop is larger than the limit.
    """
    paired = measured.paired
    # in whole photos, so that a drop of exactly the limit passes
    if max_drop is None or paired.lost - paired.won <= max_drop * paired.n / 100 + 1e-9:
        return
    aside = rejected(out)
    write_atomically(aside, data)
    real, given = measured.evaluation.models
    found = (
        f"int8 loses {paired.drop:.2f} points of top-1 on {paired.n} photos of {measured.evaluation.data} "
        f"(float {real.top1:.2f} %, int8 {given.top1:.2f} %, 95 % interval of the drop {paired.interval.low:.2f} to "
        f"{paired.interval.high:.2f} points), more than --max-drop {max_drop:g}; the new file is kept "
        f"aside as {aside}, {out} is untouched"
    )
    chance = (
        ", or more photos in --data: so few do not exclude chance" if paired.interval.low <= max_drop else ""
    )
    raise EdgenetError(
        found,
        f"try {better_recipe(recipe)}more calibration photos or photos more like those in --data{chance}",
    )
