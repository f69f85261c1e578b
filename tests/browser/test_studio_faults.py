"""What can go wrong on the studio's page: many photos at once, a folder that goes away, a camera that is taken."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.web.address import Address
from playwright.sync_api import Browser, Page, Route, expect

from edgenet.studio_app import events
from edgenet.studio_app.server import StudioServer
from edgenet.workflows.studio import open_studio

PHOTOS = 60
COUNTS_UPLOADS = """
window.atOnce = window.mostAtOnce = 0;
window.mayStart = Infinity; // how many more uploads there may be until a test lets others come
const ask = window.fetch;
window.fetch = async (path, ...more) => {
    if (!String(path).startsWith("/api/photos/add")) return ask(path, ...more);
    window.mostAtOnce = Math.max(window.mostAtOnce, ++window.atOnce);
    try {
        while (!window.mayStart) await new Promise((then) => setTimeout(then, 20));
        window.mayStart--;
        return await ask(path, ...more);
    } finally {
        window.atOnce--;
    }
};
"""
DROPS = """([selector, pictures, count, others]) => {
    const transfer = new DataTransfer();
    const bytes = pictures.map((text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0)));
    for (let n = 0; n < count; n++) transfer.items.add(new File([bytes[n % bytes.length]], `photo-${n}.jpg`));
    for (const name of others) transfer.items.add(new File(["no photo"], name));
    document.querySelector(selector).dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
}"""


@dataclass(frozen=True)
class Opened:
    """A page of a studio with two classes, and the studio's folder."""

    page: Page
    root: Path

    def drop(self, count: int, *others: str) -> None:
        """Drop photos, and files that are none, on the class mug."""
        random = np.random.default_rng(0)
        pictures = [
            base64.b64encode(cv2.imencode(".jpg", random.integers(0, 256, (24, 32, 3), np.uint8))[1]).decode()
            for _ in range(8)
        ]
        self.page.evaluate(DROPS, ["article[data-label=mug]", pictures, count, list(others)])

    def may_start(self, uploads: float) -> None:
        """Let so many more uploads start; the others wait, as on a slow network."""
        self.page.evaluate("(count) => { window.mayStart = count; }", uploads)

    def kept(self) -> int:
        return len(list((self.root / "photos" / "mug").glob("*.jpg")))


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    root, errors = tmp_path / "things", list[str]()
    for label in ("mug", "key"):
        (root / "photos" / label).mkdir(parents=True)
    with StudioServer(open_studio(root), Address("127.0.0.1", 0, None)) as server:
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        context.add_init_script(COUNTS_UPLOADS)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.address.url())
        expect(page.locator("article.card")).to_have_count(2)
        yield Opened(page, root)
        context.close()
    assert errors == []


def test_photos_dropped_at_once_come_a_few_at_a_time(opened: Opened) -> None:
    page = opened.page
    opened.may_start(20)
    opened.drop(PHOTOS, "notes.txt", "broken.jpg")
    expect(page.get_by_text(f"20 of {PHOTOS + 2} files")).to_be_visible()
    page.locator("#steps [data-step=teach]").click()  # the page can be used meanwhile, and they go on
    expect(page.locator("#teach")).to_be_visible()
    opened.may_start(math.inf)
    page.locator("#steps [data-step=collect]").click()
    expect(page.get_by_text(f"{PHOTOS} photos added")).to_be_visible()
    page.get_by_text("2 files are no photos that can be read").click()
    expect(page.locator("li bdi")).to_have_count(2)
    assert sorted(page.locator("li bdi").all_inner_texts()) == ["broken.jpg", "notes.txt"]
    assert opened.kept() == PHOTOS
    assert page.evaluate("window.mostAtOnce") == 4


def test_a_request_that_is_dropped_is_sent_again_and_done_once(opened: Opened) -> None:
    """Browsers drop requests, those to their own machine too, when a network comes or goes."""
    page, dropped = opened.page, list[str]()
    opened.drop(3)
    expect(page.locator("article[data-label=mug]")).to_contain_text("3 photos")

    def drop(route: Route) -> None:
        if len(dropped) == 0:  # the server does it, but its answer is lost
            assert route.fetch().ok
        if len(dropped) == 2:
            route.continue_()
            return
        dropped.append(route.request.headers["x-request-id"])
        route.abort("connectionreset")

    page.route("**/api/photos/move", drop)
    page.get_by_role("button", name="Show the photos of mug").click()
    grid = page.get_by_role("listbox")
    expect(grid.get_by_role("option").first).to_be_visible()
    grid.focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    expect(page.locator("#toasts")).to_contain_text("3 photos put into the bin")
    assert len(dropped) == 2
    assert len(set(dropped)) == 1
    assert len(list((opened.root / "photos-set-aside" / "mug").iterdir())) == 3


