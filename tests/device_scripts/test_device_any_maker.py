"""Files of every maker: the device gives each network the values that it takes, and reads what it gives."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from edgenet_device.classifier import Classifier
from edgenet_device.errors import EdgenetError
from edgenet_device.model_file import open_model, without_numbers
from edgenet_device.normalization import NORMALIZATIONS, normalization_named, stated_normalization
from edgenet_device.preprocess import CentreCrop, pixel_table, prepare
from model_files import Run
from small_classifiers import Layout, changed, classifier_file, with_custom_operator, with_output

from edgenet.tflite.metadata import ImageTensor, ModelInfo, metadata_buffer

NORMAL = NORMALIZATIONS["-1..1"]
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the first run in a child process, which has its own tests and takes half a second for each file."""
    monkeypatch.setattr("edgenet_device.runtime.run_in_child_first", lambda *_: None)


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(data)
    return path


def solid(colour: tuple[int, int, int], shape: tuple[int, int] = (30, 40)) -> np.ndarray:
    return np.full((*shape, 3), colour, np.uint8)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (1, 3, 8, 8), (1, 6, 10, 3), (1, 10, 6, 3), (1, 3, 6, 10)])
@pytest.mark.parametrize("head", ["SOFTMAX", None])
def test_colours_are_told_apart(tmp_path: Path, dtype: str, shape: tuple[int, ...], head: str | None) -> None:
    path = written(tmp_path, classifier_file(Layout(shape, dtype, head=head)))
    given = NORMAL if dtype == "float32" else None
    classifier = Classifier(path, 1, normalization=given, labels=tuple(COLOURS))
    for name, colour in COLOURS.items():
        label, score = classifier.top(solid(colour), 1)[0]
        assert label == name
        assert score > 0.99
        assert classifier(solid(colour)).sum() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (1, 8, 8)])
def test_a_grey_network_gets_the_luma(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    path = written(tmp_path, classifier_file(Layout(shape, dtype, classes=2)))
    classifier = Classifier(path, 1, normalization=NORMAL if dtype == "float32" else None)
    assert classifier.top(solid((255, 255, 255)), 1)[0][0] == "class 0"
    assert classifier.top(solid((0, 0, 0)), 1)[0][0] == "class 1"
    # Green is bright and blue is dark: 0.587 and 0.114 of 255, on both sides of the middle.
    assert classifier.top(solid((0, 255, 0)), 1)[0][0] == "class 0"
    assert classifier.top(solid((0, 0, 255)), 1)[0][0] == "class 1"


def test_the_values_are_those_of_the_formula(tmp_path: Path) -> None:
    """A noisy picture, preprocessed and normalized by hand and run by LiteRT itself, gives the same scores."""
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    data = classifier_file(Layout((1, 3, 6, 10), head=None))
    given = normalization_named("120,110,100/50,60,70")
    found = Classifier(written(tmp_path, data), 1, normalization=given)(picture)
    rgb = prepare(picture[..., ::-1], (6, 10))[0].astype(np.float64)
    real = ((rgb - [120, 110, 100]) / [50, 60, 70]).astype(np.float32)
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], real.transpose(2, 0, 1)[None])
    interpreter.invoke()
    logits = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("head", ["LOGISTIC", None])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_one_output_is_a_binary_classifier(tmp_path: Path, dtype: str, head: str | None) -> None:
    path = written(tmp_path, classifier_file(Layout(dtype=dtype, classes=1, head=head)))
    classifier = Classifier(
        path, 1, normalization=NORMAL if dtype == "float32" else None, labels=("other", "red")
    )
    assert classifier.top(solid((255, 0, 0)), 1)[0][0] == "red"
    assert classifier.top(solid((0, 0, 0)), 1)[0][0] == "other"
    assert classifier(solid((128, 0, 0))).sum() == pytest.approx(1)
    with pytest.raises(EdgenetError, match="has 3 labels for 2 classes, as its one output has"):
        Classifier(path, 1, normalization=NORMAL if dtype == "float32" else None, labels=("a", "b", "c"))


