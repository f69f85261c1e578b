"""What the .tflite reader refuses; damage always gives an error or a graph."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from every_layer import files, network, quantized_network
from small_graphs import build, photos, quantize
from tiny_model import tiny_model

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Mean, Unary
from edgenet.quantize.quantized_graph import Encoding
from edgenet.tflite.flatbuffer import read_tflite, write_tflite
from edgenet.tflite.from_graph import float_program, int8_program, raw_program
from edgenet.tflite.program import FileOperator, FileTensor, Program, Quantization
from edgenet.tflite.to_graph import float_graph, quantized_graph


def check_error(error: EdgenetError, names: str = "") -> None:
    assert "\n" not in str(error)
    assert names in str(error)


def read_or_refuse(data: bytes) -> bool:
    """Return whether either reader succeeded; any exception except an EdgenetError fails the test."""
    try:
        program = read_tflite(data, "model.tflite")
    except EdgenetError as error:
        check_error(error, "model.tflite")
        return False
    done = False
    for reading in (float_graph, quantized_graph):
        try:
            reading(program)
            done = True
        except EdgenetError as error:
            check_error(error)
    return done


@pytest.mark.parametrize("name", ["float", "int8"])
def test_changed_bytes(name: str) -> None:
    whole, rng = files()[name], random.Random(3)
    assert read_or_refuse(whole)
    read = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 8, 40])):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        read += read_or_refuse(bytes(data))
    assert 5 < read < 145


def test_truncated_files() -> None:
    whole = files()["int8"]
    for length in range(0, len(whole) // 2, 97):
        assert not read_or_refuse(whole[:length])


@pytest.mark.parametrize(
    "data", [b"", b"TFL3", bytes(8) + b"TFL3", b"\0\0\0\0TFL3", b"\xff\xff\xff\xffTFL3" + bytes(99)]
)
def test_garbage(data: bytes) -> None:
    with pytest.raises(EdgenetError, match=r"model\.tflite"):
        read_tflite(data, "model.tflite")


def test_another_tools_file_with_its_layers() -> None:
    graph = float_graph(read_tflite(tiny_model(size=8), "it"))
    white_red = np.zeros((1, 8, 8, 3), np.uint8)
    white_red[..., 0] = 255
    assert run(graph, white_red).argmax() == 0


def program_with(change: Callable[[Program], Program], int8: bool = False) -> Program:
    program = int8_program(quantized_network()) if int8 else float_program(network())
    return change(program)


def of_kind(program: Program, kind: str) -> int:
    return next(i for i, operator in enumerate(program.operators) if operator.kind == kind)


def with_operator(program: Program, index: int, operator: FileOperator) -> Program:
    return replace(program, operators=(*program.operators[:index], operator, *program.operators[index + 1 :]))


def with_tensor(program: Program, index: int, tensor: FileTensor) -> Program:
    return replace(program, tensors=(*program.tensors[:index], tensor, *program.tensors[index + 1 :]))


def changed(kind: str, **options: object) -> Callable[[Program], Program]:
    def change(program: Program) -> Program:
        index = of_kind(program, kind)
        operator = program.operators[index]
        return with_operator(program, index, replace(operator, options={**operator.options, **options}))

    return change


def called(kind: str, other: str) -> Callable[[Program], Program]:
    def change(program: Program) -> Program:
        index = of_kind(program, kind)
        return with_operator(program, index, replace(program.operators[index], kind=other, options={}))

    return change


FLOAT_REFUSALS: dict[str, tuple[Callable[[Program], Program], str]] = {
    "an unsupported operator": (
        called("LOGISTIC", "ELU"),
        "cannot read 'gate', a ELU with inputs [[1, 1, 1, 8]]: this operator is not supported; train with ReLU",
    ),
    "an operator that nobody expects": (
        called("LOGISTIC", "COS"),
        "cannot read 'gate', a COS with inputs [[1, 1, 1, 8]]: this operator is not supported; edgenet takes ADD,",
    ),
    "an operator of TensorFlow": (
        called("LOGISTIC", "CUSTOM 'FlexErf'"),
        "cannot read 'gate', a CUSTOM 'FlexErf' with inputs [[1, 1, 1, 8]]: this operator is not supported; "
        "convert the network without SELECT_TF_OPS",
    ),
    "an unsupported activation": (
        changed("CONV_2D", fusedActivationFunction="TANH"),
        "its fused activation is TANH; RELU and RELU6 are supported",
    ),
    "another activation in a pooling": (
        changed("MAX_POOL_2D", fusedActivationFunction="TANH"),
        "its fused activation is TANH",
    ),
    "another softmax": (changed("SOFTMAX", beta=2.0), "its beta is 2.0; only beta 1"),
    "a shape that is not what comes out": (
        changed("CONV_2D", strideW=1),
        "its output should be [1, 6, 12, 8] but the file says [1, 6, 6, 8]",
    ),
}


@pytest.mark.parametrize("name", FLOAT_REFUSALS)
def test_float_files_that_are_refused(name: str) -> None:
    change, expected = FLOAT_REFUSALS[name]
    with pytest.raises(EdgenetError) as caught:
        float_graph(program_with(change))
    assert expected in str(caught.value)


def test_int8_and_float_are_not_confused() -> None:
    with pytest.raises(EdgenetError, match="quantized already: it has int8 weights and activations; give"):
        float_graph(int8_program(quantized_network()))
    with pytest.raises(EdgenetError, match="is not int8"):
        quantized_graph(float_program(network()))


def test_a_quantize_in_the_middle_is_refused() -> None:
    def change(program: Program) -> Program:
        """Make all readers of the first convolution's result read it in another encoding."""
        at, new = of_kind(program, "CONV_2D"), len(program.tensors)
        made = program.operators[at].outputs[0]
        other = replace(program.tensors[made], name="again", quantization=Quantization((0.02,), (3,)))
        readers = (
            replace(o, inputs=tuple(new if i == made else i for i in o.inputs))
            for o in program.operators[at + 1 :]
        )
        again = FileOperator("QUANTIZE", 1, (made,), (new,))
        operators = (*program.operators[: at + 1], again, *readers)
        return replace(program, tensors=(*program.tensors, other), operators=operators)

    with pytest.raises(EdgenetError, match="changes the encoding of 'again'"):
        quantized_graph(program_with(change, int8=True))


