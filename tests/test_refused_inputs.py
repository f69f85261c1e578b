"""Inputs that the fuzz found: each used to end in an exception that nobody expected, and is refused in one line."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import flatbuffers
import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from edgenet_device.classifier import Classifier, scores_of, top_k
from edgenet_device.foreign_text import is_number
from edgenet_device.frames.photos import read_photo
from edgenet_device.frames.source import Camera
from edgenet_device.frames.usb import _as_bgr
from edgenet_device.ports import Port, ScoresPort
from onnx import TensorProto, helper, numpy_helper
from tiny_model import tiny_model

from edgenet.devices import releases
from edgenet.devices.device import DeviceFacts, ProgramResult
from edgenet.errors import EdgenetError
from edgenet.files import read_arrays
from edgenet.graph.ir import Affine, Mean
from edgenet.graph.keras_file import open_keras
from edgenet.graph.onnx_reader import load_onnx, read_onnx_model
from edgenet.graph.shapes import GraphBuilder, infer_shape
from edgenet.graph.simplify import simplify
from edgenet.latency.benchmark_model_report import read_operators
from edgenet.latency.shell_conditions import conditions_there, facts_there
from edgenet.teaching.features import _Cache
from edgenet.tflite.forms import without_softmax
from edgenet.tflite.program import FileOperator, FileTensor, Program, file_cost
from edgenet.workflows import status as status_workflow
from edgenet.workflows.camera import _photos, _states
from edgenet.workflows.evaluate import evaluate
from edgenet.workflows.review import FORMAT, apply_review, read_decisions
from edgenet.workflows.sweep_plan import ROW_FILE, SETTINGS_FILE, keep_settings, read_row
from edgenet.zoo.classifier import Normalization
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import parse_variant


@pytest.mark.parametrize("text", ["a\x1b[2J", "a\nb", "\u202e", "x" * 100_000, "\ud800"])
def test_an_error_is_one_printable_line(text: str) -> None:
    error = EdgenetError(f"there is no {text}", f"give another {text}")
    assert str(error).isprintable()
    assert len(str(error)) < 5000
    assert error.found.startswith("there is no")


def npz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


ONES = npy(np.ones(3, np.float32))
DAMAGED_ARRAYS = {
    "an open bracket": ONES.replace(b"(3,)", b"(3, ").replace(b"}", b" "),
    "no array": b"x" * 50,
    "a shape of 2**60": ONES.replace(b"(3,), }" + b" " * 17, b"(1152921504606846976,), }"),
    "objects": ONES.replace(b"'<f4'", b"'|O' "),
}


@pytest.mark.parametrize("what", DAMAGED_ARRAYS)
def test_damaged_arrays_are_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    name = "MobilenetV1/Conv2d_0/weights.npy"
    path.write_bytes(npz({name: DAMAGED_ARRAYS[what]}))
    with pytest.raises(ValueError, match=r"\w") as error:
        read_arrays(path)
    assert "\n" not in str(error.value)
    with pytest.raises(EdgenetError, match="cannot be read as an"):
        load_network(str(path), None)


def test_weights_that_are_texts_are_refused(tmp_path: Path) -> None:
    arrays = {"MobilenetV1/Logits/Conv2d_1c_1x1/weights": np.array(["a"])}
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(EdgenetError, match="of the type <U1"):
        load_network(str(tmp_path / "w.npz"), None)


@pytest.mark.parametrize("what", [*DAMAGED_ARRAYS, "a number"])
def test_damaged_features_are_computed_again(what: str, tmp_path: Path) -> None:
    good = {"contents": npy(np.zeros((2, 32), np.uint8)), "thumbnails": npy(np.zeros((2, 8, 8, 3), np.uint8))}
    values = {**DAMAGED_ARRAYS, "a number": npy(np.array(1.0, np.float32))}[what]
    (tmp_path / "kept.npz").write_bytes(
        npz({f"{name}.npy": one for name, one in {**good, "values": values}.items()})
    )
    assert _Cache(tmp_path).load() == {}


@pytest.mark.parametrize(
    "text", ["[]", "1", '{"float_top1": 1e308, "n": 1e308}', '{"width": "x"}', "{}", "null"]
)
def test_what_a_sweep_kept_is_checked(text: str, tmp_path: Path) -> None:
    (tmp_path / ROW_FILE).write_text(text)
    (tmp_path / SETTINGS_FILE).write_text(text)
    with pytest.raises(EdgenetError, match="is damaged"):
        read_row(tmp_path)
    with pytest.raises(EdgenetError, match=r"is damaged|other options"):
        keep_settings(tmp_path, {"threads": 1})


class Answering:
    """A device whose programs print one text, whatever they are asked."""

    name, home = "ssh:pi@pi", "/home/pi/.edgenet"

    def __init__(self, text: str) -> None:
        self.out = text.encode()

    def run(self, *arguments: Any, **options: Any) -> ProgramResult:
        return ProgramResult(0, self.out, b"")

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *reason: object) -> None:
        pass

    def lines(self) -> Iterator[str]:
        yield from self.out.decode().split("\n")

    def finish(self) -> ProgramResult:
        return ProgramResult(0, b"", b"")

    def facts(self) -> DeviceFacts:
        return DeviceFacts("aarch64", "aarch64", "Debian", "a Pi", (3, 11, 2), (), None)


TOOLS = "== thermalservice\n== battery\n== vcgencmd\n"
CLOCK = "/sys/devices/system/cpu/cpufreq/policy0/{}:{}\n"
ANSWERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "nothing about conditions": (conditions_there, ""),
    "a load that is no number": (conditions_there, f"/proc/loadavg:much\n{TOOLS}"),
    "a clock of 5000 digits": (
        conditions_there,
        CLOCK.format("related_cpus", 0) + CLOCK.format("scaling_cur_freq", "9" * 5000) + TOOLS,
    ),
    "a clock in other digits": (
        conditions_there,
        CLOCK.format("related_cpus", 0) + CLOCK.format("scaling_cur_freq", "²") + TOOLS,
    ),
    "memory of 5000 digits": (facts_there, "/proc/meminfo:MemTotal: " + "9" * 5000),
    "no releases": (releases.running, ""),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_makes_no_sense_is_one_line(what: str) -> None:
    ask, text = ANSWERS[what]
    with pytest.raises(EdgenetError, match="an answer that edgenet does not understand"):
        ask(Answering(text))


@pytest.mark.parametrize(
    "text", ["", "uptime=soon", "uptime=1\nActiveEnterTimestampMonotonic=x", "uptime=1\nNRestarts="]
)
def test_a_state_that_makes_no_sense_is_one_line(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_workflow, "open_device", lambda on: Answering(text))
    with pytest.raises(EdgenetError, match="an answer that edgenet does not understand"):
        status_workflow.status("ssh:pi@pi")


@pytest.mark.parametrize("jpeg", ["a", "!!!!", None, "AAAA"])
def test_a_photo_that_was_damaged_on_its_way_is_told(jpeg: Any) -> None:
    told: list[str] = []
    device: Any = Answering(json.dumps({"type": "photo", "jpeg": jpeg}))
    assert list(_photos(device, device, told.append)) == []
    assert told[0].startswith("a photo was lost on its way: ")


def test_a_frame_without_its_times_is_one_line() -> None:
    device: Any = Answering('{"type": "frame", "ms": {"read": null}}')
    with pytest.raises(EdgenetError, match="an answer that edgenet does not understand"):
        list(_states(device, device))


def test_a_table_of_operators_with_wrong_times_is_one_line() -> None:
    text = (Path(__file__).parent / "latency" / "benchmark_model_outputs" / "kernels.txt").read_text()
    assert read_operators(text)
    with pytest.raises(EdgenetError, match="table of operators has the times"):
        read_operators(text.replace("\t1\t", "\t1x\t").replace("\t        1\t", "\t        1x\t"))


def test_a_network_that_gives_another_number_of_scores_than_it_states(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match=r"gives 3 scores and states 4: it is damaged"):
        classifier_of(tmp_path, 4).top(np.zeros((8, 8, 3), np.uint8))


def test_a_network_of_millions_of_classes_gets_no_labels(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match=r"gives 16,000,000 scores"):
        classifier_of(tmp_path, 16_000_000)


def classifier_of(folder: Path, stated: int) -> Classifier:
    """Return the tiny network of 3 classes, whose file states another number of scores."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tiny_model(classes=3), 0))
    graph = model.subgraphs[0]
    for tensor in graph.operators[-1].inputs[0], graph.outputs[0]:
        graph.tensors[tensor].shape = [1, stated]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = folder / "net.tflite"
    path.write_bytes(bytes(builder.Output()))
    return Classifier(path, threads=1)


