"""The live page: a small web server with the camera's picture and the network's labels for it.

It serves three paths: `/` is the page; `/picture` is an endless response with the frames as JPEGs
(multipart/x-mixed-replace); `/events` sends the states as server-sent events. A browser that reads slowly
misses frames and delays no other browser; a browser that stalls is disconnected. This machine may open the page
under its own names; other machines need a token.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Callable
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError

PAGE = Path(__file__).with_name("page.html")
STALLED_SECONDS = 10.0
"""A browser that reads nothing for this long is disconnected."""
MOST_BROWSERS = 64
DEFAULT_PORT = 8080
QUALITY = 80
_BOUNDARY = "frame"
_COOKIE = "edgenet"
_OWN_NAME = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?", re.IGNORECASE)
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Address:
    """The address that the page is served at.

    Attributes:
        token: the secret that a browser must send; None where only this machine can reach the page.
    """

    host: str
    port: int
    token: str | None

    def url(self) -> str:
        """Return the URL to open, with the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/" + (f"?token={self.token}" if self.token else "")


def parse_address(text: str) -> Address:
    """Parse PORT, HOST or HOST:PORT (IPv6 in brackets); an address that others can reach gets a new token.

    Raises:
        EdgenetError: the text is not such an address.
    """
    if text.isdigit():
        host, port = "127.0.0.1", text
    else:
        split = urlsplit(f"//{text}")
        try:
            host, port = split.hostname or "127.0.0.1", str(split.port or DEFAULT_PORT)
        except ValueError:
            raise EdgenetError(
                f"'{text}' is not an address to serve at", "give PORT, HOST or HOST:PORT"
            ) from None
    if not int(port) < 65536:
        raise EdgenetError(f"there is no port {port}", "give one below 65536")
    return Address(host, int(port), None if _is_loopback(host) else secrets.token_urlsafe(12))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class LivePage:
    """The server; use it as a context manager and call `show` for every frame.

    Raises:
        EdgenetError: the address is in use or does not belong to this machine.
    """

    def __init__(self, address: Address) -> None:
        self._changed = threading.Condition()
        self._number = 0
        self._state: dict[str, Any] = {}
        self._frame: np.ndarray | None = None
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._pictures = 0
        self._encoding = threading.Lock()
        self.open = True
        handler = type("Handler", (_Handler,), {"page": self})
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        server = type("Server", (_Server,), {"address_family": family})
        try:
            self._server = server((address.host, address.port), handler)
        except OSError as error:
            raise EdgenetError(
                f"cannot serve at {address.host}:{address.port}: {error.strerror or error}",
                "give another --serve HOST:PORT",
            ) from None
        self.address = Address(address.host, self._server.server_address[1], address.token)
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    def __enter__(self) -> LivePage:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        with self._changed:
            self.open = False
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def show(self, state: dict[str, Any], pixels: np.ndarray | None) -> None:
        """Show a frame to every connected browser.

        Args:
            state: the frame's state in JSON's types.
            pixels: uint8 BGR [H,W,3], copied only while a browser shows pictures; None where only the state
                is new.
        """
        with self._changed:
            self._number += 1
            self._state = state
            if pixels is not None and self._pictures:
                self._frame = pixels.copy()
            self._changed.notify_all()

    def wait(self, number: int | None) -> int | None:
        """Wait for a frame whose number differs from `number` and return that; None when the page closes."""
        with self._changed:
            while self.open and self._number == number:
                self._changed.wait(1.0)
            return self._number if self.open else None

    def state(self) -> dict[str, Any]:
        """Return the state that was shown last."""
        with self._changed:
            return self._state

    def jpeg(self) -> bytes | None:
        """Return the latest picture as JPEG, encoded once for all browsers; None before there is one."""
        with self._encoding:
            with self._changed:
                number, frame = self._number, self._frame
            if frame is None:
                return None
            if self._jpeg[0] != number:
                _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
                self._jpeg = (number, data.tobytes())
            return self._jpeg[1]

    def count_viewers(self, browsers: int) -> None:
        """Count one browser more (1) or fewer (-1) that receives pictures."""
        with self._changed:
            self._pictures += browsers


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 32

    def __init__(self, *given: Any) -> None:
        self.free = threading.BoundedSemaphore(MOST_BROWSERS)
        super().__init__(*given)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a browser may disconnect at any time."""


class _Handler(BaseHTTPRequestHandler):
    page: LivePage
    server: _Server
    server_version, sys_version = "edgenet", ""
    timeout = STALLED_SECONDS

    def do_GET(self) -> None:
        """Answer a browser's request, or refuse it with a reason."""
        path = urlsplit(self.path).path
        answers: dict[str, Callable[[], None]] = {
            "/": self._page,
            "/picture": self._picture,
            "/events": self._events,
        }
        if not is_for_us(self.page.address, self.headers.get("Host", "")):
            self._refuse(403, "this page is not served under that name")
        elif not self._may_enter():
            self._refuse(403, "open the address with its token, which the program printed")
        elif path not in answers:
            self._refuse(404, "there is nothing here")
        elif not self.server.free.acquire(blocking=False):
            self._refuse(503, "too many browsers are connected already")
        else:
            try:
                with suppress(OSError):  # the browser disconnected or stalled
                    answers[path]()
            finally:
                self.server.free.release()

    def log_message(self, *given: Any) -> None:
        """Print nothing: the terminal is for what the camera sees."""

    def _may_enter(self) -> bool:
        return may_enter(self.page.address.token, self.path, self.headers.get("Cookie", ""))

    def _begin(self, status: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**_SECURITY, "Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: int, why: str) -> None:
        body = f"{why}\n".encode()
        with suppress(OSError):
            self._begin(status, "text/plain; charset=utf-8", {"Content-Length": str(len(body))})
            self.wfile.write(body)

    def _page(self) -> None:
        body = PAGE.read_bytes()
        headers = {"Content-Length": str(len(body))}
        if self.page.address.token is not None:
            # The page requests the picture and the events without the token in their URLs.
            headers["Set-Cookie"] = cookie(self.page.address.token)
        self._begin(200, "text/html; charset=utf-8", headers)
        self.wfile.write(body)

    def _picture(self) -> None:
        self._begin(200, f"multipart/x-mixed-replace; boundary={_BOUNDARY}", {})
        self.page.count_viewers(1)
        try:
            number: int | None = 0
            self.wfile.write(f"--{_BOUNDARY}\r\n".encode())
            while (number := self.page.wait(number)) is not None:
                jpeg = self.page.jpeg()
                if jpeg is not None:
                    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    # The next boundary follows at once: Chromium shows a picture only after it has seen its
                    # end.
                    self.wfile.write(head.encode() + jpeg + f"\r\n--{_BOUNDARY}\r\n".encode())
        finally:
            self.page.count_viewers(-1)

    def _events(self) -> None:
        """Send the states, at most ten per second: eyes need no more, and it spares a phone's battery."""
        self._begin(200, "text/event-stream", {})
        number: int | None = 0
        while (number := self.page.wait(number)) is not None:
            self.wfile.write(f"data: {json.dumps(self.page.state())}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.1)


def is_for_us(address: Address, host: str) -> bool:
    """Return whether a request names a host that this page is served under.

    A page without a token is served only under this machine's own names, because another site's name may be
    made to point to this machine (DNS rebinding).

    Args:
        host: the request's header Host.
    """
    return address.token is not None or bool(_OWN_NAME.fullmatch(host))


def may_enter(token: str | None, path: str, cookies: str) -> bool:
    """Return whether a request carries the token, in its path or in the cookie that the page has set.

    Args:
        token: the page's token; None where every request may enter.
        path: the request's path with its query.
        cookies: the request's header Cookie.
    """
    if token is None:
        return True
    given = parse_qs(urlsplit(path).query).get("token", [""])[0]
    return any(hmac.compare_digest(text.encode(), token.encode()) for text in (given, _cookie(cookies)))


def cookie(token: str) -> str:
    """Return the header Set-Cookie: with it, the page's own requests need no token in their URLs."""
    return f"{_COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(_COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
