"""MobileNetV1 1.0/224 with TF-slim's weights to an int8 .tflite, with Keras and TensorFlow's own TFLiteConverter.

    .envs/keras_tflite/bin/python benchmarks/peers/keras_tflite/convert.py WEIGHTS.npz PHOTOS OUT.tflite

The recipe is TensorFlow's documented one for full-integer post-training quantization, nothing added and nothing left
out: default optimizations, a representative dataset, built-in int8 operators only, int8 input and output. PHOTOS is a
folder of JPEG files. The last line of stdout is one JSON object. Runs in its own environment (requirements.txt).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

CLASSES = 1001  # TF-slim puts "background" before ImageNet's 1,000
RESOLUTION = 224


def build(weights: Path) -> keras.Model:
    """Keras' own MobileNet with the slim arrays in place; float32, input in [-1, 1], softmax output [1, 1001].

    No conversion of layouts is needed: both keep kernels as HWIO, depthwise ones as HWC1, and batch norm with
    epsilon 1e-3. Keras pads stride 2 explicitly at the bottom and right, as SAME does for even sizes.
    """
    # A batch of one, fixed: otherwise the file computes its own shapes with three more operators.
    pixels = keras.Input(batch_shape=(1, RESOLUTION, RESOLUTION, 3))
    model = keras.applications.MobileNet(input_tensor=pixels, alpha=1.0, weights=None, classes=CLASSES)
    arrays = np.load(weights)

    def norm(scope: str) -> list[np.ndarray]:
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return [arrays[f"MobilenetV1/{scope}/BatchNorm/{name}"] for name in names]

    model.get_layer("conv1").set_weights([arrays["MobilenetV1/Conv2d_0/weights"]])
    model.get_layer("conv1_bn").set_weights(norm("Conv2d_0"))
    for block in range(1, 14):
        for ours, theirs, kernel in (
            ("dw", "depthwise", "depthwise_weights"),
            ("pw", "pointwise", "weights"),
        ):
            scope = f"Conv2d_{block}_{theirs}"
            model.get_layer(f"conv_{ours}_{block}").set_weights([arrays[f"MobilenetV1/{scope}/{kernel}"]])
            model.get_layer(f"conv_{ours}_{block}_bn").set_weights(norm(scope))
    head = "MobilenetV1/Logits/Conv2d_1c_1x1"
    model.get_layer("conv_preds").set_weights([arrays[f"{head}/weights"], arrays[f"{head}/biases"]])
    return model


def read(photo: Path) -> np.ndarray:
    """The photo's centred square as float32 [1, 224, 224, 3] in [-1, 1]."""
    image = Image.open(photo).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    pixels = square.resize((RESOLUTION, RESOLUTION), Image.Resampling.BILINEAR)
    return np.asarray(pixels, np.float32)[None] / 127.5 - 1.0


def convert(model: keras.Model, photos: list[Path]) -> bytes:
    """The int8 .tflite, calibrated on every one of `photos`."""

    def representative_dataset() -> Iterator[list[np.ndarray]]:
        for photo in photos:
            yield [read(photo)]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative_dataset
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return converter.convert()


def main(weights: Path, folder: Path, out: Path) -> None:
    """Converts, writes `out`, and prints the JSON line."""
    photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))
    if not photos:
        sys.exit(f"no .jpg in {folder}; give a folder of calibration photos")
    content = convert(build(weights), photos)
    out.write_bytes(content)
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    print(json.dumps({"versions": versions, "photos": len(photos), "bytes": len(content)}))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: convert.py WEIGHTS.npz PHOTOS OUT.tflite")
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
