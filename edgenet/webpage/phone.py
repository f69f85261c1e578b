"""A page in a phone's own browser: served here, led there by adb, opened by the phone's activity manager."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from urllib.parse import urlsplit

from edgenet.devices.adb import AdbDevice, connected
from edgenet.devices.target import Adb
from edgenet.latency.shell_conditions import facts_there, look_at
from edgenet.webpage.viewer import Viewer

VIEW = "android.intent.action.VIEW"


@contextmanager
def browser_on(target: Adb, name: str) -> Iterator[Viewer]:
    """The phone's browser; within the block the phone reaches the pages that it opens.

    Args:
        target: the phone.
        name: the target as the user gave it.

    Raises:
        EdgenetError: there is no such phone, or it is lost.
    """
    with connected(target, name) as phone, ExitStack() as ways:

        def open_there(url: str) -> None:
            port = urlsplit(url).port
            assert port is not None  # a page's server always states it
            there = f"http://127.0.0.1:{ways.enter_context(phone.reverse(port))}/"
            print(f"page on {phone.name}: {there}", file=sys.stderr, flush=True)
            if reason := _start_browser(phone, there):
                print(
                    f"note: {reason}; open that address in the phone's browser", file=sys.stderr, flush=True
                )

        yield Viewer(open_there, name, lambda: facts_there(phone)[0], partial(look_at, phone), phone.check)


def _start_browser(phone: AdbDevice, url: str) -> str | None:
    """Why no browser was started there; None where one was."""
    done = phone.run(["am", "start", "-a", VIEW, "-d", url])
    # `am` ends with 0 also where no app takes the address, and says so after "Error".
    said = (done.out + done.err).decode(errors="replace").splitlines()
    wrong = [line.strip() for line in said if line.startswith("Error")]
    if done.status == 0 and not wrong:
        return None
    return f"{phone.name} cannot open a page by itself ({wrong[0] if wrong else done.last_words()})"
