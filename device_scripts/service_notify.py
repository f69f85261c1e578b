"""The live camera as a service: notifies systemd that it is running, and keeps its state in a file.

The protocol is sd_notify(3): datagrams to the socket that $NOTIFY_SOCKET names. Without that variable (no
systemd), nothing is sent.
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
"""Least seconds between two notifications: often enough for a watchdog of half a minute."""


def notify(message: str) -> None:
    """Send systemd a message, such as "READY=1"; it is no error if nothing receives the message."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


class ServiceState:
    """Writes the state to a file, and notifies systemd each time that the camera's loop is still running.

    The file is always complete and holds the time it was written.

    Args:
        path: the file, best in a folder that is kept in memory, such as /run.
        facts: entries that do not change, such as the model and the page's URL.
        warn: called once if the file cannot be written; the camera goes on.
    """

    def __init__(self, path: Path, facts: dict[str, Any], warn: Callable[[str], None]) -> None:
        self._path = path
        self._state: dict[str, Any] = {**facts, "started": time.time()}
        self._warn: Callable[[str], None] | None = warn
        self._told: float | None = None

    def show(self, state: dict[str, Any], pixels: object) -> None:
        """Take a state (see `live_outputs`); write and notify at most once per second."""
        self._state = {**self._state, **state}
        now = time.monotonic()
        if self._told is not None and now - self._told < EVERY_SECONDS:
            return
        # The first state proves that the model, the camera and the page are ready.
        notify("WATCHDOG=1" if self._told is not None else "READY=1")
        self._told = now
        try:
            write_whole(self._path, json.dumps({**self._state, "written": time.time()}).encode())
        except EdgenetError as error:
            if self._warn is not None:
                self._warn(str(error))
            self._warn = None
