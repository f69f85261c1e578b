"""`edgenet convert` with every kind of source, and the same bytes from the same input."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from command_line import Edgenet
from edgenet_device.classifier import Classifier
from edgenet_device.model_file import open_model
from small_network import LABELS, PHOTOS, RESOLUTION, save_small_onnx

from edgenet.manifest import Facts
from edgenet.tflite.metadata import read_facts
from edgenet.workflows.convert import convert

FIELDS = {
    "out",
    "sha256",
    "bytes",
    "name",
    "classes",
    "labelled",
    "operators",
    "kinds",
    "partitions",
    "cost",
    "precision",
    "quantization",
    "mixed",
    "fidelity",
    "measured",
    "account",
    "skipped",
    "warnings",
    "seconds",
}


def scores(path: Path, image: np.ndarray) -> np.ndarray:
    classifier = Classifier(path, threads=1)
    return classifier.score_prepared(image)


def facts(path: Path) -> Facts:
    found = read_facts(path.read_bytes(), str(path))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (RESOLUTION, RESOLUTION, 3), np.uint8)


def test_checkpoint_to_int8(edgenet: Edgenet, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    options = ("--calibration", PHOTOS, "--photos", 8, "--recipe", "minmax")  # the quickest recipe
    arguments = ("convert", made / "small.safetensors", "-o", out, *options)
    result = edgenet(*arguments, "--json").json()
    assert set(result) == FIELDS
    assert result["out"] == str(out)
    assert result["bytes"] == out.stat().st_size
    assert result["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert (result["name"], result["classes"], result["labelled"]) == ("mobilenet_v1_0.25_64", 5, True)
    assert result["operators"] == sum(result["kinds"].values()) == 33
    assert result["kinds"]["CONV_2D"] == 14
    assert result["kinds"]["DEPTHWISE_CONV_2D"] == 13
    assert result["cost"]["mult_adds"] > 1e6
    assert result["quantization"]["calibration_count"] == 8
    assert result["quantization"]["steps"]
    assert result["mixed"] is None
    assert result["skipped"] == []
    assert {"read", "photos", "quantize", "write"} <= set(result["seconds"])
    assert open_model(out).labels == LABELS
    assert facts(out).width == 0.25
    # The same again, for people: the same file.
    before = out.read_bytes()
    ran = edgenet(*arguments)
    assert (ran.status, ran.err) == (0, "".join(f"warning: {line}\n" for line in result["warnings"]))
    assert f"{out}: " in ran.out
    assert "int8, recipe " in ran.out
    assert "33 operators: " in ran.out
    assert out.read_bytes() == before


def test_float(edgenet: Edgenet, made: Path, tmp_path: Path, image: np.ndarray) -> None:
    out = tmp_path / "net.tflite"
    result = edgenet("convert", made / "small.safetensors", "-o", out, "--float", "--json").json()
    assert result["quantization"] is None
    assert "QUANTIZE" not in result["kinds"]
    assert facts(out).quantization is None
    assert scores(out, image).sum() == pytest.approx(1, abs=1e-5)


def test_onnx_gives_the_scores_of_the_checkpoint(
    edgenet: Edgenet, made: Path, tmp_path: Path, image: np.ndarray
) -> None:
    out, labels = tmp_path / "net.tflite", tmp_path / "names.txt"
    labels.write_text("a\nb\nc\nd\ne\n")
    arguments = ("convert", made / "small.onnx", "-o", out, "--float", "--normalization", "centred")
    result = edgenet(*arguments, "--json").json()
    assert (result["name"], result["labelled"]) == ("small", False)
    assert np.allclose(scores(out, image), scores(made / "float.tflite", image), atol=1e-5)
    assert "give them to edgenet package" in edgenet(*arguments).out
    assert edgenet(*arguments, "--labels", labels, "--json").json()["labelled"] is True
    assert open_model(out).labels == ("a", "b", "c", "d", "e")


def test_an_int8_onnx_comes_with_a_word_on_processors_that_compute_it_wrong(
    edgenet: Edgenet, made: Path, tmp_path: Path
) -> None:
    arguments = ("convert", made / "small.safetensors", "--recipe", "minmax", "--calibration", PHOTOS, "-o")
    assert "without VNNI" in edgenet(*arguments, tmp_path / "net.onnx", "--photos", 8).out
    assert "VNNI" not in edgenet(*arguments, tmp_path / "net.tflite", "--photos", 8).out
    assert (
        "VNNI"
        not in edgenet("convert", made / "small.safetensors", "--float", "-o", tmp_path / "real.onnx").out
    )


def test_normalize_by_numbers_is_normalize_by_name(
    edgenet: Edgenet, made: Path, tmp_path: Path, image: np.ndarray
) -> None:
    named, numbered, other = (tmp_path / f"{name}.tflite" for name in ("named", "numbered", "other"))
    for out, normalize in ((named, "centred"), (numbered, "127,127,127/127.5,127.5,127.5"), (other, "0..1")):
        assert (
            edgenet("convert", made / "small.onnx", "-o", out, "--float", "--normalization", normalize).status
            == 0
        )
    assert np.array_equal(scores(named, image), scores(numbered, image))
    assert not np.allclose(scores(named, image), scores(other, image), atol=1e-3)


def test_onnx_with_an_open_batch_is_read_for_one_photo_also_with_an_input_shape(
    edgenet: Edgenet, tmp_path: Path, made: Path, image: np.ndarray
) -> None:
    source = save_small_onnx(tmp_path / "dynamic.onnx", dynamic_batch=True)
    out = tmp_path / "net.tflite"
    arguments = ("convert", source, "-o", out, "--float", "--normalization", "centred")
    assert edgenet(*arguments).status == 0
    whole = out.read_bytes()
    assert edgenet(*arguments, "--input-shape", f"1,3,{RESOLUTION},{RESOLUTION}").status == 0
    assert out.read_bytes() == whole
    assert np.allclose(scores(out, image), scores(made / "float.tflite", image), atol=1e-5)


def test_float_tflite_as_source_keeps_labels_and_facts(edgenet: Edgenet, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    arguments = ("--calibration", PHOTOS, "--photos", 8, "--recipe", "minmax", "--json")
    result = edgenet("convert", made / "float.tflite", "-o", out, *arguments).json()
    assert result["labelled"] is True
    assert open_model(out).labels == LABELS
    assert facts(out).weights == facts(made / "float.tflite").weights
    assert facts(out).architecture == "mobilenet_v1"
    direct = edgenet("inspect", made / "int8.tflite", "--json").json()
    through = edgenet("inspect", out, "--json").json()
    assert direct["kinds"] == through["kinds"]
    assert [row["shape"] for row in direct["operators"]] == [row["shape"] for row in through["operators"]]


def test_resolution(edgenet: Edgenet, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    arguments = ("convert", made / "small.safetensors", "-o", out, "--float", "--json")
    assert edgenet(*arguments, "--resolution", 96).json()["name"] == "mobilenet_v1_0.25_96"
    assert Classifier(out, threads=1).size == 96
    assert facts(out).resolution == 96


def test_labels_replace_those_of_the_checkpoint(edgenet: Edgenet, made: Path, tmp_path: Path) -> None:
    out, labels = tmp_path / "net.tflite", tmp_path / "names.txt"
    labels.write_bytes("\ufeffGänseblümchen\r\nLöwenzahn\r\nRose\r\nSonnenblume\r\nTulpe".encode())
    assert (
        edgenet("convert", made / "small.safetensors", "-o", out, "--float", "--labels", labels).status == 0
    )
    assert open_model(out).labels == ("Gänseblümchen", "Löwenzahn", "Rose", "Sonnenblume", "Tulpe")


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photos in a folder."""
    folder = tmp_path_factory.mktemp("twelve")
    for photo in sorted(PHOTOS.glob("*.jpg"))[:12]:
        shutil.copyfile(photo, folder / photo.name)
    return folder


