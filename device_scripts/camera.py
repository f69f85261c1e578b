#!/usr/bin/env python3
"""Show live what a camera sees: in the terminal, as JSON lines, on a web page, in a window or as a recording.

python camera.py mobilenet.edgenet
python camera.py mobilenet.edgenet 0 --serve
python camera.py mobilenet.edgenet rtsp://camera.local/stream --serve 0.0.0.0:8080 --json
"""

from __future__ import annotations

import edgenet_device.ctrl_c  # noqa: F401 (first, as Ctrl-C may interrupt the other imports)

# isort: split
import sys

from edgenet_device.entry import run
from edgenet_device.events.options import event_options
from edgenet_device.frames.view import view_of
from edgenet_device.live.command_line import camera_parser, parse_camera


def main(arguments: list[str] | None = None) -> int:
    """Run with these arguments (default: the process's own) and return the exit status."""
    shape = camera_parser(__doc__)
    given = parse_camera(shape, sys.argv[1:] if arguments is None else arguments)
    events, view = event_options(shape, given), view_of(shape, given)
    # Imported late, so that --help is instant and a missing OpenCV is reported in one line.
    from edgenet_device.classifier import ModelOptions
    from edgenet_device.live.field_output import FieldOptions
    from edgenet_device.live.loop import LabelOptions
    from edgenet_device.live.run import LiveTask, OutputOptions, run_live

    # Whether the best two classes are close shows only with two of them.
    top = given.top if given.keep_uncertain is None else max(given.top, 2)
    task = LiveTask(
        model=given.model,
        facts=ModelOptions(given.labels, given.normalization),
        source=given.source,
        threads=given.threads,
        labels=LabelOptions(top, given.threshold, given.smooth),
        frames=given.frames,
        outputs=OutputOptions(given.serve, given.record, given.window, given.json, given.state),
        events=events,
        view=view,
        learning=FieldOptions(given.keep_uncertain, given.keep_in, counts=given.state is not None),
    )
    return run_live(task, sys.stdout)


if __name__ == "__main__":
    sys.exit(run(main))
