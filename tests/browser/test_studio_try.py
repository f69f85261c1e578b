"""The studio's steps Try and Deploy in a real Chromium, on a folder with a finished classifier."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from accessible import barriers
from edgenet_device.classifier import Classifier
from edgenet_device.preprocess import prepare
from edgenet_device.web.address import Address
from playwright.sync_api import Browser, Page, expect
from tiny_model import tiny_model
from virtual_devices import wait_until

from edgenet.bundle import write_bundle
from edgenet.manifest import Facts, Weights
from edgenet.studio_app.server import StudioServer
from edgenet.workflows.studio import open_studio

RUN = "20261130-041500"
RED, BLUE = (np.full((480, 640, 3), colour, np.uint8) for colour in ((20, 30, 220), (220, 30, 20)))
"""BGR."""
COLOURS = ("red", "green", "blue")


def write_colours(path: Path, labels: tuple[str, ...] = COLOURS) -> None:
    """Write a bundle that distinguishes red from green and blue."""
    write_bundle(
        path, tiny_model(size=32), labels, Facts("colours", Weights("made for a test", "Apache-2.0"))
    )


@dataclass(frozen=True)
class Opened:
    """The studio's page, its folder and its address."""

    page: Page
    folder: Path
    url: str

    def go(self, step: str) -> None:
        self.page.goto("about:blank")  # otherwise the page would stay as it is
        self.page.goto(f"{self.url}#{step}")
        expect(self.page.locator("html")).to_have_attribute("data-step", step)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The studio's folder: three classes, one run with its report and its bundle."""
    folder = tmp_path_factory.mktemp("studio")
    for number, label in enumerate(COLOURS):
        (folder / "photos" / label).mkdir(parents=True)
        photo = cv2.imencode(".jpg", np.full((64, 64, 3), 40 * number, np.uint8))[1].tobytes()
        (folder / "photos" / label / "one.jpg").write_bytes(photo)
    (folder / "bundles").mkdir()
    write_colours(folder / "bundles" / f"{RUN}.edgenet")
    judged = [{"class": 0, "answer": 0, "confidence": score / 100} for score in range(50, 100)]
    wrong = [{"class": 0, "answer": 1, "confidence": score / 100} for score in (30, 40)]
    report = {"photos": [*judged, *wrong, {"class": 1, "answer": None, "confidence": 0.0}]}
    (folder / "runs" / RUN).mkdir(parents=True)
    (folder / "runs" / RUN / "report.json").write_text(
        json.dumps({**report, "unknown": {"kept": 95.0, "false_alarms": 4.0}})
    )
    return folder


@pytest.fixture(scope="module")
def opened(folder: Path, launch_chromium: Callable[..., Browser]) -> Iterator[Opened]:
    """The page in a browser whose camera sees red."""
    film = folder.parent / "red.mjpeg"
    film.write_bytes(cv2.imencode(".jpg", RED)[1].tobytes() * 30)
    browser = launch_chromium(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )
    with StudioServer(open_studio(folder), Address("127.0.0.1", 0, None)) as server:
        context = browser.new_context(viewport={"width": 390, "height": 844})
        yield Opened(context.new_page(), folder, server.address.url())
        context.close()


def test_the_int8_file_itself_answers(opened: Opened) -> None:
    opened.go("try")
    page = opened.page
    expect(page.locator("#try-answer")).to_have_text("red")
    expect(page.locator("#try-speed")).to_contain_text("frames/s")
    photo = cv2.imencode(".png", BLUE)[1].tobytes()
    page.set_input_files("#try-file", {"name": "blue.png", "mimeType": "image/png", "buffer": photo})
    expect(page.locator("#try-answer")).to_have_text("blue")
    classifier = Classifier(opened.folder / "bundles" / f"{RUN}.edgenet", threads=1)
    score = classifier.score_prepared(prepare(BLUE, 32)[0])[2]
    expect(page.locator(".try-rows li").first).to_have_text(f"blue{100 * score:.1f} %")


@pytest.mark.parametrize("step", ["collect", "teach", "try", "deploy"])
def test_everybody_can_use_each_step(opened: Opened, step: str) -> None:
    page = opened.page
    opened.go(step)
    expect(page.locator("h1")).to_be_visible()
    if step == "try":
        expect(page.locator("#try-answer")).to_have_text("red")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert barriers(page) == [], scheme
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")


