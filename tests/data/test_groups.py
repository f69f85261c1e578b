"""Photos of one scene, one session or one file are one group; different photos of one class are not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.frames.photos import read_photo
from edgenet_device.preprocess import prepare

from edgenet.data import groups
from edgenet.data.groups import ALIKE, COPY, SESSION, group_photos, leaks, same_scene_pairs

FEW = 40


def thumbnail(photo: np.ndarray) -> np.ndarray:
    return cv2.resize(prepare(photo, 96)[0], (32, 32), interpolation=cv2.INTER_AREA)


def panned(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a square crop of a photo, 85 to 97 % of its shorter side, in other light."""
    height, width = photo.shape[:2]
    side = int(rng.uniform(0.85, 0.97) * min(height, width))
    left, top = rng.integers(0, width - side + 1), rng.integers(0, height - side + 1)
    return cv2.convertScaleAbs(photo[top : top + side, left : left + side], alpha=rng.uniform(0.88, 1.12))


@pytest.fixture(scope="module")
def photos(calibration_folder: Path) -> list[np.ndarray]:
    return [read_photo(path) for path in sorted(calibration_folder.glob("*.jpg"))[:FEW]]


def grouped(names: list[str], labels: list[int], contents: list[int] | None = None) -> list[int]:
    """Group photos by their names and files only: their thumbnails are plain, and plain patches match nothing."""
    plain = np.zeros((len(names), 32, 32, 3), np.uint8)
    found = group_photos(
        None, plain, np.array(labels), names, contents if contents is not None else range(len(names))
    )
    return found.ids.tolist()


def test_frames_of_one_scene_are_found_by_their_thumbnails_alone(photos: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    frames = [thumbnail(panned(photo, rng)) for photo in photos for _ in range(5)]
    scenes, labels = np.repeat(np.arange(FEW), 5), np.repeat(np.arange(FEW) % 2, 5)
    found = group_photos(None, np.stack(frames), labels, [f"{i}.jpg" for i in range(200)], range(200))
    together = found.ids[:, None] == found.ids[None]
    same = scenes[:, None] == scenes[None]
    other = ~np.eye(200, dtype=bool)
    assert (together & same & other).sum() >= 0.7 * (same & other).sum()
    assert (together & same & other).sum() >= 0.97 * (together & other).sum()
    assert set(found.reasons) == {ALIKE}


def test_different_photos_of_one_class_stay_apart(photos: list[np.ndarray]) -> None:
    thumbnails = np.stack([thumbnail(photo) for photo in photos])
    assert len(same_scene_pairs(thumbnails, np.arange(FEW) % 2)) <= 1


def test_a_set_is_compared_once_and_another_set_anew(
    photos: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbnails = np.stack([*map(thumbnail, photos[:10]), thumbnail(photos[0])])
    labels, compared = np.array([0, 1] * 5 + [0]), []
    odds = groups._odds
    monkeypatch.setattr(groups, "_odds", lambda *given: compared.append(given) or odds(*given))
    first = same_scene_pairs(thumbnails, labels)
    assert first.tolist() == [[0, 10]]
    first[:] = 9  # a caller may change its pairs
    before = len(compared)
    assert same_scene_pairs(thumbnails, labels).tolist() == [[0, 10]]
    assert len(compared) == before
    assert same_scene_pairs(thumbnails, np.array([0, 1] * 5 + [1])).tolist() == []
    assert same_scene_pairs(thumbnails[:10], labels[:10]).tolist() == []
    assert len(compared) == 3 * before


def test_plain_signs_of_one_class_do_not_collapse_into_one_group(shared_data: Path) -> None:
    with zipfile.ZipFile(shared_data / "hand-signs.zip") as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(".jpg")][::3]
        signs = np.stack([thumbnail(read_photo(archive.read(name), name)) for name in names])
    labels = np.array([int(name.split("/")[1]) for name in names])
    found = group_photos(None, signs, labels, names, range(len(names)))
    assert found.count >= 0.95 * len(names)
    assert max(map(len, found.shared()), default=1) <= 5


def test_equal_files_are_one_group_under_two_labels_too() -> None:
    assert grouped(["a/1.jpg", "a/2.jpg", "b/3.jpg"], [0, 0, 1], [7, 8, 7]) == [0, 1, 0]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        # `edgenet capture`: a second session of the class is another scene
        (
            ["session-20260314-101500-001", "session-20260314-101500-002", "session-20260314-101600-001"],
            [0, 0, 1],
        ),
        # its photos of before: photos with short pauses between them
        (
            ["20260314-101500-001", "20260314-101630-001", "20260314-101800-001", "20260314-103000-001"],
            [0, 0, 0, 1],
        ),
        # phones: a burst within two seconds
        (["IMG_20260314_101500", "IMG_20260314_101501", "IMG_20260314_101515"], [0, 0, 1]),
        (["PXL_20260314_101500123.MP", "PXL_20260314_101500456.MP", "20260314_111500"], [0, 0, 1]),
        # Roboflow: versions of one photo, frames of one video
        (
            ["cat1_jpg.rf.0123456789abcdef", "cat1_jpg.rf.fedcba9876543210", "cat2_jpg.rf.0123456789abcdef"],
            [0, 0, 1],
        ),
        (["walk_mp4-12_jpg.rf.0123456789abcdef", "walk_mp4-99_jpg.rf.0123456789abcdef"], [0, 0]),
        # numbers, and digits that are no date, say nothing
        (["IMG_1118", "IMG_1119", "0001", "0002"], [0, 1, 2, 3]),
        (["20269999-999999-001", "20269999-999999-002"], [0, 1]),
    ],
)
def test_what_names_say(names: list[str], groups: list[int]) -> None:
    assert grouped([f"cup/{name}.jpg" for name in names], [0] * len(names)) == groups
    # The parts of a split may have parted what belongs together.
    assert grouped([f"{i}/cup/{name}.jpg" for i, name in enumerate(names)], [0] * len(names)) == groups
    if "session" in names[0]:  # a session has one class
        assert grouped([f"{i}/{name}.jpg" for i, name in enumerate(names)], list(range(len(names)))) == [
            0,
            1,
            2,
        ]


def test_links_say_why() -> None:
    plain = np.zeros((3, 32, 32, 3), np.uint8)
    names = ["a/x.jpg", "a/session-20260314-101500-001.jpg", "a/session-20260314-101500-002.jpg"]
    found = group_photos(None, plain, np.zeros(3, int), names, ["same", "same", "other"])
    assert found.links.tolist() == [[0, 1], [1, 2]]
    assert found.reasons == (COPY, SESSION)
    assert found.shared() == ((0, 1, 2),)
    with pytest.raises(ValueError, match="different lengths"):
        group_photos(None, plain, np.zeros(3, int), names[:2], range(3))


def test_photos_without_any_contrast_and_sets_of_one_do_not_fail() -> None:
    one = np.full((1, 32, 32, 3), 9, np.uint8)
    assert group_photos(np.ones((1, 4), np.float32), one, np.zeros(1, int), ["a"], [1]).count == 1
    none = group_photos(None, one[:0], np.zeros(0, int), [], [])
    assert (none.count, none.shared()) == (0, ())
    two = group_photos(
        np.ones((2, 4), np.float32), np.repeat(one, 2, axis=0), np.arange(2), ["a", "b"], [1, 2]
    )
    assert two.count == 2


def test_held_out_photos_of_a_group_to_train_with_are_leaks() -> None:
    groups = np.array([0, 1, 0, 2, 1, 0])
    held_out = np.array([False, False, True, True, False, True])
    assert leaks(groups, held_out) == ((2, 0), (5, 0))
