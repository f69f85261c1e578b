"""What the clients of benchmarks.camera share: they wait for a number on a line, and time so many frames.

Each line of input, a number of frames, is answered by one line of JSON: of every frame the milliseconds from the
picture in memory to its five best labels. With --first PICTURE instead they print one label and end.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable


def run_client(frame_ms: Callable[[int], float]) -> None:
    """Answers until the input ends.

    Args:
        frame_ms: classifies the n-th frame and returns what that took.
    """
    done = 0
    for line in sys.stdin:
        times = [frame_ms(done + number) for number in range(int(line))]
        done += len(times)
        print(json.dumps(times), flush=True)
