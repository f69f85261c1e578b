"""What the ONNX reader refuses: the error names the node, what was found and what helps.

Damaged files as well.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import Onnx

from edgenet.errors import EdgenetError
from edgenet.graph.lower import lower
from edgenet.graph.onnx_reader import read_onnx, read_onnx_model
from edgenet.graph.simplify import simplify
from edgenet.zoo.classifier import TORCHVISION


def refusal(net: Onnx, output: str, input_shape: tuple[int, ...] | None = None) -> str:
    with pytest.raises(EdgenetError) as caught:
        read_onnx_model(net.model(output), "small", input_shape)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unsupported_operator_is_named_with_node_shape_and_remedy() -> None:
    net = Onnx()
    text = refusal(net, net.op("Elu", [net.conv("image", 4)]))
    assert text == (
        "cannot read node 'the_elu1', a Elu with input [1, 4, 8, 8]: this operator is not supported; "
        "train with ReLU6, which int8 keeps best"
    )


def test_an_operator_of_another_domain_is_refused() -> None:
    net = Onnx()
    net.op("Relu", ["image"])
    net.nodes[-1].domain = "com.microsoft"
    assert "a Relu with input [1, 3, 8, 8]: this operator is not supported" in refusal(net, "relu0")


def unary(kind: str, attributes: dict[str, object] | None = None) -> Callable[[Onnx], str]:
    return lambda net: net.op(kind, ["image"], attributes)


def with_constants(
    kind: str, *constants: object, attributes: dict[str, object] | None = None
) -> Callable[[Onnx], str]:
    return lambda net: net.op(kind, ["image", *(net.constant(value) for value in constants)], attributes)


def int64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def flattened(kind: str, *shape: int) -> Callable[[Onnx], str]:
    return lambda net: net.op(kind, [net.op("Flatten", ["image"]), net.random(*shape)])


REFUSED: dict[str, tuple[Callable[[Onnx], str], str]] = {
    "padding with ones": (
        with_constants("Pad", int64(0, 0, 1, 1, 0, 0, 1, 1), np.float32(1)),
        "it pads with 1; padding with zeros, reflect and edge are supported",
    ),
    "reflecting more than there is": (
        with_constants("Pad", int64(0, 0, 8, 0, 0, 0, 0, 0), attributes={"mode": "reflect"}),
        "it reflects 8 of 8 rows or columns",
    ),
    "padding channels": (
        with_constants("Pad", int64(0, 1, 0, 0, 0, 0, 0, 0)),
        "only height and width can be padded",
    ),
    "cutting off": (
        with_constants("Pad", int64(0, 0, -1, 0, 0, 0, 0, 0)),
        "only height and width can be padded",
    ),
    "1D convolution": (
        lambda net: net.op(
            "Conv", [net.op("Reshape", ["image", net.constant(int64(1, 3, 64))]), net.random(4, 3, 3)]
        ),
        "its input has 3 axes where a picture has 4",
    ),
    "3D convolution": (
        lambda net: net.op(
            "Conv",
            [net.op("Reshape", ["image", net.constant(int64(1, 3, 4, 4, 4))]), net.random(4, 3, 1, 1, 1)],
        ),
        "its input has 5 axes where a picture has 4",
    ),
    "a kernel of another rank": (
        lambda net: net.op("Conv", ["image", net.random(4, 3, 3)]),
        "its weight has 3 axes",
    ),
    "wrong channels": (
        lambda net: net.op("Conv", ["image", net.random(4, 5, 3, 3)]),
        "its weight [4, 5, 3, 3] with 1 groups does not fit 3 channels",
    ),
    "a kernel larger than the picture": (
        lambda net: net.op("Conv", ["image", net.random(4, 3, 9, 9)]),
        "a 9x9 window got a 8x8 picture; use a larger input resolution",
    ),
    "NaN in a weight": (
        lambda net: net.op("Conv", ["image", net.constant(np.full((4, 3, 1, 1), np.nan, np.float32))]),
        "cannot read node 'the_conv0', a Conv with input [1, 3, 8, 8]: its constant 'constant0' holds 12 NaN among",
    ),
    "negative variance": (
        lambda net: net.op(
            "BatchNormalization",
            ["image", *(net.constant(np.full(3, n, np.float32)) for n in (1, 0, 0, -1))],
        ),
        "its constants give NaN or infinity",
    ),
    "division by zero": (with_constants("Div", np.float32(0)), "its constants give NaN or infinity"),
    "a constant divided": (
        lambda net: net.op("Div", [net.constant(np.float32(1)), "image"]),
        "it divides a constant by a computed value",
    ),
    "constants that widen": (
        lambda net: net.op("Mul", [net.op("GlobalMaxPool", ["image"]), net.random(1, 3, 4, 4)]),
        "its constant widens the shape to [1, 3, 4, 4]",
    ),
    "clipping to nothing": (with_constants("Clip", np.float32(1), np.float32(1)), "it clips to [1, 1]"),
    "slopes over the picture": (
        with_constants("PRelu", np.zeros((1, 8, 8), np.float32)),
        "its slope varies over the picture; use one slope for each channel",
    ),
    "a cast to integers": (
        unary("Cast", {"to": TensorProto.INT32}),
        "it casts to INT32; give edgenet the float",
    ),
    "a third power": (with_constants("Pow", np.float32(3)), "it is not a square; only the power of 2"),
    "slices backwards": (
        with_constants("Slice", int64(-1), int64(-99), int64(2), int64(-1)),
        "its steps are [-1]; only steps of 1 or more",
    ),
    "picked channels in another order": (
        with_constants("Gather", int64(2, 1, 0), attributes={"axis": 1}),
        "it picks [2, 1, 0]; only positions at equal distances, upwards",
    ),
    "cubic resizing": (
        lambda net: net.op(
            "Resize", ["image", "", net.constant(np.float32([1, 1, 2, 2]))], {"mode": "cubic"}
        ),
        "its mode is cubic, half_pixel, round_prefer_floor; nearest as torch computes it, and linear",
    ),
    "pixels left over": (
        lambda net: net.op("Resize", ["image", "", net.constant(np.float32([1, 1, 1.3, 2]))]),
        "its scales [1.3, 2.0] do not give a whole number of pixels; resize to a size",
    ),
    "nearest pixels always to one side": (
        lambda net: net.op(
            "Resize", ["image", "", net.constant(np.float32([1, 1, 2, 2]))], {"nearest_mode": "floor"}
        ),
        "its mode is nearest, half_pixel, floor; nearest as torch computes it, and linear",
    ),
    "smoothed resizing": (
        lambda net: net.op(
            "Resize",
            ["image", "", net.constant(np.float32([1, 1, 0.5, 0.5]))],
            {"mode": "linear", "antialias": 1},
        ),
        "it smooths before it shrinks or keeps the sides' ratio; export it without antialias",
    ),
    "a mean of nothing": (
        lambda net: net.op("ReduceMean", ["image"], {"noop_with_empty_axes": 1}),
        "it may reduce nothing; leave out noop_with_empty_axes",
    ),
    "resized channels": (
        lambda net: net.op("Resize", ["image", "", net.constant(np.float32([1, 2, 1, 1]))]),
        "its scales are [1.0, 2.0, 1.0, 1.0]; only height and width can be resized",
    ),
    "matrices that do not fit": (
        lambda net: net.op("MatMul", ["image", net.op("GlobalMaxPool", ["image"])]),
        "a MatMul got [1, 3, 8, 8] and [1, 3, 1, 1], which do not fit",
    ),
    "dilated pooling": (
        unary("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2]}),
        "its window has holes (dilations); use dilation 1",
    ),
    "counted padding rounded up": (
        unary(
            "AveragePool",
            {
                "kernel_shape": [3, 3],
                "strides": [2, 2],
                "pads": [1, 1, 1, 1],
                "count_include_pad": 1,
                "ceil_mode": 1,
            },
        ),
        "it counts padding and rounds up (ceil_mode)",
    ),
    "reducing one axis": (
        unary("ReduceMax", {"axes": [3]}),
        "it reduces the axes [3]; only height and width",
    ),
    "reducing everything": (unary("ReduceMean"), "it reduces the axes [0, 1, 2, 3]"),
    "transposed input": (
        lambda net: net.op("Gemm", [net.op("Flatten", ["image"]), net.random(1, 4)], {"transA": 1}),
        "it transposes its input",
    ),
    "a matrix that does not fit": (flattened("MatMul", 5, 4), "its matrix takes 5 features"),
    "a matrix of three axes": (flattened("MatMul", 1, 192, 4), "its matrix has 3 axes where 2 are supported"),
    "an impossible reshape": (with_constants("Reshape", int64(1, 5, 5)), "changes the number of values"),
    "different numbers of axes": (
        lambda net: net.op("Add", ["image", net.op("Flatten", ["image"])]),
        "its inputs have different numbers of axes",
    ),
    "concat of different numbers of axes": (
        lambda net: net.op("Concat", ["image", net.op("Flatten", ["image"])], {"axis": 1}),
        "its inputs have different numbers of axes",
    ),
    "concat of different sizes": (
        lambda net: net.op("Concat", ["image", net.op("GlobalMaxPool", ["image"])], {"axis": 1}),
        "a Concat along axis 3 got [[1, 8, 8, 3], [1, 1, 1, 3]]",
    ),
    "batch norm in training": (
        lambda net: net.op(
            "BatchNormalization", ["image", *(net.random(3) for _ in range(4))], {"training_mode": 1}
        ),
        "it was exported in training mode; call model.eval()",
    ),
    "an input from nowhere": (
        lambda net: net.op("Relu", ["nothing"]),
        "no earlier node makes its input 'nothing'",
    ),
    "an attribute of another type": (
        unary("MaxPool", {"kernel_shape": 3.5}),
        "do not follow the ONNX standard",
    ),
    "an input that is missing": (lambda net: net.op("Conv", ["image"]), "its input 1 is missing"),
    "constants that cannot be computed": (
        lambda net: net.op("Add", ["image", net.op("Reshape", [net.random(4), net.constant(int64(3))])]),
        "cannot read node 'the_reshape0', a Reshape: its constants cannot be computed",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, expected = REFUSED[name]
    net = Onnx()
    assert expected in refusal(net, make(net))


def test_a_pooling_that_no_file_can_hold_is_refused_when_lowered() -> None:
    net = Onnx((1, 3, 8, 8))
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    model = net.model(net.op("Flatten", [net.op("AveragePool", ["image"], attributes)]))
    graph = simplify(read_onnx_model(model, "small"), TORCHVISION)
    with pytest.raises(EdgenetError, match=r"the average pooling 'the_averagepool0'.*count_include_pad=True"):
        lower(graph, exact_border=True)


@pytest.mark.parametrize(
    "shape", [(2, 3, 8, 8), (1, 3, "height", 8), ("batch", 3, None, 8), (3, 8, 8)], ids=str
)
def test_an_open_shape_is_refused(shape: tuple[object, ...]) -> None:
    net = Onnx(shape)
    text = refusal(net, net.op("Relu", ["image"]))
    assert "the ONNX input 'image' has the shape [" in text
    assert "--input-shape 1,3,224,224" in text


def test_an_open_shape_can_be_given() -> None:
    net = Onnx(("batch", 3, "height", "width"))
    model = net.model(net.op("Flatten", [net.op("GlobalAveragePool", [net.conv("image", 5)])]))
    assert read_onnx_model(model, "small", (1, 3, 8, 9)).size == (8, 9)


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 2, 8, 8), (1, 9, 8, 8)], ids=str)
def test_a_picture_of_other_channels_is_refused(shape: tuple[int, ...]) -> None:
    net = Onnx(shape)
    assert f"{list(shape)}, which is not a picture; edgenet takes" in refusal(net, net.op("Relu", ["image"]))


def test_a_gigantic_picture_is_refused() -> None:
    net = Onnx((1, 3, 2**30, 2**30))
    assert "[1, 3, 1073741824, 1073741824]" in refusal(net, net.op("Flatten", ["image"]))


def test_two_inputs_are_refused() -> None:
    net = Onnx()
    model = net.model(net.op("Relu", ["image"]))
    model.graph.input.append(helper.make_tensor_value_info("state", TensorProto.FLOAT, [1, 7]))
    with pytest.raises(EdgenetError, match=r"2 inputs \('image' \[1, 3, 8, 8\], 'state' \[1, 7\]\)"):
        read_onnx_model(model, "small")


def test_outputs_that_might_all_be_the_scores_are_refused() -> None:
    net = Onnx()
    outputs = [net.op("Flatten", [net.op(kind, ["image"])]) for kind in ("Relu", "Sigmoid")]
    expected = r"2 outputs \(flatten1 \[1, 192\], flatten3 \[1, 192\]\), and it is not plain .* convert --output NAME"
    with pytest.raises(EdgenetError, match=expected):
        read_onnx_model(net.model(*outputs), "small")
    with pytest.raises(EdgenetError, match=r"has no output 'logits'; its outputs are flatten1, flatten3"):
        read_onnx_model(net.model(*outputs), "small", output="logits")


def test_an_output_that_is_not_a_vector_is_refused() -> None:
    net = Onnx()
    assert "the ONNX output 'relu0' has the shape [1, 3, 8, 8]" in refusal(net, net.op("Relu", ["image"]))


def test_an_output_that_is_constant_is_refused() -> None:
    net = Onnx()
    assert "does not depend on the picture" in refusal(net, net.op("Relu", [net.random(1, 5)]))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match=r"there is no file .*none\.onnx"):
        read_onnx(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    "content", [b"", b"no protobuf at all", bytes(range(256)) * 40], ids=["empty", "text", "bytes"]
)
def test_garbage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "garbage.onnx"
    path.write_bytes(content)
    with pytest.raises(
        EdgenetError, match=r"garbage\.onnx (is not a readable ONNX file|holds no ONNX graph)"
    ):
        read_onnx(path)


def small_model() -> bytes:
    net = Onnx((1, 3, 6, 6))
    value = net.op("Relu", [net.conv("image", 4)])
    value = net.op("MaxPool", [value], {"kernel_shape": [2, 2], "strides": [2, 2]})
    value = net.op("Add", [value, net.op("Mul", [value, net.constant(np.float32(2))])])
    value = net.op("Reshape", [value, net.constant(int64(1, -1))])
    return net.model(net.op("Gemm", [value, net.random(36, 3), net.random(3)])).SerializeToString()


def check_one_line(error: EdgenetError) -> None:
    assert "\n" not in str(error)


def read_or_refuse(path: Path, content: bytes) -> bool:
    """Return whether the file became a lowered graph; any exception except an EdgenetError fails the test."""
    path.write_bytes(content)
    try:
        lower(simplify(read_onnx(path), TORCHVISION), exact_border=False)
    except EdgenetError as error:
        check_one_line(error)
        return False
    return True


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    whole = small_model()
    assert read_or_refuse(tmp_path / "whole.onnx", whole)
    for length in range(0, len(whole) - 1, 37):
        assert not read_or_refuse(tmp_path / "short.onnx", whole[:length])


def test_external_data_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "outside.onnx"
    onnx.save(
        onnx.load_from_string(small_model()),
        path,
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    read_onnx(path)
    (tmp_path / "weights").unlink()
    expected = (
        r"outside\.onnx keeps its weights in another file, 'weights', which is not beside it; put weights"
    )
    with pytest.raises(EdgenetError, match=expected):
        read_onnx(path)
    (tmp_path / "weights").write_bytes(bytes(8))
    with pytest.raises(EdgenetError, match=r"weights has 8 bytes, and .*outside\.onnx reads it up to"):
        read_onnx(path)


@pytest.mark.parametrize("location", ["../weights", "/etc/hostname", "", "x" * 5000])
def test_external_data_elsewhere_is_not_read(tmp_path: Path, location: str) -> None:
    path = tmp_path / "folder" / "outside.onnx"
    path.parent.mkdir()
    (tmp_path / "weights").write_bytes(bytes(10**6))
    model = onnx.load_from_string(small_model())
    onnx.external_data_helper.convert_model_to_external_data(model, location="weights", size_threshold=0)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
        tensor.data_location = TensorProto.EXTERNAL
    path.write_bytes(model.SerializeToString())
    with pytest.raises(EdgenetError, match=r"the weights of .* cannot be read|which is not beside it"):
        read_onnx(path)


def test_changed_bytes_never_give_anything_but_an_error_or_a_graph(tmp_path: Path) -> None:
    whole, rng = small_model(), random.Random(5)
    read = 0
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 1, 2, 8])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        read += read_or_refuse(tmp_path / "changed.onnx", bytes(content))
    assert 20 < read < 290
