"""CSVs of file names and classes, as Kaggle and spreadsheets write them."""

from __future__ import annotations

import pytest

from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.training.photos import open_training_data

NAMES = ("train_images/1.jpg", "train_images/2.jpg", "train_images/3.jpg")


@pytest.fixture
def opened(tree, photo):
    """Opens photos with a table of this text and name beside them."""

    def make(text: str, name: str = "train.csv", photos: tuple[str, ...] = NAMES, split: str | None = None):
        packed = {photo_name: photo(seed) for seed, photo_name in enumerate(photos)}
        return open_photos(tree(packed | {name: text.encode()}), split=split)

    return make


@pytest.mark.parametrize(
    "text",
    [
        "image_id,label\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat\n",
        "id,breed\n1,cat\n2,dog\n3,cat\n",  # without the ending
        "label;file\ncat;train_images/1.jpg\ndog;train_images/2.jpg\ncat;train_images/3.jpg\n",
        "path\tclass\n./train_images/1.jpg\tcat\ntrain_images\\2.jpg\tdog\n3.jpg\tcat\n",
        "\ufefffilename,width,class_name,height\r\n1.jpg,9, cat ,9\r\n2.jpg,9,dog,9\r\n3.jpg,9,cat,9\r\n",
        "1.jpg,cat\n2.jpg,dog\n3.jpg,cat\n",  # without column names
        "Image Name,what is on it\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat\n",
        "file,label\n1.jpg,cat\n2.jpg,dog\n3.jpg,cat\n\n",
    ],
)
@pytest.mark.parametrize("name", ["train.csv", "labels.csv"])
def test_a_table_of_files_and_classes(text, name, opened):
    found = opened(text, name)
    assert (found.names, found.labels, found.class_names) == (NAMES, (0, 1, 0), ("cat", "dog"))


def test_numbers_are_ordered_as_numbers(opened):
    found = opened("image_id,label\n1.jpg,10\n2.jpg,9\n3.jpg,10\n")
    assert (found.class_names, found.labels) == (("9", "10"), (1, 0, 1))


def test_photos_that_are_not_listed_are_counted(opened):
    found = opened("image_id,label\n1.jpg,cat\n2.jpg,dog\n")
    assert len(found) == 2
    assert found.found.lines() == [
        "4 files: 2 read as photos, 1 not used (1 not in train.csv), 1 ignored (1 .csv)"
    ]


def test_slashes_commas_and_emoji_in_names_of_classes(opened):
    found = opened('image_id,label\n1.jpg,n/a\n2.jpg,"great, white"\n3.jpg,🐈 cat\n')
    assert set(found.class_names) == {"n/a", "great, white", "🐈 cat"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "id,label\n1.jpg,cat\nz.jpg,dog\ny.jpg,dog\n",
            "line 3 .* lists z.jpg, which does not exist, like 1",
        ),
        ("image_id,label\n1.jpg,cat\n2.jpg,\n", "line 3 of train.csv in .* gives 2.jpg no class"),
        (
            "image_id,label\n1.jpg,cat\n2.jpg,dog\n1.jpg,dog\n",
            "line 4 .* gives 1.jpg the class dog, but line 2 gives it cat; give every photo one class",
        ),
        ('image_id,label\n1.jpg,\xe9\n2.jpg,"x\n', "is not a UTF-8 CSV file"),
    ],
)
def test_a_table_that_is_wrong(text, message, opened):
    with pytest.raises(EdgenetError, match=message) as caught:
        opened(text)
    assert "\n" not in str(caught.value)


def test_a_labels_csv_of_other_photos(opened):
    with pytest.raises(EdgenetError, match=r"labels.csv in .* lists none of the photos"):
        opened("file,label\nx.jpg,cat\ny.jpg,dog\n", "labels.csv")


def test_a_class_index_of_5000_digits(opened):
    with pytest.raises(EdgenetError, match="write a whole number from 0 to 999,999") as caught:
        opened(f"file,class_index\ntrain_images/1.jpg,{'9' * 5000}\n", "labels.csv")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["sizes.csv", "sample_submission.csv"])
def test_tables_of_other_things_name_no_classes(name, opened):
    text = "image_id,label\n1.jpg,0\n" if "submission" in name else "city,population\nUlm,120000\n"
    assert opened(text, name, photos=("1.jpg", "2.jpg")).labels == (None, None)


def test_two_tables_of_the_same_photos_are_told(tree, photo):
    text = b"file,label\n1.jpg,cat\n2.jpg,dog\n"
    root = tree({"1.jpg": photo(1), "2.jpg": photo(2), "a.csv": text, "b.csv": text})
    with pytest.raises(EdgenetError, match=r"no labels: a.csv and b.csv both list them; leave one of them"):
        open_training_data(root)


def test_one_table_a_split(tree, photo):
    packed = {f"{split}_images/{name}.jpg": photo(name) for split in ("train", "test") for name in range(4)}
    packed = {name: data for name, data in packed.items() if ("train" in name) == (int(name[-5]) < 2)}
    tables = {"train.csv": b"id,label\n0,cat\n1,dog\n", "test.csv": b"id,label\n2,dog\n3,cat\n"}
    found = open_training_data(tree(packed | tables))
    assert found.validation is not None
    assert (found.training.names, found.training.labels) == (("0.jpg", "1.jpg"), (0, 1))
    assert (found.validation.names, found.validation.labels) == (("2.jpg", "3.jpg"), (1, 0))


def test_one_table_for_all_splits(tree, photo):
    packed = {
        name: photo(i) for i, name in enumerate(("train/a.jpg", "train/b.jpg", "val/c.jpg", "val/d.jpg"))
    }
    table = b"file,label\na.jpg,cat\nb.jpg,dog\nc.jpg,dog\nd.jpg,cat\n"
    found = open_training_data(tree(packed | {"labels.csv": table}))
    assert found.validation is not None
    assert (found.training.labels, found.validation.labels) == ((0, 1), (1, 0))


def test_the_same_name_in_two_folders_is_not_guessed(opened):
    with pytest.raises(EdgenetError, match=r"line 3 .* lists 1.jpg, which does not exist"):
        opened("file,label\na/2.jpg,cat\n1.jpg,dog\n", "labels.csv", photos=("a/1.jpg", "a/2.jpg", "b/1.jpg"))


def test_an_exact_name_comes_before_others(opened):
    found = opened("file,label\n1.jpg,cat\na/1.jpg,dog\n", "labels.csv", photos=("1.jpg", "a/1.jpg"))
    assert (found.names, found.labels) == (("1.jpg", "a/1.jpg"), (0, 1))


def test_class_indices_without_names_can_be_trained(tree, photo):
    packed = {f"{i}.jpg": photo(i) for i in range(4)}
    table = b"file,class_index\n0.jpg,0\n1.jpg,0\n2.jpg,1\n3.jpg,1\n"
    assert open_training_data(tree(packed | {"labels.csv": table})).training.class_names == ("0", "1")
