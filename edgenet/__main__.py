"""Run the command line: the command `edgenet`, `python -m edgenet`, and `torchrun -m edgenet train ...`."""

from __future__ import annotations

import os
import signal
import sys


def _end_at_once(number: int, frame: object) -> None:
    os._exit(128 + number)


# Nothing has begun yet. Where Ctrl-C is ignored, as in a background job of a shell, it stays ignored.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end_at_once)

from contextlib import suppress  # noqa: E402
from importlib.util import find_spec  # noqa: E402
from pathlib import Path  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
"""The folder that edgenet was imported from: site-packages, or the top of a checkout."""


def main() -> None:
    """Run the command line, with the same import path however it was started."""
    _leave_out_current_folder()
    # A checkout in which nothing is installed; afterwards, the installed package is found first.
    if find_spec("edgenet_device") is None:
        sys.path.append(str(ROOT / "device_scripts"))
    from edgenet.commands.interrupts import quick_interrupts

    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with quick_interrupts():
        from edgenet.commands.app import main as run_command_line

        run_command_line()


def _leave_out_current_folder() -> None:
    """Take the current folder off the import path, unless edgenet itself was imported from there.

    With -m, Python puts the current folder first. A user's `typer.py`, or an older `edgenet_device/` in a folder of
    exported scripts, would then be imported instead of the installed package.
    """
    if getattr(sys.flags, "safe_path", False):  # Python 3.11 has the option -P
        return
    with suppress(FileNotFoundError):  # the current folder was removed
        if Path(sys.path[0]).resolve() == Path.cwd().resolve() != ROOT:
            del sys.path[0]


if __name__ == "__main__":
    main()
