"""The verb `package`: a .tflite file into a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.labels import parse_labels
from edgenet.bundle.bundle import write_bundle
from edgenet.bundle.manifest import Accuracy, Facts, Manifest, Weights
from edgenet.progress import Progress, silent
from edgenet.tflite.metadata import read_labels
from edgenet.tflite.model_file import read_facts
from edgenet.verbs.evaluate import EvaluationOptions, evaluate
from edgenet.verbs.scorers import precision
from edgenet.verbs.sources import SourceOptions


def package(
    model: Path,
    out: Path,
    labels: Path | None = None,
    data: Path | None = None,
    float_source: str | None = None,
    progress: Progress = silent,
) -> Manifest:
    """Packs a .tflite file into a bundle.

    Args:
        model: from `convert`, or any classifier in the same layout.
        out: usually NAME.edgenet.
        labels: one name per line; needed where the model carries none.
        data: labelled photos, to measure the accuracy that goes into the manifest.
        float_source: the float network, to have its accuracy measured beside it.

    Raises:
        EdgenetError: no labels, labels whose number differs from the outputs, a model of another layout.
    """
    try:
        content = model.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot read {model}: {error.strerror}", "give a .tflite file") from None
    names = parse_labels(labels.read_bytes(), str(labels)) if labels else _labels_of(content, model)
    facts = read_facts(content, str(model)) or Facts(
        model.stem, Weights(model.name, "not stated by the file", sha256(content))
    )
    if data is not None:
        facts = replace(facts, accuracy=_accuracy(model, content, data, float_source, progress))
    return write_bundle(out, content, names, facts)


def _labels_of(content: bytes, model: Path) -> list[str]:
    names = read_labels(content)
    if names is None:
        raise EdgenetError(f"{model} carries no labels", "give them with --labels FILE, one per line")
    return names


def _accuracy(model: Path, content: bytes, data: Path, float_source: str | None, progress: Progress) -> Accuracy:
    """Measured on the same photos: the model, and the float source where there is one."""
    sources = [str(model)] + ([float_source] if float_source else [])
    result = evaluate(sources, data, EvaluationOptions(), SourceOptions(), progress)
    top1 = [row.top1 for row in result.models]
    is_int8 = precision(content, str(model)) == "int8"
    if not is_int8:
        return Accuracy(top1[0], None, result.n, data.name)
    return Accuracy(top1[1] if float_source else None, top1[0], result.n, data.name)
