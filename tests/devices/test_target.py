"""The targets that users type."""

from __future__ import annotations

import pytest

from edgenet.devices.device import Adb, Local, Ssh, Target
from edgenet.devices.targets import open_camera_device, parse_target
from edgenet.errors import EdgenetError


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("local", Local()),
        ("adb", Adb()),
        ("adb:emulator-5554", Adb("emulator-5554")),
        ("adb:192.168.1.5:5555", Adb("192.168.1.5:5555")),
        ("ssh:raspberrypi.local", Ssh("raspberrypi.local")),
        ("ssh:pi@10.0.0.7:2222", Ssh("10.0.0.7", "pi", 2222)),
        ("ssh:pi@[fe80::1%eth0]:22", Ssh("fe80::1%eth0", "pi", 22)),
    ],
)
def test_forms(text: str, target: Target) -> None:
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh:",
        "ssh:-oProxyCommand=x",
        "ssh:pi@-x",
        "ssh:a b",
        "ssh:pi@h:0",
        "ssh:pi@h:99999",
        "adb:",
        "adb:a;b",
        "usb",
        "adb:-s",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(EdgenetError, match="is not a target; give local, browser, ssh:USER@HOST"):
        parse_target(text)


def test_a_phones_camera_is_its_browsers() -> None:
    with (
        pytest.raises(EdgenetError, match="edgenet camera BUNDLE --on adb shows it live"),
        open_camera_device("adb"),
    ):
        pass
