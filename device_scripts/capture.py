#!/usr/bin/env python3
"""Collect training photos of a class from this machine's camera, without blurred photos or near-duplicates.

python capture.py cup my-photos
python capture.py cup my-photos /dev/video0 --every 1 --count 30
"""

from __future__ import annotations

import edgenet_device.ctrl_c  # noqa: F401 (first, as Ctrl-C may interrupt the other imports)

# isort: split
import argparse
import sys
from pathlib import Path

from edgenet_device.entry import add_source, at_least, between, parse_with_source, run, script_parser
from edgenet_device.frames.view import add_view_options, view_of


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shape = script_parser("capture.py", __doc__)
    add = shape.add_argument
    add("label", metavar="LABEL", help="name of the class; its photos go to the folder DIR/LABEL")
    add("data", metavar="DIR", type=Path, help="folder that holds one folder per class")
    add_source(
        shape, "camera (0, csi or /dev/video0), video, folder of photos, or URL of a stream (default: 0)"
    )
    add(
        "--every",
        metavar="S",
        type=between(0, 60),
        help="take a photo every S seconds (default: at each press of space or Enter)",
    )
    add("--count", metavar="N", type=at_least(1), help="stop after N kept photos (default: go on)")
    add_view_options(shape)
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    shape = parser()
    given = parse_with_source(shape, arguments, default="0")
    view = view_of(shape, given)
    # Imported late, so that --help is instant and a missing OpenCV is reported in one line.
    from edgenet_device.collecting.camera_photos import collect_here
    from edgenet_device.collecting.collector import Collector, class_folder

    return collect_here(
        Collector(class_folder(given.data, given.label)), given.source, given.every, given.count, view
    )


if __name__ == "__main__":
    sys.exit(run(main))
