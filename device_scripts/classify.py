#!/usr/bin/env python3
"""Classify a photo, a folder of photos, a video or a camera's frames.

python classify.py mobilenet.edgenet photo.jpg
python classify.py mobilenet.tflite 0 --frames 100 --contact-sheet seen.png
"""

from __future__ import annotations

import edgenet_device.ctrl_c  # noqa: F401 (first, as Ctrl-C may interrupt the other imports)

# isort: split
import argparse
import sys
from pathlib import Path

from edgenet_device.entry import (
    add_model_facts,
    add_source,
    add_threads,
    at_least,
    parse_with_source,
    run,
    script_parser,
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shape = script_parser("classify.py", __doc__)
    add = shape.add_argument
    add("model", metavar="MODEL", type=Path, help="path of a .edgenet bundle or .tflite file")
    add_source(
        shape, "photo, folder of photos, video, camera (0, csi or /dev/video0), or URL of a stream (required)"
    )
    add("--top", metavar="K", type=at_least(1), default=3, help="number of labels per frame (default: 3)")
    add_threads(shape)
    add_model_facts(shape)
    add("--frames", metavar="N", type=at_least(1), help="stop after N frames (default: go on)")
    add(
        "--every",
        metavar="N",
        type=at_least(1),
        default=1,
        help="use only every Nth frame or photo (default: 1)",
    )
    add("--json", action="store_true", help="print one JSON object per line for each frame, then the summary")
    add(
        "--contact-sheet",
        metavar="FILE",
        type=Path,
        help="save a picture of up to 12 frames with their labels (.png or .jpg)",
    )
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    given = parse_with_source(parser(), arguments)
    # Imported late, so that --help is instant and a missing OpenCV is reported in one line.
    from edgenet_device.classifier import ModelOptions
    from edgenet_device.live.classify import Task, classify_source

    task = Task(
        model=given.model,
        facts=ModelOptions(given.labels, given.normalization),
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
