#!/usr/bin/env python3
"""Classify a photo, a folder of photos, a video or a camera's frames.

python classify.py mobilenet.edgenet photo.jpg
python classify.py mobilenet.tflite 0 --frames 100 --contact-sheet seen.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgenet_device.entry import at_least, run, usable_cpus


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    threads = min(4, len(usable_cpus()))
    shape = argparse.ArgumentParser(prog="classify.py", description=__doc__.partition("\n")[0])
    shape.add_argument("model", metavar="MODEL", type=Path, help=".tflite file or .edgenet bundle")
    shape.add_argument("source", metavar="SOURCE", help="photo, folder, video, or camera (0 or /dev/video0)")
    shape.add_argument("--top", metavar="K", type=at_least(1), default=3, help="labels per frame (default 3)")
    shape.add_argument(
        "--threads",
        metavar="N",
        type=at_least(1),
        default=threads,
        help=f"inference threads (here {threads})",
    )
    shape.add_argument("--frames", metavar="N", type=at_least(1), help="stop after N frames")
    shape.add_argument("--every", metavar="N", type=at_least(1), default=1, help="use only every Nth frame")
    shape.add_argument(
        "--json", action="store_true", help="print one JSON object per line: the frames, then the summary"
    )
    shape.add_argument(
        "--contact-sheet", metavar="FILE", type=Path, help="save a picture of up to 12 frames (.png or .jpg)"
    )
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    given = parser().parse_args(arguments)
    # Imported late, so that --help is instant and a missing OpenCV is reported in one line.
    from edgenet_device.live.classify import Task, classify_source

    task = Task(
        model=given.model,
        source=given.source,
        top=given.top,
        threads=given.threads,
        frames=given.frames,
        every=given.every,
        as_json=given.json,
        contact_sheet=given.contact_sheet,
    )
    return classify_source(task, sys.stdout)


if __name__ == "__main__":
    sys.exit(run(main))
