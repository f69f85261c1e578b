"""The ONNX operators that edgenet takes, with a rule for each, and advice for some that it does not take."""

from __future__ import annotations

from collections.abc import Callable

from edgenet.graph.readers.onnx_elementwise import (
    arithmetic,
    batch_normalization,
    clip,
    hard_sigmoid,
    identity,
    softmax,
    unary,
)
from edgenet.graph.readers.onnx_matrix import conv, gemm, matmul
from edgenet.graph.readers.onnx_pooling import global_pool, pad, pool, reduce
from edgenet.graph.readers.onnx_shapes import concat, reshaping, transpose
from edgenet.graph.readers.translation import OnnxNode, Translation, Value

Rule = Callable[[Translation, OnnxNode], Value]

RULES: dict[str, Rule] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_normalization,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), arithmetic),
    "Relu": unary("relu"),
    "HardSwish": unary("hard_swish"),
    "Sigmoid": unary("sigmoid"),
    "HardSigmoid": hard_sigmoid,
    "Clip": clip,
    **dict.fromkeys(("MaxPool", "AveragePool"), pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), global_pool),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax"), reduce),
    "Pad": pad,
    "Concat": concat,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshaping),
    "Transpose": transpose,
    "Softmax": softmax,
    **dict.fromkeys(("Identity", "Dropout"), identity),
}

RELU6 = "train with ReLU6, which int8 keeps best"
FLOAT = "give edgenet the float model; it quantizes itself"

REMEDIES: dict[str, str] = {
    **dict.fromkeys(("LeakyRelu", "PRelu", "Elu", "Gelu", "Tanh"), RELU6),
    "Erf": f"this looks like GELU: {RELU6}",
    "LogSoftmax": "export the network without LogSoftmax; edgenet adds the softmax itself",
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), FLOAT),
    "Resize": "edgenet takes classifiers; resize photos before the network",
    "ConvTranspose": "edgenet takes classifiers, which do not upsample",
    "ArgMax": "export the network without ArgMax, so that it ends in its logits",
    "LayerNormalization": "use a network with batch normalization, which folds into the convolutions",
}
