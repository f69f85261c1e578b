"""`open_photos` on folders and zips: what it finds, and its errors when it finds nothing."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.frames.photos import read_photo

from edgenet.data.photos import PhotoSet, open_photos
from edgenet.errors import EdgenetError

CLASSES = {"cat/b.jpg": 1, "cat/a.jpg": 2, "dog/a.jpg": 3, "ant/deep/a.png": 4}
CLASS_NAMES = ["ant/deep/a.png", "cat/a.jpg", "cat/b.jpg", "dog/a.jpg"]


def test_folder_of_photos_is_unlabelled_and_sorted(tree, photo):
    found = open_photos(tree({"b.jpg": photo(1), "a.JPEG": photo(2), "c/d.png": photo(3), "notes.txt": b"x"}))
    assert found.names == ("a.JPEG", "b.jpg", "c/d.png")
    assert found.labels == (None, None, None)
    assert found.class_names == ()
    assert found.split is None
    assert len(found) == 3


def test_read_gives_the_photo_of_that_name(tree, photo):
    found = open_photos(tree({"b.jpg": photo(1), "a.jpg": photo(2)}))
    assert np.array_equal(found.read(0), read_photo(photo(2)))
    assert found.read_bytes(1) == photo(1)


@pytest.mark.parametrize("outer", ["", "around/"])
@pytest.mark.parametrize("archive", [False, True])
def test_class_folders(outer, archive, tree, zipped, photo):
    files = {outer + name: photo(seed) for name, seed in CLASSES.items()}
    found = open_photos(zipped(files) if archive else tree(files))
    assert list(found.names) == CLASS_NAMES
    assert found.class_names == ("ant", "cat", "dog")
    assert found.labels == (0, 1, 1, 2)
    assert np.array_equal(found.read(2), read_photo(photo(1)))


def test_a_zip_made_of_a_flat_folder_is_unlabelled(zipped, photo):
    found = open_photos(zipped({"holiday/a.jpg": photo(1), "holiday/b.jpg": photo(2)}))
    assert found.names == ("a.jpg", "b.jpg")
    assert found.labels == (None, None)


def test_one_class_folder_in_a_folder_is_one_class(tree, photo):
    found = open_photos(tree({"cat/a.jpg": photo(1)}))
    assert (found.class_names, found.labels) == (("cat",), (0,))


def test_photos_beside_folders_are_unlabelled(tree, photo):
    found = open_photos(tree({"a.jpg": photo(1), "cat/b.jpg": photo(2)}))
    assert found.labels == (None, None)


def test_hidden_files_and_mac_leftovers_are_ignored(tree, zipped, photo):
    files = {"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)}
    leftovers = {
        "cat/._a.jpg": b"x",
        ".thumbs/a.jpg": b"x",
        "__MACOSX/cat/._a.jpg": b"x",
        "__MACOSX/z.jpg": b"x",
    }
    assert open_photos(tree(files | leftovers)).names == ("cat/a.jpg", "dog/b.jpg")
    assert open_photos(zipped(files | leftovers)).names == ("cat/a.jpg", "dog/b.jpg")


@pytest.mark.parametrize("outer", ["", "cifar10/"])
def test_splits_must_be_chosen_and_are_listed(outer, zipped, photo):
    path = zipped(
        {f"{outer}{split}/cat/{i}.jpg": photo(i) for i, split in enumerate(["train", "train", "test"])}
    )
    with pytest.raises(EdgenetError, match="has the splits test, train; choose one of them"):
        open_photos(path)
    with pytest.raises(EdgenetError, match="has no split 'val'; choose one of test, train"):
        open_photos(path, split="val")
    train = open_photos(path, split="train")
    assert (train.names, train.split, train.class_names) == (("cat/0.jpg", "cat/1.jpg"), "train", ("cat",))
    assert np.array_equal(open_photos(path, split="test").read(0), read_photo(photo(2)))


def test_a_single_split_is_used_without_asking(tree, photo):
    found = open_photos(tree({"val/cat/a.jpg": photo(1), "val/dog/a.jpg": photo(2)}))
    assert (found.split, found.class_names) == ("val", ("cat", "dog"))


def test_a_class_called_train_is_not_a_split(tree, photo):
    found = open_photos(tree({"train/a.jpg": photo(1), "plane/a.jpg": photo(2)}))
    assert found.class_names == ("plane", "train")


def test_a_split_where_there_is_none(tree, photo):
    with pytest.raises(EdgenetError, match="no split folders, so there is no split 'train'"):
        open_photos(tree({"a.jpg": photo(1)}), split="train")


def test_missing_path(tmp_path):
    with pytest.raises(EdgenetError, match="nowhere does not exist; give a folder of photos or a zip"):
        open_photos(tmp_path / "nowhere")


def test_empty_folder(tmp_path):
    with pytest.raises(EdgenetError, match=r"no photos in .* \(it is empty\)"):
        open_photos(tmp_path)


def test_folder_without_photos(tree):
    with pytest.raises(EdgenetError, match=r"no photos in .* \(1 other files, such as notes.txt\)"):
        open_photos(tree({"notes.txt": b"x"}))


def test_neither_folder_nor_zip(tmp_path):
    (tmp_path / "photos.tar").write_bytes(b"x" * 2000)
    with pytest.raises(EdgenetError, match=r"photos.tar is neither a folder nor a zip; .*unpack the file"):
        open_photos(tmp_path / "photos.tar")


def test_empty_class_folder(tree, photo):
    root = tree({"cat/a.jpg": photo(1), "dog/a.jpg": photo(2)})
    (root / "bee").mkdir()
    with pytest.raises(EdgenetError, match=r"class folder bee .* holds no photos; fill it or remove it"):
        open_photos(root)


def test_damaged_zip_directory(zipped, photo):
    path = zipped({"a.jpg": photo(1)})
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\1\2")] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(EdgenetError, match="cannot be opened as a zip"):
        open_photos(path)


def test_damaged_zip_member_is_named(zipped, photo):
    path = zipped({"a.jpg": photo(1), "b.jpg": photo(2)})
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    found = open_photos(path)
    with pytest.raises(EdgenetError, match=r"a.jpg in .*photos.zip cannot be unpacked"):
        found.read(0)
    assert found.read(1).shape == (40, 48, 3)


def test_a_member_that_climbs_is_only_a_name(zipped, photo, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    path = zipped({"../../evil.jpg": photo(1), "/abs.jpg": photo(2)})
    found = open_photos(path)
    for index in range(len(found)):
        assert found.read(index).shape == (40, 48, 3)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])
    assert not Path("/abs.jpg").exists()


def test_a_link_that_leads_back_ends(tree, photo):
    root = tree({"cat/a.jpg": photo(1)})
    (root / "cat" / "loop").symlink_to(root)
    assert open_photos(root).names == ("cat/a.jpg",)


def test_a_pipe_is_refused_when_read(tree, photo):
    root = tree({"a.jpg": photo(1)})
    os.mkfifo(root / "b.jpg")
    found = open_photos(root)
    with pytest.raises(EdgenetError, match="not a regular file"):
        found.read(1)


def test_a_file_that_vanished(tree, photo):
    root = tree({"a.jpg": photo(1)})
    found = open_photos(root)
    (root / "a.jpg").unlink()
    with pytest.raises(EdgenetError, match=r"a.jpg is gone"):
        found.read(0)


def test_take_keeps_names_and_labels_together(tree, photo):
    found = open_photos(tree({name: photo(seed) for name, seed in CLASSES.items()})).take([3, 1])
    assert found.names == ("dog/a.jpg", "cat/a.jpg")
    assert found.labels == (2, 1)
    assert np.array_equal(found.read(0), read_photo(photo(3)))


def _first_pixel(found: PhotoSet, index: int) -> int:
    return int(found.read(index)[0, 0, 0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same_zip(method, zipped, photo):
    found = open_photos(zipped({f"{i}.jpg": photo(i) for i in range(6)}))
    expected = [_first_pixel(found, i) for i in range(6)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_first_pixel, [(found, i) for i in range(6)]) == expected


def test_a_set_of_a_zip_can_be_pickled(zipped, photo):
    found = open_photos(zipped({"a.jpg": photo(1)}))
    found.read(0)
    assert np.array_equal(pickle.loads(pickle.dumps(found)).read(0), found.read(0))


def test_a_name_twice_in_a_zip_counts_once(tmp_path, photo):
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", photo(1))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.jpg", photo(2))
    found = open_photos(path)
    assert found.names == ("a.jpg",)
    assert np.array_equal(found.read(0), read_photo(photo(2)))


def test_cifar10(shared_data):
    found = open_photos(shared_data / "cifar10-images.zip", split="test")
    assert len(found) == 10_000
    assert found.class_names[0] == "airplane"
    assert [found.labels.count(label) for label in range(10)] == [1000] * 10
    assert found.read(9_999).shape == (32, 32, 3)
