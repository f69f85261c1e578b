"""Serve the page's own files and nothing else, to this machine or to everyone who has the token.

Headers make the page "cross-origin isolated"; otherwise browsers allow WebAssembly no threads.
"""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from edgenet_device.live.page import Address, cookie, is_for_us, may_enter

from edgenet.errors import EdgenetError

REPORT = "report"
LARGEST_REPORT = 8 << 20  # bytes, enough for a million runs
STALLED_SECONDS = 30.0
ISOLATING = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
_HEADERS = {
    **ISOLATING,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
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
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        server = type("Server", (_Server,), {"address_family": family})
        try:
            self._server = server((address.host, address.port), type("Handler", (_Handler,), {"page": self}))
        except OSError as error:
            raise EdgenetError(
                f"cannot serve at {address.host}:{address.port}: {error.strerror or error}",
                "give another address to serve at",
            ) from None
        self.address = Address(address.host, self._server.server_address[1], address.token)
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    def __enter__(self) -> PageServer:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 32

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a browser that disconnects during a request is not worth a message."""


class _Handler(BaseHTTPRequestHandler):
    page: PageServer
    protocol_version = "HTTP/1.1"  # keeps one connection open for the page's many files
    server_version, sys_version = "edgenet", ""
    timeout = STALLED_SECONDS

    def do_GET(self) -> None:
        """Answer with a file of the page."""
        if self._refused():
            return
        name = urlsplit(self.path).path.removeprefix("/") or "index.html"
        data = self.page.files.get(name)
        if data is None:
            self._answer(404, b"there is nothing here\n")
            return
        self._answer(200, data, _TYPES[PurePosixPath(name).suffix])

    do_HEAD = do_GET  # noqa: N815 (the base class prescribes this name)

    def do_POST(self) -> None:
        """Take a latency report."""
        if self._refused():
            self.close_connection = True
        elif urlsplit(self.path).path != f"/{REPORT}":
            self._answer(404, b"there is nothing here\n")
        else:
            status, words = self._take_report()
            self._answer(status, f"{words}\n".encode())

    def log_message(self, *given: Any) -> None:
        """Print nothing: the terminal is for the measured results."""

    def _take_report(self) -> tuple[int, str]:
        # Pages of other sites cannot send JSON: browsers first ask this server for permission, and get none.
        if self.headers.get_content_type() != "application/json":
            return 415, "send JSON"
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > LARGEST_REPORT:
            self.close_connection = True
            return 413, f"send at most {LARGEST_REPORT} bytes"
        try:
            report = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            return 400, "this is not JSON"
        if not isinstance(report, dict):
            return 400, "this is not a report"
        with suppress(queue.Full):  # a full queue means that nobody reads the reports
            self.page.reports.put_nowait(report)
        return 200, "thank you"

    def _refused(self) -> bool:
        address = self.page.address
        if not is_for_us(address, self.headers.get("Host", "")):
            self._answer(403, b"this page is not served under that name\n")
        elif not may_enter(address.token, self.path, self.headers.get("Cookie", "")):
            self._answer(403, b"open the address with its token, which the program printed\n")
        else:
            return False
        return True

    def _answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        headers = {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}
        token = self.page.address.token
        if token is not None and status == 200:
            headers["Set-Cookie"] = cookie(token)
        with suppress(OSError):  # the browser has disconnected or stalled
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
