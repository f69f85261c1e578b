"""What the studio's server tells every open page as it happens, as Server-Sent Events (WHATWG HTML, section 9.2).

Events are named: `folder` when photos, runs or bundles have changed, also when another program changed them, and `job`
with the state of a child process. A page that was away gets the current state when it connects again.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

from edgenet_device.foreign_text import json_text

from edgenet.studio_app.places import Places

LOOK_EVERY_S = 1.5
"""Interval at which the folder is compared with what it was."""
_BEAT_S = 15.0
"""A comment is sent so often, so that a connection whose browser is gone ends."""
_MOST_WAITING = 500


class Events:
    """Sends events to all pages that listen; `publish` may be called from any thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: set[asyncio.Queue[str | None]] = set()

    def publish(self, kind: str, value: object) -> None:
        """Send an event with a JSON value to every page that listens."""
        if self._loop is not None:
            with suppress(RuntimeError):  # the server has ended, perhaps just now: nobody listens any more
                text = f"event: {kind}\ndata: {json_text(value)}\n\n"
                self._loop.call_soon_threadsafe(self._hand_out, text)

    def _hand_out(self, text: str | None) -> None:
        for queue in self._waiting:
            if (
                queue.qsize() < _MOST_WAITING
            ):  # a page that reads no more gets the state when it connects again
                queue.put_nowait(text)

    async def follow(self, first: Callable[[], list[tuple[str, object]]]) -> AsyncIterator[str]:
        """Yield the events for one page as text; `first` returns those that a new page gets at once."""
        self._loop = asyncio.get_running_loop()
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._waiting.add(queue)
        try:
            yield "retry: 1000\n\n"
            for kind, value in first():
                yield f"event: {kind}\ndata: {json_text(value)}\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), _BEAT_S)
                except asyncio.TimeoutError:
                    text = ": still here\n\n"
                if text is None:
                    return
                yield text
        finally:
            self._waiting.discard(queue)

    def close(self) -> None:
        """End all connections."""
        self._hand_out(None)


class FolderWatch:
    """Calls a function when photos, runs or bundles changed; use it as a context manager.

    It compares the time stamps of folders, which change with every file that comes, goes or is renamed. That takes no
    service of the operating system and works on network file systems too.
    """

    def __init__(self, places: Places, changed: Callable[[], None]) -> None:
        self._places, self._changed = places, changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> FolderWatch:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        before = self._stamps()
        while not self._stop.wait(LOOK_EVERY_S):
            now = self._stamps()
            if now != before:
                before = now
                self._changed()

    def _stamps(self) -> list[tuple[str, int]]:
        places = self._places
        found: list[tuple[str, int]] = [(str(places.trouble()), 0)]
        for top in (places.photos, places.bin, places.runs, places.bundles):
            for folder, folders, _ in os.walk(top):
                folders[:] = [name for name in folders if not name.startswith(".")]
                found.append((folder, _changed_at(Path(folder))))
        return found


def _changed_at(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
