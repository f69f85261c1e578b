"""Downloads one file over HTTP: it goes on where it stopped, and keeps nothing that cannot be the file."""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from edgenet_device.foreign_text import is_number

from edgenet.errors import EdgenetError
from edgenet.progress import StageProgress

TRIES = 4
"""How often a download that stops is continued, if each try brings something."""
PAUSE_S = 1.0
"""Seconds before a stopped download is continued."""
MOST_BYTES = 1 << 30
"""No file of weights is larger, so a server that sends more sends something else."""
_TIMEOUT_S = 30
_CHUNK = 1 << 18


@dataclass(frozen=True)
class Download:
    """What to download.

    Attributes:
        url: the address.
        size: the file's size in bytes; None if it is not known before the server says it.
        remedy: what the user can do if it fails, for error messages.
    """

    url: str
    size: int | None
    remedy: str


class _StoppedError(Exception):
    """The connection ended before the file did."""


def download_into(download: Download, partial: Path, progress: StageProgress | None = None) -> None:
    """Download a file to `partial`, which may hold its beginning.

    If the connection ends early, the rest is requested (HTTP Range), up to `TRIES` times. The caller checks what was
    received, and removes it if it is wrong or if this raises an error.

    Args:
        download: what to download.
        partial: the file to write or to continue.
        progress: called with the number of bytes on disk and the number of all bytes.

    Raises:
        EdgenetError: there is no network, the server does not have the file or sends a web page, the transfer stopped
            for good.
        OSError: the file cannot be written.
    """
    for _ in range(TRIES):
        before = _size_of(partial)
        try:
            return _continue(download, partial, progress)
        except _StoppedError as stopped:
            if _size_of(partial) <= before:
                raise EdgenetError(
                    f"{stopped}; nothing was kept", f"try again, or {download.remedy}"
                ) from None
            last = stopped
        time.sleep(PAUSE_S)
    raise EdgenetError(f"{last}; nothing was kept", f"try again, or {download.remedy}")


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _continue(download: Download, partial: Path, progress: StageProgress | None) -> None:
    """Request what `partial` lacks, and append it."""
    have = _size_of(partial)
    if download.size is not None and have >= download.size:
        have = 0  # too much cannot be a beginning
    with _request(download, have) as response:
        _refuse_page(download, response)
        total, have = _totals(response, have, download)
        done = _append(response, download, partial, have, total, progress)
    if total is not None and done != total:
        amount = f"only {done}" if done < total else f"more than {total}"
        found = f"{download.url} sent {amount} of {total} bytes"
        if done < total:
            raise _StoppedError(found)
        raise EdgenetError(f"{found}; nothing was kept", f"try again, or {download.remedy}")


def _request(download: Download, have: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "edgenet", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        return urllib.request.urlopen(
            urllib.request.Request(download.url, headers=headers), timeout=_TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and have:  # the beginning is not of this file
            return _request(download, 0)
        if 300 <= error.code < 400:
            found = f"the redirects of {download.url} lead to no file (it answered {error.code})"
        else:
            found = f"{download.url} answered {error.code} {error.reason}"
        raise EdgenetError(found, download.remedy) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(download, error) from error


def _refuse_page(download: Download, response: http.client.HTTPResponse) -> None:
    """Raise an error if a web page comes, as from a proxy or from a network that wants a login first."""
    if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise EdgenetError(
            f"{download.url} sent a web page instead of the file; nothing was kept",
            f"check whether a proxy or a login page is in the way, or {download.remedy}",
        )


def _totals(response: http.client.HTTPResponse, have: int, download: Download) -> tuple[int | None, int]:
    """Return the size of the whole file, if it is known, and how many bytes of what we have still count."""
    length = response.headers.get("Content-Length")
    parts = re.fullmatch(r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)", response.headers.get("Content-Range") or "")
    if response.status == 206 and parts is not None and int(parts[1]) == have:
        stated = None if parts[2] == "*" else int(parts[2])
    else:  # the server sends everything again
        have, stated = 0, int(length or "") if is_number(length or "") else None
    return download.size if download.size is not None else stated, have


def _append(
    response: http.client.HTTPResponse,
    download: Download,
    partial: Path,
    have: int,
    total: int | None,
    progress: StageProgress | None,
) -> int:
    """Write the response behind the first `have` bytes, and return the size of the file."""
    with partial.open("r+b" if partial.exists() else "w+b") as output:
        output.truncate(have)
        output.seek(have)
        return _copy(response, output, download, total, progress)


def _copy(
    response: http.client.HTTPResponse,
    output: IO[bytes],
    download: Download,
    total: int | None,
    progress: StageProgress | None,
) -> int:
    done = output.tell()
    while chunk := _receive(response, download):
        output.write(chunk)
        done += len(chunk)
        if progress:
            progress(done, total or done)
        if done > (total or MOST_BYTES):
            break
    output.flush()
    return done


def _receive(response: http.client.HTTPResponse, download: Download) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _StoppedError(f"{download.url} could not be downloaded ({error})") from error


def _unreachable(download: Download, error: Exception) -> EdgenetError:
    reason = getattr(error, "reason", None) or error
    return EdgenetError(f"{download.url} could not be downloaded ({reason})", download.remedy)
