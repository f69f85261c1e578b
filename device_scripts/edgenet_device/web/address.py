"""The address of a page that we serve, and who may open it.

This machine may open a page under its own names; other machines need a token.
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from edgenet_device.errors import EdgenetError

DEFAULT_PORT = 8080
_COOKIE = "edgenet"
_OWN_NAME = re.compile(
    r"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?", re.IGNORECASE | re.ASCII
)  # ASCII, because some other letters count as "s" or "k" when case is ignored


@dataclass(frozen=True)
class Address:
    """The address that a page is served at.

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
    if text.isascii() and text.isdecimal():
        host, port = "127.0.0.1", text.lstrip("0") or "0"
    else:
        try:
            split = urlsplit(f"//{text}")
            host = split.hostname or "127.0.0.1"
            port = str(DEFAULT_PORT if split.port is None else split.port)
        except ValueError:
            raise EdgenetError(
                f"'{text}' is not an address to serve at", "give PORT, HOST or HOST:PORT"
            ) from None
    if len(port) > 5 or not int(port) < 65536:
        raise EdgenetError(f"there is no port {port:.20}", "give one below 65536")
    return Address(host, int(port), None if _is_loopback(host) else secrets.token_urlsafe(12))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_for_us(address: Address, host: str) -> bool:
    """Return whether a request names a host that this page is served under.

    A page without a token is served only under this machine's own names, because another site's name may be
    made to point to this machine (DNS rebinding).

    Args:
        host: the request's header Host.
    """
    return address.token is not None or bool(_OWN_NAME.fullmatch(host))


def may_enter(token: str | None, query: str, cookies: str) -> bool:
    """Return whether a request carries the token, in its query or in the cookie that the page has set.

    Args:
        token: the page's token; None where every request may enter.
        query: the request's query.
        cookies: the request's header Cookie.
    """
    if token is None:
        return True
    given = parse_qs(query).get("token", [""])[0]
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
