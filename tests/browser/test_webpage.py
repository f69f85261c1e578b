"""The page with LiteRT.js in a real Chromium: the same pixels and scores as Python, the camera, the messages."""

from __future__ import annotations

import functools
import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edgenet_device.classifier import Classifier
from edgenet_device.frames.photos import read_photo
from edgenet_device.preprocess import prepare
from edgenet_device.web.address import Address, parse_address
from playwright.sync_api import Browser, Page, expect
from small_network import PHOTOS, save_small_checkpoint
from system_chromium import NAMES
from tiny_model import tiny_model

from edgenet.bundle import write_bundle
from edgenet.latency.options import BenchOptions
from edgenet.manifest import Facts, Weights
from edgenet.web.browser_latency import measure_in_browser
from edgenet.web.server import PageServer
from edgenet.web.site import PAGE_PROTOCOL, PageOptions, build_page, export_page
from edgenet.web.viewers import Viewer
from edgenet.workflows.camera import camera_page
from edgenet.workflows.convert import convert

PHONE = {"width": 390, "height": 844}
EVIL = "<img src=x onerror='document.title=1'>"
RED = np.full((480, 640, 3), (20, 30, 220), np.uint8)
"""BGR."""
# Keeps the page's last result for a photo and for a frame, and counts the frames.
LISTEN = """
for (const name of ["photo", "seen"]) document.addEventListener(`edgenet:${name}`, ({ detail }) => {
  const root = document.documentElement;
  window[name] = { scores: Array.from(detail.scores), pixels: Array.from(detail.pixels), ms: detail.ms };
  root.dataset[name] = Number(root.dataset[name] || 0) + 1;
  if (root.dataset[name] > 20) root.dataset.many = 1;
});
"""

Open = Callable[..., Page]


@contextmanager
def serving(bundle: Path, options: PageOptions = PageOptions()) -> Iterator[str]:  # noqa: B008 (frozen)
    with PageServer(build_page(bundle, options, takes_reports=True).files, parse_address("0")) as server:
        yield server.address.url()


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that distinguishes red from green and blue; its label for red is hostile HTML."""
    path = tmp_path_factory.mktemp("colours") / "colours.edgenet"
    facts = Facts("colours", Weights("made for a test", "Apache-2.0"))
    write_bundle(path, tiny_model(size=32), [EVIL, "green", "blue"], facts)
    return path


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network of convolutions, quantized."""
    folder = tmp_path_factory.mktemp("int8")
    checkpoint = save_small_checkpoint(folder / "small.safetensors")
    convert(str(checkpoint), folder / "int8.tflite", calibration=PHOTOS, photos=8, recipe="minmax")
    return folder / "int8.tflite"


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Open]:
    """Opens an address in a page of its own, with the camera of the given browser if any."""
    contexts = []

    def open_page(url: str, browser: Browser = chromium, before: str = "") -> Page:
        context = browser.new_context(viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True)
        contexts.append(context)
        context.add_init_script(LISTEN + before)
        page = context.new_page()
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()


def photo(page: Page, data: bytes, name: str = "photo.png") -> dict[str, Any]:
    """Return what the page sees in a photo that a user chooses."""
    count = int(page.evaluate("document.documentElement.dataset.photo || 0"))
    expect(page.locator("#measure")).to_be_enabled()
    page.set_input_files("#file", {"name": name, "mimeType": "image/*", "buffer": data})
    expect(page.locator("html")).to_have_attribute("data-photo", str(count + 1))
    return page.evaluate("window.photo")


def python_scores(model: Path, bgr: np.ndarray) -> np.ndarray:
    """Return the result of the device scripts for the same photo."""
    classifier = Classifier(model, threads=1)
    return classifier.score_prepared(prepare(bgr, classifier.size)[0])


def test_pixels_are_those_of_python_to_the_last_bit(colours: Path, opened: Open) -> None:
    random = np.random.default_rng(0)
    with serving(colours) as url:
        page = opened(url)
        # Bilinear; halved in one step, in several steps, with odd sides; enlarged; and unchanged.
        for width, height in ((70, 45), (64, 80), (192, 96), (161, 113), (1000, 731), (20, 31), (32, 32)):
            bgr = random.integers(0, 256, (height, width, 3), np.uint8)
            seen = photo(page, cv2.imencode(".png", bgr)[1].tobytes())
            assert np.array_equal(np.array(seen["pixels"], np.uint8), prepare(bgr, 32).ravel()), (
                width,
                height,
            )


