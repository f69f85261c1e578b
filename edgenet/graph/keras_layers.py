"""Rules that translate Keras' layers into the graph's operators; `RULES` at the end of the file lists them all.

Keras works on NHWC, as the graph does, so that its kernels need at most another order of their axes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from edgenet.graph.ir import (
    Affine,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FloatArray,
    FullyConnected,
    Mean,
    Pad,
    Pads,
    Pool,
    Reshape,
    Resize,
    Slice,
    Transpose,
    Windowed,
)
from edgenet.graph.keras_call import EXPORT, FUNCTIONS, LAYERS, KerasCall, KerasTensor, Rule, activate
from edgenet.graph.shapes import same_pads


def convolution(call: KerasCall) -> str:
    """Translate Conv2D."""
    (kernel,), bias = _weights(call, "kernel")
    weight = np.ascontiguousarray(kernel.transpose(3, 0, 1, 2))
    operator = Conv2D(weight, _or_zeros(bias, len(weight)), groups=int(call.number("groups", 1)))
    return activate(call, _windowed(call, operator), call.config.get("activation"))


def depthwise(call: KerasCall) -> str:
    """Translate DepthwiseConv2D, whose kernel Keras 2 and 3 name differently."""
    (kernel,), bias = _weights(call, "depthwise_kernel|kernel")
    operator = _depthwise_operator(kernel, bias)
    return activate(call, _windowed(call, operator), call.config.get("activation"))


def _depthwise_operator(kernel: FloatArray, bias: FloatArray | None = None) -> DepthwiseConv2D:
    """Return the operator for a kernel [KH, KW, C, multiplier]."""
    weight = kernel.reshape(1, *kernel.shape[:2], -1)
    return DepthwiseConv2D(weight, _or_zeros(bias, weight.shape[3]))


def separable(call: KerasCall) -> str:
    """Translate SeparableConv2D: a depthwise convolution, then a pointwise one."""
    (kernel, pointwise), bias = _weights(call, "depthwise_kernel", "pointwise_kernel")
    first = _windowed(call, _depthwise_operator(kernel), "/depthwise")
    weight = np.ascontiguousarray(pointwise.transpose(3, 0, 1, 2))
    tensor = call.add(Conv2D(weight, _or_zeros(bias, len(weight))), [first])
    return activate(call, tensor, call.config.get("activation"))


def dense(call: KerasCall) -> str:
    """Translate Dense."""
    (kernel,), bias = _weights(call, "kernel")
    weight = np.ascontiguousarray(kernel.T)
    tensor = call.add(FullyConnected(weight, _or_zeros(bias, len(weight))))
    return activate(call, tensor, call.config.get("activation"))


def _weights(call: KerasCall, *kernels: str) -> tuple[list[FloatArray], FloatArray | None]:
    """Return the layer's kernels, and its bias if it has one."""
    with_bias = bool(call.config.get("use_bias", True))
    arrays = call.weights(*kernels, *(["bias"] if with_bias else []))
    return arrays[: len(kernels)], arrays[-1] if with_bias else None


def _or_zeros(bias: FloatArray | None, count: int) -> FloatArray:
    return np.zeros(count, np.float32) if bias is None else bias


def _windowed(call: KerasCall, operator: Windowed, suffix: str = "") -> str:
    """Add an operator with a window, with the stride, dilation and padding that the configuration states."""
    call.need("data_format", "channels_last", None)
    default = operator.kernel if isinstance(operator, Pool) else 1  # pooling moves by its own size
    stride, dilation = call.pair("strides", default), call.pair("dilation_rate")
    operator = replace(operator, stride=stride)
    if not isinstance(operator, Pool):
        operator = replace(operator, dilation=dilation)
    call.need("padding", "valid", "same")
    if call.text("padding", "valid") == "same":
        _, height, width, _ = call.picture
        operator = replace(operator, pads=same_pads((height, width), operator))
    return call.add(operator, suffix=suffix)


