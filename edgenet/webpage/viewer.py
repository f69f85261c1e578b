"""Who opens a page: a browser of this machine, or a phone's."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from device_scripts.conditions import Conditions, look
from device_scripts.facts import device_facts
from edgenet.webpage.latency import NOTHING_SEEN


@dataclass(frozen=True)
class Viewer:
    """A browser, wherever it is.

    Attributes:
        opening: given the page's address once it is served.
        target: as the user gives it.
        facts: what the device is that it runs on, as reports have it; None where only the browser can tell.
        look: how that device fares now.
        check: raises EdgenetError once it cannot be reached any more.
    """

    opening: Callable[[str], None]
    target: str = "browser"
    facts: Callable[[], Mapping[str, Any] | None] = lambda: None
    look: Callable[[], Conditions] = lambda: NOTHING_SEEN
    check: Callable[[], None] = lambda: None


def open_in_browser(url: str) -> None:
    """Opens a page for whoever sits here, and says where it is; BROWSER names another browser, as everywhere."""
    print(f"page: {url}", file=sys.stderr, flush=True)
    # Without a screen Python would start a text browser in this terminal.
    if "BROWSER" in os.environ or sys.platform in ("darwin", "win32") or _has_screen():
        webbrowser.open(url)


def _has_screen() -> bool:
    return "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ


THIS_MACHINE = Viewer(open_in_browser, facts=device_facts, look=look)
