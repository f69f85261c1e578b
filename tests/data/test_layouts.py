"""Data sets as Roboflow, Kaggle and people pack them: which photos are found, and which classes they get."""

from __future__ import annotations

import json

import pytest

from edgenet.data.photos import open_photos, require_labels, split_folders
from edgenet.errors import EdgenetError
from edgenet.training.photos import open_training_data

TWO_CLASSES = ("cat/a.jpg", "cat/b.jpg", "dog/c.jpg", "dog/d.jpg")


@pytest.fixture
def files(photo):
    """Returns photos under these names, all different."""
    return lambda *names: {name: photo(seed) for seed, name in enumerate(names)}


def below(folder: str, names=TWO_CLASSES) -> list[str]:
    return [f"{folder}/{name}" for name in names]


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("around", ["animals", "animals/animals", "archive/images"])
def test_folders_around_everything(around, archive, tree, zipped, files):
    packed = files(*below(around)) | {"README.md": b"x", "archive/metadata/sizes.json": b"{}"}
    if not around.startswith("archive"):
        packed.pop("archive/metadata/sizes.json")
    found = open_photos(zipped(packed) if archive else tree(packed))
    assert (found.names, found.class_names, found.labels) == (TWO_CLASSES, ("cat", "dog"), (0, 0, 1, 1))


def test_a_class_folder_beside_an_empty_one_encloses_nothing(tree, files):
    root = tree(files("cat/siamese/a.jpg", "cat/persian/b.jpg"))
    (root / "dog").mkdir()
    with pytest.raises(EdgenetError, match=r"class folder dog .* holds no photos"):
        open_photos(root)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("seg_train/seg_train", "seg_test/seg_test"),  # Intel's natural scenes
        ("training_set/training_set", "test_set/test_set"),  # cats and dogs
        ("dataset/train_images", "dataset/test_images"),
        ("Training", "Testing"),
        ("trainSet", "testSet"),
    ],
)
def test_splits_of_other_names(train, test, zipped, files):
    path = zipped(files(*below(train), *below(test, ("cat/e.jpg", "dog/f.jpg"))))
    assert len(split_folders(path)) == 2
    found = open_training_data(path)
    assert found.training.names == TWO_CLASSES
    assert found.validation is not None
    assert found.validation.names == ("cat/e.jpg", "dog/f.jpg")
    assert open_photos(path, split="test").names == ("cat/e.jpg", "dog/f.jpg")
    assert open_photos(path, split=found.training.split).names == TWO_CLASSES


@pytest.mark.parametrize(
    "names", [("train_steam", "train_diesel"), ("crash_test", "road"), ("test_a", "train_b")]
)
def test_classes_whose_names_sound_like_splits(names, tree, files):
    found = open_photos(tree(files(*(f"{name}/a.jpg" for name in names))))
    assert found.class_names == tuple(sorted(names))


def test_photos_of_a_competition_to_be_predicted_are_not_validated_with(tree, files):
    found = open_training_data(tree(files(*below("train"), "test/1.jpg", "test/2.jpg")))
    assert found.validation is None
    assert found.training.found.lines() == ["6 files: 4 read as photos, 2 not used (2 in test)"]


def test_roboflow_folders(zipped, files):
    path = zipped(
        files(*below("train"), *below("valid"), *below("test"))
        | {"README.dataset.txt": b"x", "README.roboflow.txt": b"x"}
    )
    found = open_training_data(path)
    assert found.validation is not None
    assert (found.training.split, found.validation.split) == ("train", "valid")
    assert found.training.found.ignored == {".txt": 2}


ONE_HOT = "filename, cat, dog\na.jpg, 1, 0\nb.jpg, 0, 1\n"


def test_roboflow_one_hot(zipped, files):
    path = zipped(
        files("train/a.jpg", "train/b.jpg", "train/left out.jpg", "valid/a.jpg", "valid/b.jpg")
        | {"train/_classes.csv": ONE_HOT.encode(), "valid/_classes.csv": ONE_HOT.encode(), "README.txt": b"x"}
    )
    found = open_training_data(path)
    assert (found.training.names, found.training.labels) == (("a.jpg", "b.jpg"), (0, 1))
    assert found.training.class_names == ("cat", "dog")
    assert found.training.found.unused == {"in valid": 2, "not in _classes.csv": 1}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (ONE_HOT + "c.jpg, 1, 1\n", r"line 4 of _classes.csv in .* gives c.jpg 2 classes \(cat, dog\)"),
        (ONE_HOT + "c.jpg, 0, 0\n", "line 4 of _classes.csv in .* gives c.jpg no class"),
        (ONE_HOT + "c.jpg, x, 0\n", "has the cell 'x'; write 1 for the photo's class"),
        (ONE_HOT + "z.jpg, 1, 0\ny.jpg, 1, 0\n", "line 4 .* lists z.jpg, which does not exist, like 1 more"),
        ("filename\na.jpg\n", "names no classes"),
    ],
)
def test_a_one_hot_table_that_is_wrong(table, message, tree, files):
    with pytest.raises(EdgenetError, match=message):
        open_photos(tree(files("a.jpg", "b.jpg", "c.jpg") | {"_classes.csv": table.encode()}))


