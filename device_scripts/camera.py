#!/usr/bin/env python3
"""Show live what a camera sees: in the terminal, as JSON lines, on a web page, in a window or as a recording.

python camera.py mobilenet.edgenet
python camera.py mobilenet.edgenet 0 --serve
python camera.py mobilenet.edgenet rtsp://camera.local/stream --serve 0.0.0.0:8080 --json
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
    between,
    parse_with_source,
    run,
    script_parser,
)
from edgenet_device.events.options import add_event_options, event_options
from edgenet_device.frames.view import add_view_options, view_of


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    shape = script_parser("camera.py", __doc__)
    add = shape.add_argument
    add("model", metavar="MODEL", type=Path, help="path of a .edgenet bundle or .tflite file")
    add_source(
        shape,
        "camera (0, csi or /dev/video0), video, photo, folder of photos, or URL of a stream (default: 0)",
    )
    add("--top", metavar="K", type=at_least(1), default=5, help="number of labels to show (default: 5)")
    add_threads(shape)
    add_model_facts(shape)
    add(
        "--threshold",
        metavar="P",
        type=between(0, 1),
        default=0.3,
        help="scores below this, 0 to 1, are shown as 'nothing I know' (default: 0.3)",
    )
    add(
        "--smooth",
        metavar="S",
        type=between(0, 60),
        default=0.3,
        help="half-life of the scores' moving average, and how long another label must be right before it is shown, "
        "in seconds; 0 for neither (default: 0.3)",
    )
    add("--frames", metavar="N", type=at_least(1), help="stop after N frames (default: go on)")
    add(
        "--serve",
        metavar="ADDRESS",
        nargs="?",
        const="8080",
        help="serve a live web page at PORT, HOST or HOST:PORT (without an address: port 8080, for this machine only)",
    )
    add("--record", metavar="FILE.mp4", type=Path, help="record the labelled frames as a video")
    add("--window", action="store_true", help="show the labelled frames in a desktop window")
    add(
        "--state", metavar="FILE", type=Path, help="for a service: save the state in FILE, and notify systemd"
    )
    add("--json", action="store_true", help="print one JSON object per line for each frame, then the summary")
    add_view_options(shape)
    add_event_options(shape)
    return shape


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    shape = parser()
    given = parse_with_source(shape, arguments, default="0")
    events, view = event_options(shape, given), view_of(shape, given)
    # Imported late, so that --help is instant and a missing OpenCV is reported in one line.
    from edgenet_device.classifier import ModelOptions
    from edgenet_device.live.loop import LabelOptions
    from edgenet_device.live.run import LiveTask, OutputOptions, run_live

    task = LiveTask(
        model=given.model,
        facts=ModelOptions(given.labels, given.normalization),
        source=given.source,
        threads=given.threads,
        labels=LabelOptions(given.top, given.threshold, given.smooth),
        frames=given.frames,
        outputs=OutputOptions(given.serve, given.record, given.window, given.json, given.state),
        events=events,
        view=view,
    )
    return run_live(task, sys.stdout)


if __name__ == "__main__":
    sys.exit(run(main))
