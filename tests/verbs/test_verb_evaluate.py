"""`edgenet.evaluate`: figures that are known beforehand, and figures counted in another way."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgenet_device.classifier import NOTHING_KNOWN
from small_network import LABELS, PHOTOS
from verbs_photos import solid

import edgenet
from edgenet.errors import EdgenetError
from edgenet.workflows.evaluate import Evaluation

RGB = ("red", "green", "blue")
Build = Callable[..., Path]


def evaluate(*models: Path, data: Path, **options: Any) -> Evaluation:
    return edgenet.evaluate(models, data, **options)


def test_class_folders(colour_bundle: Build, colour_folders: Path) -> None:
    result = evaluate(colour_bundle("right", RGB), data=colour_folders)
    assert (result.n, result.data, result.skipped) == (8, str(colour_folders), ())
    (row,) = result.models
    assert (row.top1, row.top5, row.agreement) == (100.0, None, 100.0)
    assert row.precision == "float32"
    assert row.runtime.startswith(("ai-edge-litert ", "tflite-runtime "))


def test_top1_counts_what_is_wrong(colour_bundle: Build, colour_folders: Path) -> None:
    """Red and green are exchanged in the labels, so that 7 of 8 photos are called wrongly."""
    (row,) = evaluate(colour_bundle("wrong", ("green", "red", "blue")), data=colour_folders).models
    assert row.top1 == 12.5


def test_classes_that_lose_are_named_with_what_they_lose(colour_bundle: Build, colour_folders: Path) -> None:
    """Red and green are exchanged: all 4 red and 3 green photos are lost; one blue photo would be chance."""
    right, wrong = colour_bundle("right", RGB), colour_bundle("wrong", ("green", "red", "blue"))
    _, row = evaluate(right, wrong, data=colour_folders).models
    assert [(one.label, one.n, one.lost, one.won) for one in row.losing] == [
        ("red", 4, 4, 0),
        ("green", 3, 3, 0),
    ]
    assert row.kl is None  # the outputs stand for other classes
    assert evaluate(wrong, right, data=colour_folders).models[1].losing == ()


def test_top5(colour_bundle: Build, colour_folders: Path) -> None:
    """Six outputs of which two see each colour, named so that the right one comes second in a tie."""
    labels = ("scarlet", "lime", "navy", *RGB)
    (row,) = evaluate(colour_bundle("second", labels), data=colour_folders).models
    assert (row.top1, row.top5) == (0.0, 100.0)


def test_agreement_is_with_the_first_by_class(colour_bundle: Build, colour_folders: Path) -> None:
    """Outputs in another order agree where they mean the same class."""
    right, wrong = colour_bundle("right", RGB), colour_bundle("wrong", ("green", "red", "blue"))
    assert [row.agreement for row in evaluate(right, wrong, data=colour_folders).models] == [100.0, 12.5]
    assert [row.agreement for row in evaluate(wrong, right, data=colour_folders).models] == [100.0, 12.5]


def test_accuracy_is_among_the_classes_and_unknown_answers_are_counted(
    colour_bundle: Build, colour_folders: Path
) -> None:
    """Two outputs see each colour; "nothing I know" sees blue like "navy" and wins the tie for it."""
    model = colour_bundle("unsure", ("scarlet", "lime", NOTHING_KNOWN, "red", "green", "blue"))
    plain = colour_bundle("plain", ("scarlet", "lime", "navy", "red", "green", "blue"))
    unsure, other = evaluate(model, plain, data=colour_folders).models
    assert (unsure.top1, unsure.top5) == (
        12.5,
        100.0,
    )  # the blue photo is right among the classes, though unknown
    assert (unsure.unknown, unsure.false_alarms) == (12.5, None)
    assert (other.top1, other.unknown, other.false_alarms) == (0.0, None, None)


def test_photos_of_other_things_count_as_false_alarms_only(colour_bundle: Build, tmp_path: Path) -> None:
    for folder, colours in (("red", "red red"), ("green", "green"), ("None", "blue blue blue green")):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number, colour in enumerate(colours.split()):
            (tmp_path / "data" / folder / f"{number}.png").write_bytes(
                solid(colour, number + 10 * len(folder))
            )
    model = colour_bundle("knowing", ("red", "green", NOTHING_KNOWN))
    result = evaluate(model, data=tmp_path / "data")
    (row,) = result.models
    assert (result.n, row.top1, row.agreement) == (3, 100.0, 100.0)
    assert (row.unknown, row.false_alarms) == (0.0, 25.0)
    shutil.rmtree(tmp_path / "data" / "red")
    shutil.rmtree(tmp_path / "data" / "green")
    with pytest.raises(EdgenetError, match="show other things; add photos of the classes"):
        evaluate(model, data=tmp_path / "data")


def test_a_network_without_that_output_refuses_photos_of_other_things(
    colour_bundle: Build, colour_folders: Path
) -> None:
    (colour_folders / "blue").rename(colour_folders / "none")
    with pytest.raises(EdgenetError, match="none"):
        evaluate(colour_bundle("right", RGB), data=colour_folders)


def test_background_shifts_classes_and_agreement(colour_bundle: Build, tmp_path: Path) -> None:
    """labels.csv without names: class 0 is the first output, or the second where the first is "background"."""
    files = {"a.png": ("green", 0), "b.png": ("blue", 1), "sub/c.png": ("green", 0)}
    data = tmp_path / "photos.zip"
    with zipfile.ZipFile(data, "w") as archive:
        lines = ["file,class_index", *(f"{name},{index}" for name, (_, index) in files.items())]
        archive.writestr("labels.csv", "\n".join(lines))
        for number, (name, (colour, _)) in enumerate(files.items()):
            archive.writestr(name, solid(colour, number))
    shifted = colour_bundle("shifted", ("background", "class a", "class b"))
    result = evaluate(shifted, shifted, data=data)
    assert result.n == 3
    assert [row.top1 for row in result.models] == [100.0, 100.0]
    plain = colour_bundle("plain", ("class a", "class b"))  # sees red and green: never blue
    assert [row.top1 for row in evaluate(plain, data=data).models] == [0.0]
    # On green both say something: `shifted` its output 1, class a; `plain` its output 1, class b.
    assert evaluate(shifted, plain, data=data).models[1].agreement == 0.0


def test_networks_of_different_resolutions_see_the_same_photos(
    colour_bundle: Build, colour_folders: Path
) -> None:
    result = evaluate(colour_bundle("small", RGB, 8), colour_bundle("large", RGB, 40), data=colour_folders)
    assert [row.top1 for row in result.models] == [100.0, 100.0]
    assert result.n == 8


def test_limit_takes_a_share_of_every_class(colour_bundle: Build, colour_folders: Path) -> None:
    result = evaluate(colour_bundle("right", RGB), data=colour_folders, limit=4)
    assert (result.n, result.models[0].top1) == (4, 100.0)


def test_split(colour_bundle: Build, colour_folders: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(colour_folders, root / "train")
    (root / "val").mkdir()
    for colour in RGB:
        (root / "val" / colour).mkdir()
        (root / "val" / colour / "one.png").write_bytes(solid(colour))
    bundle = colour_bundle("right", RGB)
    assert evaluate(bundle, data=root, split="val").n == 3
    assert evaluate(bundle, data=root, split="train").n == 8
    with pytest.raises(EdgenetError, match="splits train, val"):
        evaluate(bundle, data=root)


def test_unreadable_photos_are_left_out_and_named(colour_bundle: Build, colour_folders: Path) -> None:
    (colour_folders / "red" / "broken.png").write_bytes(b"no photo")
    result = evaluate(colour_bundle("right", RGB), data=colour_folders)
    assert result.n == 8
    ((name, reason),) = result.skipped
    assert name == "red/broken.png"
    assert "not a photo" in reason


def test_float_and_int8_and_source_side_by_side(made: Path, tmp_path: Path) -> None:
    """A float file of the network agrees with torch on every photo; int8 is judged elsewhere, with real weights."""
    for label, photos in zip(LABELS, np.array_split(sorted(PHOTOS.glob("*.jpg"))[:25], 5), strict=True):
        (tmp_path / label).mkdir()
        for photo in photos:
            shutil.copyfile(photo, tmp_path / label / photo.name)
    models = [made / name for name in ("small.safetensors", "float.tflite", "int8.tflite")]
    result = evaluate(*models, data=tmp_path)
    assert [row.precision for row in result.models] == ["float32", "float32", "int8"]
    assert result.models[0].runtime == "torch"
    assert result.models[0].agreement == result.models[1].agreement == 100.0
    assert result.models[0].top1 == result.models[1].top1
    assert result.models[0].top5 == 100.0  # of five classes
    _, same, int8 = result.models
    assert same.kl == pytest.approx(0, abs=1e-4)
    assert (same.worst_db or 0) > 60 > (int8.worst_db or 99)
    assert (int8.kl or 0) > 0.01
    assert (result.models[0].kl, same.saturated) == (None, None)
    assert int8.saturated in range(26)
    onnx = edgenet.evaluate(
        [str(made / "float.tflite"), str(made / "small.onnx"), str(made / "small.safetensors")],
        tmp_path,
        normalization="centred",
    )
    assert [row.agreement for row in onnx.models] == [100.0, 100.0, 100.0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalization": "centred"}, "none of the models is one"),
        ({"resolution": 96}, "all of the models have a fixed resolution"),
    ],
)
def test_an_option_that_no_model_takes_is_refused(
    colour_bundle: Build, colour_folders: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EdgenetError, match=message):
        edgenet.evaluate([str(colour_bundle("right", RGB))], colour_folders, **options)


def test_resolution_goes_to_those_that_take_it(made: Path, tmp_path: Path) -> None:
    for label, photo in zip(LABELS, sorted(PHOTOS.glob("*.jpg")), strict=False):
        (tmp_path / label).mkdir()
        shutil.copyfile(photo, tmp_path / label / photo.name)
    models = [str(made / "float.tflite"), str(made / "small.safetensors")]
    result = edgenet.evaluate(models, tmp_path, resolution=96)
    assert result.n == 5


def test_photos_without_labels(colour_bundle: Build, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(solid("red"))
    with pytest.raises(EdgenetError, match=r"have no labels; give class folders or a labels\.csv"):
        evaluate(colour_bundle("right", RGB), data=tmp_path)


def test_classes_that_the_network_does_not_have(colour_bundle: Build, colour_folders: Path) -> None:
    (colour_folders / "blue").rename(colour_folders / "azure")
    with pytest.raises(EdgenetError, match="not among its labels: azure"):
        evaluate(colour_bundle("right", (*RGB, "grey")), data=colour_folders)


def test_real_weights_on_real_photos(shared_data: Path) -> None:
    """ImageNet's V1 from its arrays: FIELD.md has 92.9 % on 1,000 photos of this kind."""
    result = edgenet.evaluate(
        [str(shared_data / "mobilenet_v1_1.0_224_imagenet.npz")],
        shared_data / "imagenet-sample-500.zip",
        limit=32,
    )
    assert result.n == 32
    assert result.models[0].top1 >= 84
    assert result.models[0].top5 is not None
    assert result.models[0].top5 >= 94
