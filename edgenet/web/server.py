"""Serve the page's own files and nothing else, to this machine or to everyone who has the token.

Headers make the page "cross-origin isolated"; otherwise browsers allow WebAssembly no threads.
"""

from __future__ import annotations

import json
import lzma
import queue
import socket
import tarfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from edgenet_device.latency.report import QUICK, Protocol
from edgenet_device.live.page import Address, cookie, is_for_us, may_enter
from edgenet_device.model_file import ModelFile, open_model

from edgenet.errors import EdgenetError
from edgenet.files import make_folder, sha256, write_atomically
from edgenet.tflite.metadata import read_labels

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


# ==== edgenet.webpage.export
# Export the page to a folder that any web server can serve.

_NOTE = """# {name} in the browser

Serve this folder with any web server, over https: browsers allow the camera only on https pages and `http://localhost`.
To try it on this machine, run `python3 -m http.server --bind 127.0.0.1 8000` and open http://127.0.0.1:8000/.

If the server sends these two headers with every file, the network may use several threads; without them it uses one:

{headers}

`.wasm` must be sent as `application/wasm` and `.js` as `text/javascript`. Compress both: they shrink to a third.
The page fetches nothing from elsewhere, and no picture leaves the browser.

The folder `litert` is LiteRT.js, copyright Google LLC, Apache License 2.0.
"""


def export_page(bundle: Path, folder: Path, options: PageOptions) -> tuple[Path, ...]:
    """Write the page for a bundle into a folder, which is created if it does not exist.

    Returns:
        The paths of the files that were written.

    Raises:
        EdgenetError: the model cannot be used, or the folder is not empty or cannot be written.
    """
    site = build_page(bundle, options, takes_reports=False)
    if folder.is_dir() and any(folder.iterdir()):
        raise EdgenetError(f"the folder {folder} is not empty", "give a new or empty folder")
    make_folder(folder)
    make_folder(folder / "litert")
    headers = "\n".join(f"    {name}: {value}" for name, value in ISOLATING.items())
    note = _NOTE.format(name=site.model.path.stem, headers=headers).encode()
    written = {**site.files, "README.md": note}
    for name, data in sorted(written.items()):
        write_atomically(folder / name, data)
    return tuple(folder / name for name in sorted(written))


# ==== edgenet.webpage.site
# Collect all files of the page by name, for the server and for the export.

RUNTIME = "litert.js"
PAGE_PROTOCOL = replace(QUICK, min_seconds=3.0, blocks=1, cold_starts=1)
_KINDS = (".html", ".css", ".js")


@dataclass(frozen=True)
class PageOptions:
    """Options of the page; most are those of camera.py.

    Attributes:
        top: number of labels to show.
        threshold: if the best score is below this, the page says that it shows nothing the network knows.
        half_life_s: half-life of the scores' moving average, seconds.
        threads: number of threads for the network. With None they are all cores except one, which the camera
            and the page need, but at most 4.
        measuring: the protocol for measuring latency; in a browser there are no fresh processes and no
            blocks.
        at_once: measure as soon as the page is open, instead of watching the camera.
    """

    top: int = 5
    threshold: float = 0.3
    half_life_s: float = 0.3
    threads: int | None = None
    measuring: Protocol = PAGE_PROTOCOL
    at_once: bool = False


@dataclass(frozen=True)
class Site:
    """The page of one model; `files` holds the contents of its files by their path within the page."""

    model: ModelFile
    files: dict[str, bytes]


def build_page(bundle: Path, options: PageOptions, takes_reports: bool) -> Site:
    """Return the page for a bundle, or for a .tflite file with labels inside.

    Args:
        bundle: path of the model.
        options: options of the page.
        takes_reports: whether the page's server accepts latency reports.

    Raises:
        EdgenetError: the model cannot be used, or has no labels; the installation is damaged.
    """
    model = open_model(bundle)
    labels = list(model.labels) or read_labels(model.data) or []
    if not labels:
        raise EdgenetError(f"{bundle} has no labels", "pack it with `edgenet package --labels FILE`")
    files = {f"litert/{name}": data for name, data in litert_js().items()}
    for asset in resources.files("edgenet.web").joinpath("assets").iterdir():
        if asset.name.endswith(_KINDS):
            files[asset.name] = asset.read_bytes()
    files["model.tflite"] = model.data
    files["page.json"] = json.dumps(_facts(model, labels, options, takes_reports)).encode()
    return Site(model, files)


def _facts(model: ModelFile, labels: list[str], options: PageOptions, takes_reports: bool) -> dict[str, Any]:
    return {
        "name": (model.manifest or {}).get("name") or model.path.stem,
        "model": {"file": "model.tflite", "sha256": model.sha256},
        "labels": labels,
        "runtime": {"name": RUNTIME, "version": record()["version"]},
        "takes_reports": takes_reports,
        **asdict(options),
    }


# ==== edgenet.webpage.litert_js
# Unpack LiteRT.js, the browser runtime in edgenet: three builds in one archive, with checksums.

_REMEDY = "install edgenet again"


def record() -> dict[str, Any]:
    """Return the version, licence, packages and each file's SHA-256, as written by tools/fetch-litert-js."""
    found: dict[str, Any] = json.loads(_asset("litert-js.json"))
    return found


@cache
def litert_js() -> Mapping[str, bytes]:
    """Return the files by name.

    They are 28 MB, from an archive of 2.6 MB. They are unpacked and checked once per process, which takes a
    third of a second.

    Raises:
        EdgenetError: the installation is damaged.
    """
    try:
        archive = resources.files("edgenet.web").joinpath("assets", "litert-js.tar.xz")
        with archive.open("rb") as packed, tarfile.open(fileobj=packed, mode="r:xz") as members:
            files = {
                one.name: part.read() for one in members if (part := members.extractfile(one)) is not None
            }
    except (OSError, tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise EdgenetError(f"edgenet's copy of LiteRT.js cannot be read ({error})", _REMEDY) from error
    found = {name: sha256(data) for name, data in files.items()}
    if found != record()["sha256"]:
        raise EdgenetError("edgenet's copy of LiteRT.js does not match its checksums", _REMEDY)
    return files


def _asset(name: str) -> bytes:
    return resources.files("edgenet.web").joinpath("assets", name).read_bytes()
