"""Wheels made on the spot, and a package index on the loopback interface that serves them to pip."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def make_wheel(folder: Path, name: str, version: str, content: str, needs: str | None = None) -> Path:
    """Write a wheel with one module of this content (PEP 427), which needs another package; return its path."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": content,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_record_hash(text)},{len(text)}\n" for path, text in files.items())
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name_in_it, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(name_in_it, text)
    return path


def _record_hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@contextmanager
def package_index(folder: Path, wheels: list[Path], states_hashes: bool = True) -> Iterator[dict[str, str]]:
    """Serve an index (PEP 503) of these wheels; yield the environment variables that make pip use nothing else."""
    for wheel in wheels:
        project = folder / "simple" / wheel.name.partition("-")[0].replace("_", "-")
        project.mkdir(parents=True, exist_ok=True)
        (project / wheel.name).write_bytes(wheel.read_bytes())
        digest = f"#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}" if states_hashes else ""
        (project / "index.html").write_text(f'<a href="{wheel.name}{digest}">{wheel.name}</a>')
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield {
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_INDEX_URL": f"http://127.0.0.1:{server.server_port}/simple",
                "PIP_FIND_LINKS": "",
                "PIP_EXTRA_INDEX_URL": "",
                "PIP_NO_CACHE_DIR": "1",
                "PIP_RETRIES": "0",
                "no_proxy": "127.0.0.1",
            }
        finally:
            server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
