"""Convert a torch network to an int8 .tflite with litert-torch and AI Edge Quantizer, as they document it.

    .envs/litert_torch/bin/python -m benchmarks.peers.litert_torch.convert WEIGHTS PHOTOS OUT.tflite NORMALIZATION

WEIGHTS is a source that `edgenet convert` takes; the module is edgenet's, followed by a softmax. litert-torch writes
the float file, NHWC; `static_wi8_ai8` quantizes it, calibrated as AI Edge Quantizer's README recommends for everything
except GPTQ. It runs in its own environment.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import litert_torch
import torch
from ai_edge_quantizer import calibrator, quantizer, recipe

from benchmarks.normalizations import parse
from benchmarks.peers.calibration import normalized_photos
from edgenet.zoo.readers import load_network

SIGNATURE, INPUT = "serving_default", "args_0"


def main() -> None:
    """Convert and write the file."""
    source, photos, out, normalization = sys.argv[1:]
    network = load_network(source)
    side = network.variant.resolution
    classifier = torch.nn.Sequential(network.module, torch.nn.Softmax(dim=1)).eval()
    with TemporaryDirectory() as folder:
        float_file = Path(folder) / "float.tflite"
        channels_last = litert_torch.to_channel_last_io(classifier, args=[0]).eval()
        litert_torch.convert(channels_last, (torch.zeros(1, side, side, 3),)).export(str(float_file))
        quantizing = quantizer.Quantizer(str(float_file))
        quantizing.load_quantization_recipe(recipe.static_wi8_ai8())
        samples = [{INPUT: photo} for photo in normalized_photos(Path(photos), parse(normalization))]
        mode = calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED
        ranges = quantizing.calibrate({SIGNATURE: samples}, mode=mode)
        Path(out).write_bytes(quantizing.quantize(ranges).quantized_model)


if __name__ == "__main__":
    main()
