"""Shared parts of the tests of devices: the virtual Raspberry Pi and phone that kit/ starts, and bounded waiting."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

KIT = Path(__file__).parent / "devices" / "kit"
COLOURS = {"red": (20, 30, 220), "green": (30, 220, 30), "blue": (220, 30, 20)}
"""BGR."""
STATE = "edgenet/camera.json"
"""Where a service says what it sees, below its runtime folder."""
PATIENCE_S = 240
PI_KNOWS_HOST_AS = "10.0.2.2"
Inside = Callable[..., "subprocess.CompletedProcess[str]"]
"""Runs a command beside a phone; names are variables of its environment."""
_PHONE_NEEDS = ("adb", "unshare", "nsenter", "ip", "qemu-aarch64-static", "mmdebstrap")
_PHONES = itertools.count()


def skip_without(device: str, *programs: str) -> None:
    """Skip, with the reason, if the kit cannot make its devices."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [name for name in programs if shutil.which(name, path=path) is None]
    if os.geteuid() != 0:
        missing.append("root's rights")
    if missing:
        pytest.skip(f"{device} needs {', '.join(missing)} (as root: tests/devices/kit/setup.sh)")


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(holds: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition; machines are slow when others work beside them."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"after {seconds:g} s still not: {what}"
        time.sleep(1)


@dataclass(frozen=True)
class Pi:
    """A running virtual Raspberry Pi (kit/pi-vm.sh).

    Attributes:
        port: its name and its SSH port.
        config: its ssh_config, where it is called pi.
        folder: for files that go there.
    """

    port: int
    config: Path
    folder: Path

    def kit(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run pi-vm.sh with this machine."""
        return subprocess.run(
            [KIT / "pi-vm.sh", *command],
            env={**os.environ, "PI_PORT": str(self.port), "PYTHON": sys.executable},
            capture_output=True,
            text=True,
            check=False,
        )

    def sh(self, text: str) -> str:
        """Run a command in its shell; return the output."""
        done = subprocess.run(
            ["ssh", "-F", self.config, "pi", text], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def camera(self, shows: str) -> None:
        """Set what /dev/video0 shows: a colour, a picture's path, or one of the kit's faults ("--fatal")."""
        if shows in COLOURS:
            raw = self.folder / f"{shows}.bgr"
            raw.write_bytes(np.full((480, 640, 3), COLOURS[shows], np.uint8).tobytes())
            shows = str(raw)
        done = self.kit("camera", shows)
        assert done.returncode == 0, done.stderr

    def sees(self, label: str, folder: str = "/run/user/1000") -> None:
        """Wait until the service reports this label; its file is read directly, because that is fastest.

        Args:
            label: the label.
            folder: the runtime folder: that of the user pi, or /run for a system service.
        """

        def now() -> bool:
            told, _, clock = self.sh(f"cat {folder}/{STATE}; echo; date +%s").strip().rpartition("\n")
            kept = json.loads(told or "{}")
            return kept.get("label") == label and float(clock) - kept["written"] < 3

        wait_until(now, PATIENCE_S, f"the service sees {label}")

    def power(self, how: str) -> None:
        """Cut the power ("off"), switch it on again ("on"), or do both ("powercut")."""
        done = self.kit(how)
        assert done.returncode == 0, done.stderr


def phone_name() -> str:
    """Return a serial that no other phone has."""
    return f"test-{os.getpid()}-{next(_PHONES)}"


@contextmanager
def running_phone(**environment: str) -> Iterator[Inside]:
    """Start a virtual phone (kit/phone.sh); yield a function that runs a command beside it, where its adb server is.

    Args:
        environment: what phone.sh reads when it starts, such as PHONE_VENDOR.
    """
    skip_without("the virtual phone", *_PHONE_NEEDS)
    name = {"PHONE": phone_name(), "PHONE_PORT": "5555"}
    name |= {key: value for key, value in environment.items() if key in name}
    started = _phone_sh({**name, **environment}, "start")
    if started.returncode:
        pytest.skip(f"the virtual phone does not start: {started.stderr.strip()}")
    try:
        yield lambda *command, **more: _phone_sh({**name, **more}, "exec", *command)
    finally:
        _phone_sh(name, "stop").check_returncode()


def _phone_sh(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [KIT / "phone.sh", *command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def virtual_folder() -> Path:
    """Return the folder in which the kit keeps its files (kit/lib.sh)."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("EDGENET_VIRTUAL") or Path(caches) / "edgenet-virtual")
