"""The camera page as a web app: it opens without its server, brings newer versions, and can be installed."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from edgenet_device.web.address import Address
from playwright.sync_api import Browser, Page, expect
from tiny_model import tiny_model

from edgenet.bundle import write_bundle
from edgenet.manifest import Facts, Weights
from edgenet.web.server import PageServer
from edgenet.web.site import PAGE_PROTOCOL, PageOptions, build_page, export_page

RED = cv2.imencode(".png", np.full((48, 64, 3), (20, 30, 220), np.uint8))[1].tobytes()
KEPT = "A copy is kept on this device: the page opens without a network."
HASHES = """async () => {
    const urls = [];
    for (const name of await caches.keys())
        for (const { url } of await (await caches.open(name)).keys()) urls.push(url);
    return urls.map((url) => url.split("/kept/")[1]);
}"""


@dataclass
class Place:
    """An address at which different pages are served, one after another."""

    port: int = 0

    @contextmanager
    def serving(self, files: dict[str, bytes]) -> Iterator[str]:
        with PageServer(files, Address("127.0.0.1", self.port, None)) as server:
            self.port = server.address.port
            yield server.address.url()


def colours_bundle(folder: Path, name: str, *labels: str) -> Path:
    """Write a bundle whose model distinguishes red from green and blue."""
    bundle = folder / f"{name}.edgenet"
    write_bundle(bundle, tiny_model(), labels, Facts(name, Weights("made for a test", "Apache-2.0")))
    return bundle


def page_files(folder: Path, name: str, *labels: str) -> dict[str, bytes]:
    bundle = colours_bundle(folder, name, *labels)
    options = PageOptions(threads=2, measuring=replace(PAGE_PROTOCOL, min_seconds=0.1), offline=True)
    return build_page(bundle, options, takes_reports=True).files


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return page_files(tmp_path_factory.mktemp("english"), "english", "red", "green", "blue")


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return page_files(tmp_path_factory.mktemp("german"), "german", "rot", "grün", "blau")


@pytest.fixture(scope="module")
def browsing(chromium: Browser) -> Iterator[Page]:
    """A page of one browser profile, so that the largest files are kept once for all tests."""
    context = chromium.new_context()
    context.add_init_script(
        "document.addEventListener('edgenet:photo', ({ detail }) => { window.photo = Array.from(detail.scores); });"
    )
    yield context.new_page()
    context.close()


@pytest.fixture(scope="module")
def place() -> Place:
    return Place()


@pytest.fixture
def page(browsing: Page, place: Place, english: dict[str, bytes]) -> Page:
    """The English page, of which a copy is kept and whose server has ended."""
    with place.serving(english) as url:
        browsing.goto(url)
        expect(browsing.locator("#kept")).to_have_text(KEPT)
    return browsing


def scores_of_red(page: Page, label: str) -> list[float]:
    """Choose a red photo, and return its scores once the page has named it.

    A page that hears of a newer version late, as on a busy machine, loads itself again and forgets the photo.
    """
    for patience_ms in (20_000, 20_000, 60_000):
        expect(page.locator("#measure")).to_be_enabled()
        page.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": RED})
        with suppress(AssertionError):
            expect(page.locator("#answer")).to_have_text(label, timeout=patience_ms)
            break
    expect(page.locator("#answer")).to_have_text(label)
    found: list[float] = page.evaluate("window.photo")
    return found


def test_the_page_opens_without_its_server(page: Page) -> None:
    scores = scores_of_red(page, "red")
    page.reload()
    assert scores_of_red(page, "red") == scores
    assert page.evaluate("crossOriginIsolated")
    expect(page.locator("#model")).to_contain_text("2 threads")
    expect(page.locator("#kept")).to_have_text(KEPT)
    page.locator("#measure").click()
    expect(page.locator("#answer")).to_contain_text("ms for one picture")  # though nobody takes the report


def test_a_newer_version_is_shown_after_one_reload(
    page: Page, place: Place, german: dict[str, bytes]
) -> None:
    with place.serving(german):
        page.reload()
        scores_of_red(page, "rot")
        expect(page.locator("#model")).to_contain_text("german")
    page.reload()
    scores_of_red(page, "rot")
    kept = {name: data for name, data in german.items() if name != "service-worker.js"}
    assert sorted(page.evaluate(HASHES)) == sorted(hashlib.sha256(data).hexdigest() for data in kept.values())


def test_a_newer_version_that_is_not_whole_leaves_the_copy(
    page: Page, place: Place, english: dict[str, bytes], german: dict[str, bytes]
) -> None:
    with place.serving({**german, "page.json": english["page.json"]}):
        page.reload()
        scores_of_red(page, "red")
    page.reload()
    scores_of_red(page, "red")


def test_another_page_at_that_address_is_shown(page: Page, place: Place) -> None:
    with place.serving({"index.html": b"<!doctype html><title>mine</title><h1>another page</h1>"}):
        for _ in range(
            5
        ):  # the kept page is shown where the server does not answer soon, as on a busy machine
            page.reload()
            if page.title() == "mine":
                break
        expect(page.locator("h1")).to_have_text("another page")


def test_browsers_take_it_for_an_app(page: Page, place: Place) -> None:
    tools = page.context.new_cdp_session(page)
    manifest = tools.send("Page.getAppManifest")
    assert (manifest["url"], manifest["errors"]) == (f"{page.url}manifest.webmanifest", [])
    assert json.loads(manifest["data"])["name"] == "english"
    errors = tools.send("Page.getInstallabilityErrors")["installabilityErrors"]
    # A test's pages are private ones, which browsers never install.
    assert [one["errorId"] for one in errors] in ([], ["in-incognito"])


def test_a_page_at_a_passing_address_keeps_no_copy(english: dict[str, bytes], browsing: Page) -> None:
    page, facts = browsing, {**json.loads(english["page.json"]), "offline": False}
    with Place().serving({**english, "page.json": json.dumps(facts).encode()}) as url:
        page.goto(url)
        scores_of_red(page, "red")
        assert page.evaluate("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0
        assert page.locator("link[rel=manifest]").count() == 0


def test_an_exported_page_has_threads_from_the_second_time_on(browsing: Page, tmp_path: Path) -> None:
    """Python's own server sends none of the headers that threads need; the copy has them."""
    page = browsing
    export_page(
        colours_bundle(tmp_path, "colours", "red", "green", "blue"), tmp_path / "site", PageOptions(threads=2)
    )
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        expect(page.locator("#model")).to_contain_text("1 thread")
        expect(page.locator("#kept")).to_have_text(KEPT)
        server.shutdown()
    page.reload()
    expect(page.locator("#model")).to_contain_text("2 threads")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *given: object) -> None:
        """Tests have an output of their own."""
