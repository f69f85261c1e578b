"""A float .tflite to an int8 one with Google's AI Edge Quantizer, by its recipe for static int8.

    .envs/ai_edge_quantizer/bin/python benchmarks/peers/ai_edge_quantizer/convert.py FLOAT.tflite PHOTOS OUT.tflite
        [--ranges documented|minmax]

`documented` follows its README for static quantization, step by step: `static_wi8_ai8`, and ranges that are a moving
average of every photo's smallest and largest value. `minmax` differs only in the argument that its calibrator has for
this: the ranges are the smallest and largest value of all photos. PHOTOS is a folder of square photos of the network's
size, which takes them as uint8 pixels. The last line of stdout is one JSON object. It runs in its own environment
(requirements.txt).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_quantizer import calibrator, quantizer, recipe
from ai_edge_quantizer.utils import qsv_utils
from PIL import Image

SIGNATURE = "serving_default"
PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg")
# The README recommends this mode for everything except GPTQ.
MODE = calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED


def samples(folder: Path) -> Iterator[dict[str, np.ndarray]]:
    """Yield the photos in the order of their names, as inputs of the float file."""
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES):
        yield {"image": np.asarray(Image.open(path).convert("RGB"), np.uint8)[None]}


def documented_ranges(network: quantizer.Quantizer, photos: Path) -> dict:
    """Return the ranges by the README's `Quantizer.calibrate()`."""
    return network.calibrate({SIGNATURE: list(samples(photos))}, mode=MODE)


def minmax_ranges(source: Path, photos: Path) -> dict:
    """Return the ranges by the README's `CalibrationInterpreter`, with another rule for combining photos."""
    interpreter = calibrator.CalibrationInterpreter(str(source), MODE, qsv_utils.min_max_update)
    runner = interpreter.get_signature_runner(SIGNATURE)
    for sample in samples(photos):
        runner(**sample)
    return interpreter.get_calibration_results()


def main() -> None:
    """Convert, write the file, and print the JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path, metavar="FLOAT.tflite")
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("out", type=Path, metavar="OUT.tflite")
    parser.add_argument("--ranges", choices=("documented", "minmax"), default="documented")
    options = parser.parse_args()
    network = quantizer.Quantizer(str(options.source))
    network.load_quantization_recipe(recipe.static_wi8_ai8())
    if options.ranges == "documented":
        ranges = documented_ranges(network, options.photos)
    else:
        ranges = minmax_ranges(options.source, options.photos)
    content = network.quantize(ranges).quantized_model
    options.out.write_bytes(content)
    versions = {name: version(name) for name in ("ai-edge-quantizer", "ai-edge-litert", "numpy")}
    print(json.dumps({"versions": versions, "bytes": len(content)}))


if __name__ == "__main__":
    main()
