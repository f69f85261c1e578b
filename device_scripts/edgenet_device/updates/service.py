"""The camera's service on this device, as an update sees it: started again, and watched for its first minutes."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass

UNIT = "edgenet-camera.service"
_PAUSE_S = 2.0
_MANAGERS = (("systemctl", "--user"), ("systemctl",))


@dataclass(frozen=True)
class CameraService:
    """A service that runs, or that systemd tries to run.

    `manager` is the command that asks the systemd it belongs to: the user's, or the system's, which needs sudo.
    """

    manager: tuple[str, ...]

    def restart(self) -> bool:
        """Start it again; return whether it has come up."""
        sudo = () if "--user" in self.manager else ("sudo", "-n")
        return _run((*sudo, *self.manager, "restart", UNIT)) is not None

    def fault(self, seconds: float) -> str:
        """Watch it for some seconds; return why it has failed meanwhile, or "" if it has not."""
        until = time.monotonic() + seconds
        first = _properties(self.manager)
        while True:
            now = _properties(self.manager)
            if now.get("ActiveState") == "failed":
                return "its service has failed"
            if now.get("NRestarts") != first.get("NRestarts"):
                return "its service ended and was started again"
            left = until - time.monotonic()
            if left <= 0:
                state = now.get("ActiveState", "unknown")
                return "" if state == "active" else f"its service is {state}"
            time.sleep(min(_PAUSE_S, left))


def camera_service() -> CameraService | None:
    """Return the camera's service; None if there is none, or if somebody has stopped it."""
    for manager in _MANAGERS:
        found = _properties(manager)
        if found.get("LoadState") == "loaded" and found.get("ActiveState") not in (None, "inactive"):
            return CameraService(manager)
    return None


def _properties(manager: tuple[str, ...]) -> dict[str, str]:
    text = _run((*manager, "show", "-p", "LoadState,ActiveState,NRestarts", UNIT)) or ""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _run(command: tuple[str, ...]) -> str | None:
    """Return what a command prints; None if it fails, hangs or does not exist."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=240, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