@pytest.mark.parametrize("meaning", ["logit", "log probability", "probability"])
@pytest.mark.parametrize("values", [[np.inf, 1.0], [-np.inf, -np.inf], [np.nan, 0.0], [3e38, -3e38], [-1e4]])
def test_infinite_scores_cause_no_warnings(values: list[float], meaning: str) -> None:
    port = Port("scores", (1, len(values)), "float32", 0.0, 0, (), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = scores_of(np.array(values, np.float32), ScoresPort(port, max(2, len(values)), meaning))
        assert len(top_k(scores, 5)) == 2


@pytest.mark.parametrize("field", [b"\x0a\x05image", b"\x12\x05small"])
def test_an_onnx_name_that_is_not_utf_8(field: bytes, tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["image"], ["scores"])
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8))
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    data = helper.make_model(helper.make_graph([node], "small", [image], [scores])).SerializeToString()
    path = tmp_path / "net.onnx"
    path.write_bytes(data.replace(field, field[:-1] + b"\xff"))
    with pytest.raises(EdgenetError, match="that is not UTF-8: it is damaged"):
        load_onnx(path)


def test_a_photo_of_an_unknown_format_and_size_is_not_decoded() -> None:
    """OpenCV reads more formats than are listed as photos; this Radiance file of 99 bytes would take 1.2 GB."""
    radiance = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 20000 +X 20000\n" + bytes(40)
    with pytest.raises(EdgenetError, match="is not a photo that OpenCV can decode"):
        read_photo(radiance, "photo.jpg")


