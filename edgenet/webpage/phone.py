"""Open a page in a phone's browser: adb forwards it from here, the phone's activity manager opens it."""

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
    """Yield the phone's browser; the phone can reach the pages it opens until the block ends.

    Args:
        target: the phone.
        name: the target as the user gave it.

    Raises:
        EdgenetError: there is no such phone, or the connection is lost.
    """
    with connected(target, name) as phone, ExitStack() as ways:

        def open_there(url: str) -> None:
            port = urlsplit(url).port
            assert port is not None  # the URL of a page server always has a port
            there = f"http://127.0.0.1:{ways.enter_context(phone.reverse(port))}/"
            print(f"page on {phone.name}: {there}", file=sys.stderr, flush=True)
            if reason := _start_browser(phone, there):
                print(
                    f"note: {reason}; open that address in the phone's browser", file=sys.stderr, flush=True
                )

        yield Viewer(open_there, name, lambda: facts_there(phone)[0], partial(look_at, phone), phone.check)


def _start_browser(phone: AdbDevice, url: str) -> str | None:
    """Start the phone's browser; return None, or the reason why it could not be started."""
    done = phone.run(["am", "start", "-a", VIEW, "-d", url])
    # `am` exits with 0 even if no app can open the address; then it prints a line that starts with "Error".
    said = (done.out + done.err).decode(errors="replace").splitlines()
    wrong = [line.strip() for line in said if line.startswith("Error")]
    if done.status == 0 and not wrong:
        return None
    return f"{phone.name} cannot open a page by itself ({wrong[0] if wrong else done.last_words()})"
