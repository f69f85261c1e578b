"""The page of a training in a real Chromium: ticked photos, the file of decisions, phones, keys, strange names."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from teaching_reports import many_classes, small_report, thumbnail

from edgenet.figures.teaching_facts import PhotoFacts, TeachingReport
from edgenet.figures.teaching_page import write_report
from edgenet.workflows.review import apply_review, read_decisions


class Shown:
    """A page that is open, what it asked the network for, and what went wrong in it."""

    def __init__(self, chromium: Any, path: Path, width: int, **options: Any) -> None:
        self.context = chromium.new_context(viewport={"width": width, "height": 800}, offline=True, **options)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.problems: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: self.problems.append(dialog.message))
        self.page.goto(path.as_uri())

    def decisions(self, tmp_path: Path) -> Any:
        with self.page.expect_download() as event:
            self.page.get_by_role("button", name="Download review.json").click()
        event.value.save_as(tmp_path / "review.json")
        return json.loads((tmp_path / "review.json").read_text(encoding="utf-8"))["decisions"]


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    shown: list[Shown] = []

    def open_page(report: TeachingReport, width: int = 1280, **options: Any) -> Shown:
        write_report(tmp_path / "report.html", report, thumbnail)
        shown.append(Shown(chromium, tmp_path / "report.html", width, **options))
        return shown[-1]

    yield open_page
    for one in shown:
        outside = [url for url in one.asked if not url.startswith(("file:", "data:", "blob:"))]
        assert outside == []
        assert one.problems == []
        one.context.close()


def figure(shown: Shown, section: str, photo: int) -> Any:
    return shown.page.locator(f"#{section} figure[data-photo='{photo}']")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_asks_for_nothing(show: Any, width: int, scheme: str) -> None:
    shown = show(small_report(), width, color_scheme=scheme)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width
    colours = shown.page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    )
    ink, paper = (sum(map(int, colour[4:-1].split(","))) for colour in colours)
    assert (ink < paper) == (scheme == "light")
    for picture in shown.page.locator("img").all():
        assert picture.get_attribute("alt")
    assert shown.page.locator("svg.curve").bounding_box()["width"] > 250


def test_what_is_ticked_is_in_the_file(show: Any, tmp_path: Path) -> None:
    shown = show(small_report())
    assert not shown.page.locator(".bar").is_visible()
    figure(shown, "labels", 1).get_by_role("button", name="Move bolt/1.jpg to nut").click()
    figure(shown, "wrong", 4).get_by_role("button", name="Set aside nut/4.jpg").click()
    figure(shown, "alike", 3).locator("select").focus()
    figure(shown, "alike", 3).locator("select").select_option("bolt")
    assert "2 to move, 1 to set aside" in shown.page.locator(".bar").inner_text()
    # The same photo in another part shows the same decision.
    twin = figure(shown, "alike", 1)
    assert twin.locator("select option:checked").inner_text() == "nut"
    decisions = {one["file"]: one for one in shown.decisions(tmp_path)}
    assert decisions["bolt/1.jpg"] == {
        "file": "bolt/1.jpg", "sha256": "1" * 64, "class": "bolt", "action": "move", "to": "nut",
    }  # fmt: skip
    assert decisions["nut/4.jpg"]["action"] == "set aside"
    assert (decisions["nut/3.jpg"]["action"], decisions["nut/3.jpg"]["to"]) == ("move", "bolt")
    assert "edgenet train --review review.json --data photos" in shown.page.locator(".bar").inner_text()
    figure(shown, "labels", 1).get_by_role("button", name="Move bolt/1.jpg to nut").click()
    assert "1 to move, 1 to set aside" in shown.page.locator(".bar").inner_text()
    shown.page.get_by_role("button", name="Clear all decisions").click()
    assert not shown.page.locator(".bar").is_visible()


def test_decisions_outlast_a_reload(show: Any) -> None:
    shown = show(small_report())
    other = shown.context.new_page()
    other.goto(shown.page.url)
    figure(shown, "labels", 1).get_by_role("button", name="Set aside bolt/1.jpg").click()
    # The browser stores what a page keeps a moment later; it is stored when another tab has heard of it.
    other.get_by_text("0 to move, 1 to set aside").wait_for()
    shown.page.reload()
    shown.page.get_by_text("0 to move, 1 to set aside").wait_for()
    pressed = figure(shown, "labels", 1).get_by_role("button", name="Set aside bolt/1.jpg")
    assert pressed.get_attribute("aria-pressed") == "true"


def test_two_tabs_share_their_decisions(show: Any) -> None:
    shown = show(small_report())
    other = shown.context.new_page()
    other.goto(shown.page.url)
    figure(shown, "labels", 1).get_by_role("button", name="Set aside bolt/1.jpg").click()
    other.get_by_text("0 to move, 1 to set aside").wait_for()
    other.locator("#wrong figure[data-photo='4']").get_by_role("button", name="Set aside nut/4.jpg").click()
    shown.page.get_by_text("0 to move, 2 to set aside").wait_for()
    other.get_by_role("button", name="Clear all decisions").click()
    shown.page.locator(".bar").wait_for(state="hidden")


def test_several_photos_are_ticked_at_once(show: Any) -> None:
    errors = small_report().label_errors
    shown = show(
        small_report(label_errors=(*errors, dataclasses.replace(errors[0], index=4, given=1, likely=0)))
    )
    shown.page.get_by_role("button", name="Tick the 2 that are at least 90 % likely").click()
    assert "2 to move" in shown.page.locator(".bar").inner_text()
    shown.page.get_by_role(
        "button", name="Set aside all shown photos of this group except bolt/1.jpg"
    ).click()
    assert "2 to move, 1 to set aside" in shown.page.locator(".bar").inner_text()


def test_the_keyboard_is_enough(show: Any, tmp_path: Path) -> None:
    shown = show(small_report())
    shown.page.keyboard.press("Tab")
    assert shown.page.evaluate("document.activeElement.className") == "skip"
    move = figure(shown, "labels", 1).get_by_role("button", name="Move bolt/1.jpg to nut")
    for _ in range(60):
        shown.page.keyboard.press("Tab")
        if move.evaluate("node => node === document.activeElement"):
            break
    shown.page.keyboard.press("Space")
    assert move.get_attribute("aria-pressed") == "true"
    assert shown.page.get_by_role("status").inner_text().startswith("1 to move")
    assert len(shown.decisions(tmp_path)) == 1


def test_without_the_script_it_is_still_a_page(show: Any) -> None:
    shown = show(small_report(), java_script_enabled=False)
    assert shown.page.get_by_role("heading", name="Labels that look wrong").is_visible()
    assert shown.page.locator("figure button").count() == 0


def test_print_shows_the_pictures_and_no_buttons(show: Any) -> None:
    shown = show(small_report())
    figure(shown, "labels", 1).get_by_role("button", name="Set aside bolt/1.jpg").click()
    shown.page.emulate_media(media="print")
    assert shown.page.locator("figure img").first.is_visible()
    for hidden in (".bar", "nav", ".tools >> nth=0"):
        assert not shown.page.locator(hidden).is_visible()


def test_two_hundred_classes_on_a_phone(show: Any, tmp_path: Path) -> None:
    shown = show(many_classes(200, 10), 390)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
    photo = shown.page.locator("#wrong figure").first
    select = photo.locator("select")
    assert select.locator("option").count() <= 2
    select.focus()
    assert select.locator("option").count() == 200  # all other classes, and the first line
    select.select_option("class 150 with a rather long name")
    assert shown.decisions(tmp_path)[0]["to"] == "class 150 with a rather long name"


@pytest.mark.parametrize(
    "name",
    [
        "</script><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "a\u202egpj.exe",
        "bad\udcff",
        "__proto__",
    ],
)
def test_strange_names_come_back_as_they_were(show: Any, tmp_path: Path, name: str) -> None:
    photos = (
        PhotoFacts(f"{name}/1.jpg", "a" * 64, 0, 0, 1, 0.9),
        PhotoFacts(f"ok/{name}.jpg", "b" * 64, 1, 1, 0, 0.8),
    )
    shown = show(
        small_report(
            photos=photos, class_names=(name, "ok"), label_errors=(), duplicates=(), data=name, title=name
        )
    )
    for index in (0, 1):
        figure(shown, "wrong", index).locator("select").focus()
        figure(shown, "wrong", index).locator("select").select_option(str(1 - index))
    shown.decisions(tmp_path)
    decisions = read_decisions(tmp_path / "review.json")
    assert [one.file for one in decisions] == [photo.file for photo in photos]
    assert [(one.label, one.new_label) for one in decisions] == [(name, "ok"), ("ok", name)]


def test_from_the_page_to_moved_photos(show: Any, tmp_path: Path) -> None:
    data = tmp_path / "photos"
    report = small_report(data=str(data))
    for index, photo in enumerate(report.photos):
        (data / photo.file).parent.mkdir(parents=True, exist_ok=True)
        (data / photo.file).write_bytes(thumbnail(index))
    hashed = tuple(
        dataclasses.replace(photo, sha256=hashlib.sha256(thumbnail(index)).hexdigest())
        for index, photo in enumerate(report.photos)
    )
    shown = show(dataclasses.replace(report, photos=hashed))
    figure(shown, "labels", 1).get_by_role("button", name="Move bolt/1.jpg to nut").click()
    figure(shown, "wrong", 4).get_by_role("button", name="Set aside nut/4.jpg").click()
    shown.decisions(tmp_path)
    result = apply_review(tmp_path / "review.json", data)
    assert result.moved == (("bolt/1.jpg", "nut/1.jpg"),)
    assert (tmp_path / "photos-set-aside" / "nut" / "4.jpg").is_file()
