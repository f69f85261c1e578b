"""Which photos train and which validate, what is kept of them, and what is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.frames.photos import read_photo
from edgenet_device.preprocess import prepare
from PIL import Image
from shape_photos import every_class, shape_photo, write_photos

from edgenet.data.loading import load_all
from edgenet.data.photos import PhotoSet, open_photos
from edgenet.errors import EdgenetError
from edgenet.progress import silent
from edgenet.training.job import TrainingData, read_training_data
from edgenet.training.photos import (
    check_counts,
    imbalance_warning,
    open_training_data,
    read_photos,
    read_shrunk,
    shrink,
)
from edgenet.training.recipe import Distillation, Recipe
from edgenet.training.state import Plan


def training_data(data: Path, seed: int = 0) -> TrainingData:
    plan = Plan("mobilenet_v1_0.25_32", str(data), Recipe(seed=seed), Distillation(), hold_out=0.25)
    return read_training_data(plan, 32, silent)


def test_without_a_validation_part_a_share_of_every_class_is_held_out(shapes: Path) -> None:
    found = training_data(shapes)
    assert found.held_out
    assert np.bincount(found.photos.labels).tolist() == [15, 15, 15]
    assert sorted(found.validation.labels) == [0] * 5 + [1] * 5 + [2] * 5
    assert not set(found.validation.names) & set(found.photos.photoset.names)
    assert set(training_data(shapes, seed=1).validation.names) != set(found.validation.names)


def test_what_is_held_out_depends_on_contents_not_on_names(shapes: Path, tmp_path: Path) -> None:
    for index, path in enumerate(sorted(shapes.rglob("*.jpg"))):
        other = tmp_path / path.parent.name / f"{999 - index}.jpg"
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(path.read_bytes())

    def contents(data: Path) -> set[bytes]:
        held = training_data(data).validation
        return {held.read_bytes(index) for index in range(len(held))}

    assert contents(tmp_path) == contents(shapes)


def test_photos_of_one_session_are_on_one_side_only(tmp_path: Path) -> None:
    stamps = {"blue": (1000, 1100, 1200), "red": (1000, 1000, 1000), "green": (900, 900, 1300)}
    for name, hours in stamps.items():
        (tmp_path / name).mkdir()
        for number in range(12):
            photo = tmp_path / name / f"session-20260314-{hours[number % 3]:04}00-{number:03}.jpg"
            photo.write_bytes(shape_photo(name, number))
    found = training_data(tmp_path)

    def sessions(photos: PhotoSet, label: int) -> set[str]:
        chosen = zip(photos.names, photos.labels, strict=True)
        return {name.rpartition("-")[0] for name, own in chosen if own == label}

    blue, green, red = (
        [sessions(part, label) for part in (found.photos.photoset, found.validation)] for label in range(3)
    )
    assert not blue[0] & blue[1]
    assert blue[1]
    assert not green[0] & green[1]
    assert green[1]
    assert red[0] == red[1]  # there is only one; the training warns
    assert found.one_scene == (2,)


def write_pans(folder: Path, scenes: int, frames: int, seed: int) -> None:
    """Write frames of a camera that moves over several scenes, under names that do not tell which belong together."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for scene in range(scenes):
        wide = cv2.resize(
            rng.integers(0, 256, (9, 12, 3), np.uint8), (480, 360), interpolation=cv2.INTER_CUBIC
        )
        for frame in range(frames):
            x, y = 6 * frame, 3 * frame
            cv2.imwrite(str(folder / f"{frame * scenes + scene:03}.png"), wide[y : y + 240, x : x + 320])


def test_photos_that_look_like_one_scene_are_on_one_side_only(tmp_path: Path) -> None:
    for seed, name in enumerate(("bolt", "nut")):
        write_pans(tmp_path / name, 6, 8, seed)
    found = training_data(tmp_path)

    def scenes(photos: PhotoSet) -> set[tuple[str, int]]:
        return {(name.split("/")[0], int(Path(name).stem) % 6) for name in photos.names}

    assert len(found.validation)
    assert not scenes(found.photos.photoset) & scenes(found.validation)
    assert found.one_scene == ()


