"""Every file of a data set is accounted for: the numbers add up, and what cannot be read is named with the way out."""

from __future__ import annotations

import io

import numpy as np
import pytest
from edgenet_device.frames import photos as photo_reader
from PIL import Image

from edgenet.data import file_account
from edgenet.data.file_account import FileAccount
from edgenet.data.loading import load_all
from edgenet.data.photos import alike_warning, open_photos, same_photo_warnings, two_labels_warning
from edgenet.errors import EdgenetError


def total(account: FileAccount) -> int:
    kinds = (account.unused, account.not_photos, account.ignored)
    return account.read + len(account.unreadable) + sum(sum(kind.values()) for kind in kinds)


def heic_photo(seed: int) -> bytes:
    import pillow_heif

    pillow_heif.register_heif_opener()
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 48, 3), 10 * seed, np.uint8)).save(buffer, "HEIF")
    return buffer.getvalue()


@pytest.fixture
def without_heic(monkeypatch):
    """As where pillow-heif is not installed."""
    monkeypatch.setattr(photo_reader, "heic_is_readable", lambda: False)
    monkeypatch.setattr(file_account, "heic_is_readable", lambda: False)


@pytest.fixture
def mixed(photo):
    """The files of a folder with a bit of everything."""
    return {
        "cat/a.jpg": photo(1),
        "cat/b.JPG": photo(2),
        "cat/broken.jpg": photo(3)[:200],
        "cat/clip.mov": b"x",
        "cat/raw.dng": b"x",
        "dog/c.png": photo(4),
        "dog/._c.png": b"x",
        "dog/Thumbs.db": b"x",
        "dog/no ending": b"x",
        ".git/config": b"x",
        ".git/objects/aa/bb": b"x",
        "__MACOSX/cat/._a.jpg": b"x",
        "README": b"x",
        "LICENSE.txt": b"x",
        ".DS_Store": b"x",
    }


@pytest.mark.parametrize("archive", [False, True])
def test_a_bit_of_everything(archive, mixed, tree, zipped):
    found = open_photos(zipped(mixed) if archive else tree(mixed))
    loaded = load_all(found, 24)
    account = found.account(len(loaded), loaded.skipped)
    assert (account.files, account.read) == (len(mixed), 3)
    assert total(account) == len(mixed)
    assert dict(account.unreadable).keys() == {"cat/broken.jpg", "cat/raw.dng"}
    assert account.not_photos == {".mov": 1, "no ending": 1}
    assert account.ignored == {"hidden": 5, ".txt": 1, ".db": 1, "no ending": 1}
    assert account.lines() == [
        "15 files: 3 read as photos, 2 could not be read (1 .dng, 1 .jpg), 2 not photos (1 .mov, 1 no ending), "
        "8 ignored (5 hidden, 1 .db, 1 .txt, 1 no ending)",
        "export the .dng files as JPEG",
    ]


def test_nothing_is_said_when_all_was_read(tree, photo):
    found = open_photos(tree({"cat/a.jpg": photo(1), "dog/b.jpg": photo(2)}))
    assert found.account(2, ()).lines() == []
    assert found.take([0]).account(1, ()).unused == {"not needed": 1}
    assert found.take([0]).account(1, ()).lines() == []


@pytest.mark.usefixtures("without_heic")
def test_photos_of_an_iphone_are_counted_and_named_with_the_way_out(tree, photo):
    files = {f"cat/{i}.jpg": photo(i) for i in range(5)} | {f"dog/{i}.jpg": photo(9 + i) for i in range(5)}
    files |= {f"{name}/IMG_{i}.HEIC": heic_photo(i) for name in ("cat", "dog") for i in range(15)}
    found = open_photos(tree(files))
    assert len(found) == 10
    assert found.found.lines() == [
        "40 files: 10 read as photos, 30 could not be read (30 .heic)",
        "to read HEIC: pip install 'edgenet[heic]', or export the photos as JPEG",
    ]
    assert found.found.unreadable[0][1].startswith(
        "cat/IMG_0.HEIC is HEIC, the format of iPhones; pip install"
    )
    assert total(found.found) == 40