def test_scores_of_photos_are_those_of_python(int8: Path, opened: Open) -> None:
    photos = sorted(PHOTOS.glob("*.jpg"))[:30:5]
    with serving(int8) as url:
        page = opened(url)
        for path in photos:
            seen = photo(page, path.read_bytes(), path.name)
            difference = np.abs(np.array(seen["scores"]) - python_scores(int8, read_photo(path))).max()
            assert difference <= 2 / 255, path.name


def test_an_isolated_page_has_threads_and_the_same_scores(int8: Path, opened: Open) -> None:
    path = sorted(PHOTOS.glob("*.jpg"))[0]
    scores = []
    for threads in (1, 2):
        with serving(int8, PageOptions(threads=threads)) as url:
            page = opened(url)
            scores.append(photo(page, path.read_bytes(), path.name)["scores"])
            assert page.evaluate("crossOriginIsolated")
            expect(page.locator("#model")).to_contain_text(f"{threads} thread")
    assert scores[0] == scores[1]


def fake_camera(folder: Path, frames: list[np.ndarray]) -> tuple[str, ...]:
    """Chromium's flags for a camera that plays these frames, as JPEGs one after another."""
    path = folder / "camera.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    return camera_flags(path)


def camera_flags(film: Path) -> tuple[str, ...]:
    """Chromium's flags for a camera that plays a film."""
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )


