"""Files that are no float classifier: each error says what the file is and what would help."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from every_layer import quantized_network
from other_tools import SIZE, Network, casts_pixels, changed, no_signature, open_axes, several_signatures

from edgenet.errors import EdgenetError
from edgenet.tflite.flatbuffer import read_tflite, write_tflite
from edgenet.tflite.from_graph import int8_program
from edgenet.tflite.to_graph import float_graph
from edgenet.workflows.sources import SourceOptions, open_source

Change = Callable[[schema.ModelT], None]


def classifier() -> bytes:
    net = Network()
    return net.file(net.dense(net.mean(net.conv(net.input))))


def first_operator(kind: str, custom: bytes | None = None) -> Change:
    def change(model: schema.ModelT) -> None:
        code = model.operatorCodes[0]
        code.builtinCode, code.customCode = getattr(schema.BuiltinOperator, kind), custom
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)

    return change


def two_subgraphs(model: schema.ModelT) -> None:
    model.subgraphs.append(model.subgraphs[0])


def sparse_weights(model: schema.ModelT) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.operators[0].inputs[1]].sparsity = schema.SparsityParametersT()


def ports(inputs: list[int] | None, outputs: list[int] | None) -> Change:
    def change(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        graph.inputs = inputs or graph.inputs
        graph.outputs = outputs or graph.outputs

    return change


def with_types(weights: int | None, computed: int | None) -> Change:
    """Give weights and computed tensors other types, with a scale, as quantizers write them."""

    def change(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        made = [i for operator in graph.operators for i in operator.outputs]
        for index, tensor in enumerate(graph.tensors):
            kind = computed if index in made else weights
            is_index = tensor.type == schema.TensorType.INT32
            if kind is None or is_index or index in graph.inputs:
                continue
            tensor.type, tensor.quantization = kind, schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1], [0]
            if index not in made:
                count = int(np.prod(tensor.shape))
                model.buffers[tensor.buffer].data = np.ones(count, np.uint8)

    return change


TYPES = schema.TensorType
REFUSED: dict[str, tuple[Change, str]] = {
    "a condition": (
        first_operator("IF"),
        "has control flow: IF at 'conv_2d3'; edgenet reads plain classifiers",
    ),
    "a loop": (first_operator("WHILE"), "has control flow: WHILE at 'conv_2d3'"),
    "a call": (first_operator("CALL_ONCE"), "has control flow: CALL_ONCE at 'conv_2d3'"),
    "variables": (
        first_operator("VAR_HANDLE"),
        "keeps its weights in variables: VAR_HANDLE at 'conv_2d3'; convert",
    ),
    "several networks": (
        two_subgraphs,
        "has 2 subgraphs (signatures: serving_default); edgenet reads files with one subgraph",
    ),
    "several inputs": (
        ports([0, 5], None),
        "has 2 inputs (image [1, 10, 10, 3], mean5 [1, 8]) and 1 output (fully_connected8 [1, 5])",
    ),
    "several outputs": (
        ports(None, [5, 8]),
        "has 1 input (image [1, 10, 10, 3]) and 2 outputs (mean5 [1, 8],",
    ),
    "pruned weights": (sparse_weights, "the weights 'constant1' are stored as sparse; convert"),
    "an operator of TensorFlow": (
        first_operator("CUSTOM", b"FlexErf"),
        "cannot read 'conv_2d3', a CUSTOM 'FlexErf' with inputs [[1, 10, 10, 3], [8, 3, 3, 3], [8]]: this operator is "
        "not supported; convert the network without SELECT_TF_OPS",
    ),
    "somebody's own operator": (first_operator("CUSTOM", b"mine"), "a CUSTOM 'mine' with inputs"),
    "mirrored padding": (first_operator("MIRROR_PAD"), "a MIRROR_PAD with inputs"),
    "an open size": (
        lambda model: open_axes(model, 1, -1, -1, 3),
        "leaves the size of its picture open: [1, ?, ?, 3]; convert it with a fixed height and width",
    ),
    "int8": (
        with_types(TYPES.INT8, TYPES.INT8),
        "is quantized already: it has int8 weights and activations; give",
    ),
    "uint8": (
        with_types(TYPES.UINT8, TYPES.UINT8),
        "is quantized already: it has uint8 weights and activations, Te",
    ),
    "16 bits": (
        with_types(TYPES.INT8, TYPES.INT16),
        "is quantized already: it has 16 bit activations and integer",
    ),
    "dynamic range": (
        with_types(TYPES.INT8, None),
        "is quantized already: its weights are int8, its activations float (dynamic range); give the float file",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_fault_of_a_refused_file_is_named(name: str) -> None:
    change, expected = REFUSED[name]
    with pytest.raises(EdgenetError) as caught:
        float_graph(read_tflite(changed(classifier(), change), "net.tflite"))
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, SIZE, SIZE, 1), r"takes \[1, 10, 10, 1\], edgenet reads image classifiers"),
        ((4, SIZE, SIZE, 3), r"takes \[4, 10, 10, 3\]"),
        ((1, 300), r"takes \[1, 300\]"),
        ((1, 9000, 3, 3), r"takes \[1, 9000, 3, 3\]; edgenet reads pictures of up to 8192 pixels a side"),
    ],
)
def test_inputs_that_are_not_pictures(shape: tuple[int, ...], expected: str) -> None:
    net = Network(shape)
    with pytest.raises(EdgenetError, match=expected):
        float_graph(read_tflite(net.file(net.make("RELU", [net.input], shape)), "net.tflite"))


@pytest.mark.parametrize("make", [several_signatures, no_signature])
def test_signatures_do_not_matter(make: Callable[[], bytes]) -> None:
    assert float_graph(read_tflite(make(), "net.tflite")).classes == 5


def refusal(path: Path, normalization: str | None = "-1..1") -> str:
    with pytest.raises(EdgenetError) as caught:
        open_source(str(path), SourceOptions(normalization=normalization))
    return str(caught.value)


def test_files_that_are_not_models(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    for data, expected in (
        (b"", "net.tflite is an empty file (0 bytes), not a network; download the file again"),
        (b"\x89HDF\r\n\x1a\n", "net.tflite is not a complete Keras model"),
        (classifier()[:-200], "damaged or cut short; copy it again"),
    ):
        path.write_bytes(data)
        assert expected in refusal(path)


def test_a_bundle_is_not_a_source(tmp_path: Path) -> None:
    expected = "is a bundle, which holds no float network to convert; give the float network"
    for name in ("net.tflite", "net.edgenet"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("model.tflite", write_tflite(int8_program(quantized_network())))
        assert expected in refusal(tmp_path / name)


def test_a_network_that_does_not_say_what_its_pixels_are(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(classifier())
    assert "does not say what its pixels went through in training; give --normalization" in refusal(
        path, None
    )
    net = Network()
    scaled = net.make("MUL", [net.input, net.constant(1 / 255)], net.shape(net.input))
    path.write_bytes(net.file(net.dense(net.mean(net.conv(scaled)))))
    assert "it scales its input itself, so this may be 0..255; give --normalization" in refusal(path, None)


def test_a_network_that_takes_pixels_needs_no_normalization(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(casts_pixels())
    assert "takes uint8 pixels and needs no normalization; leave out --normalization" in refusal(path)
