"""How ONNX classifiers begin and end: open batches, grey pictures, half precision, heads, a single score, outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx_models import Onnx, check_against_onnxruntime, reference
from small_graphs import lite, photos

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Conv2D, DepthwiseConv2D, FullyConnected, Graph, Unary
from edgenet.graph.lower import lower
from edgenet.graph.onnx_reader import read_onnx, read_onnx_model
from edgenet.graph.simplify import simplify
from edgenet.progress import silent
from edgenet.quantize.integer import real_logits
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import float_program, int8_program
from edgenet.zoo.classifier import TORCHVISION, Normalization

FLOAT32 = np.float32
GREY = (0.299, 0.587, 0.114)


def pooled(net: Onnx, outputs: int, inputs: int = 3) -> str:
    """Add a small classifier's logits."""
    features = net.op("Relu", [net.conv("image", 8, inputs)])
    vector = net.op("Flatten", [net.op("GlobalAveragePool", [features])])
    return net.op("Gemm", [vector, net.random(outputs, 8), net.random(outputs)], {"transB": 1})


def normalized(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the pictures as a network of torchvision takes them, [n, 3, H, W]."""
    mean, std = np.array(TORCHVISION.mean, FLOAT32), np.array(TORCHVISION.std, FLOAT32)
    return np.ascontiguousarray(((images.astype(FLOAT32) - mean) / std).transpose(0, 3, 1, 2))


def float_graph(model: ModelProto, **options: object) -> Graph:
    return lower(simplify(read_onnx_model(model, "small", **options), TORCHVISION), exact_border=True)  # type: ignore[arg-type]


def sigmoid(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("shape", [("batch", 3, 8, 10), (None, 3, 8, 10), (0, 3, 8, 10)], ids=str)
def test_an_open_batch_is_one(shape: tuple[object, ...]) -> None:
    net = Onnx(shape)
    logits = pooled(net, 5)
    shaped = net.op("Reshape", [logits, net.op("Shape", [logits])])  # exporters compute shapes from the batch
    assert read_onnx_model(net.model(shaped), "small").size == (8, 10)


def test_a_log_softmax_at_the_end_gives_the_networks_scores() -> None:
    net = Onnx()
    model = net.model(net.op("LogSoftmax", [pooled(net, 5)], {"axis": 1}))
    images = photos(3, (8, 8))
    scores = lite(write_tflite(float_program(float_graph(model))), images)
    np.testing.assert_allclose(scores, np.exp(reference(model, normalized(images))), atol=1e-5)


def test_a_log_softmax_inside_is_refused_when_lowered() -> None:
    net = Onnx()
    with pytest.raises(EdgenetError, match=r"the log-softmax at .* is not the network's last operator"):
        check_against_onnxruntime(net.model(net.op("Relu", [net.op("LogSoftmax", [pooled(net, 5)])])))


def test_sigmoids_of_several_classes_stay() -> None:
    net = Onnx()
    model = net.model(net.op("Sigmoid", [pooled(net, 3)]))
    graph = check_against_onnxruntime(model)
    assert graph.nodes[-1].operator == Unary("sigmoid")


HEADS = ["bare logit", "sigmoid", "sigmoid in two axes", "convolution", "scaled"]


def one_score(net: Onnx, head: str) -> tuple[str, bool]:
    """Add a network with one score; return it, and whether it is a probability."""
    if head == "convolution":
        mean = net.op("GlobalAveragePool", [net.op("Relu", [net.conv("image", 8)])])
        logit = net.op("Conv", [mean, net.random(1, 8, 1, 1), net.random(1)])
        return net.op("Sigmoid", [net.op("Flatten", [logit])]), True
    logit = pooled(net, 1)
    if head == "scaled":
        relu = net.op("Relu", [logit])
        return net.op("Add", [relu, net.constant(np.array([-0.3], FLOAT32))]), False
    if head == "sigmoid in two axes":
        shape = net.constant(np.array([1, 1, 1, 1], np.int64))
        return net.op("Reshape", [net.op("Sigmoid", [logit]), shape]), True
    return (net.op("Sigmoid", [logit]), True) if head == "sigmoid" else (logit, False)


@pytest.mark.parametrize("head", HEADS)
def test_one_score_becomes_two_classes(head: str) -> None:
    net = Onnx()
    output, is_probability = one_score(net, head)
    model = net.model(output)
    images = photos(6, (8, 8))
    positive = reference(model, normalized(images))
    positive = positive if is_probability else sigmoid(positive)
    expected = np.concatenate([1 - positive, positive], axis=1)

    graph = float_graph(model)
    assert graph.classes == 2
    scores = lite(write_tflite(float_program(graph)), images)
    np.testing.assert_allclose(scores, expected, atol=1e-5)

    lowered = lower(simplify(read_onnx_model(model, "small"), TORCHVISION), exact_border=False)
    for recipe in ("minmax", "fast", "balanced"):
        quantized = RECIPES[recipe].quantize(lowered, photos(8, (8, 8), 3), silent)
        in_int8 = lite(write_tflite(int8_program(quantized)), images)
        own = torch.from_numpy(real_logits(quantized, images)).softmax(1).numpy()
        np.testing.assert_allclose(in_int8, own, atol=1e-6)
        np.testing.assert_allclose(in_int8, expected, atol=0.05)


def test_the_last_layer_takes_in_the_second_class() -> None:
    net = Onnx()
    graph = float_graph(net.model(pooled(net, 1)))
    last = graph.nodes[-1].operator
    assert isinstance(last, FullyConnected)
    assert last.weight.shape == (2, 8)
    assert not last.weight[0].any()


def test_a_softmax_over_one_value_is_refused() -> None:
    net = Onnx()
    with pytest.raises(EdgenetError, match=r"a softmax over a single value, which is 1 for every picture"):
        float_graph(net.model(net.op("Softmax", [pooled(net, 1)])))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("between", ["nothing", "scaling", "batch norm"])
def test_a_grey_network_reads_rgb_with_its_first_layer(layout: str, between: str) -> None:
    shape = (1, 1, 8, 10) if layout == "NCHW" else (1, 8, 10, 1)
    net = Onnx(shape)
    value = "image" if layout == "NCHW" else net.op("Transpose", ["image"], {"perm": [0, 3, 1, 2]})
    if between == "scaling":
        value = net.op(
            "Div", [net.op("Sub", [value, net.constant(FLOAT32(0.5))]), net.constant(FLOAT32(0.25))]
        )
    if between == "batch norm":
        numbers = [net.constant(np.array([n], FLOAT32)) for n in (1.5, 0.2, 0.1, 0.7)]
        value = net.op("BatchNormalization", [value, *numbers])
    weights = [net.random(8, 1, 3, 3), net.random(8)]
    features = net.op("Relu", [net.op("Conv", [value, *weights], {"pads": [1, 1, 1, 1]})])
    vector = net.op("Flatten", [net.op("GlobalAveragePool", [features])])
    model = net.model(net.op("Gemm", [vector, net.random(5, 8)], {"transB": 1}))
    images = photos(3, (8, 10))
    grey = (images.astype(FLOAT32) @ np.array(GREY, FLOAT32))[..., None] / 255
    inputs = grey.transpose(0, 3, 1, 2) if layout == "NCHW" else grey
    plain = Normalization((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))

    graph = lower(simplify(read_onnx_model(model, "small"), plain), exact_border=True)
    np.testing.assert_allclose(run(graph, images), reference(model, np.ascontiguousarray(inputs)), atol=1e-4)
    layers = [node.operator for node in graph.nodes if isinstance(node.operator, Conv2D | DepthwiseConv2D)]
    assert [layer.weight.shape for layer in layers][-1] == (8, 3, 3, 3)


def test_half_precision_weights_and_casts(tmp_path: Path) -> None:
    net = Onnx()
    output = pooled(net, 5)
    whole = net.model(output)
    half = onnx.ModelProto()
    half.CopyFrom(whole)
    for tensor in half.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    first = helper.make_node("Cast", ["image"], ["image_half"], to=TensorProto.FLOAT16)
    last = helper.make_node("Cast", [output], ["scores"], to=TensorProto.FLOAT)
    half.graph.node[0].input[0] = "image_half"
    nodes = [first, *half.graph.node, last]
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    half.graph.output[0].name = "scores"
    onnx.save(half, tmp_path / "half.onnx")
    graph = lower(simplify(read_onnx(tmp_path / "half.onnx"), TORCHVISION), exact_border=True)
    images = photos(3, (8, 8))
    np.testing.assert_allclose(run(graph, images), reference(whole, normalized(images)), atol=5e-3)


def test_the_output_behind_all_others_has_the_scores() -> None:
    net = Onnx()
    features = net.op("Relu", [net.conv("image", 8)])
    vector = net.op("Flatten", [net.op("GlobalAveragePool", [features])])
    logits = net.op("Gemm", [vector, net.random(5, 8)], {"transB": 1})
    scores = net.op("Softmax", [logits], {"axis": 1})
    for outputs in ((features, logits), (logits, vector, features), (scores, logits, vector)):
        assert read_onnx_model(net.model(*outputs), "small").classes == 5
    assert read_onnx_model(net.model(logits, vector), "small", output=vector).classes == 8


def test_what_the_scores_do_not_need_is_not_read() -> None:
    net = Onnx()
    logits = pooled(net, 5)
    boxes = net.op("NonMaxSuppression", [net.op("Elu", [net.conv("image", 8)]), logits])
    assert read_onnx_model(net.model(boxes, logits), "small", output=logits).classes == 5
