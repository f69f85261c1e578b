"""Convert MobileNetV1 or V2 1.0/224 to an int8 .tflite, with Keras and TensorFlow's own TFLiteConverter.

    .envs/keras_tflite/bin/python benchmarks/peers/keras_tflite/convert.py WEIGHTS.npz PHOTOS OUT.tflite [--float]

WEIGHTS.npz holds TF-slim's MobileNetV1, or torchvision's MobileNetV2 state dict as arrays; the names in it tell which.
The settings are exactly those of TensorFlow's documentation for full-integer post-training quantization: default
optimizations, a representative dataset, built-in int8 operators only, int8 input and output. PHOTOS is a folder of JPEG
or PNG files; with --float the network is not quantized and the photos are not read. The last line of stdout is one JSON
object. It runs in its own environment (requirements.txt).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf
from networks import RESOLUTION, mobilenet_v1, mobilenet_v2
from PIL import Image

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
# The normalizations that the weights were trained with: TF-slim's x / 127.5 - 1, and torchvision's mean and std.
SLIM = (np.array([127.5] * 3, np.float32), np.array([127.5] * 3, np.float32))
TORCHVISION = (
    np.array([123.675, 116.28, 103.53], np.float32),
    np.array([58.395, 57.12, 57.375], np.float32),
)
Normalization = tuple[np.ndarray, np.ndarray]


def build(weights: Path) -> tuple[keras.Model, Normalization]:
    """Return the network of the arrays, and its input normalization."""
    arrays = np.load(weights)
    if "MobilenetV1/Conv2d_0/weights" in arrays:
        return mobilenet_v1(arrays), SLIM
    return mobilenet_v2(arrays), TORCHVISION


def read(photo: Path, normalization: Normalization) -> np.ndarray:
    """Return the photo's centred square, normalized, as float32 [1, 224, 224, 3]."""
    image = Image.open(photo).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    pixels = square.resize((RESOLUTION, RESOLUTION), Image.Resampling.BILINEAR)
    mean, std = normalization
    return (np.asarray(pixels, np.float32)[None] - mean) / std


def convert(model: keras.Model, photos: list[Path], normalization: Normalization) -> bytes:
    """Return the int8 .tflite, calibrated on every one of `photos`."""

    def representative_dataset() -> Iterator[list[np.ndarray]]:
        for photo in photos:
            yield [read(photo, normalization)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_dataset
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return converter.convert()


def main() -> None:
    """Convert, write the file, and print the JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path, metavar="WEIGHTS.npz")
    parser.add_argument("photos", type=Path, metavar="PHOTOS")
    parser.add_argument("out", type=Path, metavar="OUT.tflite")
    parser.add_argument("--float", action="store_true", help="do not quantize")
    options = parser.parse_args()
    model, normalization = build(options.weights)
    if options.float:
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    else:
        photos = sorted(path for path in options.photos.iterdir() if path.suffix.lower() in PHOTO_SUFFIXES)
        if not photos:
            sys.exit(f"no photos in {options.photos}; give a folder of calibration photos")
        content = convert(model, photos, normalization)
    options.out.write_bytes(content)
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    print(json.dumps({"versions": versions, "bytes": len(content)}))


if __name__ == "__main__":
    main()
