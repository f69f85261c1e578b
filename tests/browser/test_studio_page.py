"""What a newcomer does in the studio, in a real Chromium: collect two classes, teach, look, try, deploy."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.classifier import Classifier
from edgenet_device.frames.photos import read_photo
from playwright.sync_api import Browser, Page, expect
from small_network import PHOTOS, save_small_checkpoint

expect.set_options(timeout=60_000)  # on a busy machine a page takes its time

DESK = {"width": 1280, "height": 800}
CAT, FIG = PHOTOS / "0022_tabby-cat.jpg", PHOTOS / "0066_fig-in-bowl.jpg"


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


def frame(photo: Path, step: int) -> np.ndarray:
    """Return a part of a photo, which moves with `step`, 0 to 96; uint8 BGR [240, 320, 3]."""
    pixels = cv2.resize(read_photo(photo), (420, 320))
    return pixels[step // 2 : step // 2 + 240, step : step + 320]


def film(photo: Path, path: Path) -> tuple[str, ...]:
    """Return Chromium's flags for a camera that pans over a photo; no two of its frames are equal."""
    steps = [*range(0, 96, 4), *range(96, 0, -4)]
    path.write_bytes(b"".join(cv2.imencode(".jpg", frame(photo, step))[1].tobytes() for step in steps))
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={path}",
    )


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


def collect_by_camera(page: Page, label: str, least: int) -> None:
    """Make a class, and hold the button until there are enough photos."""
    page.locator("#add-class").click()
    page.get_by_label("Name of the class").fill(label)
    page.get_by_role("button", name="Add", exact=True).click()
    hold = page.locator("#hold")
    expect(hold).to_be_enabled()
    box = hold.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    expect(page.locator(".camera [role=status]")).to_have_text(
        re.compile(rf"^([{least}-9]|[1-9]\d+) photos taken")  # on a busy machine the numbers jump
    )
    page.mouse.up()
    expect(page.get_by_role("option")).not_to_have_count(0)
    page.locator("#steps [data-step=collect]").click()


def teach_two_things(
    launch: Callable[..., Browser], url: str, folder: Path, work: Path, errors: list[str]
) -> Page:
    """Collect two classes with the camera, teach, and return the page with the result."""
    for label, picture in (("cat", CAT), ("fig", FIG)):
        browser = launch(*film(picture, work / f"{label}.mjpeg"))
        page = opened(browser, url, errors)
        collect_by_camera(page, label, 9)
        expect(page.locator(f"article[data-label={label}] img")).not_to_have_count(0)
    assert {len(list((folder / "photos" / label).glob("session-*.jpg"))) > 5 for label in ("cat", "fig")} == {
        True
    }
    assert nameless(page) == []
    page.get_by_role("button", name="Next: teach").click()
    page.get_by_text("Options").click()
    page.get_by_label("Only the quick classifier").check()
    page.locator("#teach").click()
    expect(page.locator("#teach-state")).to_have_text("Done", timeout=240_000)
    page.locator("#to-look").click()
    expect(page.locator("#top1")).to_have_text(re.compile(r"\d+ %"))
    return page


@pytest.mark.slow
def test_two_things_from_the_camera_to_a_classifier(
    launch_chromium: Callable[..., Browser], ready_environment: Path, tmp_path: Path
) -> None:
    checkpoint = save_small_checkpoint(tmp_path / "small.safetensors")
    folder, errors = tmp_path / "things", list[str]()
    with studio(folder, "--pretrained", str(checkpoint), "--resolution", "32") as url:
        page = teach_two_things(launch_chromium, url, folder, tmp_path, errors)
        expect(page.locator("#accuracy")).to_contain_text("Of 100 new photos like yours")
        expect(page.locator("#classes")).to_contain_text("cat")
        assert nameless(page) == []
        page.get_by_role("button", name="Photograph it").first.click()  # a step leads back to the first
        expect(page.locator("#hold")).to_be_enabled()
        page.locator("#steps [data-step=try]").click()
        expect(page.locator("#try-answer")).to_have_text(re.compile("^(cat|fig|nothing I know)$"))
        page.locator("#steps [data-step=deploy]").click()
        here = page.locator("[data-on=local]")
        here.locator("[data-do=install]").click()
        expect(here.locator("[data-kind=install]")).to_have_text(
            re.compile("^Classifier of .* runs there now"), timeout=120_000
        )
    assert errors == []
    (bundle,) = (folder / "bundles").glob("*.edgenet")
    installed = ready_environment / "edgenet" / "current" / bundle.name
    assert installed.read_bytes() == bundle.read_bytes()
    classifier = Classifier(bundle, threads=1)
    # The network began with random weights, so it is sure of little; but it has learnt which is which.
    scores = {of: mean_score(classifier, "cat", folder / "photos" / of) for of in ("cat", "fig")}
    assert scores["cat"] > scores["fig"]


def mean_score(classifier: Classifier, label: str, folder: Path) -> float:
    """Return the mean score that a label gets for the photos in a folder."""
    return float(np.mean([dict(classifier.top(str(photo), 3))[label] for photo in folder.iterdir()]))


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