def test_the_camera_is_named_live_and_labels_are_text(
    colours: Path,
    opened: Open,
    launch_chromium: Callable[..., Browser],
    tmp_path: Path,
) -> None:
    browser = launch_chromium(*fake_camera(tmp_path, [RED] * 30))
    with serving(colours) as url:
        page = opened(url, browser)
        expect(page.locator("html")).to_have_attribute("data-many", "1")
        expect(page.locator("#answer")).to_have_text(EVIL)
        expect(page.locator("#rows li").first).to_contain_text(EVIL)
        expect(page.locator("#fps")).to_contain_text(".")
        assert page.evaluate("document.title") != "1"
        assert page.locator("#rows img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        seen = page.evaluate("window.seen")
        # The fake camera's colours are a little off (its JPEGs' full range is read as video range).
        assert np.abs(np.array(seen["scores"]) - python_scores(colours, RED)).max() < 0.1
        photo(page, cv2.imencode(".png", RED[:, :, ::-1])[1].tobytes())
        expect(page.locator("#answer")).to_have_text("blue")
        page.locator("#photo").click()  # back to the camera
        expect(page.locator("#answer")).to_have_text(EVIL)


def test_the_camera_goes_the_same_way_as_python(
    int8: Path, opened: Open, launch_chromium: Callable[..., Browser], tmp_path: Path
) -> None:
    """The film is YUV, whose way back to RGB may be rounded by two steps; from there on nothing may differ."""
    bgr = cv2.resize(read_photo(PHOTOS / "0022_tabby-cat.jpg"), (640, 480))
    yuv = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    film = tmp_path / "camera.y4m"
    film.write_bytes(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420\n" + (b"FRAME\n" + yuv.tobytes()) * 5)
    with serving(int8) as url:
        page = opened(url, launch_chromium(*camera_flags(film)))
        expect(page.locator("html")).to_have_attribute("data-many", "1")
        seen = page.evaluate("window.seen")
    pixels = np.array(seen["pixels"], np.uint8)
    expected = prepare(cv2.cvtColor(yuv, cv2.COLOR_YUV2BGR_I420), 64).ravel()
    assert np.abs(pixels.astype(int) - expected).max() <= 2
    classifier = Classifier(int8, threads=1)
    assert (
        np.abs(np.array(seen["scores"]) - classifier.score_prepared(pixels.reshape(64, 64, 3))).max()
        <= 2 / 255
    )


def test_the_camera_can_be_turned(
    colours: Path, opened: Open, launch_chromium: Callable[..., Browser]
) -> None:
    """With two cameras (Chromium's own test pictures) there is a button, and the other one goes on."""
    flags = ("--use-fake-device-for-media-stream=device-count=2", "--use-fake-ui-for-media-stream")
    with serving(colours) as url:
        page = opened(url, launch_chromium(*flags))
        first = page.evaluate_handle("document.getElementById('video')")
        page.locator("#turn").click()
        expect(page.locator("html")).to_have_attribute("data-many", "1")
        expect(page.locator("#trouble")).to_be_hidden()
        assert first.evaluate("(video) => video.srcObject.active")


def rejecting(name: str) -> str:
    """A camera that fails in this way: what a browser does with hardware that is not here."""
    return f"navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('x', '{name}'); }};"


@pytest.mark.parametrize(
    ("before", "title"),
    [
        ("", "There is no camera"),
        (rejecting("NotAllowedError"), "The camera was not allowed"),
        (rejecting("NotReadableError"), "The camera is busy"),
        (rejecting("TypeError"), "The camera does not start"),
        ("WebAssembly.validate = () => false;", "This browser is too old"),
    ],
)
def test_the_reason_for_a_missing_picture(colours: Path, opened: Open, before: str, title: str) -> None:
    """The first is real: this machine has no camera. The others stand in for hardware and browsers."""
    with serving(colours) as url:
        page = opened(url, before=before)
        expect(page.locator("#trouble-title")).to_have_text(title)
        expect(page.locator("#trouble-remedy")).not_to_be_empty()
        expect(page.locator("#again")).to_be_visible()


def test_a_camera_that_fails_late_does_not_hide_why_the_network_cannot_run(
    colours: Path, opened: Open
) -> None:
    late = """
        WebAssembly.validate = () => false;
        navigator.mediaDevices.getUserMedia = () => new Promise((_, fail) => setTimeout(() => {
            fail(new DOMException('x', 'NotFoundError'));
            setTimeout(() => { document.documentElement.dataset.refused = 1; }, 50);
        }, 300));
    """
    with serving(colours) as url:
        page = opened(url, before=late)
        expect(page.locator("html")).to_have_attribute("data-refused", "1")
        expect(page.locator("#trouble-title")).to_have_text("This browser is too old")
        expect(page.locator("#file")).to_be_disabled()


def test_a_damaged_model_is_reported(colours: Path, opened: Open) -> None:
    site = build_page(colours, PageOptions(), takes_reports=False)
    damaged = {**site.files, "model.tflite": site.files["model.tflite"][:-1] + b"?"}
    with PageServer(damaged, parse_address("0")) as server:
        page = opened(server.address.url(), before=rejecting("NotFoundError"))
        expect(page.locator("#trouble-title")).to_have_text("The model is damaged")


def own_address() -> str:
    """An address of this machine that is not the loopback's; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network address of its own")
        return str(probe.getsockname()[0])


def test_http_from_elsewhere_gets_no_camera_but_photos(colours: Path, opened: Open) -> None:
    with PageServer(
        build_page(colours, PageOptions(), takes_reports=True).files, Address(own_address(), 0, "token")
    ) as server:
        page = opened(server.address.url())
        expect(page.locator("#trouble-title")).to_have_text("This address may not use the camera")
        photo(page, cv2.imencode(".png", RED)[1].tobytes())
        expect(page.locator("#trouble")).to_be_hidden()
        expect(page.locator("#answer")).to_have_text(EVIL)


def test_latency_comes_back_as_a_report(int8: Path, opened: Open) -> None:
    options = BenchOptions(runs=60, min_seconds=0.1)
    (report,) = measure_in_browser([int8], options, viewer=Viewer(opened))
    assert report["route"] == "browser"
    assert report["device"]["browser"].startswith(NAMES)
    assert report["device"]["os"].startswith("Linux")  # as the browser says
    assert report["load"]["average_1_min_at_start"] is None
    assert report["delegate"]["nodes_taken"] == report["model"]["operators"]
    steady = report["steady_state"]
    assert steady["n"] >= 60
    assert 0 < steady["min_ms"] <= steady["p50_ms"] <= steady["p90_ms"]
    assert steady["clock_resolution_ns"] <= 20_000  # what an isolated page gets
    assert report["cold_start"]["total_ms"] > report["cold_start"]["import_ms"] > 0


def test_the_button_sends_a_report_to_the_verb(colours: Path, opened: Open) -> None:
    reports: list[dict[str, Any]] = []

    def measure(url: str) -> None:
        page = opened(url)
        page.locator("#measure").click()  # once the network is there

    options = PageOptions(measuring=replace(PAGE_PROTOCOL, min_seconds=0.1))
    camera_page(
        colours, options, viewer=Viewer(measure), measured=reports.append, goes_on=lambda: not reports
    )
    assert reports[0]["steady_state"]["n"] >= 50


def test_the_exported_folder_works_on_a_plain_server(colours: Path, opened: Open, tmp_path: Path) -> None:
    """Python's own server: no headers, so one thread, and nobody who takes reports."""
    export_page(colours, tmp_path / "site", PageOptions(threads=2))
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = opened(f"http://127.0.0.1:{server.server_port}/")
        photo(page, cv2.imencode(".png", RED)[1].tobytes())
        expect(page.locator("#answer")).to_have_text(EVIL)
        expect(page.locator("#model")).to_contain_text("1 thread")
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given: Any) -> None:
        """Tests have an output of their own."""
