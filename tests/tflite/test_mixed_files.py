"""Files that are int8 in part, compared with LiteRT: every operator at the border between int8 and float.

Float kernels differ in the last bits, which can flip a later rounding: the integer execution is exact up to
the first float layer, and from there on stays within a step of the logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.classifier import Classifier
from edgenet_device.runtime import find_delegate
from every_layer import CLASSES, network, quantized_network
from every_layer import SIZE as EVERY_SIZE
from small_graphs import as_int8, build, conv, fully_connected, interpreter, lite, photos, quantize

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import (
    Activation,
    Binary,
    Concat,
    Graph,
    Mean,
    Operator,
    Pad,
    Pads,
    Pool,
    Reshape,
    Softmax,
    Transpose,
    Unary,
)
from edgenet.graph.shapes import GraphBuilder
from edgenet.quantize.integer import real_logits, run_integer
from edgenet.quantize.quantized_graph import QuantizedGraph, keep_float, weighted_layers
from edgenet.tflite.flatbuffer import read_tflite, write_tflite
from edgenet.tflite.from_graph import int8_program, raw_program
from edgenet.tflite.program import FileOperator, Program, Quantization
from edgenet.tflite.to_graph import float_graph, quantized_graph

SIZE = (6, 6)
IMAGES = photos(6, SIZE, 2)

CARRIERS: dict[str, Callable[[GraphBuilder, str], str]] = {
    "add": lambda b, x: b.add(Binary("add", Activation.RELU), [x, x], "carrier"),
    "mul": lambda b, x: b.add(Binary("mul"), [x, x], "carrier"),
    "concat": lambda b, x: b.add(Concat(3), [x, x], "carrier"),
    "mean": lambda b, x: b.add(Mean(), [x], "carrier"),
    "average pooling": lambda b, x: b.add(Pool("average", (2, 2), (2, 2)), [x], "carrier"),
    "max pooling": lambda b, x: b.add(Pool("max", (2, 2), (2, 2)), [x], "carrier"),
    "padding": lambda b, x: b.add(Pad(Pads(1, 0, 2, 1)), [x], "carrier"),
    "padding below all": lambda b, x: b.add(
        Pool("max", (2, 2), (2, 2)),
        [b.add(Pad(Pads(1, 1, 1, 1), float("-inf")), [x], "carrier")],
        "pooled",
    ),
    "reshape": lambda b, x: b.add(Reshape((1, 3, 12, 5)), [x], "carrier"),
    "transpose": lambda b, x: b.add(Transpose((0, 2, 1, 3)), [x], "carrier"),
    "softmax": lambda b, x: b.add(Softmax(), [x], "carrier"),
    "relu6": lambda b, x: b.add(Unary("relu6"), [x], "carrier"),
    "hard_swish": lambda b, x: b.add(Unary("hard_swish"), [x], "carrier"),
    "scaled_hard_swish": lambda b, x: b.add(Unary("scaled_hard_swish"), [x], "carrier"),
    "sigmoid": lambda b, x: b.add(Unary("sigmoid"), [x], "carrier"),
}
KEPT = {"before it": ("before",), "behind it": ("behind",), "around it": ("before", "behind")}


def between(carrier: Callable[[GraphBuilder, str], str]) -> QuantizedGraph:
    """Build a convolution, the operator, another convolution, and a classifier."""
    rng = np.random.default_rng(3)

    def make(builder: GraphBuilder, x: str) -> str:
        x = carrier(builder, builder.add(conv(rng, 3, 5, (1, 1)), [x], "before"))
        x = builder.add(conv(rng, builder.shapes[x][3], 6, (1, 1)), [x], "behind")
        return builder.add(fully_connected(rng, 6, 4), [builder.add(Mean(False), [x], "mean")], "logits")

    return quantize(build(make, SIZE), photos(4, SIZE, 1))


def check(mixed: QuantizedGraph, all_int8: QuantizedGraph, images: np.ndarray = IMAGES) -> Program:
    """Compare the file with the reading of the graph, to a step, and read it back; return the clients' file."""
    step = all_int8.encodings[all_int8.graph.output].scale
    raw = raw_program(mixed)
    given = lite(write_tflite(raw), as_int8(images))
    logits = mixed.encodings.get(mixed.graph.output)
    real = given if logits is None else (given.astype(np.float32) - logits.zero_point) * logits.scale
    np.testing.assert_allclose(real_logits(mixed, images), real, atol=1.01 * step)
    program = int8_program(mixed)
    again = quantized_graph(read_tflite(write_tflite(program), "it"))
    assert len(again.kept_float) == len(mixed.kept_float)
    assert len(again.encodings) == len(mixed.encodings)
    np.testing.assert_array_equal(real_logits(again, images), real_logits(mixed, images))
    return program


