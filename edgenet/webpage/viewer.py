"""Who opens a page: a browser of this machine, or a phone's."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass

from edgenet.devices.device import DeviceFacts


@dataclass(frozen=True)
class Viewer:
    """A browser, wherever it is.

    Attributes:
        opening: given the page's address once it is served.
        here: whether it runs on this machine, whose facts and conditions are then those of its reports.
        phone: what the phone is that it runs on; None where it is none, or nobody knows.
        check: raises EdgenetError once it cannot be reached any more.
    """

    opening: Callable[[str], None]
    here: bool = True
    phone: DeviceFacts | None = None
    check: Callable[[], None] = lambda: None


def open_in_browser(url: str) -> None:
    """Opens a page for whoever sits here, and says where it is; BROWSER names another browser, as everywhere."""
    print(f"page: {url}", file=sys.stderr, flush=True)
    # Without a screen Python would start a text browser in this terminal.
    if "BROWSER" in os.environ or sys.platform in ("darwin", "win32") or _has_screen():
        webbrowser.open(url)


def _has_screen() -> bool:
    return "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ


THIS_MACHINE = Viewer(open_in_browser)
