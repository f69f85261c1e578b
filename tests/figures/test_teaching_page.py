"""The page of a training: what it says, that it stays small, and that nobody's names can do harm in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from teaching_reports import many_classes, small_report, thumbnail

from edgenet.accuracy import Interval
from edgenet.figures.page_parts import MOST_PICTURES, shown
from edgenet.figures.teaching_facts import PhotoFacts, TeachingReport, look_alikes, photo_facts
from edgenet.figures.teaching_page import review_command, small_jpeg, teaching_page, write_report

VOID = {"meta", "link", "img", "br", "rect", "line", "circle", "polyline", "path", "text", "title"}


class Page(HTMLParser):
    """The elements of a page with their attributes, its text, and whether they are closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        kind = self.open[-1] if self.open else ""
        {"script": self.scripts, "style": self.styles}.get(kind, self.text).append(data)

    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def review(self) -> dict:
        return json.loads(self.scripts[0])


def page(report: TeachingReport, most: int = MOST_PICTURES) -> Page:
    parsed = Page(teaching_page(report, thumbnail, most))
    assert parsed.open == []
    return parsed


def test_the_page_says_what_a_person_needs() -> None:
    words = page(small_report()).words()
    assert "Of 100 new photos like yours, about 83 will get the right name" in words
    assert "between 70 and 91" in words
    assert "labelled bolt , looks like nut 97 % likely to be a wrong label" in words
    assert "nut taken for bolt : 1 of 4 photos" in words
    assert "With twice as many photos (about 8 per class, of new scenes), it would be about 90 %" in words
    assert "no loss was seen" in words
    assert "about 7 get a name all the same" in words
    assert "IMG_1.HEIC : it is HEIC" in words
    assert "2 alike under different labels : bolt , nut" in words


def test_a_photo_is_listed_once_as_a_label_error_and_not_again_as_wrong() -> None:
    parsed = page(small_report())
    figures = [values["data-photo"] for tag, values in parsed.elements if tag == "figure"]
    assert figures.count("1") == 2  # as a label error and as a look-alike
    wrong = parsed.words().split("Wrong answers")[2].split("What is taken for what")[0]
    assert "nut/4.jpg" in wrong
    assert "bolt/1.jpg" not in wrong


