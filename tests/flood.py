"""A flood of connections to a web server on this machine: slow ones, reading ones, and ones that send nothing."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from dataclasses import dataclass

SLOW, READING, SILENT = b"GET / HTTP/1.1\r\nX: ", b"GET /picture HTTP/1.1\r\nHost: localhost\r\n\r\n", b""
_EVERY_S = 1.0


@dataclass
class Counts:
    """What became of the flood.

    Attributes:
        opened: connections that were made, again and again where the server closed them.
        closed: connections that the server closed.
    """

    opened: int = 0
    closed: int = 0


class Flood:
    """Keeps the given numbers of connections open; use it as a context manager.

    A slow connection sends one byte of its head each second. A connection that the server closes is opened
    again within a second.

    Attributes:
        counts: what has happened so far.
    """

    def __init__(self, port: int, slow: int = 0, reading: int = 0, silent: int = 0) -> None:
        self.counts = Counts()
        self._port = port
        self._wanted = [SLOW] * slow + [READING] * reading + [SILENT] * silent
        self._links: list[socket.socket | None] = [None] * len(self._wanted)
        self._stop = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="flood")

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stop.set()
        self._thread.join()
        for link in self._links:
            if link is not None:
                link.close()
        self._selector.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            for index, opening in enumerate(self._wanted):
                self._push(index, opening)
            while (left := began + _EVERY_S - time.monotonic()) > 0 and not self._stop.is_set():
                for key, _ in self._selector.select(min(left, 0.1)):
                    self._read(key.data)

    def _push(self, index: int, opening: bytes) -> None:
        link = self._links[index]
        try:
            if link is None:
                link = self._links[index] = socket.create_connection(("127.0.0.1", self._port), timeout=5)
                self.counts.opened += 1
                link.sendall(opening)
                link.setblocking(False)
                self._selector.register(link, selectors.EVENT_READ, index)
            elif opening is SLOW:
                link.send(b"a")
        except BlockingIOError:
            pass
        except OSError:
            self._lose(index)

    def _read(self, index: int) -> None:
        link = self._links[index]
        try:
            if link is not None and not link.recv(1 << 16):
                self._lose(index)
        except BlockingIOError:
            pass
        except OSError:
            self._lose(index)

    def _lose(self, index: int) -> None:
        link, self._links[index] = self._links[index], None
        if link is not None:
            self.counts.closed += 1
            if link.fileno() in self._selector.get_map():
                self._selector.unregister(link)
            link.close()
