"""Who may use the studio's server, and the certificate with which it is served to other machines.

The rules are the same as for every page of edgenet. On this machine's own address, only requests to its own names are
answered. On any other address, a request needs the token, in the address or in the cookie that the first answer sets.
Requests that pages of other sites send are refused; whatever changes something must come from the studio's own page.

Other machines are served by https, because browsers allow the camera only there. Nobody vouches for the certificate, so
a browser warns once. It is made for the folder and kept there, so that the browser, which was told to trust it, meets
the same one again.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from edgenet_device.web.address import Address, cookie, is_for_us, may_enter
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgenet.files import write_atomically
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
_CERTIFICATE, _KEY = ".studio-certificate.pem", ".studio-key.pem"
_DAYS = 365  # browsers refuse certificates for much longer than a year


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


def self_signed(folder: Path, host: str) -> tuple[str, str]:
    """Return the files of a certificate and of its key; they are made if they are missing, too old or for another host.

    Args:
        folder: where they are kept; only this user may read the key.
        host: the address that the page is served at.

    Raises:
        EdgenetError: they cannot be written.
    """
    certificate, key = folder / _CERTIFICATE, folder / _KEY
    if not (key.is_file() and _fits(certificate, host)):
        secret = ec.generate_private_key(ec.SECP256R1())
        write_atomically(key, _pem(secret), private=True)
        write_atomically(certificate, _certificate(secret, host).public_bytes(serialization.Encoding.PEM))
    return str(certificate), str(key)


def _pem(secret: ec.EllipticCurvePrivateKey) -> bytes:
    return secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(secret: ec.EllipticCurvePrivateKey, host: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgenet studio")])
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return builder.sign(secret, hashes.SHA256())


def reachable_host(host: str) -> str:
    """Return the address under which other machines reach a page; of one that is served at all addresses, the usual."""
    if host not in ("0.0.0.0", "::"):
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(
                ("192.0.2.1", 9)
            )  # nothing is sent: the system only says which of its addresses it would use
            return str(probe.getsockname()[0])
        except OSError:  # there is no network
            return socket.gethostname()


def _names(host: str) -> list[x509.GeneralName]:
    return [_name(one) for one in dict.fromkeys((reachable_host(host), socket.gethostname()))]


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _fits(path: Path, host: str) -> bool:
    """Return whether a certificate is for the host, and valid for another week at least."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return all(name in names for name in _names(host)) and found.not_valid_after_utc > datetime.now(
        timezone.utc
    ) + timedelta(days=7)