def test_a_damaged_film_is_one_line_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for seed in range(10):
        writer.write(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    capfd.readouterr()
    data = bytearray(path.read_bytes())
    for seed in range(40):
        damaged = bytearray(data)
        for place in np.random.default_rng(seed).integers(100, len(data), 20):
            damaged[place] ^= 0xFF
        path.write_bytes(bytes(damaged))
        with suppress(EdgenetError), Camera(str(path), every_frame=True, note=lambda text: None) as camera:
            for frame in camera:
                assert frame.pixels.shape[2] == 3
    assert capfd.readouterr() == ("", "")


def test_a_frame_that_opencv_does_not_decode() -> None:
    assert _as_bgr(None, cv2.VideoCapture()) is None


@pytest.mark.parametrize("name", ["b" * 300 + "/1.png", "/".join("b" * 99)])
def test_decisions_about_names_that_are_too_long(name: str, tmp_path: Path) -> None:
    row = {"file": name, "sha256": "0" * 64, "class": "b", "action": "move", "to": "a"}
    (tmp_path / "review.json").write_text(json.dumps({"format": FORMAT, "decisions": [row]}))
    (tmp_path / "photos").mkdir()
    with pytest.raises(EdgenetError, match="a name is longer than those of files are"):
        apply_review(tmp_path / "review.json", tmp_path / "photos")


@pytest.mark.parametrize("threads", [1025, 1 << 31, 10**30])
def test_more_threads_than_any_machine_has(threads: int, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(tiny_model())
    with pytest.raises(EdgenetError, match=r"threads requested; give at most 1,024"):
        Classifier(tmp_path / "net.tflite", threads)


@pytest.mark.filterwarnings("error")
def test_an_onnx_with_numbers_that_overflow_causes_no_warnings() -> None:
    values = {"gamma": 3e38, "beta": 3e38, "mean": -3e38, "variance": 1e-38}
    node = helper.make_node("BatchNormalization", ["image", *values], ["scores"], epsilon=0.0)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 8, 8))
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(np.full(3, value, np.float32), name) for name, value in values.items()]
    model = helper.make_model(helper.make_graph([node], "small", [image], [scores], weights))
    with pytest.raises(EdgenetError, match="its constants give NaN or infinity"):
        read_onnx_model(model, "small")


@pytest.mark.parametrize("source", ["1" * 5000, "csi:" + "1" * 5000, "²"])
def test_a_camera_of_thousands_of_digits(source: str) -> None:
    with pytest.raises(EdgenetError, match=r"does not exist|cannot read"):
        Camera(source).__enter__()


@pytest.mark.parametrize("label", [0, None, ["a"]])
def test_decisions_for_a_class_that_is_no_text(label: Any, tmp_path: Path) -> None:
    one = {"file": "a/1.jpg", "sha256": "1" * 64, "class": "a", "action": "move", "to": label}
    review = tmp_path / "review.json"
    review.write_text(json.dumps({"format": FORMAT, "decisions": [one]}), encoding="utf-8")
    with pytest.raises(EdgenetError, match="a name is not a text"):
        read_decisions(review)


