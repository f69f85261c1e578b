"""Runs an .onnx on the CPU by OpenVINO; runs in OpenVINO's own environment.

    python run.py MODEL.onnx PICTURES.npy SCORES.npy

PICTURES.npy holds float32 [n, 3, H, W], and SCORES.npy gets float32 [n, classes].
"""

from __future__ import annotations

import sys

import numpy as np
import openvino


def main(model: str, pictures: str, scores: str) -> None:
    """Run the model on every picture and save its scores."""
    # bfloat16 or float16, which OpenVINO takes on some processors, would blur the comparison.
    network = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    rows = [network(picture[None])[0][0] for picture in np.load(pictures)]
    np.save(scores, np.stack(rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
