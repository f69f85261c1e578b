"""Decoding many photos: order, unreadable ones, batches."""

from __future__ import annotations

import numpy as np
import pytest
from edgenet_device.preprocess import prepare

from edgenet.data.loading import load_all, load_batches
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError

SIZE = 24


def test_images_labels_and_names_in_the_sets_order(zipped, photo):
    found = open_photos(zipped({f"{'ab'[i % 2]}/{i:03}.jpg": photo(i) for i in range(100)}))
    loaded = load_all(found, SIZE)
    assert loaded.images.shape == (100, SIZE, SIZE, 3)
    assert loaded.images.dtype == np.uint8
    assert (loaded.names, loaded.labels, loaded.skipped) == (found.names, found.labels, ())
    for index in range(100):
        assert np.array_equal(loaded.images[index], prepare(found.read(index), SIZE)[0])


def test_unreadable_photos_are_skipped_and_listed(tree, photo):
    files = {
        "a.jpg": photo(1),
        "b.jpg": b"no photo",
        "c.jpg": photo(2)[:200],
        "d.png": b"",
        "e.jpg": photo(3),
    }
    loaded = load_all(open_photos(tree(files)), SIZE)
    assert loaded.names == ("a.jpg", "e.jpg")
    assert len(loaded) == 2
    assert [name for name, _ in loaded.skipped] == ["b.jpg", "c.jpg", "d.png"]
    for name, reason in loaded.skipped:
        assert name in reason
    assert np.array_equal(loaded.images[1], prepare(open_photos(tree(files)).read(4), SIZE)[0])


def test_all_unreadable(tree):
    found = open_photos(tree({"a.jpg": b"no photo", "b.jpg": b""}))
    with pytest.raises(
        EdgenetError, match=r"none of the 2 photos in .*tree can be read: a.jpg is not a photo"
    ):
        load_all(found, SIZE)


def test_a_batch_of_unreadable_photos_does_not_end_the_set(tree, photo):
    found = open_photos(tree({"a.jpg": b"", "b.jpg": b"", "c.jpg": photo(1)}))
    batches = list(load_batches(found, SIZE, batch=2))
    assert [batch.images.shape for batch in batches] == [(0, SIZE, SIZE, 3), (1, SIZE, SIZE, 3)]
    assert [len(batch.skipped) for batch in batches] == [2, 0]


def test_batches_are_the_whole_set_in_order(tree, photo):
    found = open_photos(tree({f"{i}.jpg": photo(i) for i in range(7)}))
    batches = list(load_batches(found, SIZE, batch=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert np.array_equal(np.concatenate([batch.images for batch in batches]), load_all(found, SIZE).images)


def test_batches_are_decoded_one_at_a_time(tree, photo):
    root = tree({f"{i}.jpg": photo(i) for i in range(4)})
    batches = load_batches(open_photos(root), SIZE, batch=2)
    next(batches)
    (root / "2.jpg").unlink()
    assert [name for name, _ in next(batches).skipped] == ["2.jpg"]


def test_limit_is_spread_over_the_classes(tree, photo):
    found = open_photos(tree({f"{name}/{i}.jpg": photo(i) for name in "abcd" for i in range(5)}))
    loaded = load_all(found, SIZE, limit=8)
    assert [loaded.labels.count(label) for label in range(4)] == [2, 2, 2, 2]
    assert len(load_all(found, SIZE, limit=99)) == 20
    with pytest.raises(EdgenetError, match="asked for 0 photos"):
        load_all(found, SIZE, limit=0)


def test_progress(tree, photo):
    found = open_photos(tree({f"{i}.jpg": photo(i) for i in range(5)}))
    seen: list[tuple[int, int]] = []
    list(load_batches(found, SIZE, batch=2, progress=lambda done, total: seen.append((done, total))))
    assert seen == [(2, 5), (4, 5), (5, 5)]
