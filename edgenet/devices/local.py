"""This machine as a device, with the same methods as a remote one."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgenet.devices.device import DeviceFacts, Finished
from edgenet.devices.process import LocalProcess
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.progress import Progress, silent


class LocalDevice:
    """This machine, with the methods of `device.Device`."""

    name = "local"

    def __init__(self) -> None:
        base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        self.home = os.path.join(base, "edgenet")

    def run(self, command: Sequence[str], stdin: bytes = b"", timeout_s: float | None = None) -> Finished:
        """Run a program on this machine."""
        try:
            done = subprocess.run(
                list(command), input=stdin, capture_output=True, timeout=timeout_s, check=False
            )
        except OSError as error:
            return Finished(127, b"", f"{command[0]}: {error.strerror}".encode())
        except subprocess.TimeoutExpired:
            raise EdgenetError(f"{command[0]} did not end within {timeout_s:g} s on {self.name}") from None
        return Finished(
            done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout, done.stderr
        )

    @contextmanager
    def start(self, command: Sequence[str]) -> Iterator[LocalProcess]:
        """Start a program on this machine."""
        running = LocalProcess(command, stop_signal=signal.SIGTERM)
        try:
            yield running
        finally:
            running.stop()

    def push(self, files: Mapping[str, Path | bytes], folder: str, progress: Progress = silent) -> None:
        """Copy files into a folder on this machine."""
        for count, (name, content) in enumerate(files.items(), 1):
            place = Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, content if isinstance(content, bytes) else content.read_bytes())
            progress("copy", count, len(files))

    def pull(self, remote: str) -> bytes:
        """Return the contents of a file on this machine."""
        try:
            return Path(remote).read_bytes()
        except OSError as error:
            raise EdgenetError(f"cannot read {remote}: {error.strerror}") from error

    @contextmanager
    def forward(self, port: int) -> Iterator[int]:
        """Yield the port itself: nothing needs forwarding."""
        yield port

    def facts(self) -> DeviceFacts:
        """Return this machine's facts."""
        from device_scripts.facts import device_facts

        found = device_facts()
        return DeviceFacts(
            machine=platform.machine(),
            userland=platform.machine(),
            system=found["os"],
            model=found["model"],
            python=sys.version_info[:3],
            camera_stack=("v4l2",) if any(Path("/dev").glob("video*")) else (),
            free_bytes=shutil.disk_usage(Path.home()).free,
        )
