"""What a newcomer does in the studio, in a real Chromium: collect two classes, teach, look, try, deploy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from accessible import barriers
from edgenet_device.classifier import Classifier
from edgenet_device.web.address import Address
from playwright.sync_api import Browser, Page, expect

from benchmarks.studio_visit import JUDGED, TAUGHT, FakeCamera, Newcomer, known_photo, running_studio
from edgenet.web.server import PageServer
from edgenet.web.site import PageOptions, build_page

DESK = {"width": 1280, "height": 800}


def opened(browser: Browser, url: str, errors: list[str]) -> Page:
    page = browser.new_context(viewport=DESK).new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    return page


@pytest.mark.slow
def test_two_things_from_the_camera_to_a_classifier(
    launch_chromium: Callable[..., Browser], ready_environment: Path, tmp_path: Path
) -> None:
    folder, errors, camera = tmp_path / "things", list[str](), FakeCamera(tmp_path / "camera.y4m", fps=10)
    browser = launch_chromium(*camera.flags)
    with running_studio(folder, "--resolution", "96") as url:
        page = opened(browser, url, errors)
        newcomer = Newcomer(page, camera)
        newcomer.collect()
        assert barriers(page) == []
        for label in TAUGHT:
            taken = [one.name for one in (folder / "photos" / label).glob("session-*.jpg")]
            assert len(taken) > 10
            assert len({name.rpartition("-")[0] for name in taken}) == 2, "each place is a session"
        newcomer.teach_quickly()
        newcomer.click("Next: look at the result")
        expect(page.locator("#top1")).to_have_text(re.compile(r"\d+ %"))
        expect(page.locator("#accuracy")).to_contain_text("Of 100 new photos like yours")
        expect(page.locator("#classes")).to_contain_text("tulip")
        assert barriers(page) == []
        page.get_by_role("button", name="Photograph it").first.click()  # a step leads back to the first
        expect(page.locator("#hold")).to_be_enabled()
        for label in TAUGHT:
            newcomer.sees(label)
        newcomer.go("Deploy")
        here = page.locator("[data-on=local]")
        newcomer.click(here.get_by_role("button", name="Install"))
        expect(here.locator("[data-kind=install]")).to_have_text(
            re.compile("^Classifier of .* runs there now"), timeout=120_000
        )
    (bundle,) = (folder / "bundles").glob("*.edgenet")
    deployed = ready_environment / "edgenet" / "current" / bundle.name
    assert deployed.read_bytes() == bundle.read_bytes()
    classifier = Classifier(deployed, threads=1)
    assert [classifier.top(str(known_photo(name)), 1)[0][0] for name in JUDGED.values()] == list(JUDGED)
    names_without_its_server(browser, camera, deployed, errors)
    assert errors == []


def names_without_its_server(browser: Browser, camera: FakeCamera, bundle: Path, errors: list[str]) -> None:
    """Open the web app once, end its server, and let its copy name what the camera shows."""
    files = build_page(bundle, PageOptions(offline=True), takes_reports=False).files
    with PageServer(files, Address("127.0.0.1", 0, None)) as server:
        page = opened(browser, server.address.url(), errors)
        expect(page.locator("#kept")).to_contain_text("A copy is kept on this device")
    for label in TAUGHT:
        camera.shows(JUDGED[label])
        page.reload()
        expect(page.locator("#answer")).to_have_text(label)


@pytest.mark.slow
def test_many_photos_by_keyboard_and_no_camera(chromium: Browser, tmp_path: Path) -> None:
    folder, errors = tmp_path / "things", list[str]()
    for label in ("many", "<img src=x onerror=alert(1)>"):
        (folder / "photos" / label).mkdir(parents=True)
    data = cv2.imencode(".jpg", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    for n in range(300):
        (folder / "photos" / "many" / f"{n:04d}.jpg").write_bytes(data)
    with running_studio(folder) as url:
        page = opened(chromium, url, errors)
        expect(page.locator("article.card")).to_have_count(2)
        assert page.locator("h2 img").count() == 0, "a class's name is text"
        page.get_by_role("button", name="Show the photos of many").click()
        grid = page.get_by_role("listbox")
        expect(grid.get_by_role("option").first).to_be_visible()
        assert grid.get_by_role("option").count() < 200, "only what is on the screen is in the page"
        grid.focus()
        page.keyboard.press("End")
        expect(grid.get_by_role("option", name="0299.jpg")).to_be_visible()
        page.keyboard.press("Space")
        page.keyboard.press("Shift+ArrowLeft")
        expect(page.get_by_text("2 selected")).to_be_visible()
        page.keyboard.press("Delete")
        expect(page.locator("#toasts")).to_contain_text("2 photos put into the bin")
        assert len(list((folder / "photos-set-aside" / "many").iterdir())) == 2
        expect(page.get_by_text("298 photos", exact=True)).to_be_visible()
        page.keyboard.press("Control+z")
        expect(page.get_by_text("300 photos", exact=True)).to_be_visible()
        assert len(list((folder / "photos" / "many").iterdir())) == 300
        page.keyboard.press("Control+a")
        expect(page.get_by_text("300 selected")).to_be_visible()
        page.get_by_role("button", name="Camera", exact=True).click()
        expect(page.locator(".camera")).to_contain_text(re.compile("No camera was found|was refused"))
        expect(page.locator("#hold")).to_be_disabled()
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        assert barriers(page) == []
        page.context.close()
    assert errors == []
