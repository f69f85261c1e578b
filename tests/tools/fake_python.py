"""A Python whose pip installs nothing, an index of PyTorch builds, and machines of any kind, to test the setup."""

from __future__ import annotations

import os
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = f"{sys.version_info.major}{sys.version_info.minor}"
CUDA_REPORT = '{"install": [{"metadata": {"name": "torch", "requires_dist": ["nvidia-cudnn-cu13==9.20"]}}]}'
CPU_REPORT = '{"install": [{"metadata": {"name": "torch", "requires_dist": ["filelock"]}}]}'

# `venv` makes a folder that looks like an environment, with this script as its Python. `pip install` writes its
# arguments to $PIP_LOG; it fails if they contain $PIP_FAILS, and takes a minute if they contain $PIP_HANGS.
PYTHON = f"""#!/bin/sh
here=$(dirname "$0")
case "$1 $2" in
"-m venv")
    for place; do :; done
    mkdir -p "$place/bin" && cp "$0" "$place/bin/python"
    echo "$place" | tee "$place/bin/activate" >"$place/pyvenv.cfg"
    exit ;;
"-m pip")
    shift 2
    case $* in
    *"cache dir"*) echo /home/somebody/pip-cache; exit ;;
    *--dry-run*) printf '%s' "$PIP_REPORT"; exit ;;
    esac
    echo "$@" >>"$PIP_LOG"
    if [ -n "$PIP_HANGS" ]; then case $* in *"$PIP_HANGS"*) exec sleep 60 ;; esac; fi
    if [ -n "$PIP_FAILS" ]; then case $* in *"$PIP_FAILS"*) echo 'no network'; exit 1 ;; esac; fi
    case $* in
    *" torch") touch "$here/torch-is-there" ;;
    *" -e "*) touch "$here/edgenet" && chmod +x "$here/edgenet" ;;
    esac
    exit ;;
"-c import cv2") exit ;;
esac
case $2 in *'version("torch")'*) test -e "$here/torch-is-there"; exit ;; esac
exec {shlex.quote(sys.executable)} "$@"
"""


def write_program(path: Path, text: str) -> None:
    """Write an executable file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def machine(
    folder: Path, system: str = "Linux", processor: str = "x86_64", gpu: bool = False
) -> dict[str, str]:
    """Return environment variables of such a machine, with its programs in `folder`; its pip knows no CUDA build."""
    write_program(folder / "python", PYTHON)
    write_program(
        folder / "uname", f"#!/bin/sh\ncase $1 in -m) echo {processor} ;; *) echo {system} ;; esac\n"
    )
    write_program(folder / "nvidia-smi", f"#!/bin/sh\nexit {0 if gpu else 9}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed_port = free.getsockname()[1]
    return {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHON": str(folder / "python"),
        "FOLDER": ".venv",
        "TORCH_ARGS": "",
        "TORCH_INDEX": f"http://127.0.0.1:{closed_port}/whl/cpu",
        "NVIDIA_DRIVER": str(folder / "no-driver"),
        "PIP_LOG": str(folder / "pip.log"),
        "PIP_REPORT": CPU_REPORT,
        "PIP_FAILS": "",
        "PIP_HANGS": "",
        "no_proxy": "127.0.0.1",
    }


@contextmanager
def torch_index(wheel: str) -> Iterator[str]:
    """Serve an index that lists only this wheel of PyTorch; yield its address."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/whl/cpu/torch/"
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(f'<a href="/whl/cpu/{wheel}#sha256=0">{wheel}</a>'.encode() if found else b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/whl/cpu"
        server.shutdown()