@pytest.mark.slow
def test_names_and_order_of_the_photos_do_not_matter(
    edgenet: Edgenet, made: Path, twelve: Path, tmp_path: Path
) -> None:
    """Renamed so that their order is reversed, in folders, and in a zip: the same choice, the same bytes."""
    renamed = tmp_path / "renamed"
    for number, photo in enumerate(sorted(twelve.iterdir(), reverse=True)):
        place = renamed / f"{number % 3}" / f"{number:02}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, place)
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for photo in sorted(twelve.iterdir(), reverse=True):
            archive.write(photo, f"photos/{photo.name[::-1]}.jpg")
    written = set()
    for number, photos in enumerate((twelve, renamed, packed)):
        out = tmp_path / f"{number}.tflite"
        arguments = ("-o", out, "--calibration", photos, "--photos", 8, "--recipe", "fast")
        assert edgenet("convert", made / "small.safetensors", *arguments).status == 0
        written.add(out.read_bytes())
    assert len(written) == 1


@pytest.mark.slow
def test_the_order_in_which_a_folder_lists_its_photos_does_not_matter(
    edgenet: Edgenet, made: Path, twelve: Path, tmp_path: Path
) -> None:
    """Written in two orders, which is how many file systems list them; all of the photos and one of them."""
    orders = (sorted(twelve.iterdir()), sorted(twelve.iterdir(), reverse=True))
    for options in ((), ("--photos", 1)):
        written = set()
        for number, order in enumerate(orders):
            folder = tmp_path / f"{number}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for photo in order:
                shutil.copyfile(photo, folder / photo.name)
            arguments = ("--calibration", folder, "--recipe", "fast", *options)
            out = tmp_path / "net.tflite"
            assert edgenet("convert", made / "small.safetensors", "-o", out, *arguments).status == 0
            written.add(out.read_bytes())
        assert len(written) == 1


