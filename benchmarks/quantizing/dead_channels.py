"""The gain from removing dead channels: one network with and without them, timed in turns in one run.

Both are quantized with the simplest recipe, because an operator's time does not depend on the values of its integers.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.accuracy import compare, logits_of
from benchmarks.quantizing.inputs import draw_name
from benchmarks.quantizing.judging import Judge, held_out
from benchmarks.quantizing.rows import CutComparison
from benchmarks.tflite_files import latency_ratio
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.progress import silent
from edgenet.quantize.channels import drop_dead_channels
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import int8_program
from edgenet.workflows.sources import SourceOptions, open_source

CALIBRATION_PHOTOS = 32


def compare_cut(judge: Judge, folder: Path) -> CutComparison | None:
    """Make both files in `folder` and measure them; return None if the network has no dead channels."""
    network = judge.network
    normalization = network.options[1] if network.options else None
    source = open_source(str(network.source), SourceOptions(normalization=normalization))
    uncut = lower(source.graph, exact_border=False)
    cut = drop_dead_channels(uncut)
    if _weights(cut) == _weights(uncut):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        _write(graph, judge, folder / name) for graph, name in ((uncut, "uncut.tflite"), (cut, "cut.tflite"))
    ]
    indices = held_out(judge.draws, draw_name(0))
    figures = [
        compare(
            judge.real[indices],
            logits_of(path, judge.images[indices], network.normalization),
            judge.labels[indices],
        )
        for path in files
    ]
    latency = latency_ratio(files[1], files[0], judge.images[:1])
    return CutComparison(
        (latency.second_ms, latency.first_ms),
        (files[0].stat().st_size, files[1].stat().st_size),
        (figures[0].top1, figures[1].top1),
        (figures[0].agreement, figures[1].agreement),
        latency.ratio,
    )


def _write(graph: Graph, judge: Judge, path: Path) -> Path:
    calibration = judge.images[judge.draws == 0][:CALIBRATION_PHOTOS]
    quantized = RECIPES["minmax"].quantize(graph, calibration, silent)
    path.write_bytes(write_tflite(int8_program(quantized)))
    return path


def _weights(graph: Graph) -> int:
    weights = (getattr(node.operator, "weight", None) for node in graph.nodes)
    return sum(weight.size for weight in weights if weight is not None)
