"""Which networks can edgenet convert? Mobile networks of timm and torchvision, exported to ONNX and read here.

    .venv/bin/python -m benchmarks.coverage [--networks NAME ...] [--recipe minmax] [--onnx FOLDER] [--out coverage.md]

Each network has random weights and batch-norm statistics. It is exported in an environment of its own
(`benchmarks/covering`, about 3 GB), and becomes a float file, whose logits on random pictures are compared with ONNX
Runtime's, and an int8 file. The table states how many operators of the int8 file XNNPACK does not run, which, and into
how many partitions they part it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from edgenet_device.runtime import bare_interpreter, load_runtime
from numpy.typing import NDArray

from benchmarks.covering.networks import NETWORKS
from benchmarks.environments import ENVIRONMENTS, ROOT, python_of
from edgenet.errors import EdgenetError
from edgenet.graph.lower import lower
from edgenet.graph.onnx_reader import read_onnx
from edgenet.graph.simplify import simplify
from edgenet.progress import silent
from edgenet.quantize.integer import real_logits
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import float_program, int8_program
from edgenet.tflite.program import Program
from edgenet.workflows.partitions import Partitions, find_partitions
from edgenet.zoo.classifier import TORCHVISION

GOAL = 64
TOLERANCE = 1e-4
"""The largest difference of a logit from ONNX Runtime's, relative to the largest logit."""
PICTURES, CALIBRATION = 2, 4


@dataclass(frozen=True)
class Row:
    """What became of one network.

    Attributes:
        name, side: the network and its input's side, pixels.
        refused: why it could not be converted; empty if it was.
        float_error: the largest difference of the float file's logits, relative to the largest logit.
        in_float: operators of the int8 file's graph that are computed in float32.
        int8: how XNNPACK runs the int8 file.
        int8_error: the largest difference between the scores of the int8 file and of edgenet's integer execution.
    """

    name: str
    side: int
    refused: str = ""
    float_error: float = np.nan
    in_float: int = 0
    int8: Partitions | None = None
    int8_error: float = np.nan

    @property
    def held(self) -> bool:
        """Whether the network became a float file within the tolerance, and an int8 file."""
        return not self.refused and self.float_error <= TOLERANCE and self.int8 is not None


def main() -> int:
    """Run the benchmark; return 0 if the goal is reached, else 1."""
    parser = argparse.ArgumentParser(prog="benchmarks.coverage", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS), metavar="NAME"
    )
    parser.add_argument("--recipe", default="minmax", choices=list(RECIPES), help="how to quantize")
    parser.add_argument(
        "--onnx", type=Path, default=ENVIRONMENTS / "coverage-onnx", help="folder for the .onnx files"
    )
    parser.add_argument("--out", type=Path, help="file for the table, Markdown")
    options = parser.parse_args()
    torch.set_num_threads(1)
    errors = export(options.networks, options.onnx)
    rows = []
    for name in options.networks:
        row = Row(name, NETWORKS[name], errors.get(name, ""))
        rows.append(row if row.refused else convert_one(row, options.onnx / f"{name}.onnx", options.recipe))
        print(as_line(rows[-1]), flush=True)
    text = table(rows, options.recipe)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    print(text)
    return 0 if sum(row.held for row in rows) >= min(GOAL, len(rows)) else 1


def export(names: Sequence[str], folder: Path) -> dict[str, str]:
    """Export the networks that are not in the folder yet; return the errors of those that cannot be exported."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [f"{name}:{NETWORKS[name]}" for name in names if not (folder / f"{name}.onnx").is_file()]
    if not missing:
        return {}
    here = ROOT / "benchmarks" / "covering"
    python = python_of("coverage", here / "requirements.txt")
    command = [str(python), str(here / "export.py"), str(folder), *missing]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {one["name"]: one["error"] for one in said if "error" in one}


def convert_one(row: Row, path: Path, recipe: str) -> Row:
    """Convert one network to float and to int8, and compare both."""
    try:
        graph = simplify(read_onnx(path), TORCHVISION)
        pictures, calibration = (random_pictures(n, graph.size, n) for n in (PICTURES, CALIBRATION))
        expected = logits_of_onnx(path, pictures)
        real = logits_of_file(float_program(lower(graph, exact_border=True)), pictures)
        quantized = RECIPES[recipe].quantize(lower(graph, exact_border=False), calibration, silent)
        program = int8_program(quantized)
        logits = logits_of_file(program, pictures)
    except EdgenetError as error:
        return replace(row, refused=str(error))
    own = real_logits(quantized, pictures)
    return replace(
        row,
        float_error=relative(real, expected),
        in_float=len(quantized.kept_float),
        int8=find_partitions(program, write_tflite(program)),
        int8_error=relative(own, logits),
    )


def random_pictures(count: int, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Return random pixels, uint8 [count, H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), np.uint8)


def relative(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference, relative to the largest expected value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def logits_of_onnx(path: Path, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return ONNX Runtime's logits for pictures, normalized as torchvision does."""
    mean, std = np.array(TORCHVISION.mean, np.float32), np.array(TORCHVISION.std, np.float32)
    inputs = np.ascontiguousarray(((pictures.astype(np.float32) - mean) / std).transpose(0, 3, 1, 2))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"image": x[None]})[0].reshape(1, -1) for x in inputs])


def logits_of_file(program: Program, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return LiteRT's logits, the input of the file's softmax, for pictures."""
    *operators, softmax = program.operators
    bare = replace(program, operators=tuple(operators), output=softmax.inputs[0])
    interpreter = bare_interpreter(load_runtime(), write_tflite(bare), 1)
    source, target = (
        interpreter.get_input_details()[0]["index"],
        interpreter.get_output_details()[0]["index"],
    )
    found = []
    for picture in pictures:
        interpreter.set_tensor(source, picture[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(target).copy())
    return np.concatenate(found)


def as_line(row: Row) -> str:
    """Return a network's row of the table."""
    if row.refused or row.int8 is None:
        return f"| {row.name} | {row.side} | refused: {row.refused} | | | | |"
    outside = ", ".join(f"{count} {kind}" for kind, count in row.int8.outside.items()) or "none"
    return (
        f"| {row.name} | {row.side} | {row.float_error:.1e} | {row.int8.operators} | {row.in_float} | {outside} "
        f"| {row.int8.count} |"
    )


def table(rows: Sequence[Row], recipe: str) -> str:
    """Return the table with its summary, as Markdown."""
    whole = sum(row.int8 is not None and row.int8.count == 1 for row in rows)
    exact = sum(row.int8_error < 1e-5 for row in rows)
    lines = [
        f"{sum(row.held for row in rows)} of {len(rows)} networks became a float file whose logits are within "
        f"{TOLERANCE:g} of ONNX Runtime's, and an int8 file (recipe {recipe}). {whole} int8 files are one XNNPACK "
        f"partition, and {exact} equal edgenet's integer execution.",
        "",
        "| network | side | float error | operators in int8 | of these in float | outside XNNPACK | partitions |",
        "|---|--:|--:|--:|--:|---|--:|",
        *map(as_line, rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
