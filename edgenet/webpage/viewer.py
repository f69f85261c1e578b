"""The browsers that can open a page: this machine's or a phone's."""

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
    """A browser on this machine or on a phone.

    Attributes:
        opening: opens a page; called with its address once the page is served.
        target: the browser's device, as the user gives it.
        facts: returns facts about that device in the form of reports, or None if only the browser knows them.
        look: returns that device's conditions now.
        check: raises EdgenetError if the device can no longer be reached.
    """

    opening: Callable[[str], None]
    target: str = "browser"
    facts: Callable[[], Mapping[str, Any] | None] = lambda: None
    look: Callable[[], Conditions] = lambda: NOTHING_SEEN
    check: Callable[[], None] = lambda: None


def open_in_browser(url: str) -> None:
    """Print a page's address and open it on this machine, in the browser that BROWSER names if it is set."""
    print(f"page: {url}", file=sys.stderr, flush=True)
    # Without a screen, Python would start a text browser in this terminal.
    if "BROWSER" in os.environ or sys.platform in ("darwin", "win32") or _has_screen():
        webbrowser.open(url)


def _has_screen() -> bool:
    return "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ


THIS_MACHINE = Viewer(open_in_browser, facts=device_facts, look=look)
