#!/usr/bin/env python3
"""Print a camera's newest pictures as JSON lines with JPEGs in base64, for another program to read.

python -m edgenet_device.collecting.send_photos 0 --every 0.5
"""

from __future__ import annotations

import argparse
import sys

from edgenet_device.entry import between, run, script_parser


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shape = script_parser("send_photos.py", __doc__)
    add = shape.add_argument
    add("source", metavar="SOURCE", help="camera, video, folder of photos, or URL of a stream")
    add(
        "--every",
        metavar="S",
        type=between(0, 60),
        default=0.5,
        help="send at most one photo every S seconds (default: 0.5)",
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
