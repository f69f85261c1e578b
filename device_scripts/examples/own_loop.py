"""A loop of one's own: print what the camera sees, each time that it changes.

PYTHONPATH=device_scripts python device_scripts/examples/own_loop.py 0

edgenet deploy v2.edgenet --on ssh:pi@raspberrypi.local --with device_scripts/examples/own_loop.py \\
    --service --run own_loop.py -- 0
"""

from __future__ import annotations

import os
import sys

from edgenet_device import Camera, Classifier, EdgenetError, classify_frames
from edgenet_device.foreign_text import say


def main(source: str = "0") -> None:
    """Print a line for each new label that the camera shows."""
    classifier = Classifier(os.environ.get("EDGENET_BUNDLE", "v2.edgenet"))
    before = None
    for seen in classify_frames(classifier, Camera(source)):
        if seen.label != before:
            say(f"{seen.name}: {seen.label or 'nothing I know'}")
            before = seen.label


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except EdgenetError as error:
        sys.exit(f"error: {error}")
