#!/usr/bin/env python3
"""Send a camera's newest picture to whoever reads the output, as JSON lines with JPEGs in base64.

python send_photos.py 0 --every 0.5
"""

from __future__ import annotations

import argparse
import sys
import types
from pathlib import Path

if __name__ == "__main__" and not __package__:  # run as a plain file: make its folder a package (PEP 366)
    _package = types.ModuleType(
        "device_scripts"
    )  # made by hand, for the folder may have any name, even with dots
    _package.__path__ = [str(Path(__file__).resolve().parent)]
    sys.modules["device_scripts"] = _package
    __package__ = "device_scripts"

from .entry import run, seconds


def parser() -> argparse.ArgumentParser:
    """The command line."""
    shape = argparse.ArgumentParser(prog="send_photos.py", description=__doc__.partition("\n")[0])
    add = shape.add_argument
    add("source", metavar="SOURCE", help="camera, video, folder or URL")
    add("--every", metavar="S", type=seconds, default=0.5, help="at most one every S seconds (0.5)")
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (the process's own by default); returns the exit status."""
    given = parser().parse_args(arguments)
    from .live_photos import send  # late: --help is instant, and a missing OpenCV is one line

    return send(given.source, given.every, sys.stdout)


if __name__ == "__main__":
    sys.exit(run(main))
