"""Finished .tflite files of other makers: every verb takes them as they are, or refuses them with the true reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from edgenet_device.normalization import NORMALIZATIONS
from small_classifiers import Layout, classifier_file, with_custom_operator

import edgenet
from edgenet.bundle import open_bundle
from edgenet.errors import EdgenetError
from edgenet.workflows.normalization_check import information, surer_normalization

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "models"
COLOURS = ("red", "green", "blue")
LAYOUTS = {
    "float colour": Layout(),
    "float logits, channels first": Layout((1, 3, 8, 8), head=None),
    "uint8, asymmetric weights": Layout(dtype="uint8"),
    "int8": Layout(dtype="int8"),
    "int8, non-square": Layout((1, 6, 10, 3), "int8"),
    "int8 logits": Layout(dtype="int8", head=None),
}
REAL = {
    "mobilenet_v1_0.25_224_1_metadata_1.tflite": ("float32", 1001),
    "uint8_dead_end.tflite": ("uint8", 1001),
    "tm_quantized_dead_end.tflite": ("int8", 4),
    "grey_person_detect.tflite": ("int8", 2),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_every_verb_takes_it(layout: Layout, tmp_path: Path, colour_folders: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(classifier_file(layout))
    given = "-1..1" if layout.dtype == "float32" else None
    found = edgenet.inspect(path)
    assert found.precision == layout.dtype
    assert found.cost.mult_adds == 9
    measured = edgenet.evaluate(path, colour_folders, normalization=given, labels=COLOURS)
    assert (measured.models[0].top1, measured.n) == (100, 8)
    packed = edgenet.package(path, labels=COLOURS, normalization=given, data=colour_folders)
    assert packed.warnings == ()
    manifest = open_bundle(packed.out).manifest
    assert manifest.precision == (None if layout.dtype == "float32" else layout.dtype)
    assert manifest.accuracy is not None
    assert 100 in (manifest.accuracy.float_top1, manifest.accuracy.int8_top1)
    classifier = edgenet.load(packed.out)
    assert classifier.top(np.full((20, 30, 3), (0, 250, 0), np.uint8), 1)[0][0] == "green"
    again = edgenet.evaluate(packed.out, colour_folders)
    assert again.models[0].top1 == 100
    if layout == Layout(dtype="uint8"):
        assert edgenet.bench(path, runs=3, min_seconds=0.01).reports[0]["steady_state"]["p50_ms"] > 0


def test_float_pixels_need_a_normalization(tmp_path: Path, colour_folders: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(classifier_file())
    for verb in (
        lambda: edgenet.package(path, labels=COLOURS),
        lambda: edgenet.evaluate(path, colour_folders, labels=COLOURS),
        lambda: edgenet.load(path),
    ):
        with pytest.raises(
            EdgenetError, match=r"takes float32 and does not say .*; give --normalization imagenet"
        ):
            verb()


def test_a_normalization_is_not_for_edgenets_own_files(made: Path, colour_folders: Path) -> None:
    with pytest.raises(
        EdgenetError, match=r"--normalization is for \.onnx models and other makers' \.tflite files"
    ):
        edgenet.evaluate(made / "int8.tflite", colour_folders, normalization="-1..1")


def test_convert_says_what_to_do_with_a_finished_file(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(classifier_file(Layout(dtype="uint8")))
    with pytest.raises(EdgenetError, match=r"or use this one as it is: `edgenet package` takes it"):
        edgenet.convert(path, tmp_path / "out.tflite", float=True)


OTHER_KINDS = {
    "net.onnx": (
        b"\x08\x07\x12\x07pytorch" + bytes(50),
        r"is an \.onnx, not a \.tflite file; make a \.tflite of it",
    ),
    "net.tflite": (b"<!doctype html><html>Sign in</html>", "is a web page saved under this name"),
    "net.h5": (
        b"version https://git-lfs.github.com/spec/v1\n",
        "is a Git LFS pointer .*; run `git lfs pull`",
    ),
    "net.pt": (
        b"PK\x03\x04net/data.pkl" + bytes(50),
        "is the beginning of a checkpoint .*; download the file again",
    ),
}


@pytest.mark.parametrize("name", OTHER_KINDS)
def test_another_kind_of_file_is_called_what_it_is(name: str, tmp_path: Path) -> None:
    content, message = OTHER_KINDS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(EdgenetError, match=message):
        edgenet.package(path, tmp_path / "net.edgenet")
    with pytest.raises(EdgenetError, match=message.replace(" file; make", " or a bundle; make")):
        edgenet.inspect(path)


def test_a_bundle_is_not_packed_again(made: Path, tmp_path: Path) -> None:
    packed = edgenet.package(made / "int8.tflite", tmp_path / "net.edgenet").out
    with pytest.raises(EdgenetError, match=r"is a finished bundle; give its \.tflite file, or --sign KEY"):
        edgenet.package(packed, tmp_path / "again.edgenet")


def test_convert_names_the_true_reason_for_a_file_with_a_wrong_axis(tmp_path: Path) -> None:
    path = CASES / "grey_person_detect.tflite"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    with pytest.raises(EdgenetError, match=r"quantized already: it has int8 .*`edgenet package` takes it"):
        edgenet.convert(path, tmp_path / "net.tflite", float=True)


def test_a_detector_is_measured_and_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(with_custom_operator(classifier_file(), "TFLite_Detection_PostProcess"))
    for verb in (lambda: edgenet.inspect(path), lambda: edgenet.package(path), lambda: edgenet.load(path)):
        with pytest.raises(
            EdgenetError, match=r"is an object detector .*; `edgenet bench` measures it; the other verbs"
        ):
            verb()


def test_an_edge_tpu_file_is_named_by_every_verb(tmp_path: Path) -> None:
    path = tmp_path / "net_edgetpu.tflite"
    path.write_bytes(with_custom_operator(classifier_file(), "edgetpu-custom-op"))
    for verb in (lambda: edgenet.inspect(path), lambda: edgenet.package(path), lambda: edgenet.bench(path)):
        with pytest.raises(EdgenetError, match="was compiled for the Edge TPU"):
            verb()


@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str, tmp_path: Path) -> None:
    path = CASES / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    precision, classes = REAL[name]
    labels = CASES / "tm_labels_numbered.txt" if classes == 4 else ("no", "yes") if classes == 2 else None
    found = edgenet.inspect(path)
    assert found.precision == precision
    assert found.cost.mult_adds > 1e6
    packed = edgenet.package(path, tmp_path / "net.edgenet", labels=labels)
    assert packed.warnings == ()
    opened = open_bundle(packed.out)
    assert opened.manifest.classes == classes == len(opened.labels)
    assert not any(label.startswith("0") for label in opened.labels)
    scores = edgenet.load(packed.out)(np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    assert scores.shape == (classes,)
    assert scores.sum() == pytest.approx(1, abs=0.15)  # 1,001 scores in steps of 1/256


@pytest.mark.parametrize("wrong", ["imagenet", "0..1", "0..255"])
def test_a_wrong_normalization_is_noticed(wrong: str, tmp_path: Path) -> None:
    path = CASES / "mobilenet_v1_0.25_224_1_metadata_1.tflite"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    packed = edgenet.package(path, tmp_path / "net.edgenet", normalization=wrong)
    assert len(packed.warnings) == 1
    assert "surer of the photos with --normalization -1..1 than with the present" in packed.warnings[0]


@pytest.mark.slow
def test_convert_notices_a_wrong_normalization_too(tmp_path: Path) -> None:
    path = CASES / "mobilenet_v1_0.25_224_1_metadata_1.tflite"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    options = {"calibration": "builtin", "photos": 8, "recipe": "minmax"}
    for given in ("0..1", "-1..1"):
        made = edgenet.convert(path, tmp_path / "net.tflite", normalization=given, **options)
        noticed = [
            warning
            for warning in made.warnings
            if "surer of the photos with --normalization -1..1" in warning
        ]
        assert len(noticed) == (given == "0..1")


def test_neither_growing_logits_nor_one_name_for_all_are_surer() -> None:
    plain = np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32)
    sure = plain + 4 * np.eye(5, dtype=np.float32)[np.arange(24) % 5]
    same = 0.1 * plain + 50 * np.eye(5, dtype=np.float32)[0]
    assert information(same).mean() == pytest.approx(0, abs=0.01)
    assert information(100 * plain).mean() == pytest.approx(information(plain).mean())

    def score(other: object, count: int) -> np.ndarray:
        answers = {"-1..1": sure, "0..255": same, "imagenet": 2 * plain}
        return next((answers[name] for name in answers if NORMALIZATIONS[name] == other), plain)[:count]

    assert surer_normalization(score, NORMALIZATIONS["0..1"]) == "-1..1"
    assert surer_normalization(score, NORMALIZATIONS["-1..1"]) is None
