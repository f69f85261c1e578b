"""Who may use the studio's server: the same rules as for every page of edgenet, for Starlette.

On this machine's own address, only requests to its own names are answered. On any other address, a request needs the
token, in the address or in the cookie that the first answer sets. Requests that pages of other sites send are refused,
and whatever changes something must come from the studio's own page.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgenet_device.web.address import Address, cookie, is_for_us, may_enter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgenet.web.server import ISOLATING

LARGEST_JSON = 8 << 20
"""Bytes of a request's JSON; 10,000 photos to move take a tenth of it."""
HEADERS = {
    **ISOLATING,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
JSON_TYPE, BYTES_TYPE = "application/json", "application/octet-stream"
UPLOAD = "/api/photos/add"
"""The only path that takes more than JSON; it checks the size itself."""


class Guard:
    """Middleware that refuses requests which are not the studio's own, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp, address: Address) -> None:
        self._app, self._address = app, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # there are no WebSockets here
        query = scope["query_string"].decode("latin-1")
        token, set_cookie = self._address.token, False
        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope), query)
        if refusal is None:
            set_cookie = token is not None and "token=" in query

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-cache")
                if set_cookie and token is not None:
                    headers.append("Set-Cookie", cookie(token))
            await send(message)

        answer = self._app if refusal is None else PlainTextResponse(refusal[1], refusal[0])
        await answer(scope, receive, with_headers)

    def _refusal(self, method: str, path: str, headers: Headers, query: str) -> tuple[int, str] | None:
        """Return the status and the reason with which a request is refused; None for one that is answered."""
        host = headers.get("host", "")
        if not is_for_us(self._address, host):
            return 403, "this page is not served under that name"
        if not may_enter(self._address.token, query, headers.get("cookie", "")):
            return 403, "open the address with its token, which the program printed"
        if _is_from_another_site(method, headers):
            return 403, "other sites may not use this page"
        if method in ("GET", "HEAD"):
            return None
        if method != "POST":
            return 405, "use GET or POST"
        return _post_refusal(path, host, headers)


def _post_refusal(path: str, host: str, headers: Headers) -> tuple[int, str] | None:
    # Pages of other sites cannot send these types: browsers first ask this server for permission, and get none.
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON_TYPE, BYTES_TYPE):
        return 415, "send JSON, or a photo as bytes"
    own = {f"{scheme}://{host}".lower() for scheme in ("http", "https")}
    if headers.get("origin", "").lower() not in own:
        return 403, "only this server's own page may send this"
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdecimal() and len(length) < 16):
        return 411, "send a Content-Length"
    if path != UPLOAD and int(length) > LARGEST_JSON:
        return 413, f"send at most {LARGEST_JSON} bytes"
    return None


def _is_from_another_site(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a page of another site sent the request; a link to our page may stand anywhere."""
    elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
    return elsewhere and (headers.get("sec-fetch-mode") != "navigate" or method != "GET")