def test_the_policy_lets_only_the_pages_own_script_and_style_run() -> None:
    parsed = page(small_report())
    metas = [values for tag, values in parsed.elements if tag == "meta"]
    policy = next(m["content"] for m in metas if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    for kind, text in (("style", parsed.styles[0]), ("script", parsed.scripts[1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert len(parsed.scripts) == 2
    assert len(parsed.styles) == 1
    assert not any("style" in values for _, values in parsed.elements)
    assert not any(name.startswith("on") for _, values in parsed.elements for name in values)
    places = [v for _, values in parsed.elements for k in ("src", "href") if (v := values.get(k))]
    assert all(place.startswith(("data:", "#")) for place in places)


EVIL = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<!--<script>",
    "]]>&lt;&#60;",
    "a\u202egpj.exe",
    "x\u2028y\u2029z\0\x1b[31m",
    "n" * 10_000,
    "bad\udcff",
    "🧰👩‍🔧 שלום 名",
)


@pytest.mark.parametrize("name", EVIL)
def test_names_stay_text(name: str) -> None:
    photos = (
        PhotoFacts(f"{name}/1.jpg", "a" * 64, 0, 0, 1, 0.9),
        PhotoFacts(f"ok/{name}.jpg", "b" * 64, 1, 1, 0, 0.8),
    )
    report = small_report(
        title=name, data=name, variant=name, choices=(name,), class_names=(name, "ok"), photos=photos,
        label_errors=(), duplicates=((0, 1),), warnings=(name,), skipped=((name, name),),
    )  # fmt: skip
    html = teaching_page(report, thumbnail)
    html.encode()
    assert len(html) < 150_000
    parsed, clean = Page(html), page(small_report(photos=photos, label_errors=(), duplicates=((0, 1),)))
    kinds = {tag for tag, _ in parsed.elements}
    assert kinds <= {tag for tag, _ in clean.elements} | {"details", "summary"}
    assert len(parsed.scripts) == 2
    assert not any(key.startswith("on") for _, values in parsed.elements for key in values)
    data = parsed.review()
    assert [photo["file"] for photo in data["photos"]] == [one.file for one in photos]
    assert data["classes"] == [name, "ok"]
    for unfit in ("\u202e", "\u2028", "\0", "\x1b", "\udcff"):
        assert unfit not in html


def test_shown_names_keep_what_people_write() -> None:
    assert shown("🧰👩‍🔧 שלום 名é") == "🧰👩‍🔧 שלום 名é"
    assert shown("a\u202eb") == "a\N{REPLACEMENT CHARACTER}b"
    long = shown("start" + "x" * 500 + "end.jpg", 40)
    assert len(long) == 40
    assert long.startswith("start")
    assert long.endswith("end.jpg")


def test_two_hundred_classes_stay_small_and_the_pictures_are_counted() -> None:
    report = many_classes(200, 20)
    html = teaching_page(report, thumbnail)
    parsed = Page(html)
    images = [values for tag, values in parsed.elements if tag == "img"]
    assert 200 < len(images) <= MOST_PICTURES
    assert "more photos not shown" in parsed.words()
    assert len(html) < 3_000_000
    assert parsed.words().count("What to photograph") >= 1


def test_a_page_that_is_full_says_so_in_place_of_the_pictures() -> None:
    parsed = page(small_report(), most=2)
    assert len([1 for tag, _ in parsed.elements if tag == "img"]) == 2
    assert "no picture" in parsed.words()


def test_a_perfect_small_set() -> None:
    photos = tuple(
        PhotoFacts(f"{c}/{i}.jpg", "a" * 64, c, 2 * i + c, c, 0.9) for c in (0, 1) for i in range(9)
    )
    words = page(
        small_report(
            photos=photos, label_errors=(), duplicates=(), curve=None, int8=None, unknown=None, skipped=(),
            warnings=(), class_names=("0", "1"),
        )
    ).words()  # fmt: skip
    assert "No photo's label looks wrong" in words
    assert "No photo got a wrong answer" in words
    assert "too few photos to measure" in words
    assert "Things it does not know" not in words
    assert "Files that were left out" not in words
    assert "Enough for now" in words


def test_advice_names_few_scenes_rare_classes_and_mixups() -> None:
    photos = [PhotoFacts(f"bolt/{i}.jpg", "a" * 64, 0, i % 3, 0, 0.9) for i in range(30)]
    photos += [PhotoFacts(f"nut/{i}.jpg", "a" * 64, 1, 100 + i, int(i > 12), 0.9) for i in range(30)]
    photos += [PhotoFacts(f"nail/{i}.jpg", "a" * 64, 2, 200 + i, 2, 0.9) for i in range(9)]
    photos += [PhotoFacts(f"hook/{i}.jpg", "a" * 64, 3, 300 + i, 3, 0.9) for i in range(2)]
    report = small_report(
        photos=tuple(photos), class_names=("bolt", "nut", "nail", "hook", "none"), label_errors=()
    )
    bolt, nut, nail, hook, none = (one.advice for one in report.classes)
    assert bolt[0].startswith("Its 30 photos look like 3 scenes.")
    assert nut == (
        "13 of its 30 photos are taken for bolt. Photograph both from the same angles and on the same backgrounds, "
        "and show what sets them apart.",
    )
    assert nail == ("It has 9 photos where other classes have about 30. Add 21.",)
    assert hook[0] == "It has only 2 photos. Add at least 6 more."
    assert none == ("It has no photos that could be read. Photograph it.",)
    assert report.classes[0].precision == pytest.approx(100 * 30 / 43)


def test_the_command_is_quoted_for_a_shell_and_lists_for_a_zip() -> None:
    assert (
        review_command(small_report(data="my photos; rm -rf"))
        == "edgenet train --review review.json --data 'my photos; rm -rf'"
    )
    assert review_command(small_report(data="a.zip", movable=False)).endswith(
        "--data a.zip --list review.csv"
    )


def test_pictures_are_small(tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (600, 1200, 3), np.uint8)
    small = cv2.imdecode(np.frombuffer(small_jpeg(photo), np.uint8), cv2.IMREAD_COLOR)
    assert small is not None
    assert small.shape == (88, 176, 3)
    write_report(tmp_path / "report.html", small_report(), thumbnail)
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_facts_from_arrays() -> None:
    logits = np.array([[9, 0], [0, 9], [0, 0.1]], np.float32)
    facts = photo_facts(
        ("a/1", "a/2", "b/3"), (b"\1" * 32,) * 3, np.array([0, 0, 1]), np.array([4, 4, 5]), logits,
        np.array([True, True, False]),
    )  # fmt: skip
    assert [(one.file, one.predicted, one.group, one.wrong) for one in facts] == [
        ("a/1", 0, 4, False),
        ("a/2", 1, 4, True),
        ("b/3", None, 5, False),
    ]
    assert facts[0].sha256 == "01" * 32
    assert facts[0].confidence == pytest.approx(1, abs=1e-3)
    assert look_alikes(np.array([7, 3, 7, 1, 3, 7])) == ((1, 4), (0, 2, 5))
    assert look_alikes(np.array([1, 2])) == ()
    assert look_alikes(np.zeros(0, np.int64)) == ()


def test_the_interval_is_drawn_where_it_is() -> None:
    html = teaching_page(small_report(interval=Interval(50.0, 100.0)), thumbnail)
    found = re.search(r'<rect class="good" x="([\d.]+)" y="10" width="([\d.]+)"', html)
    assert found is not None
    assert (float(found[1]), float(found[2])) == (210.0, 200.0)


def test_scattered_mixups_get_other_advice() -> None:
    photos = [PhotoFacts(f"a/{i}.jpg", "a" * 64, 0, i, 0 if i < 12 else i - 11, 0.9) for i in range(16)]
    report = small_report(photos=tuple(photos), class_names=tuple("abcdef"), label_errors=())
    assert report.classes[0].advice == (
        "4 of its 16 photos get another name, not one above all. Photograph it from more sides, closer, and on more "
        "backgrounds.",
    )


def test_lines_of_the_terminal_become_sentences() -> None:
    html = teaching_page(
        small_report(warnings=("the classes are unequal", "Ça va."), choices=("no <b>",)), thumbnail
    )
    assert "<li>The classes are unequal.</li><li>Ça va.</li>" in html
    assert '<p class="muted">No &lt;b&gt;.</p>' in html