@pytest.fixture(scope="module")
def by_default(made: Path, twelve: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the default options make of the twelve photos, in this process and with one thread."""
    out = tmp_path_factory.mktemp("by-default") / "net.tflite"
    convert(str(made / "small.safetensors"), out, calibration=twelve)
    return out.read_bytes()


@pytest.mark.slow
def test_the_same_bytes_with_any_number_of_threads(
    edgenet: Edgenet, made: Path, twelve: Path, by_default: bytes, tmp_path: Path
) -> None:
    """Whatever the process had set for torch and OpenCV before."""
    before, written = (torch.get_num_threads(), cv2.getNumThreads()), {by_default}
    try:
        for threads in (2, 4):
            torch.set_num_threads(threads)
            cv2.setNumThreads(threads)
            out = tmp_path / f"{threads}.tflite"
            ran = edgenet("convert", made / "small.safetensors", "-o", out, "--calibration", twelve)
            assert ran.status == 0
            assert torch.get_num_threads() == threads
            written.add(out.read_bytes())
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
    assert len(written) == 1


@pytest.mark.slow
def test_the_same_bytes_in_every_process(
    made: Path, twelve: Path, by_default: bytes, tmp_path: Path, process: Edgenet
) -> None:
    """Whatever the seed of Python's hashes and the number of threads are; here there is one thread."""
    out = tmp_path / "net.tflite"
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
    environment = {"PYTHONHASHSEED": seed, **dict.fromkeys(variables, "4")}
    arguments = ("convert", made / "small.safetensors", "-o", out, "--calibration", twelve)
    ran = process(*arguments, environment=environment)
    assert ran.status == 0, ran.err
    assert out.read_bytes() == by_default


def test_npz_with_real_weights(edgenet: Edgenet, shared_data: Path, tmp_path: Path) -> None:
    source, out = shared_data / "mobilenet_v1_1.0_224_imagenet.npz", tmp_path / "v1.tflite"
    arguments = ("--calibration", PHOTOS, "--photos", 12, "--resolution", 128, "--recipe", "minmax", "--json")
    result = edgenet("convert", source, "-o", out, *arguments).json()
    assert (result["name"], result["classes"], result["operators"]) == ("mobilenet_v1_1.0_128", 1001, 33)
    assert not {"PAD", "TRANSPOSE"} & set(result["kinds"])
    assert hashlib.sha256(source.read_bytes()).hexdigest() == facts(out).weights.sha256


def test_registry_name(edgenet: Edgenet, official_v2: Path, tmp_path: Path) -> None:
    out = tmp_path / "v2.tflite"
    arguments = ("convert", "mobilenet_v2_1.0_224", "-o", out, "--float", "--resolution", 96, "--json")
    result = edgenet(*arguments).json()
    assert (result["name"], result["classes"], result["labelled"]) == ("mobilenet_v2_1.0_96", 1000, True)
    assert facts(out).weights.licence.startswith("BSD-3-Clause")
