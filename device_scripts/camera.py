#!/usr/bin/env python3
"""Show live what a camera sees: in the terminal, as JSON lines, or on a web page.

python camera.py mobilenet.edgenet
python camera.py mobilenet.edgenet 0 --serve
python camera.py mobilenet.edgenet rtsp://camera.local/stream --serve 0.0.0.0:8080 --json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edgenet_device.entry import at_least, run, seconds, usable_cpus


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    threads = min(4, len(usable_cpus()))
    shape = argparse.ArgumentParser(prog="camera.py", description=__doc__.partition("\n")[0])
    add = shape.add_argument
    add("model", metavar="MODEL", type=Path, help=".tflite file or .edgenet bundle")
    add(
        "source",
        metavar="SOURCE",
        nargs="?",
        default="0",
        help="camera (0, csi or /dev/video0), video, folder or URL (default 0)",
    )
    add("--top", metavar="K", type=at_least(1), default=5, help="number of labels to show (default 5)")
    add(
        "--threads",
        metavar="N",
        type=at_least(1),
        default=threads,
        help=f"inference threads (here {threads})",
    )
    add(
        "--threshold",
        metavar="P",
        type=_share,
        default=0.3,
        help="scores below this, 0 to 1, are shown as 'nothing I know' (default 0.3)",
    )
    add(
        "--smooth",
        metavar="S",
        type=seconds,
        default=0.3,
        help="half-life of the scores' moving average, in seconds (default 0.3)",
    )
    add("--frames", metavar="N", type=at_least(1), help="stop after N frames")
    add(
        "--serve",
        metavar="ADDRESS",
        nargs="?",
        const="8080",
        help="serve a live web page at PORT, HOST or HOST:PORT (default 8080)",
    )
    add("--record", metavar="FILE.mp4", type=Path, help="record the labelled frames as a video")
    add("--window", action="store_true", help="show the labelled frames in a desktop window")
    add("--state", metavar="FILE", type=Path, help="for a service: save the state there, notify systemd")
    add("--json", action="store_true", help="print one JSON object per line for each frame")
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    given = parser().parse_args(arguments)
    # Imported late, so that --help is instant and a missing OpenCV is reported in one line.
    from edgenet_device.live.camera import LiveTask, OutputOptions, run_live
    from edgenet_device.live.loop import LabelOptions

    task = LiveTask(
        model=given.model,
        source=given.source,
        threads=given.threads,
        labels=LabelOptions(given.top, given.threshold, given.smooth),
        frames=given.frames,
        outputs=OutputOptions(given.serve, given.record, given.window, given.json, given.state),
    )
    return run_live(task, sys.stdout)


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{value:g} is not between 0 and 1")
    return value


if __name__ == "__main__":
    sys.exit(run(main))
