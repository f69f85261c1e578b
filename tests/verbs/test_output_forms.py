"""The forms that `convert` writes: each is run by its real runtime, beside the file that every client takes."""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from other_makers import run_beside_makers
from small_classifiers import classifier_file
from small_network import LABELS, PHOTOS
from torch import nn

import edgenet
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.tflite.flatbuffer import read_tflite, write_tflite
from edgenet.tflite.forms import DYNAMIC, DYNAMIC_LEAST, WEIGHTED, dynamic_program, float16_program
from edgenet.workflows.convert import OutputForm

INT8 = {"calibration": PHOTOS, "photos": 8, "recipe": "minmax"}
TYPES = {"uint8": np.uint8, "int8": np.int8, "float32": np.float32}


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return load_all(open_photos(PHOTOS), 64, limit=6).images


@pytest.fixture(scope="module")
def expected(made: Path, photos: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of the float and the int8 file, float32 [6, 5]."""
    files = {"float32": made / "float.tflite", "int8": made / "int8.tflite"}
    return {kind: scores(path, photos) for kind, path in files.items()}


def scores(path: Path, photos: np.ndarray) -> np.ndarray:
    classifier = edgenet.load(path)
    return np.stack([classifier.score_prepared(photo) for photo in photos])


def ends(path: Path) -> list[type]:
    """Return the types of the input and output, as LiteRT sees them."""
    interpreter = Interpreter(model_content=path.read_bytes())
    interpreter.allocate_tensors()
    return [interpreter.get_input_details()[0]["dtype"], interpreter.get_output_details()[0]["dtype"]]


def rounded(path: Path, precision: str) -> bytes:
    """Return a float file with its weights as they are after rounding to a precision."""
    program = read_tflite(path.read_bytes(), "x")
    tensors = list(program.tensors)
    for operator in program.operators:
        if precision == "float16":
            indices = operator.inputs[1:3] if operator.kind in WEIGHTED else ()
        else:
            indices = operator.inputs[1:2] if operator.kind in DYNAMIC else ()
        for index in indices:
            data = np.asarray(tensors[index].data)
            tensors[index] = replace(tensors[index], data=_rounded(data, precision))
    return write_tflite(replace(program, tensors=tuple(tensors)))


def _rounded(data: np.ndarray, precision: str) -> np.ndarray:
    if precision == "float16":
        return data.astype(np.float16).astype(np.float32)
    if data.size < DYNAMIC_LEAST:
        return data
    scales = np.abs(data).max(axis=tuple(range(1, data.ndim)), keepdims=True) / np.float32(127)
    return (np.rint(data / scales) * scales).astype(np.float32)


@pytest.mark.parametrize(("precision", "size", "near"), [("float16", 0.6, 1e-4), ("dynamic", 0.4, 0.2)])
def test_smaller_weights_need_no_photos(
    made: Path, tmp_path: Path, photos: np.ndarray, precision: str, size: float, near: float
) -> None:
    """Held against the float file with the rounded weights; a dynamic file also rounds each layer's input."""
    out, same = tmp_path / "net.tflite", tmp_path / "rounded.tflite"
    found = edgenet.convert(made / "small.safetensors", out, precision=precision)
    assert found.precision == read_tflite(out.read_bytes(), "x").precision() == precision
    assert out.stat().st_size <= size * (made / "float.tflite").stat().st_size
    same.write_bytes(rounded(made / "float.tflite", precision))
    assert np.abs(scores(out, photos) - scores(same, photos)).mean() <= near
    assert ends(out) == [np.uint8, np.float32]
    assert edgenet.package(out).manifest.precision == precision


def test_a_dynamic_file_keeps_in_float_what_xnnpack_cannot_round(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    edgenet.convert(made / "small.safetensors", out, precision="dynamic")
    program = read_tflite(out.read_bytes(), "x")
    weights = [
        (one.kind, program.tensors[one.inputs[1]]) for one in program.operators if one.kind in WEIGHTED
    ]
    for kind, tensor in weights:
        is_rounded = kind in DYNAMIC and np.size(tensor.data) >= DYNAMIC_LEAST
        assert tensor.dtype == ("int8" if is_rounded else "float32")
    assert {"int8", "float32"} == {tensor.dtype for _, tensor in weights}
    assert ("DEPTHWISE_CONV_2D", "float32") in {(kind, tensor.dtype) for kind, tensor in weights}


def test_a_dynamic_file_of_small_layers_alone_is_refused() -> None:
    program = read_tflite(classifier_file(), "x")
    with pytest.raises(
        EdgenetError, match=r"no layer of the network has 1,024 weights, .* --precision float16"
    ):
        dynamic_program(program)


@pytest.mark.parametrize("io", TYPES)
@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_other_types_at_both_ends(
    made: Path, tmp_path: Path, expected: dict, photos: np.ndarray, precision: str, io: str
) -> None:
    out = tmp_path / "net.tflite"
    how = INT8 if precision == "int8" else {"precision": precision}
    edgenet.convert(made / "small.safetensors", out, io=io, **how)
    assert ends(out) == [TYPES[io], TYPES[io]]
    step = 0 if io == "float32" else 1 / 256
    wanted = expected["int8" if precision == "int8" else "float32"]
    assert np.abs(scores(out, photos) - wanted).max() <= step + 1e-6
    assert edgenet.inspect(edgenet.package(out).out).precision == precision


def test_an_int8_file_for_the_edge_tpu_has_no_float_inside(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    edgenet.convert(made / "small.safetensors", out, io="int8", **INT8)
    program = read_tflite(out.read_bytes(), "x")
    assert {tensor.dtype for tensor in program.tensors} == {"int8", "int32"}
    assert not {"QUANTIZE", "DEQUANTIZE"} & program.kinds().keys()


@pytest.fixture(scope="module")
def onnx_files(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("onnx")
    for kind, how in (("float32", {"float": True}), ("int8", INT8)):
        edgenet.convert(made / "small.safetensors", folder / f"{kind}.onnx", **how)
    return {kind: folder / f"{kind}.onnx" for kind in ("float32", "int8")}


def exact_session(path: Path) -> onnxruntime.InferenceSession:
    """Open a file as docs/formats.md advises for x86 processors without VNNI, which else add products in 16 bits."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-4), ("int8", 0.02)])
def test_onnx_runtime(
    onnx_files: dict[str, Path], expected: dict, photos: np.ndarray, precision: str, near: float
) -> None:
    session = exact_session(onnx_files[precision])
    found = [session.run(None, {"image": _nchw(photo)})[0][0] for photo in photos]
    assert np.abs(np.stack(found) - expected[precision]).max() <= near


class EveryLayer(nn.Module):
    """A network with the layers of mobile networks that the small one has not."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.deep = nn.Conv2d(8, 8, 5, 1, 2, groups=8)
        self.gate = nn.Conv2d(8, 8, 1)
        self.wide = nn.Conv2d(16, 12, 1)
        self.head = nn.Linear(12 * 4 * 6, 5)
        self.head.weight.data *= 20  # so that the answers differ

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [1, 5] of a picture [1, 3, 16, 24]."""
        x = nn.functional.hardswish(self.stem(x))
        y = nn.functional.relu6(self.deep(x)) + x
        y = y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))
        z = torch.cat([nn.functional.max_pool2d(x, 3, 2, 1), nn.functional.avg_pool2d(y, 2)], 1)
        return self.head(torch.flatten(torch.relu(self.wide(z)), 1))


@pytest.mark.parametrize(("precision", "near"), [("float32", 1e-5), ("int8", 0.03)])
def test_every_layer_of_mobile_networks_as_onnx(tmp_path: Path, precision: str, near: float) -> None:
    """Held against LiteRT, which runs the .tflite of the same network."""
    torch.manual_seed(1)
    source = tmp_path / "every.onnx"
    torch.onnx.export(EveryLayer().eval(), (torch.zeros(1, 3, 16, 24),), source, dynamo=False)
    how = {"float": True} if precision == "float32" else INT8
    for ending in ("onnx", "tflite"):
        edgenet.convert(source, tmp_path / f"out.{ending}", normalization="-1..1", **how)
    session = exact_session(tmp_path / "out.onnx")
    pictures = load_all(open_photos(PHOTOS), (16, 24), limit=4).images
    found = [session.run(None, {"image": _nchw(picture)})[0][0] for picture in pictures]
    assert np.abs(np.stack(found) - scores(tmp_path / "out.tflite", pictures)).max() <= near
    assert np.ptp(found) > 0.05


def _nchw(photo: np.ndarray) -> np.ndarray:
    return photo.transpose(2, 0, 1)[None].astype(np.float32)


def test_an_int8_onnx_holds_the_integers_and_the_labels(onnx_files: dict[str, Path]) -> None:
    model = onnx.load(onnx_files["int8"])
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("QuantizeLinear") > 10
    stored = {
        one.name: one.data_type for one in model.graph.initializer if one.name.endswith("weight/stored")
    }
    assert stored
    assert set(stored.values()) == {onnx.TensorProto.INT8}
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert tuple(notes["labels"].split("\n")) == LABELS
    assert json.loads(notes["edgenet"])["quantization"]["recipe"] == "minmax"


@pytest.mark.slow
def test_openvino(onnx_files: dict[str, Path], expected: dict, photos: np.ndarray, tmp_path: Path) -> None:
    """On x86 without VNNI, OpenVINO adds int8 products in 16 bits, which overflow; there only float is compared."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    exact = "vnni" in flags or platform.machine() not in ("x86_64", "AMD64")
    np.save(tmp_path / "photos.npy", np.concatenate([_nchw(photo) for photo in photos]))
    program = Path(__file__).resolve().parents[2] / "benchmarks" / "peers" / "openvino" / "run.py"
    for precision, near in (("float32", 1e-4), *([("int8", 0.05)] if exact else [])):
        out = tmp_path / f"{precision}.npy"
        run_beside_makers(program, onnx_files[precision], tmp_path / "photos.npy", out)
        assert np.abs(np.load(out) - expected[precision]).max() <= near
    if not exact:
        pytest.skip(
            "this processor has no VNNI, with which OpenVINO computes int8 exactly; float was compared"
        )


def test_wishes_that_contradict_each_other(made: Path, tmp_path: Path) -> None:
    source, out = made / "small.safetensors", tmp_path / "net.tflite"
    for wrong, found in (
        ({"precision": "float16", "float": True}, "float and precision float16 were both asked for"),
        ({"precision": "int4"}, "there is no --precision int4; give one of int8, float16, dynamic, float32"),
        ({"float": True, "io": "int16"}, "there is no --io int16; give one of uint8, int8, float32"),
        ({"precision": "dynamic", "calibration": PHOTOS}, "a dynamic file needs no calibration photos"),
        ({"precision": "float16", "data": PHOTOS}, "there is nothing to compare a float16 file with"),
        ({}, "neither calibration photos nor float were given"),
    ):
        with pytest.raises(EdgenetError, match=found):
            edgenet.convert(source, out, **wrong)
    for wrong in ({"precision": "float16"}, {"float": True, "io": "int8"}):
        with pytest.raises(
            EdgenetError, match=r"an \.onnx takes float32 pixels and is int8 \(QDQ\) or float32"
        ):
            edgenet.convert(source, tmp_path / "net.onnx", **wrong)
    with pytest.raises(EdgenetError, match="there is no --format onnxx"):
        OutputForm("int8", None, "onnxx")
    assert not list(tmp_path.glob("net.*"))


def test_weights_beyond_float16_are_named() -> None:
    program = read_tflite(classifier_file(), "x")
    tensors = tuple(replace(t, data=t.data * 1e5) if t.name == "weight" else t for t in program.tensors)
    with pytest.raises(
        EdgenetError, match="the weights 'weight' reach 800000, beyond float16's largest number 65504"
    ):
        float16_program(replace(program, tensors=tensors))
