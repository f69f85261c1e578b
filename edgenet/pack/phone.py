"""Installing the pack on a phone: copied once, checked there, and complete only after its Python has run."""

from __future__ import annotations

from threading import Lock

from edgenet.devices.device import Device, Finished
from edgenet.devices.environment import PACK, Environment, unpack_wheels, usable_environments
from edgenet.devices.posix import script
from edgenet.devices.release import SUMS
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.pack.contents import needed_packages, pack_files, pack_key, pack_wheels
from edgenet.progress import Progress

NEEDED_BYTES = 200_000_000
"""Peak use of disk space, while both the wheels and their unpacked contents are there."""

# When several phones are measured at once, only the first one downloads; the others use the cache.
_DOWNLOADS = Lock()
_BROWSER = (
    "use the phone's browser: edgenet camera BUNDLE --on adb, or edgenet bench BUNDLE --on adb --browser"
)
_CLEAR = 'rm -rf "$1" && mkdir -p "$1"'
_FORBIDDEN = 126  # a shell's exit status for a program that exists but cannot be started
_TRY = """
cd "$1" && printf '#!/system/bin/sh\\nexit 0\\n' >starts && chmod 755 starts || exit 1
./starts || exit 126
rm starts
"""
_CHECK = 'cd "$1" && sha256sum -c "$2" >/dev/null'
_FINISH = 'cd "$1" && rm -r wheels && sync && echo "$2" >complete && sync'


def ensure_pack(device: Device, progress: Progress) -> Environment:
    """Install the pack on the phone, unless it is already there.

    Raises:
        EdgenetError: the phone cannot hold or run the pack, or a part of it cannot be downloaded; the message
            says why.
    """
    key = pack_key()
    if key in usable_environments(device):
        return Environment(key)
    _check_phone(device)
    folder = f"{device.home}/environments/{key}"
    _must(device, "prepare the folder", _CLEAR, folder)
    tried = device.run(script(_TRY, folder))
    if tried.status == _FORBIDDEN:
        raise EdgenetError(
            f"{device.name} cannot start programs in {device.home}: it is mounted noexec, or Android forbids it",
            _BROWSER,
        )
    _check(device, "try the folder", tried)
    with _DOWNLOADS:
        wheels = pack_wheels(progress)
        files = {**pack_files(progress), **{f"wheels/{wheel.name}": wheel for wheel in wheels}}
    sums = "".join(f"{sha256(content)}  {name}\n" for name, content in sorted(files.items()))
    device.push({**files, SUMS: sums.encode()}, folder, progress)
    progress("verify", 0, None)
    _must(device, "accept the copied files", _CHECK, folder, SUMS)
    unpack_wheels(device, folder, f"{folder}/site-packages", wheels, progress)
    _must(device, "finish the pack", _FINISH, folder, PACK)
    return Environment(key, needed_packages().packages)


def _check_phone(device: Device) -> None:
    facts = device.facts()
    if facts.userland != "aarch64":
        raise EdgenetError(
            f"{device.name} is {facts.userland}, and the pack is for 64-bit Arm",
            _BROWSER,
        )
    if facts.free_bytes is not None and facts.free_bytes < NEEDED_BYTES:
        raise EdgenetError(
            f"{device.name} has {facts.free_bytes / 1e6:.0f} MB free but needs {NEEDED_BYTES / 1e6:.0f} MB",
            "free some space on the device",
        )


def _must(device: Device, what: str, text: str, *values: str) -> None:
    _check(device, what, device.run(script(text, *values)))


def _check(device: Device, what: str, done: Finished) -> None:
    if done.status:
        full = b"No space left" in done.err
        raise EdgenetError(
            f"cannot {what} on {device.name}: {done.last_words()}",
            "free some space on the device" if full else "run the same command again",
        )
