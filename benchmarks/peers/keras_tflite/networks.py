"""The networks of the benchmark in Keras, with the same weights that edgenet reads.

Both take normalized float32 [1, 224, 224, 3] and end in a softmax. The batch is fixed at one; otherwise the .tflite
computes its own shapes with three more operators.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import layers

RESOLUTION = 224
SLIM_CLASSES = 1001  # TF-slim puts "background" before ImageNet's 1,000
# Expansion, output channels, repetitions, stride of the first repetition (MobileNetV2, arXiv 1801.04381, table 2).
V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
Arrays = Mapping[str, np.ndarray]


def mobilenet_v1(arrays: Arrays) -> keras.Model:
    """Return Keras' own MobileNet with TF-slim's arrays as weights; softmax output [1, 1001].

    No conversion of layouts is needed: both keep kernels as HWIO, depthwise ones as HWC1, and batch norm with
    epsilon 1e-3. Keras pads stride 2 explicitly at the bottom and right, as SAME does for even sizes.
    """
    model = keras.applications.MobileNet(
        input_tensor=_pixels(), alpha=1.0, weights=None, classes=SLIM_CLASSES
    )

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


def mobilenet_v2(arrays: Arrays) -> keras.Model:
    """Return torchvision's MobileNetV2 with its state dict `arrays` as weights; softmax output [1, 1000].

    It is written out here because Keras' own pads stride 2 only at the bottom and right, and torchvision's weights were
    trained with a pixel of padding on every side.
    """
    x = pixels = _pixels()
    x = _activated(arrays, "features.0.0", "features.0.1", x, stride=2)
    index = 1
    for expansion, channels, repetitions, stride in V2_STAGES:
        for repetition in range(repetitions):
            y = _bottleneck(arrays, f"features.{index}.conv", x, expansion, stride if repetition == 0 else 1)
            x = layers.Add()([x, y]) if repetition else y
            assert x.shape[-1] == channels
            index += 1
    x = _activated(arrays, f"features.{index}.0", f"features.{index}.1", x)
    x = layers.GlobalAveragePooling2D()(x)
    weight, bias = arrays["classifier.1.weight"], arrays["classifier.1.bias"]
    head = layers.Dense(len(bias), activation="softmax")
    outputs = head(x)
    head.set_weights([weight.T, bias])
    return keras.Model(pixels, outputs)


def _pixels() -> keras.KerasTensor:
    return keras.Input(batch_shape=(1, RESOLUTION, RESOLUTION, 3))


def _bottleneck(
    arrays: Arrays, scope: str, x: keras.KerasTensor, expansion: int, stride: int
) -> keras.KerasTensor:
    """Expand 1x1, depthwise 3x3, project 1x1 without activation; the first block does not expand."""
    parts = 0
    if expansion != 1:
        x = _activated(arrays, f"{scope}.0.0", f"{scope}.0.1", x)
        parts = 1
    x = _activated(arrays, f"{scope}.{parts}.0", f"{scope}.{parts}.1", x, stride)
    return _normalized(arrays, f"{scope}.{parts + 2}", _convolved(arrays, f"{scope}.{parts + 1}", x, 1))


def _activated(
    arrays: Arrays, convolution: str, norm: str, x: keras.KerasTensor, stride: int = 1
) -> keras.KerasTensor:
    return layers.ReLU(6.0)(_normalized(arrays, norm, _convolved(arrays, convolution, x, stride)))


def _convolved(arrays: Arrays, name: str, x: keras.KerasTensor, stride: int) -> keras.KerasTensor:
    """Return a convolution without bias. Kernels are OIHW and C1HW (depthwise) in torch, HWIO and HWC1 in Keras."""
    weight = arrays[f"{name}.weight"]
    kernel = weight.shape[-1]
    padding = "same"
    if stride == 2:
        x, padding = layers.ZeroPadding2D(kernel // 2)(x), "valid"
    options = {"strides": stride, "padding": padding, "use_bias": False}
    depthwise = weight.shape[1] == 1
    layer = (
        layers.DepthwiseConv2D(kernel, **options)
        if depthwise
        else layers.Conv2D(weight.shape[0], kernel, **options)
    )
    outputs = layer(x)
    layer.set_weights([weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))])
    return outputs


def _normalized(arrays: Arrays, name: str, x: keras.KerasTensor) -> keras.KerasTensor:
    """Return a batch norm with torch's epsilon."""
    layer = layers.BatchNormalization(epsilon=1e-5)
    outputs = layer(x)
    layer.set_weights(
        [arrays[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
    )
    return outputs
