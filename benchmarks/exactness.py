"""Are the files that edgenet writes exact? Real networks on real photos, compared with torch and with LiteRT.

    .venv/bin/python -m benchmarks.exactness [--data ../shared/data] [--photos 100]

For TF-slim's V1 and torchvision's V2, 1.0/224, it compares the float file's logits with torch's on all 500 photos, and
edgenet's integer arithmetic with LiteRT (XNNPACK) on every logit. It also counts the operators of the int8 file, and
those that XNNPACK runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from edgenet_device.runtime import find_delegate
from numpy.typing import NDArray

from benchmarks.accuracy import logits_of
from benchmarks.environments import ROOT
from benchmarks.normalizations import SLIM
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.graph.lower import lower
from edgenet.graph.simplify import simplify
from edgenet.graph.torch_reader import read_torch
from edgenet.progress import silent
from edgenet.quantize.integer import run_integer
from edgenet.quantize.recipes import DEFAULT_RECIPE, RECIPES
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import float_program, int8_program, raw_program
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.readers import load_network

WEIGHTS = "mobilenet_v1_1.0_224_imagenet.npz"
PHOTOS = "imagenet-sample-500.zip"


def main() -> int:
    """Run the benchmark; return 0 if every promise holds, else 1."""
    parser = argparse.ArgumentParser(prog="benchmarks.exactness", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--photos", type=int, default=100, help="photos for the integer comparison")
    options = parser.parse_args()
    try:
        images = load_all(open_photos(options.data / PHOTOS), 224).images
        networks = {
            "V1 1.0/224": load_network(options.data / WEIGHTS),
            "V2 1.0/224": load_network("mobilenet_v2_1.0_224"),
        }
    except EdgenetError as error:
        print(error, file=sys.stderr)
        return 1
    held = True
    for name, network in networks.items():
        for line, kept in check(network, images, options.photos):
            held &= kept
            print(f"{name}  {'held  ' if kept else 'BROKEN'}  {line}", flush=True)
    return 0 if held else 1


def check(network: LoadedNetwork, images: NDArray[np.uint8], photos: int) -> Iterator[tuple[str, bool]]:
    """Yield for every promise about a network the measurement, and whether it holds."""
    graph = simplify(read_torch(network.module, (224, 224), network.variant.name), network.normalization)
    real = torch_logits(network, images)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "float.tflite"
        path.write_bytes(write_tflite(float_program(lower(graph, exact_border=True))))
        logits = logits_of(path, images, SLIM)  # the file takes pixels, so the normalization is not used
    worst, same = float(np.abs(logits - real).max()), int((logits.argmax(1) == real.argmax(1)).sum())
    yield f"float file: top-1 as torch's on {same} of {len(images)} photos", same == len(images)
    yield f"float file: logits differ from torch's by at most {worst:.1e}", worst <= 1e-3
    calibration, others = images[::5], np.delete(images, np.arange(0, len(images), 5), axis=0)[:photos]
    quantized = RECIPES[DEFAULT_RECIPE].quantize(lower(graph, exact_border=False), calibration, silent)
    steps = np.abs(
        lite_int8(write_tflite(raw_program(quantized)), others) - np.int64(run_integer(quantized, others))
    )
    equal, near = float((steps == 0).mean()), float((steps <= 1).mean())
    promised = f"integer reading: {equal:.4%} of {steps.size} logits equal LiteRT's, {near:.4%} within a step"
    yield promised, equal == 1.0 if network.variant.architecture == "mobilenet_v1" else near >= 0.9999
    program = int8_program(quantized)
    kinds = program.kinds()
    pads, limit = kinds.get("PAD", 0), 33 if network.variant.architecture == "mobilenet_v1" else 73
    fine = len(program.operators) <= limit and pads <= (0 if limit == 33 else 5) and "TRANSPOSE" not in kinds
    yield f"int8 file: {len(program.operators)} operators, {pads} of them PAD: {kinds}", fine
    interpreter = Interpreter(model_content=write_tflite(program), num_threads=1)
    interpreter.allocate_tensors()
    found = find_delegate(interpreter)
    taken = f"{found.nodes_taken} of {found.nodes_total} nodes in {found.partitions} partition"
    yield (
        f"int8 file: {found.name} takes {taken}",
        found.nodes_taken == found.nodes_total and found.partitions == 1,
    )


@torch.inference_mode()
def torch_logits(network: LoadedNetwork, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the torch module's own logits, float32 [n, N]."""
    module = network.with_pixels()
    parts = (torch.from_numpy(part).permute(0, 3, 1, 2).float() for part in np.array_split(images, 50))
    return torch.cat([module(part) for part in parts]).numpy()


def lite_int8(model: bytes, images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return LiteRT's int8 logits [n, N] of a file with int8 input."""
    interpreter = Interpreter(model_content=model, num_threads=2)
    interpreter.allocate_tensors()
    source, target = (
        d[0]["index"] for d in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    logits = []
    for image in images:
        interpreter.set_tensor(source, (image[None].astype(np.int16) - 128).astype(np.int8))
        interpreter.invoke()
        logits.append(interpreter.get_tensor(target)[0])
    return np.stack(logits).astype(np.int64)


if __name__ == "__main__":
    sys.exit(main())