def test_a_class_that_looks_like_one_scene_is_told(tmp_path: Path) -> None:
    write_pans(tmp_path / "bolt", 1, 12, 0)
    write_pans(tmp_path / "nut", 6, 4, 1)
    found = training_data(tmp_path)
    assert found.one_scene == (0,)
    assert 0 in found.validation.labels


@pytest.mark.parametrize("part", ["val", "validation", "test"])
def test_split_folders_are_used(tmp_path: Path, part: str) -> None:
    write_photos(tmp_path / "train", every_class(3))
    write_photos(tmp_path / part, every_class(2), first=50)
    found = training_data(tmp_path)
    assert not found.held_out
    assert (len(found.photos), len(found.validation), found.validation.split) == (9, 6, part)


def test_a_test_part_is_left_alone_where_there_is_a_val_part(tmp_path: Path) -> None:
    for number, part in enumerate(("train", "test", "val")):
        write_photos(tmp_path / part, every_class(2), first=10 * number)
    assert training_data(tmp_path).validation.split == "val"


def test_a_zip_reads_like_its_folder(shapes: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "shapes.zip", "w") as archive:
        for path in shapes.rglob("*.jpg"):
            archive.write(path, path.relative_to(shapes.parent))
    zipped, plain = training_data(tmp_path / "shapes.zip"), training_data(shapes)
    assert zipped.digest == plain.digest
    assert zipped.validation.names == plain.validation.names