def test_the_threshold_says_what_it_costs(opened: Opened) -> None:
    opened.go("try")
    page = opened.page
    expect(page.locator("#try-answer")).to_have_text("red")
    page.locator("#try-threshold").fill("60")
    expect(page.locator("#try-cost")).to_contain_text("At 60 %, 23 % of your photos (12 of 52)")
    expect(page.locator("#try-cost")).to_contain_text("2 of the 2 wrong answers")
    expect(page.locator("#try-cost")).to_contain_text("95 % of the known photos stay known, and 4 %")
    grey = cv2.imencode(".png", np.full((64, 64, 3), 128, np.uint8))[1].tobytes()  # a third for each colour
    page.set_input_files("#try-file", {"name": "grey.png", "mimeType": "image/png", "buffer": grey})
    expect(page.locator("#try-answer")).to_have_text("nothing I know")
    page.locator("#try-threshold").fill("30")
    expect(page.locator("#try-answer")).not_to_have_text("nothing I know")


def test_a_wrong_answer_becomes_a_photo_of_its_class(opened: Opened) -> None:
    opened.go("try")
    page, green = opened.page, opened.folder / "photos" / "green"
    expect(page.locator("#try-answer")).to_have_text("red")
    page.locator("#try-wrong").click()
    expect(page.locator(".try-choices button:focus")).to_have_count(1)
    page.locator(".try-choices button[data-label=green]").click()
    expect(page.locator(".toast p")).to_have_text("Added to green")
    (added,) = (path for path in green.iterdir() if path.name.startswith("try-"))
    seen = cv2.imread(str(added))
    assert seen.shape[1] >= 640
    assert np.abs(seen.mean(axis=(0, 1)) - RED[0, 0]).max() < 25  # the fake camera's colours are a little off
    expect(page.locator("#try-wrong")).to_be_focused()
    page.locator(".toast button").first.click()
    wait_until(lambda: not added.exists(), 60, "the photo is in the bin")
    assert page.evaluate("fetch('/api/state').then((a) => a.json()).then(({ bin }) => bin.length)") == 1


def test_a_better_classifier_takes_its_place(opened: Opened) -> None:
    opened.go("try")
    page, bundle = opened.page, opened.folder / "bundles" / f"{RUN}.edgenet"
    expect(page.locator("#try-answer")).to_have_text("red")
    write_colours(opened.folder / "better", ("rot", "grün", "blau"))
    os.replace(opened.folder / "better", bundle)
    expect(page.locator("#try-answer")).to_have_text("rot")
    write_colours(opened.folder / "better")
    os.replace(opened.folder / "better", bundle)
    expect(page.locator("#try-answer")).to_have_text("red")


@pytest.mark.slow
def test_a_classifier_is_measured_here_and_a_device_that_is_away_is_one_line(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "ssh_config"
    config.write_text("Host kitchen-pi\n  HostName 127.0.0.1\n  Port 1\nHost *\n  User pi\n")
    monkeypatch.setenv("EDGENET_SSH_CONFIG", str(config))
    opened.go("deploy")
    page = opened.page
    here, pi = (page.locator(f'[data-on="{on}"]') for on in ("local", "ssh:kitchen-pi"))
    expect(pi).to_contain_text("over ssh")
    expect(here.locator(".deploy-latency")).to_have_text("Not measured yet")
    here.locator("[data-do=measure]").click()
    expect(here.locator(".deploy-latency b")).to_have_text(re.compile(r"^\d+\.\d ms$"), timeout=120_000)
    measured = opened.folder / "latencies" / f"{RUN}.on-local.json"
    assert measured.is_file()
    page.locator("#edgenet-budget").fill("0.001")
    expect(here.locator(".deploy-latency .chip.bad")).to_have_text("over 0.001 ms")
    measured.write_text(json.dumps({**json.loads(measured.read_text()), "valid": True, "reasons": []}))
    opened.go("deploy")
    expect(here.locator(".deploy-latency")).to_have_text(re.compile(r"^\d+\.\d msover 0\.001 ms$"))
    pi.locator("[data-do=install]").click()
    expect(pi.locator("[data-kind=install]")).to_have_attribute("data-state", "failed", timeout=120_000)
    expect(pi.locator("[data-kind=install]")).to_have_text(
        re.compile(r"^Installation: ssh:kitchen-pi refuses connections;[^\n]*$")
    )


def test_the_studio_is_an_app_that_says_when_it_does_not_run(chromium: Browser, tmp_path: Path) -> None:
    page = chromium.new_context().new_page()
    with StudioServer(open_studio(tmp_path / "things"), Address("127.0.0.1", 0, None)) as server:
        page.goto(server.address.url())
        page.evaluate("navigator.serviceWorker.ready.then(() => {})")
        page.reload()
        tools = page.context.new_cdp_session(page)
        assert tools.send("Page.getAppManifest")["errors"] == []
        errors = tools.send("Page.getInstallabilityErrors")["installabilityErrors"]
        # A test's pages are private ones, which browsers never install.
        assert [one["errorId"] for one in errors] in ([], ["in-incognito"])
    page.reload()
    expect(page.locator("h1")).to_have_text("The studio is not running")
    page.context.close()
