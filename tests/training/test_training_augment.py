"""How photos vary, and that batches come as they should whatever the number of processes."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from shape_photos import every_class, write_photos

from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.training.loader import (
    ASPECT,
    Draws,
    augmented,
    colour_matrix,
    crop_of,
    draw,
    epoch_order,
    load_epoch,
)
from edgenet.training.photos import TrainingPhotos, read_photos
from edgenet.training.processes import ProcessShare
from edgenet.training.recipe import Augmentation, Recipe
from edgenet.training.step import mix

PLAIN = Augmentation(crop_scale=1, flip=False, colour=0)


def same(value: float, photos: int = 1) -> Draws:
    return Draws(*np.full((8, photos), value))


@pytest.fixture(scope="module")
def photos(shapes: Path) -> TrainingPhotos:
    return read_photos(open_photos(shapes), 32, 1 << 30)


def test_crops_have_the_area_and_aspect_that_were_drawn_and_lie_in_the_photo() -> None:
    draws = draw(np.random.default_rng(0), 500)
    for index in range(500):
        top, left, height, width = crop_of((300, 400), 0.25, draws, index)
        assert 0 <= top <= 300 - height
        assert 0 <= left <= 400 - width
        area, aspect = height * width / (300 * 400), width / height
        if height < 300 and width < 400:
            assert area == pytest.approx(0.25 + 0.75 * draws.area[index], rel=0.02)
            assert 1 / ASPECT * 0.97 <= aspect <= ASPECT * 1.03
    corners = [crop_of((300, 400), 0.25, draws, index)[:2] for index in range(500)]
    assert min(corners) < (10, 400)
    assert max(left for _, left in corners) > 150


def test_without_augmentation_a_square_photo_is_only_resized() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    out = np.empty((32, 32, 3), np.uint8)
    augmented(photo, out, PLAIN, same(0.5), 0)
    expected = cv2.cvtColor(cv2.resize(photo, (32, 32), interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)
    assert (out == expected).all()


def test_flip_mirrors() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    plain, mirrored = np.empty((2, 32, 32, 3), np.uint8)
    augmented(photo, plain, replace(PLAIN, flip=True), replace(same(0.5), flip=np.array([0.5])), 0)
    augmented(photo, mirrored, replace(PLAIN, flip=True), replace(same(0.5), flip=np.array([0.49])), 0)
    assert (mirrored == plain[:, ::-1]).all()
    assert (mirrored != plain).any()


def test_colours_in_the_middle_of_their_range_are_only_bgr_to_rgb() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert (cv2.transform(photo, colour_matrix(photo, 0.4, same(0.5), 0)) == photo[:, :, ::-1]).all()


@pytest.mark.parametrize("which", ["brightness", "contrast", "saturation"])
def test_each_colour_change_is_its_formula(which: str) -> None:
    photo = np.random.default_rng(0).integers(60, 190, (8, 8, 3)).astype(np.float64)
    matrix = colour_matrix(photo, 0.4, replace(same(0.5), **{which: np.array([1.0])}), 0)
    found = cv2.transform(photo, matrix)
    rgb = photo[:, :, ::-1]
    grey = rgb @ (0.299, 0.587, 0.114)
    expected = {
        "brightness": 1.4 * rgb,
        "contrast": 1.4 * rgb - 0.4 * grey.mean(),
        "saturation": 1.4 * rgb - 0.4 * grey[:, :, None],
    }[which]
    assert np.allclose(found, expected)


def epoch(
    photos: TrainingPhotos,
    recipe: Recipe,
    first: int = 0,
    share: ProcessShare = ProcessShare(),  # noqa: B008 (frozen)
) -> list:
    with closing(load_epoch(photos, recipe, 3, 32, first, share)) as loader:
        return list(loader)


def test_an_epoch_shows_every_photo_with_its_label(photos: TrainingPhotos) -> None:
    recipe = Recipe(batch=16, augmentation=PLAIN)
    found = epoch(photos, recipe)
    order = epoch_order(photos.labels, 0, 3, False)
    assert [batch.step for batch in found] == [0, 1, 2, 3]
    assert torch.cat([batch.labels for batch in found]).tolist() == photos.labels[order].tolist()
    first = found[0].pixels[0].numpy()
    assert found[0].pixels.shape == (15, 32, 32, 3)
    expected = np.empty((32, 32, 3), np.uint8)
    augmented(photos.pixels(int(order[0])), expected, PLAIN, same(0.0), 0)
    # A photo of 32x36: the widest square in it, somewhere.
    assert abs(first.mean() - expected.mean()) < 20


def test_an_epoch_taken_up_in_the_middle_goes_on_the_same(photos: TrainingPhotos) -> None:
    recipe = Recipe(batch=16)
    whole, rest = epoch(photos, recipe), epoch(photos, recipe, first=2)
    assert [batch.step for batch in rest] == [2, 3]
    for one, other in zip(whole[2:], rest, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.labels, other.labels)


def test_two_processes_see_together_what_one_sees(photos: TrainingPhotos) -> None:
    recipe = Recipe(batch=16)
    whole = epoch(photos, recipe)
    halves = [epoch(photos, recipe, share=ProcessShare(process, 2)) for process in (0, 1)]
    for one, left, right in zip(whole, *halves, strict=True):
        assert left.photos == right.photos == one.photos == len(one.labels)
        assert torch.equal(left.pixels, one.pixels[0::2])
        assert torch.equal(right.pixels, one.pixels[1::2])
        assert torch.equal(right.labels, one.labels[1::2])


def test_a_photo_that_vanished_is_reported(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "photos", every_class(2))
    photos = read_photos(open_photos(data), 32, 0)
    (data / "green" / "0001.jpg").unlink()
    with pytest.raises(EdgenetError, match=r"0001.jpg is gone"):
        epoch(photos, Recipe(batch=6))


def test_mixup_mixes_pixels_and_names_the_other_label() -> None:
    pixels = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 3, 2, 2)
    labels = torch.arange(4)
    mixed = mix(pixels, labels, 1.0, (0, 0, 0))
    assert 0 < mixed.share < 1
    expected = mixed.share * labels + (1 - mixed.share) * mixed.others
    assert torch.allclose(mixed.pixels[:, 0, 0, 0], expected.float())
    assert sorted(mixed.others.tolist()) == [0, 1, 2, 3]
    unmixed = mix(pixels, labels, 0.0, (0, 0, 0))
    assert unmixed.share == 1
    assert unmixed.pixels is pixels