def conversions(program: Program) -> tuple[int, int]:
    """Return the numbers of QUANTIZE and DEQUANTIZE."""
    kinds = program.kinds()
    return kinds.get("QUANTIZE", 0), kinds.get("DEQUANTIZE", 0)


@pytest.mark.parametrize("kept", KEPT)
@pytest.mark.parametrize("name", CARRIERS)
def test_every_operator_at_a_border(name: str, kept: str) -> None:
    quantized = between(CARRIERS[name])
    mixed = keep_float(quantized, KEPT[kept])
    assert ("carrier" in mixed.kept_float) == (kept == "around it")
    program = check(mixed, quantized)
    # the picture goes straight into a float layer; one pair of conversions is the file's own way in and out
    expected = {"before it": (1, 2), "behind it": (2, 3), "around it": (1, 2)}
    assert conversions(program) == expected[kept]


def exact_layer(graph: Graph, name: str) -> Graph:
    """Return the graph with a layer that only copies one of its inputs: float arithmetic that is exact."""

    def taken_over(operator: Operator) -> Operator:
        weight = np.zeros_like(operator.weight)  # type: ignore[union-attr]
        for output in range(len(weight)):
            weight[output, ..., output % weight.shape[-1]] = 1
        return replace(operator, weight=weight, bias=np.zeros(len(weight), np.float32))

    return graph.with_nodes(
        replace(node, operator=taken_over(node.operator)) if node.name == name else node
        for node in graph.nodes
    )


@pytest.mark.parametrize("layer", ["before", "behind", "logits"])
def test_conversions_and_all_before_the_first_float_sums_are_exact(layer: str) -> None:
    quantized = between(CARRIERS["hard_swish"])
    mixed = keep_float(quantize(exact_layer(quantized.graph, layer), photos(4, SIZE, 1)), [layer])
    logits = lite(write_tflite(raw_program(mixed)), as_int8(IMAGES))
    wanted = real_logits(mixed, IMAGES) if layer == "logits" else run_integer(mixed, IMAGES)
    assert len(np.unique(wanted)) > 8
    np.testing.assert_array_equal(logits, wanted)


def test_a_tensor_that_both_kinds_read_is_converted_once() -> None:
    rng = np.random.default_rng(0)

    def make(builder: GraphBuilder, x: str) -> str:
        x = builder.add(conv(rng, 3, 4, (1, 1)), [x], "shared")
        branches = [builder.add(conv(rng, 4, 4, (1, 1)), [x], name) for name in "abcd"]
        first, second = (
            builder.add(Binary("add"), pair, f"sum{i}") for i, pair in enumerate((branches[:2], branches[2:]))
        )
        x = builder.add(Mean(False), [builder.add(Binary("add"), [first, second], "sum")], "mean")
        return builder.add(fully_connected(rng, 4, 3), [x], "logits")

    quantized = quantize(build(make, SIZE), photos(4, SIZE, 1))
    made_int8 = check(keep_float(quantized, "ab"), quantized)
    assert conversions(made_int8) == (3, 3)  # one DEQUANTIZE for a and b; their sum is int8 as its reader is
    made_float = check(keep_float(quantized, ["shared", "a", "b"]), quantized)
    assert conversions(made_float) == (3, 2)  # one QUANTIZE for c and d, one of a and of b for their sum


def classifier_kept(ends_in: str = "logits") -> QuantizedGraph:
    rng = np.random.default_rng(0)

    def make(builder: GraphBuilder, x: str) -> str:
        x = builder.add(Mean(False), [builder.add(conv(rng, 3, 8, (3, 3)), [x], "conv")], "mean")
        x = builder.add(fully_connected(rng, 8, 4), [x], "logits")
        return x if ends_in == "logits" else builder.add(Unary("sigmoid"), [x], "scores")

    return keep_float(quantize(build(make, SIZE), photos(2, SIZE)), ["logits"])


def test_a_last_layer_in_float_costs_no_operator_and_stays_in_one_partition() -> None:
    program = int8_program(classifier_kept())
    assert [operator.kind for operator in program.operators] == [
        *("DEQUANTIZE", "QUANTIZE", "CONV_2D", "MEAN", "DEQUANTIZE", "FULLY_CONNECTED", "SOFTMAX")
    ]
    delegate = find_delegate(interpreter(write_tflite(program)))
    assert (delegate.nodes_taken, delegate.nodes_total, delegate.partitions) == (7, 7, 1)


