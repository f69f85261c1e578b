"""Serve the page's own files and nothing else, to this machine or to everyone who has the token.

Headers make the page "cross-origin isolated"; otherwise browsers allow WebAssembly no threads.
"""

from __future__ import annotations

import queue
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any

from edgenet_device.foreign_text import read_json
from edgenet_device.web.address import Address
from edgenet_device.web.request import Answer, Limits, Request, plain_answer
from edgenet_device.web.server import Site, WebServer

REPORT = "report"
LARGEST_REPORT = 8 << 20  # bytes, enough for a million runs
_LIMITS = Limits(request_s=30.0, stalled_s=30.0)
ISOLATING = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
_HEADERS = {
    **ISOLATING,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
    ".tflite": "application/octet-stream",
}


class PageServer:
    """A web server for files given by path; use it as a context manager.

    Attributes:
        files: the files' contents by path.
        address: the address where it listens, with the actual port.
        reports: the reports that pages have sent, unchecked.

    Raises:
        EdgenetError: the address is in use or does not belong to this machine.
    """

    def __init__(self, files: Mapping[str, bytes], address: Address) -> None:
        self.files = files
        self.reports: queue.Queue[dict[str, Any]] = queue.Queue(maxsize=64)
        site = Site(self._answer, _HEADERS, bodies={f"/{REPORT}": LARGEST_REPORT})
        self._server = WebServer(address, site, _LIMITS)
        self.address = self._server.address

    def __enter__(self) -> PageServer:
        self._server.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._server.__exit__()

    def next_report(self, seconds: float) -> dict[str, Any] | None:
        """Wait for a report, at most for this many seconds; return None if none has come.

        Raises:
            EdgenetError: the server has failed.
        """
        with suppress(queue.Empty):
            return self.reports.get(timeout=seconds)
        self._server.check()
        return None

    def _answer(self, request: Request) -> Answer:
        if request.method == "POST":
            return self._take_report(request.body)
        name = request.path.removeprefix("/") or "index.html"
        data = self.files.get(name)
        if data is None:
            return plain_answer(404, "there is nothing here")
        return Answer(200, data, _TYPES[PurePosixPath(name).suffix])

    def _take_report(self, body: bytes) -> Answer:
        try:
            report = read_json(body)
        except ValueError:
            return plain_answer(400, "this is not JSON")
        if not isinstance(report, dict):
            return plain_answer(400, "this is not a report")
        with suppress(queue.Full):  # a full queue means that nobody reads the reports
            self.reports.put_nowait(report)
        return plain_answer(200, "thank you")
