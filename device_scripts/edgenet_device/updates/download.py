"""Files over HTTPS: small ones whole, large ones to the disk, where an interrupted download goes on later."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from edgenet_device.errors import EdgenetError
from edgenet_device.events.stored import network_reason, tls_context
from edgenet_device.foreign_text import one_line, printable
from edgenet_device.source_text import shown_source

TIMEOUT_S = 30.0
SPARE_BYTES = 16 << 20
"""Free space that an update leaves on the disk."""
_PIECE = 1 << 16
_SLOWEST = 2048
"""Bytes per second; a slower server would keep a device busy for ever."""


class Site:
    """A folder of files on a web server.

    Args:
        url: the folder's URL, or that of a file in it; https only.
        authority: PEM file of the certificate authority to trust instead of the system's; None for the system's.

    Attributes:
        name: the host, for messages.

    Raises:
        EdgenetError: the URL is none that can be fetched, or the authority's file cannot be used.
    """

    def __init__(self, url: str, authority: Path | None = None) -> None:
        check_url(url)
        self._base = url if url.endswith("/") else f"{url}/"
        self.name = str(urlsplit(url).hostname)
        handlers = [urllib.request.HTTPSHandler(context=tls_context("--ca", authority)), _OnlyHttps()]
        self._opener = urllib.request.build_opener(*handlers)

    def read(self, name: str, most: int) -> bytes:
        """Return a small file.

        Raises:
            EdgenetError: it cannot be fetched, or has more than `most` bytes.
        """
        try:
            with self._open(name) as answer:
                data: bytes = answer.read(most + 1)
        except (OSError, http.client.HTTPException) as error:
            raise self._fault(name, error) from None
        if len(data) > most:
            raise EdgenetError(f"{name} of {self.name} is larger than {most} bytes", "check the URL")
        return data

    def fetch(self, name: str, size: int, sha256: str, path: Path) -> None:
        """Fetch a file to `path`, which is complete and checked afterwards; what an earlier try has fetched is kept.

        Raises:
            EdgenetError: it cannot be fetched, the disk is full, or it is another file than it should be.
        """
        part = path.with_name(f"{sha256}.part")
        have = part.stat().st_size if part.exists() else 0
        if have > size:
            have = 0
        if shutil.disk_usage(path.parent).free < size - have + SPARE_BYTES:
            raise _disk_full(path.parent)
        if have < size:
            self._fetch_rest(name, size, have, part)
        if _sha256(part) != sha256:
            part.unlink()
            raise EdgenetError(
                f"{name} of {self.name} is another file than its index says", "publish it again"
            )
        os.replace(part, path)

    def _fetch_rest(self, name: str, size: int, have: int, part: Path) -> None:
        deadline = time.monotonic() + TIMEOUT_S + (size - have) / _SLOWEST
        try:
            with self._open(name, have) as answer:
                goes_on = have > 0 and answer.status == 206
                with part.open("ab" if goes_on else "wb") as file:
                    left = size - (have if goes_on else 0)
                    while left and (piece := answer.read(min(_PIECE, left))):
                        file.write(piece)
                        left -= len(piece)
                        if time.monotonic() > deadline:
                            raise TimeoutError("it is too slow")
                    file.flush()
                    os.fsync(file.fileno())
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                with suppress(OSError):
                    part.unlink()
                raise _disk_full(part.parent) from None
            raise self._fault(name, error) from None
        if left:
            raise EdgenetError(
                f"{self.name} ended the connection after {size - left:,} of {size:,} bytes",
                "the next run goes on from there",
            )

    def _open(self, name: str, start: int = 0) -> Any:
        request = urllib.request.Request(urljoin(self._base, name), headers={"User-Agent": "edgenet"})
        if start:
            request.add_header("Range", f"bytes={start}-")
        return self._opener.open(request, timeout=TIMEOUT_S)

    def _fault(self, name: str, error: Exception) -> EdgenetError:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            return EdgenetError(f"{self.name} answers {error.code} for {name}", "check the URL")
        reason = network_reason(error)
        remedy = "the next run tries again"
        if "clock is not set" in reason:
            remedy = "set the clock: sudo timedatectl set-ntp true, or sudo date -s 'YYYY-MM-DD HH:MM'"
        return EdgenetError(f"{self.name} cannot be used: {reason}", remedy)


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but none to an address without HTTPS."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl).scheme != "https":
            raise urllib.error.HTTPError(newurl, code, "it leads to an address without https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def check_url(url: str) -> None:
    """Check that updates can be fetched from a URL: https, without a user, a password or a query.

    Raises:
        EdgenetError: they cannot.
    """
    try:
        parts = urlsplit(url)
        plain = parts.username is None and not parts.query and not parts.fragment
        sound = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and plain
    except ValueError:
        sound = False
    if not sound or printable(url) != url or " " in url or not url.isascii():
        raise EdgenetError(
            f"{one_line(shown_source(url))} is not the address of a folder of updates",
            "give https://HOST/FOLDER",
        )


def _disk_full(folder: Path) -> EdgenetError:
    return EdgenetError(
        f"there is no room for the update in {folder}; what runs now goes on",
        "free some space on this device",
    )


def _sha256(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()
