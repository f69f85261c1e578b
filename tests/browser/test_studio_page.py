"""What a newcomer does in the studio, in a real Chromium: collect two classes, teach, look, try, deploy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.classifier import Classifier
from edgenet_device.frames.photos import read_photo
from edgenet_device.web.address import Address
from playwright.sync_api import Browser, Page, expect

from edgenet.assets import calibration_photos
from edgenet.web.server import PageServer
from edgenet.web.site import PageOptions, build_page

expect.set_options(timeout=60_000)  # on a busy machine a page takes its time

DESK = {"width": 1280, "height": 800}
TAUGHT = {
    "dog": ("0054_samoyed-lying", "0055_samoyeds-on-grass"),
    "tulip": ("0006_garden-tulips", "0007_yellow-tulips"),
}
"""The photos at which the camera looks while each class is collected, one scene each."""
JUDGED = {
    "dog": "0050_samoyeds-on-hill",
    "tulip": "0057_pink-tulips",
    "nothing I know": "0001_paris-building",
}
"""Other photos, and what the classifier must say of each."""


@contextmanager
def studio(folder: Path, *options: str) -> Iterator[str]:
    """Run `edgenet studio` on a folder, and yield the page's address."""
    command = [
        sys.executable,
        "-m",
        "edgenet",
        "studio",
        str(folder),
        "--port",
        "0",
        "--no-browser",
        *options,
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1]
        finally:
            process.terminate()
            process.wait(30)


@dataclass(frozen=True)
class FakeCamera:
    """A file that Chromium plays as its camera, and reads anew each time a page opens the camera."""

    film: Path

    @property
    def flags(self) -> tuple[str, ...]:
        return (
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={self.film}",
        )

    def shows(self, *photos: str) -> None:
        """Let the camera pan over photos, one after the other, in an endless loop; no two frames are equal."""
        steps = [*range(0, 96, 4), *range(96, 0, -4)]
        frames = [part(read_photo(photo(name)), step) for name in photos for step in steps]
        other = self.film.with_suffix(".new")
        other.write_bytes(b"".join(cv2.imencode(".jpg", one)[1].tobytes() for one in frames))
        other.replace(self.film)


def photo(name: str) -> Path:
    return calibration_photos() / f"{name}.jpg"


