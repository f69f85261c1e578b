"""The accuracy of every form that `edgenet convert` writes, each run by its real runtime, beside the float file.

    python -m benchmarks.formats SOURCE --data LABELLED.zip --out FOLDER [--normalization NAME]

LiteRT runs the .tflite files, ONNX Runtime and OpenVINO the .onnx files. OpenVINO has an environment of its own, which
the first run makes (`benchmarks/peers/openvino`).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import edgenet
from benchmarks.environments import ROOT, python_of
from edgenet.workflows.evaluate import EvaluatedModel, EvaluationOptions, evaluate_scorers, open_labelled
from edgenet.workflows.scoring import Scorer, open_scorer
from edgenet.workflows.source_options import SourceOptions

INT8: dict[str, Any] = {"calibration": "builtin", "recipe": "fast"}
FORMS: dict[str, dict[str, Any]] = {
    "float32.tflite": {"precision": "float32"},
    "float16.tflite": {"precision": "float16"},
    "dynamic.tflite": {"precision": "dynamic"},
    "int8.tflite": INT8,
    "int8_uint8_ends.tflite": {**INT8, "io": "uint8"},
    "int8_int8_ends.tflite": {**INT8, "io": "int8"},
    "int8_float32_ends.tflite": {**INT8, "io": "float32"},
    "float32.onnx": {"precision": "float32"},
    "int8.onnx": INT8,
}
Score = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
PEER = ROOT / "benchmarks" / "peers" / "openvino"


def main() -> None:
    """Convert, run, and print the table."""
    shape = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    shape.add_argument("source")
    shape.add_argument("--data", type=Path, required=True)
    shape.add_argument("--out", type=Path, required=True)
    shape.add_argument("--normalization")
    given = shape.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    files = {name: given.out / name for name in FORMS}
    for name, path in files.items():
        edgenet.convert(given.source, path, normalization=given.normalization, **FORMS[name])
    scorers = [scorer for path in files.values() for scorer in scorers_of(path)]
    found = evaluate_scorers(scorers, open_labelled(given.data), EvaluationOptions())
    print(f"{found.n} photos of {given.data.name}\n")
    print("| file | run by | MB | top-1 | top-5 | agrees with float |\n|---|---|---|---|---|---|")
    for row in found.models:
        print(line(row, given.out))


def line(row: EvaluatedModel, folder: Path) -> str:
    """Return a row of the table."""
    size = (folder / row.model).stat().st_size / 1e6
    top5 = "" if row.top5 is None else f"{row.top5:.1f} %"
    return f"| {row.model} | {row.runtime} | {size:.2f} | {row.top1:.1f} % | {top5} | {row.agreement:.1f} % |"


def scorers_of(path: Path) -> list[Scorer]:
    """Return the runtimes that run a file."""
    if path.suffix == ".tflite":
        found = open_scorer(str(path), SourceOptions(), 1)
        return [Scorer(path.name, found.precision, found.runtime, found.size, found.labels, found.score)]
    model = onnx.load(path)
    labels = next(one.value for one in model.metadata_props if one.key == "labels").split("\n")
    height, width = (side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim[2:])
    runtimes = {"ONNX Runtime": _onnx_runtime(path), "OpenVINO": _openvino(path)}
    return [
        Scorer(path.name, path.stem, runtime, (height, width), tuple(labels), score)
        for runtime, score in runtimes.items()
    ]


def _onnx_runtime(path: Path) -> Score:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")  # exact on x86 without VNNI too
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda images: np.concatenate(
        [session.run(None, {"image": one[None]})[0] for one in _nchw(images)]
    )


def _openvino(path: Path) -> Score:
    python = python_of("openvino", PEER / "requirements.txt")

    def score(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with tempfile.TemporaryDirectory() as folder:
            pictures, scores = Path(folder, "pictures.npy"), Path(folder, "scores.npy")
            np.save(pictures, _nchw(images))
            subprocess.run([python, PEER / "run.py", path, pictures, scores], check=True)
            return np.asarray(np.load(scores), np.float32)

    return score


def _nchw(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), np.float32)


if __name__ == "__main__":
    main()
