"""ONNX's operators of newer networks (slices, resizing, GELU, attention), compared with onnxruntime."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onnx_models import Attributes, Onnx, check_against_onnxruntime, check_picture, kinds

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Concat, MatMul, Resize, Slice, Standardize, Transpose, Unary, WithConstant

FLOAT32 = np.float32


def int64(net: Onnx, *values: int) -> str:
    return net.constant(np.array(values, np.int64))


def features(net: Onnx, channels: int = 8) -> str:
    """Add features of both signs."""
    return net.conv("image", channels)


def test_slices_of_channels_rows_and_columns() -> None:
    net = Onnx((1, 3, 8, 10))
    bounds = ((1, -6, 1), (99, -1, 9), (1, 2, 3), (1, 1, 3))
    part = net.op("Slice", [features(net), *(int64(net, *values) for values in bounds)])
    graph = check_picture(net, part)
    assert Slice((0, 2, 1, 1), (1, 7, 9, 8), (1, 1, 3, 1)) in [node.operator for node in graph.nodes]


def test_slice_with_attributes_and_of_a_flattened_picture() -> None:
    net = Onnx(opset=9)
    part = net.op("Slice", [features(net)], {"starts": [2], "ends": [5], "axes": [1]})
    flat = net.op("Flatten", [part])
    check_against_onnxruntime(net.model(net.op("Slice", [flat], {"starts": [0, 7], "ends": [1, 50]})))


@pytest.mark.parametrize("how", ["equal", "sizes", "attribute"])
def test_split(how: str) -> None:
    net = Onnx(opset=11 if how == "attribute" else 17)
    given = [features(net), *([int64(net, 3, 5)] if how == "sizes" else [])]
    attributes: Attributes = {"axis": 1, **({"split": [3, 5]} if how == "attribute" else {})}
    left, right = net.several("Split", given, 2, attributes)
    graph = check_picture(net, net.op("Concat", [net.op("Relu", [right]), left], {"axis": 1}))
    assert kinds(graph).count(Slice) == 2


def test_channel_shuffle_needs_one_transpose() -> None:
    net = Onnx()
    groups = net.op("Reshape", [features(net), int64(net, 1, 2, 4, 8, 8)])
    turned = net.op("Transpose", [groups], {"perm": [0, 2, 1, 3, 4]})
    graph = check_picture(net, net.conv(net.op("Reshape", [turned, int64(net, 1, 8, 8, 8)]), 4, 8))
    assert kinds(graph).count(Transpose) == 2  # the other turns the flattened result for the comparison


GATHERED = [np.int64(2), np.int64([2]), np.int64([1, 2, 3]), np.int64([0, 3, 6]), np.int64(-1)]


@pytest.mark.parametrize("indices", GATHERED, ids=str)
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_gather(indices: np.ndarray, axis: int) -> None:
    net = Onnx()
    check_picture(net, net.op("Gather", [features(net), net.constant(indices)], {"axis": axis}))


def test_gather_of_interleaved_rows_and_columns_as_torch_exports_unfold() -> None:
    net = Onnx()
    phases = net.constant(np.arange(2)[:, None] + 2 * np.arange(4))
    rows = net.op("Gather", [features(net), phases], {"axis": 2})
    both = net.op("Gather", [rows, phases], {"axis": 4})
    check_picture(net, net.op("Transpose", [both], {"perm": [0, 1, 2, 4, 3, 5]}))


PADS = [(0, 0, 1, 1, 0, 0, 1, 1), (0, 0, 3, 0, 0, 0, 2, 0), (0, 0, 0, 1, 0, 0, 0, 0)]


@pytest.mark.parametrize("mode", ["reflect", "edge"])
@pytest.mark.parametrize("pads", PADS, ids=str)
def test_padding_with_own_pixels(mode: str, pads: tuple[int, ...]) -> None:
    net = Onnx((1, 3, 7, 6))
    check_picture(net, net.conv(net.op("Pad", [features(net), int64(net, *pads)], {"mode": mode}), 3, 8))


TORCH = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def linear(mode: str) -> Attributes:
    return {"mode": "linear", "coordinate_transformation_mode": mode}


RESIZINGS: dict[str, tuple[Attributes, tuple[float, float], type]] = {
    "nearest, whole": (TORCH, (2, 3), Concat),
    "nearest, half pixel": ({"coordinate_transformation_mode": "half_pixel"}, (2, 2), Concat),
    "nearest, rows": (TORCH, (3, 1), Concat),
    "nearest, columns": (TORCH, (1, 2), Concat),
    "nearest, parts": (TORCH, (1.5, 0.5), Resize),
    "linear, half pixel": (linear("half_pixel"), (2, 1.5), Resize),
    "linear, torch": (linear("pytorch_half_pixel"), (0.5, 2), Resize),
    "linear, corners": (linear("align_corners"), (2, 1.5), Resize),
    "linear, corners, parts": (linear("align_corners"), (1.3, 0.7), Resize),
    "linear, asymmetric": (linear("asymmetric"), (2, 2), Resize),
}


@pytest.mark.parametrize("name", RESIZINGS)
def test_resize(name: str) -> None:
    attributes, (down, right), expected = RESIZINGS[name]
    net = Onnx((1, 3, 6, 8))
    scales = net.constant(np.array([1, 1, down, right], FLOAT32))
    graph = check_picture(net, net.op("Resize", [features(net), "", scales], attributes))
    assert expected in kinds(graph)


def test_resize_to_a_size_and_upsample() -> None:
    net = Onnx((1, 3, 6, 8))
    check_picture(net, net.op("Resize", [features(net), "", "", int64(net, 1, 8, 12, 16)], TORCH))
    net = Onnx((1, 3, 6, 8), opset=9)
    scales = net.constant(np.array([1, 1, 2, 2], FLOAT32))
    check_picture(net, net.op("Upsample", [features(net), scales], {"mode": "nearest"}))


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str) -> None:
    net = Onnx()
    check_picture(net, net.op("DepthToSpace", [net.conv("image", 12)], {"blocksize": 2, "mode": mode}))


@pytest.mark.parametrize("half", ["before", "after", "inside"])
def test_gelu_by_erf(half: str) -> None:
    net = Onnx()
    x, one_half = features(net), net.constant(FLOAT32(0.5))
    gate = net.op("Erf", [net.op("Div", [x, net.constant(FLOAT32(math.sqrt(2)))])])
    gate = net.op("Add", [gate, net.constant(FLOAT32(1))])
    if half == "inside":
        gate = net.op("Mul", [gate, one_half])
    result = net.op("Mul", [net.op("Mul", [x, one_half]) if half == "before" else x, gate])
    if half == "after":
        result = net.op("Mul", [result, one_half])
    graph = check_picture(net, net.conv(result, 4, 8))
    assert [n.operator for n in graph.nodes if isinstance(n.operator, Unary)] == [Unary("gelu")]


def test_an_erf_of_something_else_is_refused_when_lowered() -> None:
    net = Onnx()
    with pytest.raises(EdgenetError, match=r"the erf at .* is not part of a GELU"):
        check_picture(net, net.op("Erf", [features(net)]))


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(approximate: str) -> None:
    net = Onnx(opset=20)
    check_picture(net, net.op("Gelu", [features(net)], {"approximate": approximate}))


@pytest.mark.parametrize("kind", ["Tanh", "LeakyRelu", "PRelu", "PRelu of one slope"])
def test_functions(kind: str) -> None:
    net = Onnx()
    slopes = {"PRelu": [net.random(8, 1, 1)], "PRelu of one slope": [net.random(1, 1, 1)]}.get(kind, [])
    attributes = {"alpha": 0.2} if kind == "LeakyRelu" else {}
    value = net.op(kind.partition(" ")[0], [features(net), *slopes], attributes)
    check_picture(net, value)
    check_against_onnxruntime(net.model(net.op("LeakyRelu", [net.op("Flatten", [value])])))


CLIPS = [(-1, 1), (0, 1), (-2, 6), (0.5, 0.75), (None, 1), (-1, None), (None, None)]


@pytest.mark.parametrize("bounds", CLIPS, ids=str)
def test_clip_to_any_bounds(bounds: tuple[float | None, float | None]) -> None:
    net = Onnx()
    ends = ["" if end is None else net.constant(FLOAT32(end)) for end in bounds]
    check_picture(net, net.conv(net.op("Clip", [features(net), *ends]), 4, 8))


@pytest.mark.parametrize("slope", [{}, {"alpha": 0.5, "beta": 0.25}, {"alpha": 1 / 6}], ids=str)
def test_hard_sigmoid_of_any_slope(slope: Attributes) -> None:
    net = Onnx()
    value = features(net)
    check_picture(net, net.conv(net.op("Mul", [value, net.op("HardSigmoid", [value], slope)]), 4, 8))


def test_square_division_and_casts() -> None:
    net = Onnx()
    value = net.op("Cast", [features(net)], {"to": 1})
    square = net.op("Pow", [value, net.constant(FLOAT32(2))])
    check_picture(net, net.op("Div", [value, net.op("Add", [square, net.constant(FLOAT32(1))])]))


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
def test_constants_that_differ_between_positions(kind: str) -> None:
    for shape in ((1, 1, 4, 5), (1, 8, 4, 5), (1, 1, 1, 5)):
        net = Onnx((1, 3, 4, 5))
        graph = check_picture(net, net.op(kind, [features(net), net.random(*shape)]))
        assert WithConstant in kinds(graph)


def tokens(net: Onnx, count: int = 12, channels: int = 8) -> str:
    """Add [1, positions, channels] as a transformer makes them of a picture."""
    flat = net.op("Reshape", [net.conv("image", channels), int64(net, 1, channels, count)])
    return net.op("Transpose", [flat], {"perm": [0, 2, 1]})


def test_layer_normalization_of_tokens_and_of_a_picture() -> None:
    net = Onnx((1, 3, 3, 4))
    normal = net.op("LayerNormalization", [tokens(net), net.random(8), net.random(8)], {"axis": -1})
    graph = check_against_onnxruntime(
        net.model(net.op("Reshape", [net.op("MatMul", [normal, net.random(8, 5)]), int64(net, 1, 60)]))
    )
    assert Transpose not in kinds(graph)
    assert [node.operator.axes for node in graph.nodes if isinstance(node.operator, Standardize)] == [(2,)]
    net = Onnx((1, 3, 3, 4))
    turned = net.op("Transpose", [net.conv("image", 8)], {"perm": [0, 2, 3, 1]})
    normal = net.op("LayerNormalization", [turned, net.random(8)], {"epsilon": 1e-3})
    check_picture(net, net.conv(net.op("Transpose", [normal], {"perm": [0, 3, 1, 2]}), 4, 8))


def test_instance_and_group_normalization() -> None:
    net = Onnx((1, 3, 3, 4))
    normal = net.op("InstanceNormalization", [net.conv("image", 8), net.random(8), net.random(8)])
    check_picture(net, net.conv(normal, 4, 8))
    net = Onnx((1, 3, 3, 4))
    row = net.op("Reshape", [net.conv("image", 8), int64(net, 1, 1, -1)])
    one, zero = net.constant(np.ones(1, FLOAT32)), net.constant(np.zeros(1, FLOAT32))
    normal = net.op("Reshape", [net.op("InstanceNormalization", [row, one, zero]), int64(net, 1, 8, 3, 4)])
    scaled = net.op("Add", [net.op("Mul", [normal, net.random(8, 1, 1)]), net.random(8, 1, 1)])
    graph = check_picture(net, net.conv(scaled, 4, 8))
    assert kinds(graph).count(Transpose) == 1  # it turns the flattened result for the comparison


@pytest.mark.parametrize("axis", [-1, 1])
def test_a_layer_norm_that_older_exporters_write_in_parts(axis: int) -> None:
    net = Onnx((1, 3, 3, 4), opset=13)
    x = tokens(net) if axis == -1 else net.conv("image", 8)
    centred = net.op("Sub", [x, net.op("ReduceMean", [x], {"axes": [axis]})])
    square = net.op("Pow", [centred, net.constant(FLOAT32(2))])
    variance = net.op("ReduceMean", [square], {"axes": [axis]})
    root = net.op("Sqrt", [net.op("Add", [variance, net.constant(FLOAT32(1e-5))])])
    graph = check_picture(
        net,
        net.op("Mul", [net.op("Div", [centred, root]), net.random(8) if axis == -1 else net.random(8, 1, 1)]),
    )
    assert kinds(graph).count(Standardize) == 1


def test_attention() -> None:
    net = Onnx((1, 3, 3, 4))
    packed = net.op("MatMul", [tokens(net), net.random(8, 24)])
    heads = net.op("Reshape", [packed, int64(net, 1, 12, 3, 2, 4)])
    turned = net.op("Transpose", [heads], {"perm": [2, 0, 3, 1, 4]})
    parts = net.several("Split", [turned], 3, {"axis": 0})
    query, key, value = (net.op("Squeeze", [part, int64(net, 0)]) for part in parts)
    scaled = net.op("Mul", [query, net.constant(FLOAT32(0.5))])
    scores = net.op("MatMul", [scaled, net.op("Transpose", [key], {"perm": [0, 1, 3, 2]})])
    scores = net.op("Softmax", [net.op("Add", [scores, net.random(1, 2, 12, 12)])], {"axis": -1})
    mixed = net.op("Transpose", [net.op("MatMul", [scores, value])], {"perm": [0, 2, 1, 3]})
    graph = check_picture(net, net.op("Reshape", [mixed, int64(net, 1, 12, 8)]))
    assert kinds(graph).count(MatMul) == 2
    assert all(shape[0] == 1 for shape in graph.shapes.values())  # so that photos can go through it together


def test_windows_keep_the_photos_axis() -> None:
    net = Onnx((1, 3, 4, 6), opset=13)
    turned = net.op("Transpose", [net.conv("image", 8)], {"perm": [0, 2, 3, 1]})
    parted = net.op("Reshape", [turned, int64(net, 1, 2, 2, 3, 2, 8)])
    moved = net.op("Transpose", [parted], {"perm": [0, 1, 3, 2, 4, 5]})
    windows = net.op("Reshape", [moved, int64(net, 6, 4, 8)])
    scores = net.op("MatMul", [windows, net.op("Transpose", [windows], {"perm": [0, 2, 1]})])
    mixed = net.op("MatMul", [net.op("Softmax", [scores], {"axis": 2}), windows])
    means = net.op("ReduceMean", [net.op("MatMul", [mixed, net.random(8, 3)])], {"axes": [1]})
    graph = check_against_onnxruntime(net.model(net.op("Reshape", [means, int64(net, 1, 18)])))
    assert all(shape[0] == 1 for shape in graph.shapes.values())


def test_a_class_token_and_the_mean_of_tokens() -> None:
    net = Onnx((1, 3, 3, 4))
    longer = net.op("Concat", [net.random(1, 1, 8), tokens(net)], {"axis": 1})
    first = net.op("Gather", [longer, net.constant(np.int64(0))], {"axis": 1})
    mean = net.op("ReduceMean", [longer], {"axes": [1], "keepdims": 0})
    check_against_onnxruntime(net.model(net.op("Concat", [first, mean], {"axis": 1})))


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_softmax_along_any_axis(axis: int) -> None:
    net = Onnx((1, 3, 4, 5))
    check_picture(net, net.op("Relu", [net.op("Softmax", [features(net)], {"axis": axis})]))


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum", "ReduceL2"])
@pytest.mark.parametrize("axes", [[1], [3], [2], [1, 2]], ids=str)
def test_reduction_of_other_axes(kind: str, axes: list[int]) -> None:
    net = Onnx((1, 3, 4, 5), opset=11)
    check_picture(net, net.op(kind, [features(net)], {"axes": axes, "keepdims": 1}))


def test_unit_length_as_torch_exports_it() -> None:
    net = Onnx((1, 3, 4, 5))
    value = features(net)
    length = net.op("ReduceL2", [value], {"axes": [-1]})
    length = net.op("Clip", [length, net.constant(FLOAT32(1e-12)), ""])
    wide = net.op("Expand", [length, int64(net, 1, 8, 4, 5)])
    check_picture(net, net.op("Div", [value, wide]))
