"""What is each step of a recipe worth? Steps are added one by one; LiteRT is judged on photos outside the calibration.

    .venv/bin/python -m benchmarks.ablation [--networks v1,v2,lite0] [--draws 1] [--work FOLDER] [--data ../shared/data]

It prints a table in Markdown for every network; docs/quantization.md has one such run. The figures are means over the
draws (every fifth photo, starting with photo 0, 1, ..., calibrates; the other 400 judge); seconds are those of
quantizing alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import Figures, compare
from benchmarks.environments import ROOT
from benchmarks.exactness import lite_int8
from benchmarks.options import names_of
from benchmarks.quantizing import inputs
from benchmarks.quantizing.networks import IMAGENET, STANDARD, Network, open_network
from edgenet.data.loading import evenly
from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.progress import silent
from edgenet.quantize.calibrate_layers import LayerOptions, quantize_layers
from edgenet.quantize.channels import drop_dead_channels
from edgenet.quantize.equalize import equalize
from edgenet.quantize.quantization_errors import confidence
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.quantize.ranges import (
    add_headroom,
    add_logit_room,
    channel_statistics,
    encode_tensors,
    observe_ranges,
)
from edgenet.quantize.recipes import BALANCED, RECIPES
from edgenet.quantize.rotate import JointStatistics, mixable, rotate
from edgenet.quantize.sensitivity import FullMatrixNames, Sensitivity, logit_sensitivity
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import raw_program
from edgenet.workflows.sources import SourceOptions, open_source

Photos = NDArray[np.uint8]
Step = Callable[[Graph, Photos], QuantizedGraph]


def reshaped(graph: Graph, images: Photos, axes_steps: int | None) -> tuple[Graph, Sensitivity]:
    """Equalize as `balanced` does; before that, rotate with this many steps of descent (None: do not rotate)."""
    mixed = FullMatrixNames() if axes_steps is None else mixable(graph)
    joint = JointStatistics(mixed.tensors)
    statistics = channel_statistics(graph, images, also=joint.observe)
    few = images[evenly(len(images), BALANCED.sensitivity_photos)]
    sensitivity = logit_sensitivity(graph, few, statistics, mixed)
    if axes_steps is not None:
        graph, sensitivity = rotate(graph, statistics, joint, sensitivity, axes_steps)
    return equalize(graph, statistics, sensitivity, BALANCED.factor_steps), sensitivity


ROUND = LayerOptions(second_moments=False, compensate=False)


def scaled_and_corrected(graph: Graph, images: Photos) -> QuantizedGraph:
    """Round to nearest, with least-squares scales and corrected biases."""
    return quantize_layers(graph, encode_tensors(graph, observe_ranges(graph, images)), images, ROUND)


def reshaped_and_corrected(graph: Graph, images: Photos, axes_steps: int | None) -> QuantizedGraph:
    """Reshape a graph without its dead channels, and quantize it like `scaled_and_corrected`."""
    return scaled_and_corrected(reshaped(drop_dead_channels(graph), images, axes_steps)[0], images)


def with_headroom(graph: Graph, images: Photos, options: LayerOptions) -> QuantizedGraph:
    """Quantize as `balanced` does, with other options for the layers."""
    other, sensitivity = reshaped(drop_dead_channels(graph), images, BALANCED.axes_steps)
    ranges = add_headroom(other, observe_ranges(other, images), sensitivity.coherence)
    ranges = add_logit_room(other, ranges, confidence(run(other, images)))
    return quantize_layers(other, encode_tensors(other, ranges), images, options)


def steps() -> Iterator[tuple[str, Step]]:
    """Yield the name of each added step, and a function that quantizes with all steps up to it."""
    yield "`minmax`", lambda graph, images: RECIPES["minmax"].quantize(graph, images, silent)
    yield (
        "dead channels cut out",
        lambda graph, images: RECIPES["minmax"].quantize(drop_dead_channels(graph), images, silent),
    )
    yield (
        "weight scales, bias correction",
        lambda graph, images: scaled_and_corrected(drop_dead_channels(graph), images),
    )
    for name, axes_steps in (
        ("equalization", None),
        ("rotation, closed form", 0),
        ("rotation, descent", BALANCED.axes_steps),
    ):
        yield name, partial(reshaped_and_corrected, axes_steps=axes_steps)
    yield "room in the ranges", lambda graph, images: with_headroom(graph, images, ROUND)
    second_moments = replace(ROUND, second_moments=True)
    yield "second moments", lambda graph, images: with_headroom(graph, images, second_moments)
    for name, recipe in (("compensation: `balanced`", "balanced"), ("doubled channels: `best`", "best")):
        yield name, partial(RECIPES[recipe].quantize, progress=silent)


def main() -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks.ablation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--networks", type=names_of(IMAGENET), default=STANDARD, help=f"of {','.join(IMAGENET)}"
    )
    parser.add_argument("--draws", type=int, default=1, choices=range(1, inputs.STEP + 1))
    parser.add_argument("--work", type=Path, help="keep decoded photos and weights here")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="edgenet-ablation-") as spare:
            folder = options.work or Path(spare)
            chosen = options.networks
            inputs.prepare(options.data, folder, chosen)
            for key in chosen:
                print(f"\n{key}\n" + "\n".join(table(open_network(key, options.data, folder), options.draws)))
    except (EdgenetError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def table(network: Network, count: int) -> Iterator[str]:
    """Yield the lines of the network's table."""
    with np.load(network.photos / inputs.JUDGED) as stored:
        images, labels, draws = (
            stored["images"],
            stored["labels"].astype(np.intp) + network.first_class,
            stored["draws"],
        )
    graph = open_source(str(network.source), _options(network)).graph
    real, lowered = run(lower(graph, exact_border=True), images), lower(graph, exact_border=False)
    yield "| and | top-1 drop | agrees with float | SQNR of the logits | s |"
    yield "|---|---|---|---|---|"
    for name, step in steps():
        figures, seconds = [], 0.0
        for draw in range(count):
            calibrates = draws == draw
            start = time.perf_counter()
            quantized = step(lowered, images[calibrates])
            seconds += time.perf_counter() - start
            figures.append(judged(quantized, images[~calibrates], real[~calibrates], labels[~calibrates]))
        drop, agreement, sqnr = (
            float(np.mean([getattr(f, key) for f in figures])) for key in ("drop", "agreement", "sqnr_db")
        )
        yield f"| {name} | {drop:.2f} | {agreement:.2f} % | {sqnr:.1f} dB | {seconds / count:.0f} |"


def judged(
    quantized: QuantizedGraph, images: Photos, real: NDArray[np.float32], labels: NDArray[np.intp]
) -> Figures:
    """Compare LiteRT's logits with the float network's."""
    encoding = quantized.encodings[quantized.graph.output]
    steps = lite_int8(write_tflite(raw_program(quantized)), images) - encoding.zero_point
    return compare(real, (steps * encoding.scale).astype(np.float32), labels)


def _options(network: Network) -> SourceOptions:
    named = dict(zip(network.options[::2], network.options[1::2], strict=True))
    return SourceOptions(normalization=named.get("--normalization"))


if __name__ == "__main__":
    sys.exit(main())