def test_an_empty_column_for_unlabelled_photos_is_no_class(tree, files):
    table = b"filename, cat, dog, Unlabeled\na.jpg, 1, 0, 0\nb.jpg, 0, 1, 0\n"
    assert open_photos(tree(files("a.jpg", "b.jpg") | {"_classes.csv": table})).class_names == ("cat", "dog")


COCO = json.dumps({"images": [], "annotations": []}).encode()


@pytest.mark.parametrize(
    "signs",
    [
        {"train/_annotations.coco.json": COCO, "valid/_annotations.coco.json": COCO},
        {
            "train/_annotations.csv": b"filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,9,9,cat,1,1,2,2\n"
        },
        {"annotations/instances_train.json": COCO},
        {"train/a.xml": b"<annotation/>", "train/b.xml": b"<annotation/>"},
        {
            "train/labels/a.txt": b"0 .5 .5 .1 .1",
            "train/labels/b.txt": b"0 .5 .5 .1 .1",
            "data.yaml": b"nc: 1",
        },
    ],
)
def test_sets_for_object_detection_are_refused_by_name(signs, tree, files):
    place = "train/images" if "data.yaml" in signs else "train"
    root = tree(files(f"{place}/a.jpg", f"{place}/b.jpg") | signs)
    with pytest.raises(EdgenetError) as caught:
        open_training_data(root)
    assert min(signs, key=lambda name: name == "data.yaml") in caught.value.found
    assert "is for finding objects" in caught.value.found
    assert "export the set for classification" in caught.value.remedy
    assert open_photos(root, split="train").labels == (None, None)  # they can still calibrate


def test_a_stray_photo_beside_class_folders_is_named(tree, files):
    found = open_photos(tree(files(*TWO_CLASSES, "banner.png")))
    with pytest.raises(
        EdgenetError, match=r"no labels: banner.png lies beside the folders cat, dog; move what lies"
    ):
        require_labels(found)


def test_a_class_inside_another_ones_folder(tree, files):
    with pytest.raises(
        EdgenetError, match=r"the folder cat/dog .* lies inside the class cat .* move its photos"
    ):
        open_training_data(tree(files(*TWO_CLASSES, "cat/dog/e.jpg")))


def test_a_folder_inside_a_class_is_told(tree, files):
    found = open_photos(tree(files(*TWO_CLASSES, "cat/siamese/e.jpg", "cat/siamese/f.jpg")))
    assert found.labels.count(0) == 4
    assert found.found.warnings == (
        "the class folder cat has a folder siamese inside, whose 2 photos count as cat",
    )


def test_a_single_folder_inside_a_class_is_usual(tree, files):
    assert open_photos(tree(files("cat/images/a.jpg", "dog/b.jpg"))).found.warnings == ()


def test_classes_that_differ_only_in_case_are_told(tree, files):
    (warning,) = open_photos(tree(files("Cat/a.jpg", "cat/b.jpg"))).found.warnings
    assert "'Cat' and 'cat' differ only in case or blanks" in warning


def test_accents_of_a_mac_are_the_same_class(zipped, files):
    path = zipped(
        files("train/cafe\u0301/a.jpg", "train/the\u0301/b.jpg", "val/caf\u00e9/c.jpg", "val/th\u00e9/d.jpg")
    )
    assert open_training_data(path).training.class_names == ("caf\u00e9", "th\u00e9")


@pytest.mark.parametrize(
    ("name", "problem"), [("cat ", "begins or ends with a blank"), ("a\x1b[2Jb", "has a control character")]
)
def test_class_names_that_no_labels_file_can_hold(name, problem, zipped, files):
    with pytest.raises(EdgenetError, match=f"{problem}; rename it") as caught:
        open_training_data(zipped(files(f"{name}/a.jpg", "dog/b.jpg")))
    assert "\x1b" not in str(caught.value)


def test_a_class_name_that_is_not_utf_8(tree, files):
    root = tree(files(*TWO_CLASSES))
    (root / "cat").rename(root / "caf\udce9")
    with pytest.raises(EdgenetError, match=r"the class 'caf\?' in .* is not written in UTF-8; rename it"):
        open_training_data(root)


ODD = ("🐈 cat", "dog, great", "x" * 200, "日本", "a'b\"c")


@pytest.mark.parametrize("archive", [False, True])
def test_odd_names(archive, tree, zipped, files):
    packed = files(*(f"{name}/{name[:50]} {number}.jpg" for name in ODD for number in range(2)))
    found = open_training_data(zipped(packed) if archive else tree(packed)).training
    assert found.class_names == tuple(sorted(ODD))
    assert found.read(9).shape == (40, 48, 3)


def test_a_thousand_classes_of_two_photos(zipped, photo):
    one = photo(1)
    found = open_training_data(
        zipped({f"{name:04}/{i}.jpg": one for name in range(1000) for i in range(2)})
    ).training
    assert (len(found), len(found.class_names)) == (2000, 1000)


def test_one_class(tree, files):
    with pytest.raises(EdgenetError, match="has only one class"):
        open_training_data(tree(files("cat/a.jpg", "cat/b.jpg")))
