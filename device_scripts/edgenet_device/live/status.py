"""The live camera's status: the device's health, what is wrong now, and what a service reports of it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any, Callable

from edgenet_device.errors import EdgenetError, WatchedThread
from edgenet_device.events.event import time_text
from edgenet_device.foreign_text import json_text
from edgenet_device.frames import Note
from edgenet_device.frames.source import BACK
from edgenet_device.latency.conditions import read_conditions
from edgenet_device.output_files import write_atomically

HEALTH_SECONDS = 2.0
"""Seconds between two readings of temperature and throttling; on a Pi each reading starts a process."""
MOST_REMARKS = 100
"""Remarks of other threads that may wait; the oldest are dropped."""
SERVICE_SECONDS = 1.0
"""Least seconds between two notifications: often enough for a watchdog of half a minute."""


class Health:
    """The device's temperature and throttling, read every HEALTH_SECONDS in a separate thread.

    Attributes:
        temperature: temperature of the hottest sensor, degrees Celsius; None where the device reports none.
        warnings: what throttles the device now, such as "under-voltage".
    """

    def __init__(self) -> None:
        self.temperature: float | None = None
        self.warnings: tuple[str, ...] = ()
        self._stop = threading.Event()
        self._thread = WatchedThread("the thread that reads the device's health", self._run)

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stop.set()

    def check(self) -> None:
        """Raise an error if the readings have ended.

        Raises:
            EdgenetError: the thread that reads has failed; the message says why.
        """
        self._thread.check()

    def _run(self) -> None:
        while True:
            seen = read_conditions()
            self.temperature = max((seen.temperatures_celsius or {}).values(), default=None)
            self.warnings = tuple((seen.throttling or {}).get("now", ()))
            if self._stop.wait(HEALTH_SECONDS):
                return


class LiveStatus:
    """Collects what is wrong now, for every output.

    Args:
        health: the device's temperature and throttling.
        note: called with each remark, once.

    Attributes:
        more: lasting warnings, beside those of the device's health.
    """

    def __init__(self, health: Health, note: Note) -> None:
        self._health = health
        self._note = note
        self._lost: str | None = None
        self._troubles: dict[str, str] = {}
        self._changing = threading.Lock()
        self._remarks: deque[str] = deque(maxlen=MOST_REMARKS)
        self.more: list[str] = []

    @property
    def lost(self) -> str | None:
        """Why the camera fails; None while it works."""
        return self._lost

    @property
    def throttled_by(self) -> tuple[str, ...]:
        """What throttles the device now, such as "under-voltage"."""
        return self._health.warnings

    def note(self, message: str) -> None:
        """Take a remark of the camera: it failed, or it is back."""
        self._lost = None if message == BACK else message
        self._note(message)

    def warn(self, message: str) -> None:
        """Add a warning that stays."""
        self.more.append(message)
        self._note(message)

    def trouble(self, part: str, reason: str | None) -> None:
        """Take what is wrong with a part now, as a warning until the part works again; None: it does.

        Any thread may call this. The remark is passed on at the next `state` or `pass_on_remarks`.
        """
        with self._changing:
            # A new dictionary: the thread of the frames may be reading the old one.
            others = {name: why for name, why in self._troubles.items() if name != part}
            self._troubles = others if reason is None else {**others, part: f"{part}: {reason}"}
        self._remarks.append(f"{part}: {reason or 'works again'}")

    def pass_on_remarks(self) -> None:
        """Pass on what other threads remarked: a thread of theirs could print it while stderr is turned away."""
        while self._remarks:
            self._note(self._remarks.popleft())

    def state(self) -> dict[str, Any]:
        """Return `temperature` (degrees Celsius or None), `warnings`, `lost` (why no frame comes), and two times.

        `time` is the wall clock's, as text; `monotonic_s` is that of `time.monotonic`, which nobody sets.

        Raises:
            EdgenetError: the thread that reads the device's health has failed.
        """
        self._health.check()
        self.pass_on_remarks()
        return {
            "temperature": self._health.temperature,
            "warnings": [*self._health.warnings, *self.more, *self._troubles.values()],
            "lost": self._lost,
            "time": time_text(time.time()),
            "monotonic_s": round(time.monotonic(), 3),
        }

    def silence(self, seconds: float) -> dict[str, Any]:
        """Return the state to show when no frame has come for this many seconds."""
        state = self.state()
        lost = state["lost"] or f"no frame for {seconds:.0f} s"
        return {"type": "silent", **state, "lost": lost, "silent_s": round(seconds, 1)}


class ServiceState:
    """Writes the state to a file, and notifies systemd each time that the camera's loop is still running.

    The file is always complete and holds the time it was written. Only this user may read it, because the page's URL
    in it holds the page's token.

    Args:
        path: the file, best in a folder that is kept in memory, such as /run.
        facts: entries that do not change, such as the model and the page's URL.
        warn: called once if the file cannot be written; the camera goes on.
    """

    def __init__(self, path: Path, facts: dict[str, Any], warn: Callable[[str], None]) -> None:
        self._path = path
        self._state: dict[str, Any] = {**facts, "started": time.time()}
        self._warn: Callable[[str], None] | None = warn
        self._notified: float | None = None

    def show(self, state: dict[str, Any], pixels: object) -> None:
        """Take a state of the live camera; write and notify at most once per second."""
        self._state = {**self._state, **state}
        now = time.monotonic()
        if self._notified is not None and now - self._notified < SERVICE_SECONDS:
            return
        # The first state proves that the model, the camera and the page are ready.
        notify("WATCHDOG=1" if self._notified is not None else "READY=1")
        self._notified = now
        try:
            told = json_text({**self._state, "written": time.time()})
            write_atomically(self._path, told.encode(), private=True)
        except EdgenetError as error:
            if self._warn is not None:
                self._warn(str(error))
            self._warn = None


def notify(message: str) -> None:
    """Send systemd a message, such as "READY=1"; it is no error if nothing receives the message.

    The protocol is sd_notify(3): datagrams to the socket that $NOTIFY_SOCKET names. Without that variable (no
    systemd), nothing is sent.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
