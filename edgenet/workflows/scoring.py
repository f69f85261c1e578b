"""Networks that are ready to score photos, whatever runs them, and the errors of their logits against another's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from edgenet_device.classifier import Classifier
from edgenet_device.model_file import ModelFile
from edgenet_device.normalization import normalization_named
from numpy.typing import NDArray

from edgenet.files import sha256
from edgenet.graph.executor import run
from edgenet.progress import Progress, silent
from edgenet.quantize.quantization_errors import PhotoErrors, photo_errors
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.forms import highest_logit_of, without_softmax
from edgenet.tflite.from_graph import ends_in_scores
from edgenet.workflows.opened_model import is_finished, open_model_file
from edgenet.workflows.photo_arguments import label_names
from edgenet.workflows.sources import Source, SourceOptions, open_source, options_for


@dataclass(frozen=True)
class Scorer:
    """A network ready to score photos.

    Attributes:
        model: the model as the user named it.
        precision: "int8", "float32", or another one of `Program.precision`.
        runtime: name (and for LiteRT the version) of the runtime that runs it.
        size: height and width of its input picture, pixels.
        labels: class names, one per output.
        score: turns uint8 RGB [n, height, width, 3] into scores or logits, float32 [n, N].
        logits: turns it into logits, float32 [n, N]; None if the network gives only scores.
        highest: the highest logit that int8 can hold; None for float logits.
    """

    model: str
    precision: str
    runtime: str
    size: tuple[int, int]
    labels: tuple[str, ...]
    score: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    logits: Callable[[NDArray[np.uint8]], NDArray[np.float32]] | None = None
    highest: float | None = None


def errors_against_first(
    scorers: Sequence[Scorer],
    scores: Sequence[NDArray[np.float32]],
    images: Sequence[NDArray[np.uint8]],
) -> Iterator[list[PhotoErrors]]:
    """Yield for each network the errors of its logits against the first network's, in a list.

    The list is empty for the first network, for other classes or another order of them, and without logits.

    Args:
        scorers: the networks.
        scores: what each network's `score` gave for the photos.
        images: the photos in each network's size, uint8 RGB [n, height, width, 3].
    """

    def logits(place: int) -> NDArray[np.float32]:
        scorer = scorers[place]
        assert scorer.logits is not None
        return scores[place] if scorer.logits is scorer.score else scorer.logits(images[place])

    first = scorers[0]
    given = len(scores[0]) > 0 and first.logits is not None
    compared = [given and one.logits is not None and one.labels == first.labels for one in scorers]
    real = logits(0) if any(compared[1:]) else None
    yield []
    for place, scorer in enumerate(scorers[1:], start=1):
        yield (
            [photo_errors(logits(place), real, scorer.highest)]
            if real is not None and compared[place]
            else []
        )


def open_scorer(model: str, options: SourceOptions, threads: int, progress: Progress = silent) -> Scorer:
    """Open a model for scoring.

    Args:
        model: a .tflite, a bundle, or a source for `open_source`.
        options: for float sources and for other makers' files; options that do not apply to this source are ignored.
        threads: threads of LiteRT.
    """
    if is_finished(model):
        file = open_model_file(Path(model)).file
        normalization = options.normalization if says_no_normalization(model) else None
        return lite_scorer(model, file, threads, normalization, options.labels)
    source = open_source(model, options_for(model, options), progress)
    return float_scorer(model, source)


def float_scorer(model: str, source: Source) -> Scorer:
    """Return a scorer that runs an opened float network with torch."""
    graph = source.graph
    labels = source.labels or tuple(f"class {index}" for index in range(graph.classes))
    logits = partial(run, graph)
    given = None if ends_in_scores(graph) else logits
    return Scorer(model, "float32", "torch", graph.size, labels, logits, given)


def says_no_normalization(model: str) -> bool:
    """Return whether this is a .tflite of another maker: such a file may not say what its pixels went through."""
    return is_finished(model) and open_model_file(Path(model)).facts is None


def lite_scorer(
    model: str,
    file: ModelFile,
    threads: int,
    normalization: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
) -> Scorer:
    """Return a scorer that runs an opened .tflite with LiteRT.

    Args:
        normalization: what the pixels go through, for a file that does not say it.
        labels: class names for a file that carries none.
    """
    named = normalization_named(normalization) if normalization else None
    names = label_names(labels) if labels is not None and not file.labels else None
    classifier = Classifier(file, threads, normalization=named, labels=names)

    def score(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack([classifier.score_prepared(image) for image in images])

    name = f"{classifier.runtime.name} {classifier.runtime.version}"
    size = classifier.height, classifier.width
    program = read_tflite(file.data, model)
    scorer = Scorer(model, program.precision(), name, size, classifier.labels, score)
    bare = without_softmax(file.data)
    if bare == file.data:
        return scorer
    before = Classifier(
        replace(file, data=bare, sha256=sha256(bare), labels=()), threads, normalization=named
    )

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack([_values(before, image) for image in images])

    return replace(scorer, logits=logits, highest=highest_logit_of(program))


def _values(classifier: Classifier, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    classifier.score_prepared(image)
    return classifier.values()
