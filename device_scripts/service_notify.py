"""The live camera as a service: tells systemd that it lives, and keeps what it does now in a small file.

The protocol is sd_notify(3): datagrams to the socket that $NOTIFY_SOCKET names. Where there is none (no systemd),
nothing is told.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, Callable

from .entry import write_whole
from .errors import EdgenetError

EVERY_SECONDS = 1.0
"""Between two tellings: often enough for a watchdog of half a minute."""


def notify(message: str) -> None:
    """Sends systemd a message, such as "READY=1"; that nobody listens is no error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


class ServiceState:
    """Writes states to a file, whole each time, and tells systemd with each that the camera's loop goes on.

    Args:
        path: the file, best in a folder in memory such as /run; it says when it was written.
        facts: what does not change, such as the model and the page's address.
        warn: told once if the file cannot be written; the camera goes on.
    """

    def __init__(self, path: Path, facts: dict[str, Any], warn: Callable[[str], None]) -> None:
        self._path = path
        self._state: dict[str, Any] = {**facts, "started": time.time()}
        self._warn: Callable[[str], None] | None = warn
        self._told: float | None = None

    def show(self, state: dict[str, Any], pixels: object) -> None:
        """Takes a state, see `live_outputs`; tells at most one a second."""
        self._state = {**self._state, **state}
        now = time.monotonic()
        if self._told is not None and now - self._told < EVERY_SECONDS:
            return
        # The first one: model, camera and page are there.
        notify("WATCHDOG=1" if self._told is not None else "READY=1")
        self._told = now
        try:
            write_whole(self._path, json.dumps({**self._state, "written": time.time()}).encode())
        except EdgenetError as error:
            if self._warn is not None:
                self._warn(str(error))
            self._warn = None
