"""The Python API in use: modules, arrays, paths of both kinds, and opened models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from example_folder import COUNT, example_names
from numpy.typing import NDArray
from small_network import LABELS, RESOLUTION, small_network
from torch import nn

import edgenet
from edgenet.assets import calibration_photos
from edgenet.tflite.metadata import read_facts

Paths = type[str] | type[Path]


def lite_scores(model: str, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores of pixels [size, size, 3], from LiteRT itself."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def write_pngs(arrays: list[NDArray[np.uint8]], folder: Path) -> Path:
    folder.mkdir()
    for index, array in enumerate(arrays):
        cv2.imwrite(str(folder / f"{index:06}.png"), cv2.cvtColor(array, cv2.COLOR_RGB2BGR))
    return folder


@pytest.mark.slow
def test_a_module_gives_the_same_network_as_its_checkpoint(here: Path) -> None:
    """Every score of the int8 file is the same; labels and origin are those that were given."""
    module = small_network().module.train()  # as somebody has it in the middle of a training
    module.features[0].eval()
    shared: dict[str, Any] = {"calibration": "photos", "recipe": "minmax"}
    given = {"resolution": RESOLUTION, "normalization": "centred", "labels": list(LABELS)}
    result = edgenet.convert(module, "module.tflite", **shared, **given)
    assert module.training
    assert not module.features[0].training
    assert (result.name, result.classes, result.labelled) == (type(module).__name__, len(LABELS), True)
    ours, theirs = edgenet.load("module.tflite"), edgenet.load("small.tflite")
    assert ours.labels == theirs.labels == LABELS
    for photo in sorted(Path("photos").iterdir()):
        np.testing.assert_array_equal(ours(photo), theirs(photo))
    facts = read_facts(Path("module.tflite").read_bytes(), "it")
    assert facts is not None
    assert "torch module" in facts.weights.origin


def test_a_module_of_edgenet_knows_its_normalization(here: Path) -> None:
    result = edgenet.convert(small_network().module, "a.tflite", float=True, resolution=RESOLUTION)
    assert not result.labelled
    ours, theirs = (edgenet.load(name)("photos/cat.jpg") for name in ("a.tflite", "float.tflite"))
    np.testing.assert_array_equal(ours, theirs)


def test_somebody_elses_module(here: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )
    edgenet.convert(
        module, "mine.tflite", float=True, resolution=32, normalization="0..1", labels=["a", "b", "c"]
    )
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    with torch.no_grad():
        logits = module(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)
    np.testing.assert_allclose(edgenet.load("mine.tflite")(pixels), logits.softmax(1)[0].numpy(), atol=1e-5)


def test_arrays_calibrate_like_the_same_photos_in_a_folder(here: Path) -> None:
    arrays = example_names(here)["arrays"]
    shared: dict[str, Any] = {"recipe": "minmax"}
    folder = write_pngs(arrays, here / "pngs")
    given = edgenet.convert("small.safetensors", "arrays.tflite", calibration=arrays, **shared)
    read = edgenet.convert("small.safetensors", "folder.tflite", calibration=folder, **shared)
    assert given.quantization is not None
    assert given.quantization.calibration_count == COUNT - 1
    assert given.sha256 == read.sha256
    batch = np.stack([array[:64, :64] for array in arrays])
    again = edgenet.convert("small.safetensors", "batch.tflite", calibration=batch, **shared)
    assert again.sha256 != given.sha256


def test_opened_photos_and_the_builtin_ones(here: Path) -> None:
    opened = edgenet.open_photos("photos")
    shared: dict[str, Any] = {"recipe": "minmax", "photos": 8}
    by_set = edgenet.convert("small.safetensors", "a.tflite", calibration=opened, **shared)
    by_name = edgenet.convert("small.safetensors", "b.tflite", calibration="photos", **shared)
    assert by_set.sha256 == by_name.sha256
    builtin = edgenet.convert("small.safetensors", "c.tflite", calibration="builtin", **shared)
    folder = edgenet.convert("small.safetensors", "d.tflite", calibration=calibration_photos(), **shared)
    assert builtin.sha256 == folder.sha256 != by_name.sha256


def test_labels_are_a_list_or_a_file(here: Path) -> None:
    Path("names.txt").write_text("".join(f"{name}\n" for name in "abcde"))
    for labels in ("names.txt", Path("names.txt"), list("abcde"), tuple("abcde")):
        edgenet.convert("small.safetensors", "a.tflite", float=True, labels=labels)
        assert edgenet.load("a.tflite").labels == tuple("abcde")
        edgenet.package("a.tflite", "b.edgenet", labels=labels)
        assert edgenet.load("b.edgenet").labels == tuple("abcde")


@pytest.mark.parametrize("model", ["small.tflite", "small.edgenet", "float.tflite"])
def test_load_gives_what_litert_gives(here: Path, model: str) -> None:
    """On pixels of the network's size the preprocessing changes nothing."""
    opened = edgenet.load(model)
    assert (opened.size, opened.labels) == (RESOLUTION, LABELS)
    pixels = np.random.default_rng(1).integers(0, 256, (RESOLUTION, RESOLUTION, 3), np.uint8)
    scores = opened(pixels)
    assert (scores.dtype, scores.shape) == (np.float32, (len(LABELS),))
    np.testing.assert_array_equal(scores, lite_scores(model.replace(".edgenet", ".tflite"), pixels))
    best = np.argsort(-scores, kind="stable")[:2]
    assert opened.top(pixels, 2) == [(LABELS[i], float(scores[i])) for i in best]


