#!/usr/bin/env python3
"""Print a camera's newest pictures as JSON lines with JPEGs in base64, for another program to read.

python send_photos.py 0 --every 0.5
"""

from __future__ import annotations

import argparse
import sys

from edgenet_device.entry import run, seconds


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shape = argparse.ArgumentParser(prog="send_photos.py", description=__doc__.partition("\n")[0])
    add = shape.add_argument
    add("source", metavar="SOURCE", help="camera, video, folder or URL")
    add(
        "--every", metavar="S", type=seconds, default=0.5, help="send at most one photo every S seconds (0.5)"
    )
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    given = parser().parse_args(arguments)
    # Imported late, so that --help is instant and a missing OpenCV is reported in one line.
    from edgenet_device.collecting.camera_photos import send

    return send(given.source, given.every, sys.stdout)


if __name__ == "__main__":
    sys.exit(run(main))
