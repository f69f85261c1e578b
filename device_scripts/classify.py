#!/usr/bin/env python3
"""Say what is in a photo, a folder of photos, a video or a camera's pictures.

python classify.py mobilenet.edgenet photo.jpg
python classify.py mobilenet.tflite 0 --frames 100 --contact-sheet seen.png
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

from .entry import at_least, run, usable_cpus


def parser() -> argparse.ArgumentParser:
    """The command line."""
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
    shape.add_argument("--every", metavar="N", type=at_least(1), default=1, help="use every Nth frame only")
    shape.add_argument(
        "--json", action="store_true", help="one JSON object a line: the frames, then the summary"
    )
    shape.add_argument(
        "--contact-sheet", metavar="FILE", type=Path, help="picture of up to 12 frames (.png or .jpg)"
    )
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (the process's own by default); returns the exit status."""
    given = parser().parse_args(arguments)
    from .live import Task, classify_source  # late: --help is instant, and a missing OpenCV is one line

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