def part(pixels: np.ndarray, step: int) -> np.ndarray:
    """Return a part of a photo, which moves with `step`, 0 to 96; uint8 BGR [240, 320, 3]."""
    return cv2.resize(pixels, (420, 320))[step // 2 : step // 2 + 240, step : step + 320]


def opened(browser: Browser, url: str, errors: list[str]) -> Page:
    page = browser.new_context(viewport=DESK).new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    return page


def nameless(page: Page) -> list[str]:
    """Return the controls and pictures that a screen reader could not name."""
    return page.evaluate("""() => [...document.querySelectorAll("button, a, input, select, img, [role=option], video")]
        .filter((one) => !one.closest("[hidden]") && !(one.tagName === "IMG" ? one.hasAttribute("alt")
            : one.getAttribute("aria-label") || one.innerText?.trim() || one.labels?.length))
        .map((one) => one.outerHTML.slice(0, 120))""")


def collect_by_camera(page: Page, camera: FakeCamera, label: str) -> None:
    """Make a class, and hold the button in two places until there are enough photos of each."""
    page.locator("#add-class").click()
    page.get_by_label("Name of the class").fill(label)
    camera.shows(TAUGHT[label][0])
    page.get_by_role("button", name="Add", exact=True).click()
    hold_the_button(page)
    page.get_by_role("button", name="Camera off").click()
    camera.shows(TAUGHT[label][1])
    page.get_by_role("button", name="Camera", exact=True).click()
    hold_the_button(page)
    page.get_by_role("button", name="All classes").click()
    expect(page.locator(f"article[data-label={label}] img")).not_to_have_count(0)


def hold_the_button(page: Page) -> None:
    hold = page.locator("#hold")
    expect(hold).to_be_enabled()
    hold.hover()
    page.mouse.down()
    expect(page.locator(".camera [role=status]")).to_have_text(
        re.compile(r"^([6-9]|[1-9]\d+) photos taken")  # on a busy machine the numbers jump
    )
    page.mouse.up()


def teach_two_things(page: Page, camera: FakeCamera) -> None:
    """Collect two classes with the camera, teach, and wait for the result."""
    for label in TAUGHT:
        collect_by_camera(page, camera, label)
    assert nameless(page) == []
    page.get_by_role("button", name="Next: teach").click()
    page.get_by_text("Options").click()
    page.get_by_label("Only the quick classifier").check()
    page.get_by_role("button", name="Teach", exact=True).click()
    expect(page.locator("#teach-state")).to_have_text("Done", timeout=240_000)
    page.get_by_role("button", name="Next: look at the result").click()
    expect(page.locator("#top1")).to_have_text(re.compile(r"\d+ %"))


@pytest.mark.slow
def test_two_things_from_the_camera_to_a_classifier(
    launch_chromium: Callable[..., Browser], ready_environment: Path, tmp_path: Path
) -> None:
    folder, errors, camera = tmp_path / "things", list[str](), FakeCamera(tmp_path / "camera.mjpeg")
    camera.shows("0001_paris-building")
    browser = launch_chromium(*camera.flags)
    with studio(folder, "--resolution", "96") as url:
        page = opened(browser, url, errors)
        teach_two_things(page, camera)
        for label in TAUGHT:
            taken = [one.name for one in (folder / "photos" / label).glob("session-*.jpg")]
            assert len(taken) > 10
            assert len({name.rpartition("-")[0] for name in taken}) == 2, "each place is a session"
        expect(page.locator("#accuracy")).to_contain_text("Of 100 new photos like yours")
        expect(page.locator("#classes")).to_contain_text("tulip")
        assert nameless(page) == []
        for label, name in JUDGED.items():
            page.get_by_role(
                "button", name="Photograph it"
            ).first.click()  # this step leads back to the first
            expect(page.locator("#hold")).to_be_enabled()
            camera.shows(name)
            page.get_by_role("link", name="Try").click()
            expect(page.locator("#try-answer")).to_have_text(label)
            page.get_by_role("link", name="Look").click()
        page.get_by_role("link", name="Deploy").click()
        here = page.locator("[data-on=local]")
        here.get_by_role("button", name="Install").click()
        expect(here.locator("[data-kind=install]")).to_have_text(
            re.compile("^Classifier of .* runs there now"), timeout=120_000
        )
    (bundle,) = (folder / "bundles").glob("*.edgenet")
    deployed = ready_environment / "edgenet" / "current" / bundle.name
    assert deployed.read_bytes() == bundle.read_bytes()
    classifier = Classifier(deployed, threads=1)
    assert {label: classifier.top(str(photo(name)), 1)[0][0] for label, name in JUDGED.items()} == {
        label: label for label in JUDGED
    }
    names_without_its_server(browser, camera, deployed, errors)
    assert errors == []


def names_without_its_server(browser: Browser, camera: FakeCamera, bundle: Path, errors: list[str]) -> None:
    """Open the web app once, end its server, and let its copy name what the camera shows."""
    files = build_page(bundle, PageOptions(offline=True), takes_reports=False).files
    with PageServer(files, Address("127.0.0.1", 0, None)) as server:
        page = opened(browser, server.address.url(), errors)
        expect(page.locator("#kept")).to_contain_text("A copy is kept on this device")
    for label, name in JUDGED.items():
        camera.shows(name)
        page.reload()
        expect(page.locator("#answer")).to_have_text(label)


@pytest.mark.slow
def test_many_photos_by_keyboard_and_no_camera(chromium: Browser, tmp_path: Path) -> None:
    folder, errors = tmp_path / "things", list[str]()
    for label in ("many", "<img src=x onerror=alert(1)>"):
        (folder / "photos" / label).mkdir(parents=True)
    data = cv2.imencode(".jpg", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    for n in range(600):
        (folder / "photos" / "many" / f"{n:04d}.jpg").write_bytes(data)
    with studio(folder) as url:
        page = opened(chromium, url, errors)
        expect(page.locator("article.card")).to_have_count(2)
        assert page.locator("h2 img").count() == 0, "a class's name is text"
        page.get_by_role("button", name="Show the photos of many").click()
        grid = page.get_by_role("listbox")
        expect(grid.get_by_role("option").first).to_be_visible()
        assert grid.get_by_role("option").count() < 200, "only what is on the screen is in the page"
        grid.focus()
        page.keyboard.press("End")
        expect(grid.get_by_role("option", name="0599.jpg")).to_be_visible()
        page.keyboard.press("Space")
        page.keyboard.press("Shift+ArrowLeft")
        expect(page.get_by_text("2 selected")).to_be_visible()
        page.keyboard.press("Delete")
        expect(page.locator("#toasts")).to_contain_text("2 photos put into the bin")
        assert len(list((folder / "photos-set-aside" / "many").iterdir())) == 2
        expect(page.get_by_text("598 photos", exact=True)).to_be_visible()
        page.keyboard.press("Control+z")
        expect(page.get_by_text("600 photos", exact=True)).to_be_visible()
        assert len(list((folder / "photos" / "many").iterdir())) == 600
        page.keyboard.press("Control+a")
        expect(page.get_by_text("600 selected")).to_be_visible()
        page.get_by_role("button", name="Camera", exact=True).click()
        expect(page.locator(".camera")).to_contain_text(re.compile("No camera was found|was refused"))
        expect(page.locator("#hold")).to_be_disabled()
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        assert nameless(page) == []
    assert errors == []
