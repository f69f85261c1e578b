"""The verb `package`: packs a .tflite file into a bundle."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgenet.bundle import read_contract, write_bundle
from edgenet.errors import EdgenetError
from edgenet.files import check_output, sha256
from edgenet.manifest import Accuracy, Facts, Manifest, Weights
from edgenet.progress import Progress, silent
from edgenet.tflite.metadata import read_facts, read_labels
from edgenet.workflows.arguments import checked
from edgenet.workflows.evaluate import (
    Evaluation,
    EvaluationOptions,
    evaluate_scorers,
    open_labelled,
    open_scorer,
)
from edgenet.workflows.sources import SourceOptions, label_names


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


@checked
def package(
    model: str | Path,
    out: str | Path | None = None,
    *,
    labels: str | Path | Sequence[str] | None = None,
    data: str | Path | None = None,
    float_source: str | Path | None = None,
    progress: Progress = silent,
) -> Packed:
    """Pack a .tflite file into a bundle.

    >>> edgenet.package("small.tflite", "small.edgenet", data="labelled").manifest.accuracy.n
    12

    Args:
        model: a file from `convert`, or any classifier with the same inputs and outputs.
        out: path of the bundle; None for the model's path with the ending .edgenet.
        labels: class names in the order of the outputs, a list or a text file with one per line; needed if the
            model has none.
        data: labelled photos to measure the accuracy on, which is recorded in the manifest.
        float_source: the float network of an int8 model, to record its accuracy too; needs `data`.
        progress: called with each stage's name, the amount done, and the total.

    Raises:
        EdgenetError: there are no labels, their number differs from the number of outputs, the model has
            other inputs or outputs, or `float_source` is given without `data` or for a float model.
        TypeError: an argument has the wrong type.
    """
    source = Path(model)
    path = source.with_suffix(".edgenet") if out is None else Path(out)
    content = _read(source)
    check_output(path, source)
    names = _labels_of(content, source) if labels is None else label_names(labels)
    where = labels if isinstance(labels, str | os.PathLike) else "labels" if labels else source
    _check(content, names, str(where))
    facts = read_facts(content, str(source)) or Facts(
        source.stem, Weights(source.name, "not stated by the file", sha256(content))
    )
    if data is None:
        if float_source is not None:
            raise EdgenetError("there are no photos to measure the float source on", "give --data PHOTOS too")
        return Packed(str(path), write_bundle(path, content, names, facts), ())
    photos = Path(data)
    measured = _measure(source, names, photos, None if float_source is None else str(float_source), progress)
    facts = replace(facts, accuracy=_accuracy(measured, photos))
    return Packed(str(path), write_bundle(path, content, names, facts), measured.skipped)


def _read(model: Path) -> bytes:
    try:
        return model.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot read {model}: {error.strerror}", "give a .tflite file") from None


def _labels_of(content: bytes, model: Path) -> tuple[str, ...]:
    names = read_labels(content)
    if names is None:
        raise EdgenetError(f"{model} has no labels", "give them with --labels FILE, one per line")
    return tuple(names)


def _check(content: bytes, names: tuple[str, ...], where: str) -> None:
    """Check before the measuring what `write_bundle` would only check after it."""
    _, output = read_contract(content)
    if len(names) != output.classes:
        raise EdgenetError(
            f"{where} names {len(names)} classes and the model has {output.classes} outputs",
            "give one label per line, in the order of the outputs",
        )


def _measure(
    model: Path, names: tuple[str, ...], data: Path, float_source: str | None, progress: Progress
) -> Evaluation:
    """Evaluate the model, with the bundle's labels, and the float source on the same photos."""
    options, defaults = SourceOptions(), EvaluationOptions()
    photos = open_labelled(data)
    scorers = [replace(open_scorer(str(model), options, defaults.threads), labels=names)]
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
