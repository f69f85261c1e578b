"""How hard pages are to read, and that README and the tutorials are not harder than CONTRIBUTING.md says."""

from __future__ import annotations

import pytest

from tools.reading_grade import PAGES, ROOT, count_syllables, grade, prose

HARDEST = 9.0


def test_short_words_in_short_sentences_are_easy() -> None:
    assert grade("The cat sat. The dog ran. A bird sang.") < 1
    assert grade("Quantization necessitates representative calibration information throughout.") > 15


@pytest.mark.parametrize(
    ("word", "count"), [("cat", 1), ("make", 1), ("table", 2), ("camera", 3), ("looked", 1), ("wanted", 2)]
)
def test_syllables(word: str, count: int) -> None:
    assert count_syllables(word) == count


def test_what_is_not_read_as_a_sentence_is_left_out() -> None:
    text = "# Title\n\nSee [the page](x.md) and `edgenet convert`.\n\n```console\nmake\n```\n| a | b |\n<!-- no -->\n"
    assert prose(text).split() == ["see", "the", "page", "and", "code", "."]


@pytest.mark.parametrize("name", PAGES)
def test_readme_and_the_tutorials_are_plain(name: str) -> None:
    assert grade((ROOT / name).read_text(encoding="utf-8")) <= HARDEST