def test_one_output_of_a_softmax_says_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, classifier_file(Layout(classes=1)))
    with pytest.raises(EdgenetError, match="one score that a softmax makes, and that is 1 for every photo"):
        Classifier(path, 1, normalization=NORMAL)


def test_log_probabilities(tmp_path: Path) -> None:
    path = written(tmp_path, classifier_file(Layout(head="LOG_SOFTMAX")))
    scores = Classifier(path, 1, normalization=NORMAL)(solid((200, 100, 50)))
    (tmp_path / "soft.tflite").write_bytes(classifier_file(Layout()))
    assert scores == pytest.approx(
        Classifier(tmp_path / "soft.tflite", 1, normalization=NORMAL)(solid((200, 100, 50))), abs=1e-6
    )


@pytest.mark.parametrize(
    ("signature", "found"),
    [
        ([-1, 8, 8, 3], None),
        ([1, -1, -1, 3], "leaves the size of its picture open; convert it with a fixed height"),
    ],
)
def test_an_open_batch_is_one(tmp_path: Path, signature: list[int], found: str | None) -> None:
    def opened(model: schema.ModelT) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.inputs[0]].shapeSignature = signature

    path = written(tmp_path, changed(classifier_file(), opened))
    if found is None:
        assert Classifier(path, 1, normalization=NORMAL).top(solid((0, 255, 0)), 1)[0][0] == "class 1"
        return
    with pytest.raises(EdgenetError, match=found):
        Classifier(path, 1, normalization=NORMAL)


def test_float_without_a_normalization_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(
        EdgenetError, match=r"net.tflite: the network takes float32 .*give --normalization imagenet"
    ):
        Classifier(written(tmp_path, classifier_file()), 1)


def test_the_metadata_states_the_normalization(tmp_path: Path) -> None:
    metadata = metadata_buffer(ModelInfo("small"), ImageTensor(mean=127.5, std=127.5), labels_file=None)

    def add(model: schema.ModelT) -> None:
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(metadata, np.uint8)
        model.buffers.append(buffer)
        entry.name, entry.buffer = "TFLITE_METADATA", len(model.buffers) - 1
        model.metadata = [entry]

    path = written(tmp_path, changed(classifier_file(), add))
    stated = stated_normalization(path.read_bytes())
    assert stated is not None
    assert (stated.mean, stated.std) == ((127.5,), (127.5,))
    given = Classifier(written(tmp_path, classifier_file()), 1, normalization=NORMAL)(solid((90, 80, 70)))
    path.write_bytes(changed(classifier_file(), add))
    assert Classifier(path, 1)(solid((90, 80, 70))) == pytest.approx(given)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_the_scale_of_an_integer_input_is_its_normalization(tmp_path: Path, dtype: str) -> None:
    """The rule says the same as the formula: pixels normalized to -1..1, divided by the scale and rounded."""
    picture = Classifier(
        written(tmp_path, classifier_file(Layout((1, 8, 8, 1), dtype, classes=2))), 1
    ).ports.picture
    plain = pixel_table(picture, None)
    formula = pixel_table(picture, NORMALIZATIONS["centred"])
    assert plain is not None
    assert formula is not None
    assert plain.tolist() == formula.tolist()


def test_the_rule_for_a_rectangle() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (100, 90, 3), np.uint8)
    wide = prepare(frame, (10, 15))[0]  # 90 wide, so 60 high, in the middle
    assert wide.shape == (10, 15, 3)
    assert (wide == prepare(frame[20:80], (10, 15))[0]).all()
    tall = prepare(frame, (20, 10))[0]  # 100 high, so 50 wide
    assert (tall == prepare(frame[:, 20:70], (20, 10))[0]).all()
    assert CentreCrop((100, 90), (20, 10)).size == (20, 10)
    with pytest.raises(EdgenetError, match="cannot turn a 90x100 frame into 10x0"):
        CentreCrop((100, 90), (0, 10))


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["0 cat", "1 dog"], ("cat", "dog")),
        (["0: cat", "1: big dog"], ("cat", "big dog")),
        (["0 cat", "2 dog"], ("0 cat", "2 dog")),
        (["0 cat", "dog"], ("0 cat", "dog")),
        (["1 cat", "2 dog"], ("1 cat", "2 dog")),
        (["0", "1"], ("0", "1")),
        (["0 cat"], ("0 cat",)),
    ],
)
def test_labels_lose_their_own_numbers(lines: list[str], names: tuple[str, ...]) -> None:
    assert without_numbers(lines) == names


