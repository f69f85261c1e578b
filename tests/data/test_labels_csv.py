"""Sets with a labels.csv."""

from __future__ import annotations

import pytest

from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError

HEAD = "file,class_index,wnid,name\n"


def _set(photo, text: str, encoding: str = "utf-8") -> dict[str, bytes]:
    return {"a.jpg": photo(1), "b.jpg": photo(2), "sub/c.jpg": photo(3), "labels.csv": text.encode(encoding)}


@pytest.mark.parametrize("archive", [False, True])
def test_labels_and_names(archive, tree, zipped, photo):
    files = _set(photo, HEAD + 'sub/c.jpg,4,n4,"great, white"\na.jpg,1,n1,tench\nb.jpg,4,n4,"great, white"\n')
    found = open_photos(zipped(files) if archive else tree(files))
    assert found.names == ("a.jpg", "b.jpg", "sub/c.jpg")
    assert found.labels == (1, 4, 4)
    assert found.class_names == ("", "tench", "", "", "great, white")


def test_one_folder_around_it(zipped, photo):
    found = open_photos(zipped({f"set/{k}": v for k, v in _set(photo, HEAD + "a.jpg,0,n0,tench\n").items()}))
    assert (found.names, found.labels) == (("a.jpg",), (0,))


def test_a_spreadsheets_byte_order_mark_and_line_ends(tree, photo):
    found = open_photos(tree(_set(photo, "class_index,file\r\n2,b.jpg\r\n", "utf-8-sig")))
    assert (found.names, found.labels, found.class_names) == (("b.jpg",), (2,), ("", "", ""))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,thing,other\na.jpg,1,2\n", "has no column class_index"),
        ("", "has no column class_index and no column file"),
        (HEAD, "lists no photos"),
        (HEAD + "a.jpg,one,n,x\n", "line 2 of labels.csv .* has the class index 'one'"),
        (HEAD + "a.jpg,-1,n,x\n", "class index '-1'"),
        (HEAD + "a.jpg\n", "class index ''"),
        (HEAD + "a.jpg,99999999999,n,x\n", "class index '99999999999'"),
        (HEAD + "z.jpg,1,n,x\n", "line 2 .* lists z.jpg, which does not exist"),
        (HEAD + "a.jpg,1,n,x\na.jpg,2,n,y\n", "line 3 .* lists a.jpg again"),
        (HEAD + "a.jpg,1,n,x\nb.jpg,1,n,y\n", "calls class 1 'y', but above it is 'x'"),
        (HEAD + 'a.jpg,1,n,"x\n', "is not a UTF-8 CSV file"),
    ],
)
def test_a_mismatch_is_named(text, message, tree, photo):
    with pytest.raises(EdgenetError, match=message):
        open_photos(tree(_set(photo, text)))


def test_another_encoding(tree, photo):
    with pytest.raises(EdgenetError, match="is not a UTF-8 CSV file"):
        open_photos(tree(_set(photo, HEAD + "a.jpg,1,n,Bär\n", "latin-1")))


def test_imagenet_sample(shared_data):
    found = open_photos(shared_data / "imagenet-sample-500.zip")
    assert found.labels == tuple(range(0, 1000, 2))
    assert found.class_names[2] == "great_white_shark"
