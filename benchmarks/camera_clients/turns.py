"""The clients' side of timing in turns: a client waits for a number on a line, and times as many frames.

The client answers each line with one line of JSON: for every frame, the milliseconds from the picture in memory to its
five best labels. With --first PICTURE it prints one label and ends instead.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable


def run_client(frame_ms: Callable[[int], float]) -> None:
    """Answer requests until the input ends.

    Args:
        frame_ms: classifies the n-th frame and returns the time that this took, ms.
    """
    done = 0
    for line in sys.stdin:
        times = [frame_ms(done + number) for number in range(int(line))]
        done += len(times)
        print(json.dumps(times), flush=True)