def batch_normalization(call: KerasCall) -> str:
    """Translate BatchNormalization at inference: (x - mean) / sqrt(variance + epsilon) * gamma + beta."""
    _over_channels(call)
    names = {"gamma": call.config.get("scale", True), "beta": call.config.get("center", True)}
    variables = [*(name for name, there in names.items() if there), "moving_mean", "moving_variance"]
    found = dict(zip(variables, call.weights(*variables), strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(found["moving_variance"] + np.float32(call.number("epsilon", 1e-3)))
        scale = found.get("gamma", np.float32(1)) / deviation
    return _affine(call, scale, found.get("beta", np.float32(0)) - found["moving_mean"] * scale)


def _over_channels(call: KerasCall) -> None:
    axis = call.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, len(call.shape) - 1):
        raise call.refusal(f"it works along the axis {axis}", "edgenet takes the channels as the last axis")


def rescaling(call: KerasCall) -> str:
    """Translate Rescaling: x * scale + offset."""
    scale, offset = call.constant(call.config["scale"]), call.constant(call.config.get("offset", 0))
    return _scaling(call, scale, offset)


def normalization(call: KerasCall) -> str:
    """Translate Normalization: (x - mean) / standard deviation, whose variance is at least 1e-14."""
    axis = call.config.get("axis", -1)
    if axis not in (None, []):
        _over_channels(call)
    if call.config.get("invert"):
        raise call.refusal("it multiplies by the deviation (invert)")
    if call.config.get("mean") is not None:
        mean, variance = call.constant(call.config["mean"]), call.constant(call.config["variance"])
    else:
        mean, variance, _ = call.weights("mean", "variance", "count")
    deviation = np.maximum(np.sqrt(variance.reshape(-1)), 1e-7)  # 1e-7 is Keras' backend.epsilon()
    return _scaling(call, 1 / deviation, -mean.reshape(-1) / deviation)


def _scaling(call: KerasCall, scale: Any, offset: Any) -> str:
    """Add x * scale + offset, and note it if this reads the picture itself."""
    if call.tensor == call.state.picture:
        call.state.scales_pixels = True
    return _affine(call, scale, offset)


def _affine(call: KerasCall, scale: Any, offset: Any) -> str:
    vectors = [np.asarray(value, np.float32).reshape(-1) for value in (scale, offset)]
    return call.add(Affine(*vectors))


def arithmetic(kind: str) -> Rule:
    """Return the rule for add, sub, mul or div of tensors, or of a tensor and a constant."""

    def rule(call: KerasCall) -> str:
        constants = [p for p, operand in enumerate(call.operands) if not isinstance(operand, KerasTensor)]
        if not constants:
            first, *others = call.tensors
            for other in others:
                first = call.add(Binary(kind), [first, other])
            return first
        if len(call.operands) != 2 or len(constants) != 1:
            raise call.refusal("it does not combine tensors, or a tensor and a constant")
        constant, one, zero = call.constant(call.operands[constants[0]]), np.ones(1), np.zeros(1)
        constant_first = constants[0] == 0
        match kind:
            case "add":
                return _scaling(call, one, constant)
            case "mul":
                return _scaling(call, constant, zero)
            case "sub":
                return _scaling(call, -one, constant) if constant_first else _scaling(call, one, -constant)
        if constant_first:
            raise call.refusal("it divides a constant by a tensor")
        return _scaling(call, 1 / constant.astype(np.float64), zero)

    return rule


def average(call: KerasCall) -> str:
    """Translate Average, the mean of several tensors."""
    total = arithmetic("add")(call)
    count = len(call.tensors)
    return call.add(Affine(np.full(1, 1 / count, np.float32), np.zeros(1, np.float32)), [total], "/share")


def zero_padding(call: KerasCall) -> str:
    """Translate ZeroPadding2D."""
    call.need("data_format", "channels_last", None)
    return call.add(Pad(_sides(call, "padding")))


def cropping(call: KerasCall) -> str:
    """Translate Cropping2D."""
    call.need("data_format", "channels_last", None)
    _, height, width, channels = call.picture
    cut = _sides(call, "cropping")
    begin, end = (0, cut.top, cut.left, 0), (1, height - cut.bottom, width - cut.right, channels)
    return call.add(Slice(begin, end, (1, 1, 1, 1))) if any(cut) else call.tensor


def _sides(call: KerasCall, name: str) -> Pads:
    """Return what a configuration gives as a number, as one for each axis, or as one for each side."""
    given = call.config[name]
    vertical, horizontal = (given, given) if isinstance(given, int) else given
    (top, bottom), (left, right) = ((v, v) if isinstance(v, int) else v for v in (vertical, horizontal))
    return Pads(int(top), int(bottom), int(left), int(right))


def pooling(kind: str) -> Rule:
    """Return the rule for MaxPooling2D or AveragePooling2D."""

    def rule(call: KerasCall) -> str:
        size = call.pair("pool_size", 2)
        return _windowed(call, Pool(kind, size, size))

    return rule


def global_average(call: KerasCall) -> str:
    """Translate GlobalAveragePooling2D."""
    call.need("data_format", "channels_last", None)
    return call.add(Mean(keep_dims=bool(call.config.get("keepdims"))))


def global_max(call: KerasCall) -> str:
    """Translate GlobalMaxPooling2D."""
    call.need("data_format", "channels_last", None)
    _, height, width, channels = call.picture
    largest = call.add(Pool("max", (height, width), (1, 1)))
    return largest if call.config.get("keepdims") else call.add(Reshape((1, channels)), [largest], "/flat")


def concatenate(call: KerasCall) -> str:
    """Translate Concatenate."""
    rank = len(call.state.builder.shapes[call.tensors[0]])
    return call.add(Concat(int(call.number("axis", -1)) % rank), call.tensors)


def flatten(call: KerasCall) -> str:
    """Translate Flatten; Keras flattens in the graph's own order."""
    call.need("data_format", "channels_last", None)
    return call.add(Reshape((1, math.prod(call.shape))))


def reshape(call: KerasCall) -> str:
    """Translate Reshape, whose target may leave one size open."""
    target = [int(n) for n in call.config["target_shape"]]
    known = math.prod(n for n in target if n != -1)
    filled = tuple(math.prod(call.shape) // max(known, 1) if n == -1 else n for n in target)
    return call.add(Reshape((1, *filled)))


def permute(call: KerasCall) -> str:
    """Translate Permute, which counts the axes from 1 and leaves out the batch."""
    return call.add(Transpose((0, *(int(axis) for axis in call.config["dims"]))))


def resizing(call: KerasCall) -> str:
    """Translate Resizing; to the size that the picture has already, it changes nothing."""
    size = (int(call.config["height"]), int(call.config["width"]))
    if call.picture[1:3] == size:
        return call.tensor
    call.need("crop_to_aspect_ratio", False, None)
    call.need("pad_to_aspect_ratio", False, None)
    call.need("interpolation", "bilinear", "nearest")
    return call.add(Resize(call.text("interpolation", "bilinear"), size, half_pixel=True))


def cropping_to(call: KerasCall) -> str:
    """Translate CenterCrop and RandomCrop, which change nothing if the picture has their size."""
    size = (int(call.config["height"]), int(call.config["width"]))
    if call.picture[1:3] != size:
        raise call.refusal(f"it crops to {size[0]}x{size[1]}", "crop photos before the network")
    return call.tensor


def unchanged(call: KerasCall) -> str:
    """Translate a layer that works in training only."""
    return call.tensor


def python_code(call: KerasCall) -> str:
    """Refuse Lambda, which holds Python code."""
    raise call.refusal(
        "it holds Python code, which edgenet never runs", f"use a layer of Keras instead, or {EXPORT}"
    )


AUGMENTATIONS = (
    *(
        "Flip",
        "Rotation",
        "Zoom",
        "Translation",
        "Shear",
        "Perspective",
        "ElasticTransform",
        "Height",
        "Width",
    ),
    *(
        "Contrast",
        "Brightness",
        "Hue",
        "Saturation",
        "ColorJitter",
        "ColorDegeneration",
        "Sharpness",
        "Grayscale",
    ),
    *("Posterization", "Invert", "Erasing", "GaussianBlur"),
)
IN_TRAINING_ONLY = (
    *(
        "Dropout",
        "SpatialDropout2D",
        "GaussianDropout",
        "GaussianNoise",
        "AlphaDropout",
        "ActivityRegularization",
    ),
    *(f"Random{name}" for name in AUGMENTATIONS),
    *("RandAugment", "AugMix", "MixUp", "CutMix"),
)
RULES: dict[str, Rule] = {
    "Conv2D": convolution,
    "DepthwiseConv2D": depthwise,
    "SeparableConv2D": separable,
    "Dense": dense,
    **dict.fromkeys(("BatchNormalization", "SyncBatchNormalization"), batch_normalization),
    "Rescaling": rescaling,
    "Normalization": normalization,
    "Add": arithmetic("add"),
    "Subtract": arithmetic("sub"),
    "Multiply": arithmetic("mul"),
    "Average": average,
    "ZeroPadding2D": zero_padding,
    "Cropping2D": cropping,
    "MaxPooling2D": pooling("max"),
    "AveragePooling2D": pooling("average"),
    "GlobalAveragePooling2D": global_average,
    "GlobalMaxPooling2D": global_max,
    "Concatenate": concatenate,
    "Flatten": flatten,
    "Reshape": reshape,
    "Permute": permute,
    "Resizing": resizing,
    **dict.fromkeys(("CenterCrop", "RandomCrop"), cropping_to),
    **LAYERS,
    **dict.fromkeys(IN_TRAINING_ONLY, unchanged),
    "Lambda": python_code,
}
"""Keras' layers by their class."""
OPERATIONS: dict[str, Rule] = {
    **dict.fromkeys(("__operators__.add", "math.add"), arithmetic("add")),
    **dict.fromkeys(("math.subtract",), arithmetic("sub")),
    **dict.fromkeys(("math.multiply",), arithmetic("mul")),
    **dict.fromkeys(("math.truediv", "math.divide", "TrueDivide", "Divide"), arithmetic("div")),
    **{f"nn.{name}": FUNCTIONS[name] for name in ("relu", "relu6", "softmax", "swish", "silu", "gelu")},
    **{f"math.{name}": FUNCTIONS[name] for name in ("sigmoid", "tanh")},
    **{name: FUNCTIONS[name.lower()] for name in ("Relu", "Relu6", "Sigmoid", "Tanh", "Silu", "Gelu")},
    "HardSigmoid": FUNCTIONS["hard_sigmoid"],
    **dict.fromkeys(("HardSilu", "HardSwish"), FUNCTIONS["hard_swish"]),
    "cast": unchanged,
}
"""Functions that are called on tensors in between: TensorFlow's as Keras 2 names them, and Keras 3's by class."""