def test_a_path_and_its_array_score_the_same(here: Path) -> None:
    model = edgenet.load("small.edgenet")
    array = cv2.cvtColor(cv2.imread("photos/cat.jpg"), cv2.COLOR_BGR2RGB)
    for photo in ("photos/cat.jpg", Path("photos/cat.jpg")):
        np.testing.assert_array_equal(model(photo), model(array))


@pytest.mark.slow
@pytest.mark.parametrize("path", [str, Path])
def test_every_function_takes_both_kinds_of_paths(here: Path, path: Paths) -> None:
    checkpoint, photos, labelled = path("small.safetensors"), path("photos"), path("labelled")
    made = edgenet.convert(
        checkpoint, path("a.tflite"), calibration=photos, recipe="minmax", data=labelled, max_drop=100
    )
    assert made.out == "a.tflite"
    packed = edgenet.package(path("a.tflite"), path("a.edgenet"), data=labelled, float_source=checkpoint)
    assert packed.out == "a.edgenet"
    assert edgenet.package(path("a.tflite")).out == "a.edgenet"
    assert edgenet.evaluate([path("a.tflite"), checkpoint], labelled).n == COUNT
    assert edgenet.evaluate(path("a.tflite"), labelled).n == COUNT
    plot = path("a.html")
    assert edgenet.inspect(path("a.edgenet"), against=checkpoint, data=photos, photos=2, plot=plot).compared
    assert edgenet.load(path("a.edgenet")).top(path("photos/cat.jpg"), 1)
    first = edgenet.bench(path("a.tflite"), runs=50, min_seconds=0.05, out=path("reports")).files[0]
    assert edgenet.report(path("reports"), path("page.html")).files[0] == "page.html"
    assert edgenet.compare(path(first), path(first)).difference.paired
    options = edgenet.TrainingOptions(epochs=1, batch=8)
    trained = edgenet.train("mobilenet_v1_0.25_32", labelled, path("run2"), options=options)
    assert trained is not None
    assert trained.out.startswith("run2")
    assert edgenet.resume_training(path("run2"), data=labelled) is not None
    assert (
        edgenet.camera(path("a.edgenet"), source="clip.mp4", frames=2, record=path("out.mp4")).recording
        == "out.mp4"
    )
    assert edgenet.capture("bird", path("taken"), source="clip.mp4", count=1).photos == 1


def test_a_training_has_the_defaults_of_its_kind() -> None:
    scratch = edgenet.TrainingOptions(crop_scale=0.6, no_flip=True).training_recipe()
    assert (scratch.epochs, scratch.batch, scratch.learning_rate, scratch.precision) == (30, 128, 0.1, "auto")
    assert (scratch.augmentation.crop_scale, scratch.augmentation.flip) == (0.6, False)
    tuned = edgenet.TrainingOptions(pretrained="imagenet", epochs=3).training_recipe()
    assert (tuned.epochs, tuned.batch, tuned.freeze_epochs, tuned.augmentation.crop_scale) == (3, 32, 1, 0.5)
    aware = edgenet.TrainingOptions(pretrained="a.safetensors", qat=True).training_recipe()
    assert (aware.epochs, aware.precision, aware.weight_decay) == (4, "float32", 0)