def test_a_float_layer_in_the_middle_stays_in_one_partition() -> None:
    quantized = between(CARRIERS["padding"])
    delegate = find_delegate(interpreter(write_tflite(int8_program(keep_float(quantized, ["behind"])))))
    assert delegate.nodes_taken == delegate.nodes_total == 11
    assert delegate.partitions == 1


def test_scores_of_a_sigmoid_behind_a_float_layer() -> None:
    mixed = classifier_kept("scores")
    assert mixed.kept_float == {"logits", "scores"}
    data = write_tflite(int8_program(mixed))
    np.testing.assert_allclose(lite(data, IMAGES), real_logits(mixed, IMAGES), atol=1e-6)
    again = quantized_graph(read_tflite(data, "it"))
    np.testing.assert_array_equal(real_logits(again, IMAGES), real_logits(mixed, IMAGES))


@pytest.mark.parametrize("layer", weighted_layers(network()))
def test_any_layer_of_a_network_with_every_kind_of_layer(layer: str) -> None:
    images = photos(3, EVERY_SIZE, 2)
    check(keep_float(quantized_network(), [layer]), quantized_network(), images)


def test_keeping_more_and_more_is_keeping_them_at_once() -> None:
    layers = weighted_layers(network())[:3]
    at_once, one_by_one = keep_float(quantized_network(), layers), quantized_network()
    for layer in reversed(layers):
        one_by_one = keep_float(one_by_one, [layer])
    assert write_tflite(int8_program(one_by_one)) == write_tflite(int8_program(at_once))


def test_all_layers_in_float_are_the_float_network() -> None:
    graph = network()
    mixed = keep_float(quantized_network(), weighted_layers(graph))
    images = photos(3, EVERY_SIZE, 2)
    np.testing.assert_allclose(real_logits(mixed, images), run(graph, images), atol=1e-5)


def test_no_layers_leave_the_file_as_it_is() -> None:
    assert keep_float(quantized_network(), []) is quantized_network()


def test_the_devices_classifier_takes_a_mixed_file(tmp_path: Path) -> None:
    mixed = keep_float(quantized_network(), ["logits"])
    labels = "\n".join(f"label {i}" for i in range(CLASSES))
    path = tmp_path / "mixed.tflite"
    path.write_bytes(write_tflite(int8_program(mixed), b"metadata", {"labels.txt": labels.encode()}))
    classifier = Classifier(path, threads=1)
    image = photos(1, EVERY_SIZE, 2)[0]
    found = classifier.score_prepared(image)
    logits = real_logits(mixed, image[None])[0]
    scores = np.exp(logits - logits.max())
    np.testing.assert_allclose(found, scores / scores.sum(), atol=1e-6)


def test_a_mixed_file_is_not_a_float_source() -> None:
    program = int8_program(keep_float(quantized_network(), ["logits"]))
    with pytest.raises(EdgenetError, match="quantized already"):
        float_graph(program)


def test_int8_weights_in_a_float_operator_are_refused() -> None:
    """Dynamic-range files have such weights: their kernel rounds its input in its own way."""
    program = int8_program(classifier_kept())
    layer = next(operator for operator in program.operators if operator.kind == "FULLY_CONNECTED")
    weight = program.tensors[layer.inputs[1]]
    integers = replace(
        weight, dtype="int8", data=np.ones(weight.shape, np.int8), quantization=Quantization((0.1,), (0,))
    )
    tensors = tuple(integers if tensor is weight else tensor for tensor in program.tensors)
    with pytest.raises(EdgenetError, match="computes 'logits' in float with int8 weights"):
        quantized_graph(replace(program, tensors=tensors))


def test_a_float_tensor_that_is_rounded_and_back_is_refused() -> None:
    program = int8_program(keep_float(between(CARRIERS["padding"]), ["before", "behind"]))
    pad = next(operator for operator in program.operators if operator.kind == "PAD")
    at, count, source = program.operators.index(pad), len(program.tensors), program.tensors[pad.inputs[0]]
    rounded = replace(source, name="rounded", dtype="int8", quantization=Quantization((0.1,), (0,)))
    changed = replace(
        program,
        tensors=(*program.tensors, rounded, replace(source, name="back")),
        operators=(
            *program.operators[:at],
            FileOperator("QUANTIZE", 1, (pad.inputs[0],), (count,)),
            FileOperator("DEQUANTIZE", 2, (count,), (count + 1,)),
            replace(pad, inputs=(count + 1, *pad.inputs[1:])),
            *program.operators[at + 1 :],
        ),
    )
    with pytest.raises(EdgenetError, match="changes the encoding of 'back'"):
        quantized_graph(changed)
