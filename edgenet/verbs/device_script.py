"""Runs a device script on this machine in its own process, just as it runs on a device."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from edgenet.errors import EdgenetError


def device_script(name: str, arguments: Sequence[str]) -> str:
    """Run `device_scripts/NAME.py`; return what it printed.

    Raises:
        EdgenetError: the script failed; the message ends with its last line of output to stderr.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"device_scripts.{name}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it printed no reason"])[-1]
        raise EdgenetError(f"device_scripts/{name}.py failed: {reason}")
    return done.stdout
