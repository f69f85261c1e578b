"""An empty page in a real Chromium with files beside it, for clients written in JavaScript."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from edgenet_device.web.address import parse_address
from playwright.sync_api import Page, sync_playwright

from edgenet.errors import EdgenetError
from edgenet.web.server import PageServer

# MediaPipe draws with WebGL, which the CPU renders here.
FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--enable-unsafe-swiftshader")
_EMPTY = b"<!doctype html><meta charset=utf-8><title>client</title><body>"


def chromium_program() -> str:
    """Return the path of the system's Chromium.

    Raises:
        EdgenetError: Chromium is not installed.
    """
    programs = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
    program = next(filter(None, map(shutil.which, programs)), None)
    if program is None:
        raise EdgenetError("Chromium is not installed", "install it (Debian: apt install chromium)")
    return program


@contextmanager
def blank_page(files: Mapping[str, bytes]) -> Iterator[Page]:
    """Open a page whose server has these files; the server's headers forbid the page to fetch anything else.

    Raises:
        EdgenetError: Chromium is not installed.
    """
    served = {"index.html": _EMPTY, **files}
    with PageServer(served, parse_address("0")) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_program(), args=list(FLAGS))
        page = browser.new_page()
        page.goto(server.address.url())
        yield page
        browser.close()


def as_rgba(photo: np.ndarray) -> dict[str, Any]:
    """Return a photo, uint8 RGB [H, W, 3], for the page: its width, and opaque RGBA as base64."""
    opaque = np.full((*photo.shape[:2], 1), 255, np.uint8)
    return {
        "width": photo.shape[1],
        "rgba": base64.b64encode(np.dstack([photo, opaque]).tobytes()).decode(),
    }
