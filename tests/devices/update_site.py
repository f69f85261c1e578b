"""A folder of updates on a real HTTPS server of this machine."""

from __future__ import annotations

import functools
import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Files(http.server.SimpleHTTPRequestHandler):
    """Hands out a folder, with ranges; `cut` is the number of bytes after which a bundle's connection ends."""

    cut = 0
    asked: list[str | None] = []  # noqa: RUF012 (each test makes a class of its own)

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data, range_ = path.read_bytes(), self.headers["Range"]
        if path.suffix == ".edgenet":
            self.asked.append(range_)
        start = int(range_.partition("=")[2].rstrip("-")) if range_ else 0
        self.send_response(206 if range_ else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if path.suffix == ".edgenet" and self.cut and not range_:
            data = data[: self.cut]
            self.close_connection = True
        self.wfile.write(data[start:])

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def serving(
    folder: Path,
    certificate: Path,
    handler: type[http.server.SimpleHTTPRequestHandler] = Files,
    address: str = "127.0.0.1",
) -> Iterator[int]:
    """Hand out a folder at an address of this machine for the duration of the block; yield the port."""
    folder.mkdir(exist_ok=True)
    server = http.server.ThreadingHTTPServer((address, 0), functools.partial(handler, directory=str(folder)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
