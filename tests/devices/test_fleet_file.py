"""Fleet files: what is taken, and what is refused with its name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgenet.devices.device import Adb, Ssh
from edgenet.devices.fleet_file import chosen_devices, fleet_devices, is_fleet, read_fleet
from edgenet.devices.targets import parse_target
from edgenet.errors import EdgenetError

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python reads TOML from 3.11 on")
FLEET = """
[ssh]
ProxyJump = "gate.example"
ConnectTimeout = 5

[devices.kitchen]
on = "ssh:pi@kitchen.local"
labels = { room = "kitchen", camera = "csi" }
canary = true

[devices.hall]
on = "ssh:pi@hall.local:2222"
labels = { camera = "csi" }
ssh = { ProxyJump = "other", IdentityFile = "~/.ssh/hall" }

[devices.phone]
on = "adb:R58M1234"

[groups]
indoors = ["hall", "kitchen"]
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET)
    return path


@pytest.mark.parametrize(
    ("which", "names"),
    [
        ("", ["kitchen", "hall", "phone"]),
        (":indoors", ["kitchen", "hall"]),
        (":phone", ["phone"]),
        (":camera=csi", ["kitchen", "hall"]),
        (":room=kitchen", ["kitchen"]),
    ],
)
def test_a_file_a_group_a_device_and_a_label(fleet: Path, which: str, names: list[str]) -> None:
    assert is_fleet(f"{fleet}{which}")
    assert [device.name for device in fleet_devices(f"{fleet}{which}")] == names


def test_what_a_device_has(fleet: Path) -> None:
    kitchen, hall, phone = read_fleet(fleet).devices
    assert kitchen.canary
    assert not hall.canary
    jump, timeout = ("ProxyJump", "gate.example"), ("ConnectTimeout", "5")
    assert kitchen.target == Ssh("kitchen.local", "pi", None, (jump, timeout))
    own = (("ProxyJump", "other"), timeout, ("IdentityFile", "~/.ssh/hall"))
    assert hall.target == parse_target(hall.on) == Ssh("hall.local", "pi", 2222, own)
    assert phone.target == Adb("R58M1234")


def test_several_targets_with_commas_and_from_files(fleet: Path) -> None:
    texts = ["ssh:a,ssh:b", f"{fleet}:indoors", f"{fleet}:csi=no,{fleet}:hall"]
    with pytest.raises(EdgenetError, match="has no device, group or label 'csi=no'"):
        chosen_devices(texts)
    found = chosen_devices([texts[0], texts[1], f"{fleet}:hall"])
    assert [device.name for device in found] == ["ssh:a", "ssh:b", "kitchen", "hall"]
    with pytest.raises(EdgenetError, match="has 2 devices, and this command is for one; name one of them"):
        parse_target(f"{fleet}:indoors")
    with pytest.raises(EdgenetError, match="ssh:a is given twice"):
        chosen_devices(["ssh:a,ssh:a"])
    with pytest.raises(EdgenetError, match="phone and adb:R58M1234 are the same device"):
        chosen_devices([str(fleet), "adb:R58M1234"])
    with pytest.raises(EdgenetError, match="'ssh:' is not a target"):
        chosen_devices(["ssh:a,ssh:"])
    with pytest.raises(EdgenetError, match="cannot read the fleet missing"):
        chosen_devices(["missing.toml"])


ONE = '[devices.a]\non = "ssh:h"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no devices"),
        ("devices = 1", "'devices' is no table"),
        ("[devices.a]\n", "device 'a' has no text 'on'"),
        ("[devices]\na = 1", "device 'a' is no table"),
        ('[devices."a b"]\non = "ssh:h"', "device 'a b'; name devices with letters"),
        ('[devices.a]\non = "ssh:-h"', "device 'a': 'ssh:-h' is not a target"),
        ('[devices.a]\non = "local"', "device 'a' is 'local'"),
        ('[devices.a]\non = "adb"', "device 'a' is 'adb'"),
        (f"{ONE}{ONE}", "is not TOML: Cannot declare"),
        (f'{ONE}[devices.b]\non = "ssh:H:22"', "a and b are the same device"),
        (f"{ONE}label = {{ x = 'y' }}", "device 'a' has the unknown key 'label'; the nearest is 'labels'"),
        (f"{ONE}[group]\nx = ['a']", "has the unknown key 'group'; the nearest is 'groups'"),
        (f"{ONE}canary = 1", "device 'a': canary is 1; give true or false"),
        (f"{ONE}labels = {{ x = 1 }}", "device 'a': labels are no table of texts"),
        (f"{ONE}[groups]\nx = ['b']", "group 'x' names 'b', and no device has this name"),
        (f"{ONE}[groups]\nx = ['a', 'a']", "group 'x' names a twice"),
        (f"{ONE}[groups]\na = ['a']", "group 'a' has the name of a device"),
        (f"{ONE}[groups]\nx = 'a'", "group 'x' is no list of names"),
        (f"{ONE}ssh = {{ ProxyCommand = 'x' }}", "ssh has the unknown key 'ProxyCommand'"),
        (f"{ONE}ssh = {{ ProxyJump = '-oProxyCommand=x' }}", "ssh: ProxyJump is '-oProxyCommand=x'"),
        (f"{ONE}ssh = {{ IdentityFile = '/a b' }}", "ssh: IdentityFile is '/a b'"),
        (f"{ONE}ssh = {{ ConnectTimeout = true }}", "ssh: ConnectTimeout is True"),
        (f"{ONE}ssh = 1", "ssh is no table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    with pytest.raises(EdgenetError) as raised:
        read_fleet(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value) or "same device" in message