def test_splits_with_other_classes(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", {"blue": 2, "red": 2})
    write_photos(tmp_path / "val", {"blue": 2, "green": 2})
    with pytest.raises(
        EdgenetError, match="differ: red is missing in val; green is missing in train; give both the same"
    ):
        open_training_data(tmp_path)


def test_only_a_test_part(tmp_path: Path) -> None:
    write_photos(tmp_path / "test", every_class(2))
    with pytest.raises(EdgenetError, match="none to train with; name that folder 'train'"):
        open_training_data(tmp_path)


def test_no_class_folders_and_a_single_one(tmp_path: Path) -> None:
    write_photos(tmp_path / "one", {"blue": 2})
    with pytest.raises(EdgenetError, match="only one class; give a folder for each of at least two"):
        open_training_data(tmp_path / "one")
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.jpg").write_bytes(shape_photo("red", 0))
    with pytest.raises(
        EdgenetError, match="no labels; put the photos of each class into a folder of its own"
    ):
        open_training_data(tmp_path / "flat")


def test_an_empty_class_folder(tmp_path: Path) -> None:
    write_photos(tmp_path, every_class(2))
    (tmp_path / "violet").mkdir()
    with pytest.raises(
        EdgenetError, match=r"the class folder violet in .* holds no photos; fill it or remove"
    ):
        training_data(tmp_path)


def test_a_class_with_one_photo(tmp_path: Path) -> None:
    write_photos(tmp_path, {"blue": 3, "red": 1})
    with pytest.raises(
        EdgenetError, match="the class red has only 1 photo; a class needs at least 2, one to"
    ):
        training_data(tmp_path)


def test_a_class_of_which_one_photo_can_be_read(tmp_path: Path) -> None:
    write_photos(tmp_path, {"blue": 3, "red": 3})
    for number in (0, 2):
        (tmp_path / "red" / f"000{number}.jpg").write_bytes(b"\xff\xd8 cut off")
    with pytest.raises(EdgenetError, match=r"the class red has only 1 photo that can be read \(2 cannot\)"):
        training_data(tmp_path)


def test_unreadable_photos_are_listed_and_left_out(tmp_path: Path) -> None:
    write_photos(tmp_path, every_class(4))
    (tmp_path / "green" / "0002.jpg").write_bytes(b"")
    photos = read_photos(open_photos(tmp_path), 32, 1 << 30)
    assert len(photos) == 11
    assert photos.skipped == (("green/0002.jpg", "green/0002.jpg is empty (0 bytes); copy it again"),)
    assert "green/0002.jpg" not in photos.photoset.names
    assert photos.labels.tolist() == [0] * 4 + [1] * 3 + [2] * 4


def test_not_one_can_be_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").write_bytes(b"no photo")
    with pytest.raises(EdgenetError, match=r"none of the 2 photos in .* can be read: .*; give other photos"):
        read_photos(open_photos(tmp_path), 32, 1 << 30)


def test_photos_beyond_the_budget_are_decoded_again_and_are_the_same(shapes: Path) -> None:
    photoset = open_photos(shapes)
    all_kept, none_kept = (read_photos(photoset, 16, budget) for budget in (1 << 30, 0))
    some = read_photos(photoset, 16, 10 * all_kept.pixels(0).nbytes)
    assert (all_kept.in_memory, some.in_memory, none_kept.in_memory) == (60, 10, 0)
    for index in (0, 9, 10, 59):
        assert (all_kept.pixels(index) == none_kept.pixels(index)).all()
        assert (all_kept.pixels(index) == some.pixels(index)).all()


def test_photos_are_kept_a_little_larger_than_trained_and_never_enlarged() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    assert shrink(photo, 150).shape == (150, 200, 3)
    assert shrink(photo, 300) is photo
    assert (shrink(photo, 150) == cv2.resize(photo, (200, 150), interpolation=cv2.INTER_AREA)).all()


@pytest.mark.parametrize("turned", [False, True])
def test_large_jpegs_are_decoded_small_and_upright(turned: bool) -> None:
    """The left half is dark; a camera held on its side stores that half at the bottom."""
    photo = np.full((1200, 1600, 3), 200, np.uint8)
    photo[:, :800] = 40
    exif = Image.Exif()
    exif[0x112] = 6 if turned else 1  # 6: turn the stored picture clockwise by a quarter
    stored = Image.fromarray(np.rot90(photo) if turned else photo)
    file = io.BytesIO()
    stored.save(file, "JPEG", quality=95, exif=exif)
    pixels = read_shrunk(file.getvalue(), "x.jpg", 60)
    assert pixels.shape == (60, 80, 3)
    assert pixels[:, :38].max() < 60 < 180 < pixels[:, 42:].min()


def test_only_training_decodes_small(tmp_path: Path) -> None:
    """Validation sees exactly what the device sees, on a photo where the two ways of decoding differ."""
    noise = np.random.default_rng(0).integers(0, 256, (75, 100, 3), dtype=np.uint8)
    data = bytes(cv2.imencode(".jpg", cv2.resize(noise, (1600, 1200), interpolation=cv2.INTER_CUBIC))[1])
    (tmp_path / "photo.jpg").write_bytes(data)
    photos = open_photos(tmp_path)
    exact = prepare(read_photo(data), 96)
    assert np.array_equal(load_all(photos, 96).images, exact)
    trained = prepare(read_shrunk(data, "photo.jpg", 120), 96)
    assert not np.array_equal(trained, exact)
    assert np.abs(trained.astype(int) - exact).mean() < 12


def test_unequal_classes_are_reported() -> None:
    names = ("cat", "dog")
    assert imbalance_warning((10, 29), names, False) is None
    warning = imbalance_warning((10, 30), names, False)
    assert warning is not None
    assert "30 photos of dog, 10 of cat" in warning
    assert "--balance" in warning
    balanced = imbalance_warning((10, 30), names, True)
    assert balanced is not None
    assert "shown equally often" in balanced


def test_a_class_without_a_photo_in_a_training_part() -> None:
    with pytest.raises(
        EdgenetError, match="the class b has no photo; a class needs at least 1, to train with"
    ):
        check_counts((3, 0), ("a", "b"), (), 1)


@pytest.mark.slow
def test_real_photos(shared_data: Path) -> None:
    found = open_training_data(shared_data / "cifar10-images.zip")
    assert found.validation is not None
    assert (len(found.training), len(found.validation)) == (50_000, 10_000)
    photos = read_photos(found.training.take(range(0, 50_000, 1000)), 64, 1 << 30)
    assert photos.pixels(0).shape == (32, 32, 3)
    assert photos.skipped == ()
