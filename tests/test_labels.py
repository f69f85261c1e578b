"""Labels files: edgenet's own, users' own, and broken ones."""

from __future__ import annotations

import pytest

from edgenet.data.labels import labels_text, parse_labels
from edgenet.errors import EdgenetError


def test_round_trip_keeps_order_repeats_and_any_script() -> None:
    labels = ["crane", "maillot, tank suit", "Zürcher Hündin", "鶴", "crane"]
    assert parse_labels(labels_text(labels), "labels.txt") == labels


@pytest.mark.parametrize("text", [b"a\nb", b"a\r\nb\r\n", b"\xef\xbb\xbfa\nb\n", b" a\nb \n"])
def test_reads_what_editors_write(text: bytes) -> None:
    assert parse_labels(text, "labels.txt") == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a\n\nb\n", "line 2 of mine.txt is blank"),
        (b"a\n\n", "line 2 of mine.txt is blank"),
        (b"", "mine.txt names no classes"),
        (b" \n\n", "mine.txt names no classes"),
        (b"a\nb\x1b[2J\n", r"line 2 of mine.txt has a control character: 'b\\x1b\[2J'"),
        (b"a\tb\n", "line 1 of mine.txt has a control character"),
        (b"a\n\xff\n", r"mine.txt is not UTF-8 text \(byte 2\)"),
    ],
)
def test_refuses_broken_files(text: bytes, message: str) -> None:
    with pytest.raises(EdgenetError, match=message):
        parse_labels(text, "mine.txt")


@pytest.mark.parametrize("label", ["", " ", "two\nlines", "return\r", " blank around", "bell\a", "tab\tbed"])
def test_refuses_names_that_would_not_come_back(label: str) -> None:
    with pytest.raises(EdgenetError, match="label 1 is "):
        labels_text(["fine", label])
