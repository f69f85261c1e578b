"""The verb `package`: packs a .tflite file into a bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgenet.bundle import read_contract, write_bundle
from edgenet.errors import EdgenetError
from edgenet.files import check_output, sha256
from edgenet.manifest import Accuracy, Facts, Manifest, Weights
from edgenet.progress import Progress, silent
from edgenet.tflite.metadata import read_labels
from edgenet.tflite.model_file import read_facts
from edgenet.workflows.evaluate import (
    Evaluation,
    EvaluationOptions,
    evaluate_scorers,
    open_labelled,
    open_scorer,
)
from edgenet.workflows.sources import SourceOptions, read_labels_file


@dataclass(frozen=True)
class Packed:
    """The result of `package`.

    Attributes:
        out: path of the bundle.
        manifest: the bundle's manifest.
        skipped: (name, reason) of the accuracy photos that could not be read.
    """

    out: str
    manifest: Manifest
    skipped: tuple[tuple[str, str], ...]


def package(
    model: Path,
    out: Path,
    labels: Path | None = None,
    data: Path | None = None,
    float_source: str | None = None,
    progress: Progress = silent,
) -> Packed:
    """Pack a .tflite file into a bundle.

    Args:
        model: a file from `convert`, or any classifier with the same inputs and outputs.
        out: path of the bundle, usually NAME.edgenet.
        labels: text file with one name per line; needed if the model has no labels.
        data: labelled photos to measure the accuracy on, which is recorded in the manifest.
        float_source: the float network of an int8 model, to record its accuracy too.

    Raises:
        EdgenetError: there are no labels, their number differs from the number of outputs, the model has
            other inputs or outputs, or `float_source` is given without `data` or for a float model.
    """
    content = _read(model)
    check_output(out, model)
    names = read_labels_file(labels) if labels else _labels_of(content, model)
    _check(content, names, labels or model)
    facts = read_facts(content, str(model)) or Facts(
        model.stem, Weights(model.name, "not stated by the file", sha256(content))
    )
    if data is None:
        if float_source is not None:
            raise EdgenetError("there are no photos to measure the float source on", "give --data PHOTOS too")
        return Packed(str(out), write_bundle(out, content, names, facts), ())
    measured = _measure(model, names, data, float_source, progress)
    facts = replace(facts, accuracy=_accuracy(measured, data))
    return Packed(str(out), write_bundle(out, content, names, facts), measured.skipped)


def _read(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot read {model}: {error.strerror}", "give a .tflite file") from None


def _labels_of(content: bytes, model: Path) -> list[str]:
    names = read_labels(content)
    if names is None:
        raise EdgenetError(f"{model} has no labels", "give them with --labels FILE, one per line")
    return names


def _check(content: bytes, names: list[str], where: Path) -> None:
    """Check before the measuring what `write_bundle` would only check after it."""
    _, output = read_contract(content)
    if len(names) != output.classes:
        raise EdgenetError(
            f"{where} names {len(names)} classes and the model has {output.classes} outputs",
            "give one label per line, in the order of the outputs",
        )


def _measure(
    model: Path, names: list[str], data: Path, float_source: str | None, progress: Progress
) -> Evaluation:
    """Evaluate the model, with the bundle's labels, and the float source on the same photos."""
    options, defaults = SourceOptions(), EvaluationOptions()
    photos = open_labelled(data)
    scorers = [replace(open_scorer(str(model), options, defaults.threads), labels=tuple(names))]
    if float_source is not None:
        if scorers[0].precision != "int8":
            raise EdgenetError(f"{model} is already a float model", "leave out --float-source")
        scorers.append(open_scorer(float_source, options, defaults.threads, progress))
    return evaluate_scorers(scorers, photos, defaults, progress)


def _accuracy(measured: Evaluation, data: Path) -> Accuracy:
    model, *beside = measured.models
    name = data.resolve().name
    if model.precision != "int8":
        return Accuracy(model.top1, None, measured.n, name)
    return Accuracy(beside[0].top1 if beside else None, model.top1, measured.n, name)
