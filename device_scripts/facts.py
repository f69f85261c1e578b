"""Facts about the device. A fact that cannot be read is None; nothing is guessed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path("/")


def read_text(path: Path) -> str | None:
    """Return a file of /proc or /sys as text, None if it is unreadable or empty.

    White space and NULs at both ends are removed, because device tree strings end in NUL.
    """
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \t\r\n") or None
    except OSError:
        return None


def run_tool(*command: str) -> str | None:
    """Run a device's program and return its output; None if it is missing, fails or takes more than 5 s."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def device_facts(root: Path = ROOT) -> dict[str, Any]:
    """Return model, SoC, CPU, cores, memory, OS, kernel, machine and Python version; None for unknown ones.

    Args:
        root: folder that holds /proc, /sys and /etc.
    """
    return {
        "model": _model(root),
        "soc": _soc(root),
        "cpu": _cpu(root),
        "cores": os.cpu_count(),
        "memory_bytes": _kib_field(root / "proc/meminfo", "MemTotal"),
        "os": _operating_system(root),
        "kernel": platform.release() or None,
        "machine": platform.machine() or None,
        "python": platform.python_version(),
    }


def peak_memory_bytes(root: Path = ROOT) -> int | None:
    """Return this process's peak memory so far (VmHWM); None where /proc does not report it.

    It is not read with getrusage, because there Linux lets a child inherit its parent's maximum.
    """
    return _kib_field(root / "proc/self/status", "VmHWM")


def _model(root: Path) -> str | None:
    """Return the model: from the device tree (Raspberry Pi), else Android's properties, else a PC's DMI."""
    tree = read_text(root / "proc/device-tree/model")
    if tree:
        return tree
    android = [_property("ro.product.manufacturer"), _property("ro.product.model")]
    dmi = [read_text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    return _joined(android) or _joined(dmi)


def _soc(root: Path) -> str | None:
    """Return the device tree's most general name, such as "brcm,bcm2711", else Android's name."""
    compatible = read_text(root / "proc/device-tree/compatible")
    if compatible:
        return compatible.split("\0")[-1]
    return _property("ro.soc.model") or _property("ro.board.platform")


def _cpu(root: Path) -> str | None:
    text = read_text(root / "proc/cpuinfo") or ""
    found = re.search(r"^(?:model name|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _operating_system(root: Path) -> str | None:
    release = read_text(root / "etc/os-release") or ""
    found = re.search(r'^PRETTY_NAME="?(.*?)"?$', release, re.MULTILINE)
    android = _property("ro.build.version.release")
    if android:
        return f"Android {android}"
    return found.group(1) if found else platform.system() or None


def _property(name: str) -> str | None:
    return run_tool("getprop", name)


def _joined(parts: list[str | None]) -> str | None:
    return " ".join(part for part in parts if part) or None


def _kib_field(path: Path, name: str) -> int | None:
    found = re.search(rf"^{name}:\s*(\d+) kB", read_text(path) or "", re.MULTILINE)
    return int(found.group(1)) * 1024 if found else None