def test_a_name_that_is_too_long_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match=r"the name 9+\.\.\. is too long for a file; check the path"):
        evaluate("9" * 300, tmp_path)


def test_a_shard_with_a_name_that_is_too_long_for_a_file(tmp_path: Path) -> None:
    group = {"paths": ["a" * 300], "weights": []}
    model = tmp_path / "model.json"
    model.write_text(json.dumps({"modelTopology": {}, "weightsManifest": [group]}), encoding="utf-8")
    with pytest.raises(EdgenetError, match="its shards have to lie beside it"):
        open_keras(model)


def test_scales_and_offsets_of_different_numbers_of_channels() -> None:
    affine = Affine(np.ones(4, np.float32), np.ones(16, np.float32))
    with pytest.raises(EdgenetError, match="do not broadcast"):
        infer_shape(affine, [(1, 8, 8, 4)])


@pytest.mark.filterwarnings("error")
def test_a_normalization_that_overflows_is_refused_without_a_warning() -> None:
    builder = GraphBuilder("net", "in", (1, 8, 8, 3))
    graph = builder.graph(builder.add(Mean(), ["in"], "pool"))
    with pytest.raises(EdgenetError, match="3 infinite among 3 values"):
        simplify(graph, Normalization((0.0, 0.0, 0.0), (1e-40, 1e-40, 1e-40)))


def test_a_file_that_is_damaged_where_only_the_rewriting_reads_keeps_its_softmax() -> None:
    model = bytearray(tiny_model())
    assert without_softmax(bytes(model)) != bytes(model)
    found = schema.Model.GetRootAs(bytes(model), 0)
    place = found._tab.Pos + found._tab.Offset(10)  # the description's
    model[place : place + 4] = (0xFFFFFF0).to_bytes(4, "little")
    assert without_softmax(bytes(model)) == bytes(model)


@pytest.mark.parametrize(
    ("inputs", "outputs"), [((0, 2), (1,)), ((0, -1), (1,)), ((0,), (1,)), ((), ()), ((0, 1), ())]
)
@pytest.mark.parametrize("kind", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_a_cost_of_operators_without_weights(kind: str, inputs: Any, outputs: Any) -> None:
    tensors = tuple(
        FileTensor(str(number), shape, "float32") for number, shape in enumerate([(1, 4), (1, 4), ()])
    )
    program = Program("net", tensors, (FileOperator(kind, 1, inputs, outputs),), 0, 1)
    assert file_cost(program).mult_adds in (0, 4)


@pytest.mark.parametrize("name", ["mobilenet_v1_0.25_" + "9" * 5000, "mobilenet_v1_" + "9" * 5000 + "_128"])
def test_a_variant_of_thousands_of_digits(name: str) -> None:
    with pytest.raises(EdgenetError, match=r"is not the name of a variant|the width multiplier"):
        parse_variant(name)


@pytest.mark.parametrize("digits", ["9" * 5000, "²", "\u0663"])
@pytest.mark.parametrize(
    "name", ["_blocks.{}.x", "blocks.{}.{}.conv.weight", "features.{}.x", "features.0.block.{}.x", "{}.x"]
)
def test_layers_with_numbers_that_are_none(name: str, digits: str, tmp_path: Path) -> None:
    tensors = {
        key: torch.zeros(8, 3, 3, 3)
        for key in ("_conv_stem.weight", "conv_stem.weight", "features.0.0.weight")
    }
    torch.save({**tensors, name.format(digits, digits): torch.zeros(1)}, tmp_path / "net.pth")
    with pytest.raises(EdgenetError, match=r"net\.pth"):
        load_network(str(tmp_path / "net.pth"), None)


def test_only_one_place_asks_whether_a_text_is_a_number() -> None:
    """`str.isdigit` is true for ², which int() refuses, and for more digits than int() takes."""
    assert [text for text in ("7", "0" * 18, "", "²", "\u0663", "-1", "1" * 19) if is_number(text)] == [
        "7",
        "0" * 18,
    ]
    root = Path(__file__).resolve().parents[1]
    files = [path for top in ("edgenet", "device_scripts") for path in (root / top).rglob("*.py")]
    others = [
        path.name for path in files if re.search(r"\.(isdigit|isnumeric)\(", path.read_text(encoding="utf-8"))
    ]
    # A device that answers with such a text is not understood, and that is said.
    assert sorted(others) == ["foreign_text.py", "shell_conditions.py"]
