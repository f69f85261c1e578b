"""Which phone is meant: what the user's own adb server knows of, always addressed by its serial."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass

from edgenet.devices.target import Adb
from edgenet.errors import EdgenetError

_ANSWER_S = 3.0
_START_S = 20.0
_REMEDIES = {
    "unauthorized": "unlock the phone and allow USB debugging for this computer in the dialog there",
    "offline": "unplug it and plug it in again, or adb reconnect offline",
    "no permissions": "this user may not use it: sudo apt install android-sdk-platform-tools-common, plug it in again",
}


_PLUG_IN = (
    "plug the phone in with USB debugging on (Settings, Developer options); adb devices lists what is there"
)


@dataclass(frozen=True)
class Phone:
    """A device as the adb server lists it.

    Attributes:
        serial: what addresses it.
        state: "device" where it can be used.
    """

    serial: str
    state: str


def phones() -> list[Phone]:
    """All that are attached, in whatever state.

    Raises:
        EdgenetError: there is no adb server, and none can be started.
    """
    from adbutils import AdbClient
    from adbutils.errors import AdbError

    host, port = server()
    _ensure_server(host, port)
    try:
        with AdbClient(host, port).make_connection(_ANSWER_S) as connection:
            connection.send_command("host:devices")
            connection.check_okay()
            listed = connection.read_string_block()
    except (AdbError, OSError, ValueError) as error:
        raise EdgenetError(
            f"the adb server does not answer: {error}", "adb kill-server, then again"
        ) from error
    return [Phone(*line.split("\t", 1)) for line in listed.splitlines() if "\t" in line]


def attached() -> list[Phone]:
    """All that are attached, at least one.

    Raises:
        EdgenetError: there is none, or see `phones`.
    """
    found = phones()
    if not found:
        raise EdgenetError("adb knows no device", _PLUG_IN)
    return found


def serial_of(target: Adb) -> str:
    """Serial of the phone that is meant: the one that was named, that ANDROID_SERIAL names, or the only one.

    Raises:
        EdgenetError: there is none, it cannot be used now, or there are several.
    """
    found = phones()
    wanted = target.serial or os.environ.get("ANDROID_SERIAL")
    if wanted is not None:
        found = [phone for phone in found if phone.serial == wanted]
    if not found:
        raise EdgenetError(
            f"adb knows no device {wanted}" if wanted else "adb knows no device",
            _PLUG_IN,
        )
    if len(found) > 1:
        listed = ", ".join(f"adb:{phone.serial} ({phone.state})" for phone in found)
        raise EdgenetError(
            f"{len(found)} devices are attached: {listed}",
            "name one, or give bench --all",
        )
    _check(found[0])
    return found[0].serial


def server() -> tuple[str, int]:
    """Where the user's adb server listens, as adb itself reads it from the environment."""
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS", "127.0.0.1")
    port = os.environ.get("ANDROID_ADB_SERVER_PORT", "5037")
    if not port.isdecimal():
        raise EdgenetError(f"ANDROID_ADB_SERVER_PORT is '{port}'", "give a number")
    return host, int(port)


def _check(phone: Phone) -> None:
    if phone.state == "device":
        return
    remedy = next(
        (remedy for state, remedy in _REMEDIES.items() if phone.state.startswith(state)),
        "start Android on it",
    )
    raise EdgenetError(f"adb:{phone.serial} is {phone.state}", remedy)


def _ensure_server(host: str, port: int) -> None:
    if _answers(host, port):
        return
    adb = shutil.which("adb")
    if adb is None:
        raise EdgenetError(
            "no adb server runs here, and there is no adb to start one",
            "install adb (sudo apt install adb, or Android's platform-tools)",
        )
    try:
        done = subprocess.run([adb, "start-server"], capture_output=True, timeout=_START_S, check=False)
        said = done.stderr.decode(errors="replace").strip().splitlines()
    except subprocess.TimeoutExpired:
        said = []
    if not _answers(host, port):
        reason = said[-1] if said else "it does not answer"
        raise EdgenetError(f"the adb server does not start: {reason}", "try adb start-server")


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _ANSWER_S).close()
    except OSError:
        return False
    return True