def test_photos_on_their_way_can_be_stopped(opened: Opened) -> None:
    page = opened.page
    opened.may_start(10)
    opened.drop(PHOTOS)
    expect(page.get_by_text(f"10 of {PHOTOS} files")).to_be_visible()
    stop = page.get_by_role("button", name="Stop")
    stop.focus()
    opened.may_start(10)
    expect(page.get_by_text(f"20 of {PHOTOS} files")).to_be_visible()
    expect(stop).to_be_focused()  # though the figures have changed around it
    stop.hover()
    page.mouse.down()
    opened.may_start(10)  # they change again while the button is down
    while page.evaluate("window.mayStart"):
        page.wait_for_timeout(50)
    page.wait_for_timeout(500)
    page.mouse.up()
    opened.may_start(math.inf)
    expect(page.get_by_text(re.compile(r"\d+ of \d+ files"))).to_be_hidden()
    assert 30 <= opened.kept() < PHOTOS


def test_a_folder_that_goes_away_is_said_once_and_no_photo_is_lost(opened: Opened) -> None:
    page, elsewhere = opened.page, opened.root.with_name("elsewhere")
    opened.may_start(20)
    opened.drop(PHOTOS)
    expect(page.get_by_text(f"20 of {PHOTOS} files")).to_be_visible()
    opened.root.rename(elsewhere)
    opened.may_start(math.inf)
    expect(page.locator(".note[role=alert]")).to_contain_text(re.compile("gone|No such file or directory"))
    expect(page.locator("#trouble")).to_have_text(
        f"the folder {opened.root} is gone; put it back, or start the studio with another folder"
    )
    assert not opened.root.exists(), "it is not made again"
    elsewhere.rename(opened.root)
    expect(page.locator("#trouble")).to_be_hidden()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("article[data-label=mug]")).to_contain_text(f"{PHOTOS} photos")
    assert opened.kept() == PHOTOS


@pytest.fixture
def server_that_looks_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not see that the folder went away and came back, as if both were between two looks."""
    monkeypatch.setattr(events, "LOOK_EVERY_S", 3600.0)


@pytest.mark.usefixtures("server_that_looks_once", "opened")
def test_a_folder_that_is_away_for_a_moment_is_back_on_the_page(opened: Opened) -> None:
    elsewhere, trouble = opened.root.with_name("elsewhere"), opened.page.locator("#trouble")
    opened.root.rename(elsewhere)
    opened.page.reload()
    expect(trouble).to_contain_text("is gone; put it back")
    elsewhere.rename(opened.root)
    expect(trouble).to_be_hidden()


def test_two_browsers_on_one_folder_see_each_others_changes(opened: Opened, chromium: Browser) -> None:
    page, other = opened.page, chromium.new_context().new_page()
    other.goto(page.url)
    opened.drop(3)
    card = other.locator("article[data-label=mug]")
    expect(card).to_contain_text("3 photos")
    page.get_by_role("button", name="Show the photos of mug").click()
    expect(page.locator(".photo")).to_have_count(3)
    other.get_by_role("button", name="Show the photos of mug").click()
    expect(other.locator(".photo")).to_have_count(3)
    other.get_by_role("listbox").focus()
    other.keyboard.press("Delete")
    expect(page.locator(".photo")).to_have_count(2)
    other.get_by_role("button", name="Rename").click()
    other.get_by_label("Name of the class").fill("cup")
    other.keyboard.press("Enter")
    expect(page.locator(".toast.bad")).to_contain_text("there is no class 'mug' any more")
    expect(page.locator("article[data-label=cup]")).to_contain_text("2 photos")
    other.context.close()


def test_what_keeps_the_camera_from_coming_is_said(opened: Opened) -> None:
    """Chromium's fake camera is never taken by another program, so the page gets the browser's error from the test."""
    page = opened.page
    page.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', because); }; }"
    )
    page.evaluate("() => { window.because = 'NotReadableError'; }")
    page.locator("article[data-label=mug]").get_by_role("button", name="Camera").click()
    for because, said in (
        ("NotReadableError", "The camera is in use. Close the other program that uses it"),
        ("NotAllowedError", "The camera was refused. Allow it in the browser's address bar"),
        ("NotFoundError", "No camera was found. Connect one, or drop photos instead"),
    ):
        page.evaluate("(because) => { window.because = because; }", because)
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".camera [role=status]")).to_contain_text(said)
        expect(page.locator("#hold")).to_be_disabled()
