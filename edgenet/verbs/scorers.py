"""Scores photos with any network: LiteRT runs a .tflite or a bundle, torch runs float sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device_scripts.model_file import ModelFile
from device_scripts.runtime import Classifier, load_runtime
from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.progress import Progress, silent
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.verbs.model_files import open_model_file
from edgenet.verbs.sources import Source, SourceOptions, open_source, options_for

RUN_FILES = (".tflite", ".edgenet")


@dataclass(frozen=True)
class Scorer:
    """A network ready to score photos.

    Attributes:
        model: the model as the user named it.
        precision: "int8" or "float32".
        runtime: name (and for LiteRT the version) of the runtime that runs it.
        size: side of its input picture, pixels.
        labels: class names, one per output.
        score: turns uint8 RGB [n, size, size, 3] into scores or logits, float32 [n, N].
    """

    model: str
    precision: str
    runtime: str
    size: int
    labels: tuple[str, ...]
    score: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def open_scorer(model: str, options: SourceOptions, threads: int, progress: Progress = silent) -> Scorer:
    """Open a model for scoring.

    Args:
        model: a .tflite, a bundle, or a source for `open_source`.
        options: for float sources; options that do not apply to this source are ignored.
        threads: threads of LiteRT.
    """
    if model.lower().endswith(RUN_FILES):
        return lite_scorer(model, open_model_file(Path(model)).file, threads)
    source = open_source(model, options_for(model, options), progress)
    return float_scorer(model, source)


def float_scorer(model: str, source: Source) -> Scorer:
    """Return a scorer that runs an opened float network with torch."""
    graph = source.graph
    labels = source.labels or tuple(f"class {index}" for index in range(graph.classes))
    return Scorer(model, "float32", "torch", graph.size[0], labels, lambda images: run(graph, images))


def check_options(models: Sequence[str], options: SourceOptions) -> None:
    """Check that each option applies to at least one of the models.

    Raises:
        EdgenetError: an option applies to none of the models; the message names the option.
    """
    sources = [model for model in models if not model.lower().endswith(RUN_FILES)]
    taken = [options_for(source, options) for source in sources]
    if options.normalization is not None and not any(option.normalization for option in taken):
        raise EdgenetError(
            "--normalize is for .onnx models, and none of the models is one", "leave out --normalize"
        )
    if options.resolution is not None and not any(option.resolution for option in taken):
        raise EdgenetError("all of the models have a fixed resolution", "leave out --resolution")


def lite_scorer(model: str, file: ModelFile, threads: int) -> Scorer:
    """Return a scorer that runs an opened .tflite with LiteRT."""
    runtime = load_runtime()
    classifier = Classifier(file, runtime, threads)

    def score(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        scores = []
        for image in images:
            np.copyto(classifier.input_view(), image)
            classifier.invoke()
            scores.append(classifier.scores())
        return np.stack(scores)

    name = f"{runtime.name} {runtime.version}"
    return Scorer(model, precision(file.data, model), name, classifier.size, classifier.labels, score)


def precision(tflite: bytes, where: str) -> str:
    """Return "int8" if the file has any int8 weights, else "float32"."""
    tensors = read_tflite(tflite, where).tensors
    weights = [tensor for tensor in tensors if tensor.data is not None and len(tensor.shape) > 1]
    return "int8" if any(tensor.dtype == "int8" for tensor in weights) else "float32"
