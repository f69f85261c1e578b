"""Write models with Keras 2 or 3 in a process that can import it: `python keras_models.py tf_keras|keras FOLDER`.

Weights and batch normalization are random. NAME.h5 and NAME.keras hold the model, NAME.npy its output for pixels.npy.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import numpy as np

gc.disable()  # Keras and torch make half a million objects that stay, and this process ends soon
keras: Any = importlib.import_module(sys.argv[1])
layers = keras.layers
SIZE, CLASSES = 96, 10


def picture() -> Any:
    """Return a model's input."""
    return keras.Input((SIZE, SIZE, 3))


def application(name: str, **options: Any) -> Any:
    """Return a network of keras.applications."""
    chosen = {"input_shape": (SIZE, SIZE, 3), "weights": None, "classes": CLASSES}
    return getattr(keras.applications, name)(**(chosen | options))


def tutorial() -> Any:
    """Return the model of TensorFlow's transfer learning tutorial, whose preprocessing is arithmetic on tensors."""
    augmentation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.2)])
    base = application("MobileNetV2", alpha=0.35, include_top=False)
    base.trainable = False
    inputs = picture()
    x = keras.applications.mobilenet_v2.preprocess_input(augmentation(inputs))
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.Dropout(0.2)(x)))


def partly_frozen() -> Any:
    """Return a nested model some of whose layers are frozen, which changes the order of its weights in .h5."""
    base = application("MobileNetV2", alpha=0.35, include_top=False)
    for layer in base.layers[:60]:
        layer.trainable = False
    head = keras.Sequential(
        [layers.GlobalAveragePooling2D(), layers.Dense(20, "relu"), layers.Dense(CLASSES, "softmax")]
    )
    return keras.Sequential([picture(), layers.Rescaling(1 / 127.5, offset=-1), base, head])


def many_layers() -> Any:
    """Return a network with layers that the applications lack."""
    inputs = picture()
    normal = layers.Normalization(mean=[0.4, 0.5, 0.6], variance=[0.05, 0.06, 0.07])
    x = layers.CenterCrop(SIZE, SIZE)(layers.Resizing(SIZE, SIZE)(inputs))
    x = layers.GaussianNoise(0.1)(normal(layers.Rescaling(1 / 255)(x)))
    x = layers.Conv2D(8, 3, padding="same", activation="swish")(x)
    x = layers.SpatialDropout2D(0.1)(layers.MaxPooling2D(3, strides=2, padding="same")(x))
    x = layers.SeparableConv2D(
        16, 3, strides=2, padding="same", activation="hard_sigmoid", depth_multiplier=2
    )(x)
    a = layers.LeakyReLU()(layers.Conv2D(8, (1, 3), dilation_rate=2, groups=2)(x))
    b = layers.PReLU(shared_axes=[1, 2])(
        layers.Cropping2D(((0, 0), (2, 2)))(layers.Conv2D(8, 1, activation="tanh")(x))
    )
    x = layers.Concatenate()([a, layers.Average()([a, b]), layers.Subtract()([a, b])])
    x = layers.AveragePooling2D(2, padding="same")(layers.BatchNormalization(scale=False)(x))
    squeezed = layers.Reshape((1, 1, -1))(layers.GlobalAveragePooling2D()(x))
    x = layers.Multiply()([x, layers.Dense(24, "sigmoid")(squeezed)])
    x = layers.Permute((2, 1, 3))(layers.ZeroPadding2D(((1, 0), (0, 2)))(x))
    x = layers.Activation("gelu")(layers.Dense(6)(layers.Flatten()(x)))
    shared = layers.Dense(6, "relu6")
    x = layers.Add()([shared(x), shared(shared(x)), x])
    return keras.Model(inputs, layers.Softmax()(layers.Dense(CLASSES)(x)))


def adapted() -> Any:
    """Return a Sequential model whose Normalization has learned its numbers, and which ends in one sigmoid."""
    normal = layers.Normalization()
    normal.adapt(np.random.default_rng(3).uniform(0, 255, (8, SIZE, SIZE, 3)))
    return keras.Sequential(
        [
            picture(),
            normal,
            layers.Conv2D(4, 3, strides=2),
            layers.GlobalMaxPooling2D(),
            layers.Dense(1, "sigmoid"),
        ]
    )


NETWORKS: dict[str, Callable[[], Any]] = {
    "v1": lambda: application("MobileNet", alpha=0.25),
    "v3small": lambda: application("MobileNetV3Small"),
    "v3minimalistic": lambda: application("MobileNetV3Small", minimalistic=True),
    "efficientnet": lambda: application("EfficientNetB0"),
    "tutorial": tutorial,
    "partly-frozen": partly_frozen,
    "many-layers": many_layers,
    "adapted": adapted,
}


def shake(model: Any, rng: np.random.Generator) -> None:
    """Change batch normalization, slopes and biases as if the model had been trained."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            shake(layer, rng)
        elif isinstance(layer, layers.BatchNormalization):
            count = len(layer.get_weights())
            ranges = ((0.7, 1.3), (-0.3, 0.3), (-0.3, 0.3), (0.5, 1.5))[4 - count :]
            layer.set_weights([rng.uniform(*ends, layer.get_weights()[0].shape) for ends in ranges])
        elif isinstance(layer, layers.PReLU):
            layer.set_weights([rng.uniform(-0.5, 0.5, w.shape) for w in layer.get_weights()])
        elif getattr(layer, "use_bias", False):
            *kernels, bias = layer.get_weights()
            layer.set_weights([*kernels, rng.uniform(-0.2, 0.2, bias.shape)])


def main() -> None:
    """Write all models."""
    folder, wanted = Path(sys.argv[2]), sys.argv[3:]
    keras.utils.set_random_seed(1)
    for name in wanted or NETWORKS:
        model = NETWORKS[name]()
        shake(model, np.random.default_rng(0))
        side = model.input_shape[1]
        pixels = np.random.default_rng(5).integers(0, 256, (2, side, side, 3)).astype(np.float32)
        if name == "v1":
            pixels = pixels / 127.5 - 1
        np.save(folder / f"{name}.npy", model.predict(pixels, verbose=0))
        model.save(folder / f"{name}.h5")
        model.save(folder / f"{name}.keras")


if __name__ == "__main__":
    main()
