"""Running a device script here, in a process of its own, as it runs on a device."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from edgenet.errors import EdgenetError


def device_script(name: str, arguments: Sequence[str]) -> str:
    """Runs `device_scripts/NAME.py`; returns what it printed.

    Raises:
        EdgenetError: it failed; says what it said last.
    """
    done = subprocess.run(
        [sys.executable, "-m", f"device_scripts.{name}", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no word why"])[-1]
        raise EdgenetError(f"device_scripts/{name}.py failed: {reason}")
    return done.stdout