def test_background_is_added_to_the_labels_of_imagenet(tmp_path: Path) -> None:
    path = written(tmp_path, classifier_file(Layout(classes=1001)))
    classifier = Classifier(path, 1, normalization=NORMAL, labels=[f"thing {n}" for n in range(1000)])
    assert (classifier.labels[0], classifier.labels[1], len(classifier.labels)) == (
        "background",
        "thing 0",
        1001,
    )
    with pytest.raises(EdgenetError, match="has 999 labels for 1001 outputs"):
        Classifier(path, 1, normalization=NORMAL, labels=["thing"] * 999)


DETECTOR = with_custom_operator(classifier_file(), "TFLite_Detection_PostProcess")
EDGE_TPU = with_custom_operator(classifier_file(), "edgetpu-custom-op")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (
            DETECTOR,
            r"is an object detector \(its operator TFLite_Detection_PostProcess\); `edgenet bench` measures it",
        ),
        (
            with_output(classifier_file(), (1, 84, 3)),
            r"is an object detector: it gives scores float32 \[1, 84, 3\]",
        ),
        (
            with_output(classifier_file(), (1, 8, 8, 3)),
            "is a segmenter, or another network that gives pictures",
        ),
        (
            EDGE_TPU,
            "was compiled for the Edge TPU .*edgetpu-custom-op.*usually the same name without _edgetpu",
        ),
        (with_output(classifier_file(), (2, 3)), r"gives float32 \[2, 3\], which is not a list of scores"),
    ],
    ids=["post-processing", "boxes", "pictures", "Edge TPU", "two answers"],
)
def test_other_networks_are_refused_by_name(tmp_path: Path, data: bytes, found: str) -> None:
    with pytest.raises(EdgenetError, match=found):
        Classifier(written(tmp_path, data), 1, normalization=NORMAL)


def test_an_axis_that_a_bias_does_not_have_is_repaired(tmp_path: Path) -> None:
    """As in TFLite Micro's person_detect: LiteRT itself refuses the file."""

    def spoil(model: schema.ModelT) -> None:
        bias = next(tensor for tensor in model.subgraphs[0].tensors if tensor.name == b"bias")
        bias.quantization.scale = [bias.quantization.scale[0]] * 3
        bias.quantization.zeroPoint = [0, 0, 0]
        bias.quantization.quantizedDimension = 3

    whole = classifier_file(Layout(dtype="int8"))
    path = written(tmp_path, changed(whole, spoil))
    with pytest.raises(ValueError, match="quantized_dimension"):
        Interpreter(model_content=path.read_bytes())
    expected = Classifier(written(tmp_path, whole), 1)(solid((90, 40, 30)))
    path.write_bytes(changed(whole, spoil))
    assert (Classifier(path, 1)(solid((90, 40, 30))) == expected).all()
    assert open_model(path).data != path.read_bytes()


@pytest.mark.parametrize("before", [("--normalization", "-1..1"), ("--normalization=-1..1",)])
@pytest.mark.parametrize("last", [False, True])
def test_the_scripts_take_a_normalization_that_begins_with_a_minus(
    tmp_path: Path, run_copied: Run, before: tuple[str, ...], last: bool
) -> None:
    photo = tmp_path / "green.png"
    cv2.imwrite(str(photo), np.full((8, 8, 3), (0, 250, 0), np.uint8))
    arguments = [written(tmp_path, classifier_file()), photo]
    done = run_copied("classify.py", *([*arguments, *before] if last else [*before, *arguments]))
    assert (done.returncode, done.stderr) == (0, "")
    assert "class 1" in done.stdout
