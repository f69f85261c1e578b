"""The live page of camera.py as a real browser shows it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgenet_device.field.keeper import PhotoKeeper
from edgenet_device.field.kept_photos import KeptPhotos
from edgenet_device.field.photo_facts import read_facts
from edgenet_device.live.field_output import FieldOutputs
from edgenet_device.live.page import LivePage
from edgenet_device.web.address import parse_address
from playwright.sync_api import Browser, Page, expect

PHONE = {"width": 390, "height": 844}
FRAME = np.full((48, 64, 3), (40, 160, 90), np.uint8)
STATE = {
    "label": "<img src=x onerror='document.title=1'>",
    "top": [
        {"index": 0, "label": "<img src=x onerror='document.title=1'>", "score": 0.75},
        {"index": 1, "label": "owl", "score": 0.25},
    ],
    "ms": {"preprocess": 0.2, "inference": 2.5, "postprocess": 0.1},
    "fps": 29.97,
    "p50_ms": 3.4,
    "missed": 0,
    "temperature": 61.2,
    "warnings": ["under-voltage"],
    "lost": None,
    "model": "tiny",
}


@pytest.fixture
def served() -> Iterator[LivePage]:
    with LivePage(parse_address("0")) as page:
        yield page


@contextmanager
def frames_coming(served: LivePage, per_second: float, **more: Any) -> Iterator[None]:
    """Show a frame again and again while the block runs, with more entries in its state."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(1 / per_second):
            served.show({**STATE, **more}, FRAME)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def showing(served: LivePage) -> Iterator[None]:
    """Frames come, thirty a second."""
    with frames_coming(served, 30):
        yield


@pytest.fixture
def showing_slowly(served: LivePage) -> Iterator[None]:
    """Frames come, two a second: browsers that all draw thirty a second would keep all CPUs busy."""
    with frames_coming(served, 2):
        yield


