"""Asking a device for its facts through its POSIX shell, with one command."""

from __future__ import annotations

import re
from typing import Protocol

from edgenet.devices.device import DeviceFacts, Finished
from edgenet.devices.posix import script
from edgenet.errors import EdgenetError

# Prints one "name=value" per line and leaves out unknown facts. Starting Python's interpreter would take
# longer than all the rest together, so python3 is only asked for its version.
_ASK = r"""
echo "machine=$(uname -m)"
echo "bits=$(getconf LONG_BIT 2>/dev/null)"
[ -r /etc/os-release ] && ( . /etc/os-release; echo "system=$PRETTY_NAME" )
android=$(getprop ro.build.version.release 2>/dev/null) && echo "system=Android $android"
[ -r /proc/device-tree/model ] && echo "model=$(tr -d '\000' </proc/device-tree/model)"
abis=$(getprop ro.product.cpu.abilist 2>/dev/null) && echo "abis=$abis"
model=$(getprop ro.product.model 2>/dev/null) && echo "model=$model"
ls /dev/video* >/dev/null 2>&1 && echo "camera=v4l2"
folder=$1
while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
df -Pk "$folder" | { read -r _; read -r _ _ _ free _; echo "free_kib=$free"; }
python=$(python3 -V 2>/dev/null) && echo "python=${python#Python }"
for folder in /usr/lib/python3 /usr/local/lib/python3.* "$HOME"/.local/lib/python3.*; do
    ls -d "$folder"/*-packages/picamera2 >/dev/null 2>&1 && echo "camera=picamera2"
done
exit 0
"""

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class _Runs(Protocol):
    name: str
    home: str

    def run(self, command: tuple[str, ...], /) -> Finished: ...


def facts_of(device: _Runs) -> DeviceFacts:
    """Ask a device for its facts.

    Raises:
        EdgenetError: the device lacks a POSIX shell or uname.
    """
    done = device.run(script(_ASK, device.home))
    told = [
        line.partition("=")[::2] for line in done.out.decode(errors="replace").splitlines() if "=" in line
    ]
    found = dict(told)
    machine = found.get("machine")
    if done.status or not machine:
        raise EdgenetError(
            f"cannot identify {device.name}: {done.last_words()}", "use a Linux machine or an Android phone"
        )
    python = _VERSION.match(found.get("python", ""))
    free = found.get("free_kib", "")
    return DeviceFacts(
        machine=machine,
        userland=_userland(machine, found.get("bits"), found.get("abis")),
        system=found.get("system") or None,
        model=found.get("model") or None,
        python=(int(python[1]), int(python[2]), int(python[3])) if python else None,
        camera_stack=tuple(sorted({value for name, value in told if name == "camera"})),
        free_bytes=int(free) * 1024 if free.isdigit() else None,
    )


def _userland(machine: str, bits: str | None, abis: str | None) -> str:
    """Return the programs' architecture, which may differ from the kernel's.

    The 32-bit Raspberry Pi OS and some cheap phones have a 64-bit kernel; a phone lists the ABIs it supports.
    """
    if machine in ("aarch64", "armv8l") and (bits == "32" or (abis and "arm64-v8a" not in abis)):
        return "armv7l"
    return machine
