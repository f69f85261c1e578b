#!/usr/bin/env python3
"""Collect training photos of a class from this machine's camera, without blurred photos or near-duplicates.

python capture.py cup my-photos
python capture.py cup my-photos /dev/video0 --every 1 --count 30
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgenet_device.entry import at_least, run, seconds


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shape = argparse.ArgumentParser(prog="capture.py", description=__doc__.partition("\n")[0])
    add = shape.add_argument
    add("label", metavar="LABEL", help="name of the class; its photos go to DIR/LABEL")
    add("data", metavar="DIR", type=Path, help="folder that holds one folder per class")
    add("source", metavar="SOURCE", nargs="?", default="0", help="camera, video, folder or URL (default 0)")
    add("--every", metavar="S", type=seconds, help="take a photo every S seconds instead of at a key press")
    add("--count", metavar="N", type=at_least(1), help="stop after N photos")
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    given = parser().parse_args(arguments)
    # Imported late, so that --help is instant and a missing OpenCV is reported in one line.
    from edgenet_device.collecting.camera_photos import collect_here
    from edgenet_device.collecting.collector import Collector, class_folder

    return collect_here(
        Collector(class_folder(given.data, given.label)), given.source, given.every, given.count
    )


if __name__ == "__main__":
    sys.exit(run(main))