@pytest.fixture
def phone(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (844, 390)])
def test_all_of_it_fits_a_phone_held_either_way(
    served: LivePage, chromium: Browser, showing: None, width: int, height: int
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": height}, is_mobile=True)
    page = context.new_page()
    page.goto(served.address.url())
    expect(page.locator("#p50")).to_have_text("3.4 ms")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for part in ("#picture", "#rows", "#fps", "#latency", "#told"):
        box = page.locator(part).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= height
    context.close()


def test_a_fault_is_reported_and_disappears_again(served: LivePage, phone: Page) -> None:
    served.show(STATE, FRAME)
    phone.goto(served.address.url())
    expect(phone.locator("#told")).to_have_text("under-voltage")
    expect(phone.locator("#temperature")).to_have_text("61 °C")
    served.show({**STATE, "type": "silent", "lost": "camera 0 stopped"}, None)
    expect(phone.locator("#told")).to_have_text("camera 0 stopped · under-voltage")
    served.show({**STATE, "warnings": []}, FRAME)
    expect(phone.locator("#told")).to_be_hidden()


def assert_that_nothing_looks_live(page: Page) -> None:
    expect(page.locator("#answer")).to_have_text("no live picture")
    expect(page.locator(".row")).to_have_count(0)
    for figure in ("#fps", "#p50"):
        expect(page.locator(figure)).to_have_text("–")
    expect(page.locator("#picture")).to_have_css("opacity", "0.35")
    expect(page.locator("#square")).to_be_hidden()


def test_an_old_picture_and_its_label_are_not_shown_as_live(
    served: LivePage, chromium: Browser, phone: Page
) -> None:
    silent = {**STATE, "type": "silent", "lost": "camera 0 stopped", "silent_s": 200.0}
    with frames_coming(served, 30):
        phone.goto(served.address.url())
        expect(phone.locator("#answer")).to_have_text(STATE["label"])
        expect(phone.locator("#picture")).to_have_css("opacity", "1")
    served.show(silent, None)
    late = chromium.new_context(viewport=PHONE).new_page()
    late.goto(served.address.url())
    for page in (phone, late):
        assert_that_nothing_looks_live(page)
        expect(page.locator("#age")).to_have_text("this picture is 3 min old")
        expect(page.locator("#told")).to_have_text("camera 0 stopped · under-voltage")
    served.show(STATE, FRAME)
    for page in (phone, late):
        expect(page.locator("#answer")).to_have_text(STATE["label"])
        expect(page.locator("#age")).to_be_hidden()
    late.context.close()


def test_a_server_that_is_gone_is_seen(phone: Page) -> None:
    with LivePage(parse_address("0")) as served, frames_coming(served, 30):
        phone.goto(served.address.url())
        expect(phone.locator("#answer")).to_have_text(STATE["label"])
    assert_that_nothing_looks_live(phone)
    expect(phone.locator("#told")).to_have_text("the device does not respond; trying again · under-voltage")


@pytest.mark.parametrize(("network", "sides"), [((96, 96), (48, 48)), ((192, 48), (64, 16))])
def test_the_part_that_the_network_sees_is_marked(
    served: LivePage, phone: Page, network: tuple[int, int], sides: tuple[int, int]
) -> None:
    """The frame has 64x48 pixels; the mark has the same share of the picture as the part that is classified."""
    with frames_coming(served, 10, network=network):
        phone.goto(served.address.url())
        expect(phone.locator("#square")).to_be_visible()
        box, picture = (phone.locator(part).bounding_box() for part in ("#square", "#picture"))
    assert box is not None
    assert picture is not None
    scale = picture["width"] / 64
    assert (box["width"] / scale, box["height"] / scale) == pytest.approx(sides, abs=0.1)
    assert box["x"] + box["width"] / 2 == pytest.approx(picture["x"] + picture["width"] / 2, abs=0.5)


def test_a_page_for_others_needs_its_token(chromium: Browser) -> None:
    with LivePage(parse_address("0.0.0.0:0")) as page:
        tab = chromium.new_page()
        port, token = page.address.port, page.address.token
        answer = tab.goto(f"http://127.0.0.1:{port}/")
        assert answer is not None
        assert answer.status == 403
        page.show(STATE, FRAME)
        tab.goto(f"http://127.0.0.1:{port}/?token={token}")
        expect(tab.locator("#answer")).to_have_text(STATE["label"])  # its events came: the cookie is enough
        tab.context.close()


def test_labels_are_text_and_the_picture_comes(served: LivePage, phone: Page, showing: None) -> None:
    phone.goto(served.address.url())
    expect(phone.locator("#answer")).to_have_text(STATE["label"])
    expect(phone.locator(".row .name span").first).to_have_text(STATE["label"])
    assert phone.title() == "edgenet live"  # the label was not run
    expect(phone.locator("#picture")).to_have_js_property("naturalWidth", 64)


def ask(served: LivePage, path: str, links: ExitStack) -> socket.socket:
    """Ask for a stream as a browser does; it is read later."""
    link = links.enter_context(socket.create_connection((served.address.host, served.address.port), 30))
    link.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return link


def read_until(link: socket.socket, text: bytes, times: int) -> None:
    data = b""
    while data.count(text) < times:
        more = link.recv(1 << 16)
        assert more, "the stream has ended"
        data += more


@pytest.mark.slow
def test_twenty_browsers_and_one_that_stalls(
    served: LivePage, chromium: Browser, showing_slowly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six have a window; for the server the other fourteen are the same, and twenty windows take long to draw."""
    with ExitStack() as links:
        ask(served, "picture", links)  # and never reads the answer
        events, pictures = ([ask(served, path, links) for _ in range(14)] for path in ("events", "picture"))
        contexts = [chromium.new_context(viewport=PHONE) for _ in range(6)]  # each with its own connections
        pages = [context.new_page() for context in contexts]
        for page in pages:
            page.goto(served.address.url())
        for page in pages:
            expect(page.locator("#p50")).to_have_text("3.4 ms")
            expect(page.locator("#picture")).to_have_js_property("naturalWidth", 64)
        monkeypatch.setitem(STATE, "p50_ms", 5.6)
        for page in pages:
            expect(page.locator("#p50")).to_have_text("5.6 ms")
        for link in events:
            read_until(link, b'"p50_ms": 5.6', 1)
        for link in pictures:
            read_until(link, b"Content-Type: image/jpeg", 3)
        for context in contexts:
            context.close()


class Counts:
    """Stands in for `DailyCounts`."""

    def summary(self) -> dict[str, Any]:
        days = [
            {"date": f"2026-11-{day}", "seconds": 900, "unknown": 0.04, "confidence": 0.8} for day in (28, 29)
        ]
        return {"changed": "the share of unknown rose", "days": days}


@pytest.fixture
def learning(tmp_path: Path) -> Iterator[LivePage]:
    photos = KeptPhotos(tmp_path / "kept", 10**6)
    labels = [STATE["top"][0]["label"], "owl", "cup"]
    keeper = PhotoKeeper(photos, (Path("m.edgenet"), "0"), labels, lambda part, why: None)
    counts: Any = Counts()
    with (
        LivePage(parse_address("0"), FieldOutputs(keeper, counts)) as page,
        frames_coming(page, 20, moment_s=1.0),
    ):
        yield page


def said(tmp_path: Path) -> list[str | None]:
    return sorted(str(read_facts(path.read_bytes()).said) for path in (tmp_path / "kept").iterdir())


def test_a_wrong_answer_is_corrected_on_a_phone_and_by_keyboard(
    learning: LivePage, phone: Page, tmp_path: Path
) -> None:
    phone.goto(learning.address.url())
    expect(phone.locator("#picture")).to_have_js_property("naturalWidth", 64)
    phone.locator("#wrong").tap()
    expect(phone.locator("#frozen")).to_have_js_property("naturalWidth", 64)
    expect(phone.locator("#thought")).to_have_text(f"The network says: {STATE['label']}")
    for button in phone.locator("#saying button").all():  # large enough for a thumb, and within the screen
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
        assert box["x"] + box["width"] <= PHONE["width"]
    phone.locator("#choices button", has_text="owl").tap()
    expect(phone.locator("#kept")).to_have_text("kept as owl")
    assert said(tmp_path) == ["owl"]
    # By keyboard alone: the button has the focus again.
    expect(phone.locator("#wrong")).to_be_focused()
    phone.keyboard.press("Enter")
    expect(phone.locator("#choices button").first).to_be_focused()
    phone.keyboard.press("Escape")
    expect(phone.locator("#saying")).to_be_hidden()
    phone.keyboard.press("Enter")
    expect(phone.locator("#choices button").first).to_be_focused()
    for _ in range(3):  # two classes, "none of its classes", and then the field
        phone.keyboard.press("Tab")
    expect(phone.locator("#said")).to_be_focused()
    phone.keyboard.type("../cup")
    phone.keyboard.press("Enter")
    expect(phone.locator("#kept")).to_contain_text("'../cup' cannot be the name of a class's folder")
    phone.locator("#said").fill("cup")
    phone.keyboard.press("Enter")
    expect(phone.locator("#kept")).to_have_text("kept as cup")
    assert said(tmp_path) == ["cup", "owl"]
    assert phone.title() == "edgenet live"  # the label was not run
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_the_days_and_what_has_changed_are_shown(learning: LivePage, phone: Page) -> None:
    phone.goto(learning.address.url())
    expect(phone.locator("#changed")).to_have_text("the share of unknown rose")
    expect(phone.locator("#by-day tr").last).to_have_text("2026-11-294.0 %80.0 %")
