"""The live page of camera.py as a real browser shows it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from device_scripts.live_page import LivePage
from device_scripts.page_access import parse_address

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


@pytest.fixture
def showing(served: LivePage) -> Iterator[None]:
    """Frames come, thirty a second."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(1 / 30):
            served.show(STATE, FRAME)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.fixture
def phone(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport=PHONE, device_scale_factor=2, is_mobile=True, has_touch=True)
    yield context.new_page()
    context.close()


def test_labels_are_text_and_the_picture_comes(served: LivePage, phone: Page, showing: None) -> None:
    phone.goto(served.address.url())
    expect(phone.locator("#answer")).to_have_text(STATE["label"])
    expect(phone.locator(".row .name span").first).to_have_text(STATE["label"])
    assert phone.title() == "edgenet live"  # the label was not run
    expect(phone.locator("#picture")).to_have_js_property("naturalWidth", 64)
