"""The studio's step Look on a finished report, and the page as a phone in the network gets it, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from accessible import barriers
from edgenet_device.web.address import Address
from playwright.sync_api import Browser, expect
from teaching_reports import small_report, thumbnail
from virtual_devices import wait_until

from edgenet.figures.teaching_facts import write_report_json
from edgenet.studio_app.collect_routes import page_url
from edgenet.studio_app.guard import self_signed
from edgenet.studio_app.server import StudioServer
from edgenet.workflows.studio import open_studio

WRONG = "bolt/1.jpg"
"""The report says that it is a nut."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A studio's folder with one run and the photos that its report names."""
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    report = small_report()
    for index, photo in enumerate(report.photos):
        path = tmp_path / "things" / "photos" / photo.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(thumbnail(index))
    run = tmp_path / "things" / "runs" / "20261130-041500"
    run.mkdir(parents=True)
    write_report_json(run / "report.json", report)
    return tmp_path / "things"


def test_a_label_that_looks_wrong_is_fixed_and_the_fix_undone(chromium: Browser, folder: Path) -> None:
    page = chromium.new_context(viewport={"width": 390, "height": 844}).new_page()
    photos, before = folder / "photos", (folder / "photos" / WRONG).read_bytes()
    with StudioServer(open_studio(folder), Address("127.0.0.1", 0, None)) as server:
        page.goto(f"{server.address.url()}#look")
        expect(page.locator("#top1")).to_have_text("83 %")
        expect(page.locator("#accuracy")).to_contain_text("it is probably between 70 and 91")
        expect(page.locator("#mixups h3").first).to_contain_text("is taken for")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert barriers(page) == [], scheme
        page.get_by_role("button", name="Fix: nut").click()
        expect(page.locator("#labels")).to_contain_text("You have looked at all of them")
        assert not (photos / WRONG).exists()
        assert (photos / "nut" / "1.jpg").read_bytes() == before
        page.get_by_role("button", name="Undo").click()
        wait_until((photos / WRONG).exists, 60, "the photo is where it was")
        assert (photos / WRONG).read_bytes() == before
        page.get_by_role("button", name="Photograph it").first.click()
        expect(page.locator(".camera")).to_be_visible()
    page.context.close()


def test_a_phone_in_the_network_gets_the_page_by_https_with_its_camera(
    launch_chromium: Callable[..., Browser], folder: Path
) -> None:
    browser = launch_chromium("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    # The browser warns of the certificate that was made here, and its user goes on.
    page = browser.new_context(ignore_https_errors=True).new_page()
    address = Address("127.0.0.1", 0, "the-token")
    with StudioServer(open_studio(folder), address, self_signed(folder, address.host)) as server:
        page.goto(page_url(server.address))
        assert page.url.startswith("https://")
        page.locator("article[data-label=nut]").get_by_role("button", name="Camera").click()
        expect(page.locator("#hold")).to_be_enabled()
        page.get_by_role("button", name="Other cameras").click()
        expect(page.get_by_role("img", name="QR code of https://")).to_be_visible()
    page.context.close()
