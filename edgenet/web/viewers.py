"""The browsers that can open a page: this machine's or a phone's."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from edgenet_device.foreign_text import say
from edgenet_device.latency.conditions import Conditions, device_facts, read_conditions

from edgenet.devices.adb import AdbDevice, open_phone
from edgenet.devices.device import Adb
from edgenet.devices.targets import parse_target
from edgenet.latency.shell_conditions import conditions_there, facts_there

NOTHING_SEEN = Conditions(None, None, None, None, None)
"""Conditions of a device known only through its browser, which reports no clock, temperature or load."""


@dataclass(frozen=True)
class Viewer:
    """A browser on this machine or on a phone.

    Attributes:
        open_page: opens a page; called with its address once the page is served.
        target: the browser's device, as the user gives it.
        facts: returns facts about that device in the form of reports, or None if only the browser knows them.
        conditions: returns that device's conditions now.
        check: raises EdgenetError if the device can no longer be reached.
    """

    open_page: Callable[[str], None]
    target: str = "browser"
    facts: Callable[[], Mapping[str, Any] | None] = lambda: None
    conditions: Callable[[], Conditions] = lambda: NOTHING_SEEN
    check: Callable[[], None] = lambda: None


CAMERA_PORT = 8377
"""The phone's port for the camera page. It is always the same, so that a copy kept there finds newer versions."""


@contextmanager
def open_target_browser(target: str, phone_port: int = 0) -> Iterator[Viewer]:
    """Yield the phone's browser if the target is a phone, else this machine's, for use within the block.

    Args:
        target: the browser's device, as the user gives it.
        phone_port: the port of the phone at which its browser finds the page; 0 for any free one. If another program
            uses the port, any free one is taken.

    Raises:
        EdgenetError: there is no such target, or it cannot be reached.
    """
    where = parse_target(target)
    if not isinstance(where, Adb):
        yield THIS_MACHINE
    else:
        with _phone_browser(where, target, phone_port) as viewer:
            yield viewer


def open_in_browser(url: str) -> None:
    """Print a page's address and open it on this machine, in the browser that BROWSER names if it is set.

    An address with a token is only printed: every user of this machine can read a browser's command line.
    """
    say(f"page: {url}", sys.stderr)
    if urlsplit(url).query:
        return
    # Without a screen, Python would start a text browser in this terminal.
    if "BROWSER" in os.environ or sys.platform in ("darwin", "win32") or _has_screen():
        webbrowser.open(url)


def _has_screen() -> bool:
    return "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ


THIS_MACHINE = Viewer(open_in_browser, facts=device_facts, conditions=read_conditions)


@contextmanager
def _phone_browser(target: Adb, name: str, phone_port: int) -> Iterator[Viewer]:
    """Yield the phone's browser; the phone can reach the pages it opens until the block ends.

    adb forwards the pages from this machine; the phone's activity manager opens them.
    """
    with open_phone(target, name) as phone, ExitStack() as forwards:

        def open_there(url: str) -> None:
            port = urlsplit(url).port
            assert port is not None  # the URL of a page server always has a port
            there = f"http://127.0.0.1:{forwards.enter_context(phone.reverse(port, phone_port))}/"
            say(f"page on {phone.name}: {there}", sys.stderr)
            if reason := _start_browser(phone, there):
                say(f"note: {reason}; open that address in the phone's browser", sys.stderr)

        yield Viewer(
            open_there, name, lambda: facts_there(phone)[0], partial(conditions_there, phone), phone.check
        )


_VIEW = "android.intent.action.VIEW"


def _start_browser(phone: AdbDevice, url: str) -> str | None:
    """Start the phone's browser; return None, or the reason why it could not be started."""
    done = phone.run(["am", "start", "-a", _VIEW, "-d", url])
    # `am` exits with 0 even if no app can open the address; then it prints a line that starts with "Error".
    said = (done.out + done.err).decode(errors="replace").splitlines()
    wrong = [line.strip() for line in said if line.startswith("Error")]
    if done.status == 0 and not wrong:
        return None
    return f"{phone.name} cannot open a page by itself ({wrong[0] if wrong else done.last_line()})"