def test_a_picture_in_another_encoding_is_read_behind_its_quantize() -> None:
    def change(program: Program) -> Program:
        output = program.operators[of_kind(program, "QUANTIZE")].outputs[0]
        other = replace(program.tensors[output], quantization=Quantization((0.02,), (3,)))
        return with_tensor(program, output, other)

    graph = quantized_graph(program_with(change, int8=True))
    assert graph.encodings[graph.graph.input] == Encoding(0.02, 3)


def test_a_file_that_is_int8_in_part_without_conversions_is_refused() -> None:
    def change(program: Program) -> Program:
        output = program.operators[of_kind(program, "HARD_SWISH")].outputs[0]
        return with_tensor(
            program, output, replace(program.tensors[output], dtype="float32", quantization=None)
        )

    with pytest.raises(EdgenetError, match="mixes float and int8 at 'swish' without QUANTIZE"):
        quantized_graph(program_with(change, int8=True))


def test_a_file_that_gives_no_vector_is_refused() -> None:
    data = write_tflite(raw_program(quantize(build(lambda b, x: b.add(Mean(), [x], "y")), photos(2, (6, 6)))))
    with pytest.raises(EdgenetError, match="is not int8"):
        quantized_graph(read_tflite(data, "it"))
    graph = build(lambda b, x: b.add(Unary("relu"), [x], "y"))
    with pytest.raises(EdgenetError, match=r"gives \[1, 6, 6, 3\]; edgenet reads classifiers"):
        float_graph(float_program(graph))
