"""Importing this module makes Ctrl-C end the process at once, with status 130 and without a traceback.

The scripts import it first: on a Raspberry Pi the imports of OpenCV and the runtime take seconds, and an
interrupted import would show a traceback, or a wrong reason such as that a package cannot be imported. Once a
script has begun its work, `entry.ended_by_signals` handles Ctrl-C instead.
"""

from __future__ import annotations

import os
import signal


def _end(number: int, frame: object) -> None:
    os._exit(128 + number)


# Where Ctrl-C is ignored, as in a background job of a shell, it stays ignored.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
