"""Make float .tflite files with Keras and TensorFlow, in an environment that has them: `python keras_files.py FOLDER`.

Each file stands for one way of training and converting; weights are random. NAME.npy beside each file holds
LiteRT's output for the pictures in pixels.npy; the second part of the name says how the pictures are scaled.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SIZE, CLASSES = 96, 10
SCALINGS = {"pixels": lambda x: x, "centred": lambda x: x / 127.5 - 1}


def fixed() -> keras.KerasTensor:
    """Fix the batch to one."""
    return keras.Input(batch_shape=(1, SIZE, SIZE, 3))


def application(build: Callable[..., keras.Model], **options: object) -> keras.Model:
    """Return a network of keras.applications with random weights and random batch normalization."""
    return shaken(build(weights=None, classes=CLASSES, **options))


def shaken(model: keras.Model) -> keras.Model:
    """Change batch normalization as if it had been trained."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.get_weights()[0].shape
            ranges = ((0.7, 1.3), (-0.3, 0.3), (-0.3, 0.3), (0.5, 1.5))
            layer.set_weights([rng.uniform(*ends, shape) for ends in ranges])
    return model


def transfer_learning() -> keras.Model:
    """Return a network as in Keras' tutorial: scaling, a network without its top, an open batch."""
    base = shaken(
        keras.applications.MobileNetV2(
            input_shape=(SIZE, SIZE, 3), alpha=0.35, include_top=False, weights=None
        )
    )
    top = [layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(CLASSES)]
    return keras.Sequential(
        [keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 127.5, offset=-1), base, *top]
    )


def plain() -> keras.Model:
    """A small network with layers that the applications lack."""
    normal = layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.05, 0.05, 0.05])
    return keras.Sequential(
        [
            *(keras.Input((SIZE, SIZE, 3)), layers.Rescaling(1 / 255), normal),
            *(layers.Conv2D(8, 3, padding="same", activation="swish"), layers.MaxPooling2D()),
            *(
                layers.SeparableConv2D(16, 3, strides=2, activation="hard_sigmoid"),
                layers.AveragePooling2D(2),
            ),
            *(layers.Flatten(), layers.Dense(16, activation="relu6"), layers.Dense(CLASSES, "softmax")),
        ]
    )


def small_v1() -> keras.Model:
    """MobileNetV1 0.25."""
    return application(keras.applications.MobileNet, input_tensor=fixed(), alpha=0.25)


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "v1-centred": small_v1,
    "v3small-pixels": lambda: application(keras.applications.MobileNetV3Small, input_tensor=fixed()),
    "v3minimalistic-pixels": lambda: application(
        keras.applications.MobileNetV3Small, input_shape=(SIZE, SIZE, 3), minimalistic=True
    ),
    "efficientnet-pixels": lambda: application(
        keras.applications.EfficientNetB0, input_shape=(SIZE, SIZE, 3)
    ),
    "transfer-pixels": transfer_learning,
    "plain-pixels": plain,
}


def reference(data: bytes, pixels: np.ndarray) -> np.ndarray:
    """Return the output of TensorFlow's own runtime for the pictures."""
    interpreter = tf.lite.Interpreter(model_content=data)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    outputs = []
    for picture in pixels:
        interpreter.set_tensor(source["index"], picture[None].astype(np.float32))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"])[0])
    return np.stack(outputs)


def save(folder: Path, name: str, converter: tf.lite.TFLiteConverter) -> None:
    """Convert the network, save the file and its output."""
    data = converter.convert()
    (folder / f"{name}.tflite").write_bytes(data)
    pixels = np.load(folder / "pixels.npy").astype(np.float32)
    np.save(folder / f"{name}.npy", reference(data, SCALINGS[name.split("-")[1]](pixels)))


def main() -> None:
    """Write all files."""
    folder = Path(sys.argv[1])
    keras.utils.set_random_seed(1)
    for name, build in NETWORKS.items():
        save(folder, name, tf.lite.TFLiteConverter.from_keras_model(build()))
    for name, half in (("half-centred", True), ("range-centred", False)):
        converter = tf.lite.TFLiteConverter.from_keras_model(small_v1())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if half:
            converter.target_spec.supported_types = [tf.float16]
        save(folder, name, converter)


if __name__ == "__main__":
    main()
