"""Choosing by content: names, folders, order and packing must not matter."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from edgenet.data.loading import choose, choose_with_spare, contents_digest, evenly, load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError


def _contents(found) -> list[bytes]:
    return [found.read_bytes(index) for index in range(len(found))]


def test_names_order_and_packing_do_not_matter(tree, zipped, photo):
    folder = open_photos(tree({f"{i:02}.jpg": photo(i) for i in range(30)}))
    other = open_photos(zipped({f"set/{'ab'[i % 2]}/{97 * i % 31:02}.jpg": photo(i) for i in range(30)}))
    assert folder.names != other.names
    assert _contents(choose(folder, 7)) == _contents(choose(other, 7))
    assert contents_digest(folder) == contents_digest(other)
    assert contents_digest(choose(folder, 7)) == contents_digest(choose(other, 7)) != contents_digest(folder)
    assert np.array_equal(load_all(choose(folder, 7), 24).images, load_all(choose(other, 7), 24).images)


def test_the_choice_is_evenly_spread_over_the_sorted_hashes(tree, photo):
    found = open_photos(tree({f"{i}.jpg": photo(i) for i in range(10)}))
    by_hash = sorted(_contents(found), key=lambda data: hashlib.sha256(data).digest())
    assert _contents(choose(found, 5)) == by_hash[::2]
    assert _contents(choose(found, 10)) == _contents(choose(found, 99)) == by_hash


def test_a_photo_that_is_there_twice_counts_once(tree, photo):
    found = open_photos(tree({"a.jpg": photo(1), "b.jpg": photo(1), "c.jpg": photo(2)}))
    assert sorted(_contents(choose(found, 3))) == sorted([photo(1), photo(2)])
    assert choose(found, 3).names.count("b.jpg") == 0


def test_labels_stay_with_their_photos(tree, photo):
    found = open_photos(
        tree({f"{name}/{i}.jpg": photo(ord(name) + 9 * i) for name in "abc" for i in range(4)})
    )
    chosen = choose(found, 6)
    for name, label in zip(chosen.names, chosen.labels, strict=True):
        assert name.startswith(chosen.class_names[label])


def test_digest_changes_with_one_byte_and_with_a_repeat(tree, photo):
    files = {"a.jpg": photo(1), "b.jpg": photo(2)}
    before = contents_digest(open_photos(tree(files)))
    hashes = sorted(hashlib.sha256(data).digest() for data in files.values())
    assert before == hashlib.sha256(b"".join(hashes)).hexdigest()
    assert contents_digest(open_photos(tree(files | {"b.jpg": photo(2) + b"\0"}))) != before
    assert contents_digest(open_photos(tree(files | {"c.jpg": photo(2)}))) != before


def test_evenly():
    assert evenly(10, 3) == [0, 3, 6]
    assert evenly(3, 3) == evenly(3, 8) == [0, 1, 2]
    assert len(set(evenly(1000, 999))) == 999


@pytest.mark.parametrize("n", [0, -1])
def test_nothing_asked_for(n, tree, photo):
    with pytest.raises(EdgenetError, match=f"asked for {n} photos; ask for at least 1"):
        choose(open_photos(tree({"a.jpg": photo(1)})), n)


def test_progress(tree, photo):
    seen: list[tuple[int, int]] = []
    found = open_photos(tree({f"{i}.jpg": photo(i) for i in range(70)}))
    choose(found, 3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(64, 70), (70, 70)]


def test_spare_photos_stand_behind_those_that_are_chosen(tree, photo):
    found = open_photos(tree({f"{i:02}.jpg": photo(i) for i in range(30)}))
    together = choose_with_spare(found, 7, 5)
    assert _contents(together.photos)[:7] == _contents(choose(found, 7))
    by_hash = _contents(choose(found, 30))
    left = [data for data in by_hash if data not in _contents(choose(found, 7))]
    assert _contents(together.photos)[7:] == [left[position * 23 // 5] for position in range(5)]
    assert len(choose_with_spare(found, 28, 5).photos) == 30
    assert len(choose_with_spare(found, 30, 5).photos) == 30


def test_repeats_are_counted(tree, photo):
    found = open_photos(tree({"a.jpg": photo(1), "b.jpg": photo(1), "c.jpg": photo(2), "d.jpg": photo(1)}))
    assert choose_with_spare(found, 1, 0).repeats == 2
    assert choose_with_spare(open_photos(tree({"e.jpg": photo(3)})).take([0]), 1, 0).repeats == 0