@pytest.mark.usefixtures("without_heic")
def test_only_photos_of_an_iphone(tree):
    with pytest.raises(
        EdgenetError, match=r"none of the 2 photos in .* HEIC, the format of iPhones; pip install"
    ):
        open_photos(tree({f"IMG_{i}.HEIC": heic_photo(i) for i in range(2)}))


@pytest.mark.usefixtures("without_heic")
def test_a_class_of_which_no_photo_can_be_read_keeps_its_index(tree, photo):
    found = open_photos(tree({"cat/a.heic": heic_photo(1), "dog/b.jpg": photo(2)}))
    assert (found.names, found.labels, found.class_names) == (("dog/b.jpg",), (1,), ("cat", "dog"))


def test_photos_of_an_iphone_are_read_with_the_package(tree, photo):
    found = open_photos(tree({"cat/a.HEIC": heic_photo(1), "dog/b.jpg": photo(2)}))
    assert (len(load_all(found, 24)), found.found.lines()) == (2, [])


def test_photos_that_vanish_are_counted(tree, photo):
    root = tree({f"{i}.jpg": photo(i) for i in range(4)})
    found = open_photos(root)
    (root / "1.jpg").unlink()
    loaded = load_all(found, 24)
    account = found.account(len(loaded), loaded.skipped)
    assert (account.read, [name for name, _ in account.unreadable], total(account)) == (3, ["1.jpg"], 4)
    assert "is gone" in account.unreadable[0][1]


def test_two_splits_together(tree, photo):
    names = [f"{split}/{name}/{i}.jpg" for split in ("train", "val", "test") for name in "ab" for i in "12"]
    files = {name: photo(seed) for seed, name in enumerate(names)} | {"README.md": b"x"}
    root = tree(files)
    train, val = open_photos(root, split="train"), open_photos(root, split="val")
    both = train.account(3, [("b/2.jpg", "damaged")]).with_split(val.account(4, ()), "val")
    assert (both.read, both.unused, both.ignored) == (7, {"in test": 4}, {".md": 1})
    assert total(both) == both.files == 13


def test_the_same_photo_under_two_labels_is_told_by_both_names():
    names, contents = ("cat/a.jpg", "dog/b.jpg", "dog/c.jpg", "cat/d.jpg"), (b"1", b"1", b"2", b"2")
    warning = two_labels_warning(names, (0, 1, 1, 0), contents, ("cat", "dog"))
    assert warning == (
        "the same photo has two labels: cat/a.jpg (cat) and dog/b.jpg (dog), and 1 more photos likewise; keep one of "
        "each, in its right class"
    )
    assert two_labels_warning(names, (0, 0, 1, 1), contents, ("cat", "dog")) is None


def test_a_class_of_copies_of_one_photo_is_told():
    assert same_photo_warnings((0, 0, 1, 1, 2), (b"1", b"1", b"2", b"3", b"4"), ("cat", "dog", "bee")) == (
        "all 2 photos of cat are copies of one photo; add different ones",
    )


def test_photos_that_are_all_alike_are_told():
    chance = np.random.default_rng(0)
    scene = chance.integers(0, 256, (1, 16, 16, 3))
    alike = np.clip(scene + chance.normal(0, 3, (30, 16, 16, 3)), 0, 255).astype(np.uint8)
    assert "all 30 photos look nearly the same" in str(alike_warning(alike))
    assert alike_warning(chance.integers(0, 256, (30, 16, 16, 3)).astype(np.uint8)) is None
    half = np.concatenate([alike[:15], 255 - alike[15:]])
    assert alike_warning(half) is None
    assert alike_warning(alike[:1]) is None
