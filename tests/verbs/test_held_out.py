"""Which photos calibrate, which judge, and how close int8 is to float on them, counted independently with LiteRT."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.classifier import Classifier
from small_network import PHOTOS

from edgenet.accuracy import wilson
from edgenet.data.loading import choose, contents_digest, load_all
from edgenet.data.photos import open_photos
from edgenet.graph.executor import run
from edgenet.workflows.calibration import (
    HOLD_OUT_EVERY,
    SPARE_PHOTOS,
    Fidelity,
    better_recipe,
    fidelity_warnings,
    split_photos,
)
from edgenet.workflows.convert import convert
from edgenet.workflows.sources import SourceOptions, open_source


def fidelity(agreeing: int, n: int, sqnr_db: float, saturated: int = 0) -> Fidelity:
    interval = wilson(agreeing, n)
    return Fidelity(n, agreeing, 100 * agreeing / n, interval, sqnr_db, True, 0.01, sqnr_db - 2, saturated)


def test_spare_photos_judge() -> None:
    parts = split_photos(40, 8)
    assert (parts.calibrating, parts.judging) == (tuple(range(8)), tuple(range(8, 40)))
    assert parts.held_out
    assert split_photos(9, 8).judging == (8,)


def test_without_spare_photos_every_tenth_judges() -> None:
    assert split_photos(10, 10).judging == (9,)
    assert split_photos(19, 100).judging == (9,)
    parts = split_photos(100, 100)
    assert parts.judging == tuple(range(9, 100, 10))
    assert sorted(parts.calibrating + parts.judging) == list(range(100))
    assert parts.held_out


@pytest.mark.parametrize("readable", [1, 2, HOLD_OUT_EVERY - 1])
def test_a_handful_judges_itself(readable: int) -> None:
    parts = split_photos(readable, 100)
    assert parts.calibrating == parts.judging == tuple(range(readable))
    assert not parts.held_out


def of(folder: Path, count: int) -> Path:
    folder.mkdir()
    for photo in sorted(PHOTOS.glob("*.jpg"))[:count]:
        shutil.copyfile(photo, folder / photo.name)
    return folder


def test_the_manifest_names_the_photos_that_calibrated(made: Path, tmp_path: Path) -> None:
    """Of twelve, one judges and eleven calibrate; the hash is theirs, and so is the file."""
    folder = of(tmp_path / "twelve", 12)
    source, recipe = str(made / "small.safetensors"), "minmax"
    result = convert(source, tmp_path / "a.tflite", calibration=folder, photos=100, recipe=recipe)
    assert result.quantization is not None
    assert result.fidelity is not None
    assert (result.quantization.calibration_count, result.fidelity.n) == (11, 1)
    in_order = choose(open_photos(folder), 12)
    calibrated = in_order.take([i for i in range(12) if i != HOLD_OUT_EVERY - 1])
    assert result.quantization.calibration_sha256 == contents_digest(calibrated)
    (folder / in_order.names[HOLD_OUT_EVERY - 1]).unlink()
    shutil.copyfile(folder / in_order.names[0], folder / "again.jpg")  # counts once
    (folder / "broken.jpg").write_bytes(b"no photo")
    again = convert(source, tmp_path / "b.tflite", calibration=folder, photos=100, recipe=recipe)
    assert again.quantization is not None
    assert again.quantization.calibration_count == 10  # of eleven, one judges again


def test_an_unreadable_photo_gives_its_place_to_a_spare_one(made: Path, tmp_path: Path) -> None:
    folder = of(tmp_path / "photos", 6)
    for number in range(6):
        (folder / f"broken{number}.jpg").write_bytes(b"no photo %d" % number)
    source = str(made / "small.safetensors")
    result = convert(source, tmp_path / "a.tflite", calibration=folder, photos=4, recipe="minmax")
    assert result.quantization is not None
    assert result.fidelity is not None
    assert (result.quantization.calibration_count, result.fidelity.n) == (4, 2)
    assert len(result.skipped) == 6


def test_figures_as_counted_with_the_file_itself(made: Path, tmp_path: Path) -> None:
    """Agreement from LiteRT's scores beside torch's logits, on the photos that the rule leaves."""
    out = tmp_path / "net.tflite"
    source = str(made / "small.safetensors")
    result = convert(source, out, calibration=PHOTOS, photos=8, recipe="minmax")
    found = result.fidelity
    assert found is not None
    assert (found.n, found.held_out) == (SPARE_PHOTOS, True)
    everything = choose(open_photos(PHOTOS), 1000)
    chosen = set(choose(open_photos(PHOTOS), 8).names)
    left = [i for i, name in enumerate(everything.names) if name not in chosen]
    spare = everything.take([left[k * len(left) // SPARE_PHOTOS] for k in range(SPARE_PHOTOS)])
    images = load_all(spare, 64).images
    real = run(open_source(source, SourceOptions()).graph, images)
    classifier = Classifier(out, threads=1)
    best = []
    for image in images:
        best.append(int(classifier.score_prepared(image).argmax()))
    assert found.agreeing == int((real.argmax(axis=1) == np.array(best)).sum())
    assert found.agreement == pytest.approx(100 * found.agreeing / SPARE_PHOTOS)


def test_a_float_file_is_not_judged(made: Path, tmp_path: Path) -> None:
    result = convert(str(made / "small.safetensors"), tmp_path / "net.tflite", float=True)
    assert (result.fidelity, result.measured, result.warnings) == (None, None, ())


def test_poor_figures_are_reported_with_a_remedy() -> None:
    (warning,) = fidelity_warnings(fidelity(15, 32, 4.1), "minmax")
    assert "agrees with float on only 15 of 32 photos and the logits' SQNR is only 4.1 dB" in warning
    for remedy in ("--recipe ", "more photos", "the camera will see", "inspect --against"):
        assert remedy in warning
    (warning,) = fidelity_warnings(fidelity(32, 32, 19.9), "minmax")
    assert "agrees" not in warning
    (warning,) = fidelity_warnings(fidelity(20, 32, 25.0), "minmax")
    assert "SQNR is" not in warning
    assert fidelity_warnings(fidelity(32, 32, float("nan")), "minmax")


def test_saturated_logits_are_named_as_the_cause() -> None:
    (warning,) = fidelity_warnings(fidelity(11, 11, 25.0, saturated=3), "balanced")
    assert warning.startswith("logits saturate on 3 of 11 photos")
    first, second = fidelity_warnings(fidelity(15, 32, 4.1, saturated=1), "balanced")
    assert first.startswith("logits saturate on 1 of 32 photos")
    assert "int8 is far from float" in second


def test_good_figures_and_chance_raise_no_alarm() -> None:
    """V2's 96.75 % is 30 of 32 or fewer in every fourth draw."""
    for agreeing, n in ((32, 32), (30, 32), (9, 10), (1, 1)):
        assert fidelity_warnings(fidelity(agreeing, n, 22.0), "balanced") == ()


def test_no_recipe_is_advised_that_was_used() -> None:
    assert better_recipe("minmax").startswith("--recipe ")
    used = better_recipe("minmax").removeprefix("--recipe ").removesuffix(", ")
    assert better_recipe(used) == ""
