"""A fleet file: many devices in one TOML file, with names, groups and labels. docs/fleets.md describes it.

    [devices.kitchen]
    on = "ssh:pi@kitchen.local"
    labels = { room = "kitchen" }

    [groups]
    indoors = ["kitchen", "hall"]

`fleet.toml` names all of its devices, `fleet.toml:indoors` a group, `fleet.toml:kitchen` one device, and
`fleet.toml:room=kitchen` those with a label.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgenet_device.live.command_line import read_toml

from edgenet.devices.device import Adb, Ssh, Target, read_target
from edgenet.errors import EdgenetError, one_line
from edgenet.files import read_limited

_PAGE = "docs/fleets.md"
_TEXT = re.compile(r"(?P<file>.*\.toml)(?::(?P<which>.*))?", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_HOSTS = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.:@,\[\]-]*")
_FILE = re.compile(r"[^\s\"'\\-][^\s\"'\\]*")
_SSH = {
    "ProxyJump": _HOSTS,
    "HostKeyAlias": _HOSTS,
    "IdentityFile": _FILE,
    "CertificateFile": _FILE,
    "UserKnownHostsFile": _FILE,
    "ConnectTimeout": re.compile(r"[1-9]\d{0,3}"),
}
"""The options of ssh that a fleet file may set, and their values: none that starts a program on this machine."""


@dataclass(frozen=True)
class FleetDevice:
    """A device of a fleet.

    Attributes:
        name: its name in the fleet file; for a target that was given by itself, that target.
        on: the text that names it after --on, such as "fleet.toml:kitchen".
        target: how it is reached.
        address: the target as the fleet file or the user gave it, such as "ssh:pi@kitchen.local".
        labels: its labels.
        canary: whether new bundles are tried on it first.
    """

    name: str
    on: str
    target: Target
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    canary: bool = False


@dataclass(frozen=True)
class Fleet:
    """The contents of a fleet file: its devices and its groups, in the order of the file."""

    path: Path
    devices: tuple[FleetDevice, ...]
    groups: Mapping[str, tuple[str, ...]]

    def chosen(self, which: str | None) -> tuple[FleetDevice, ...]:
        """Return the devices of a group, of a name, or with a label (KEY=VALUE); None is for all.

        Raises:
            EdgenetError: there is none.
        """
        if which is None:
            return self.devices
        label, equals, value = which.partition("=")
        if equals:
            found = tuple(device for device in self.devices if device.labels.get(label) == value)
        else:
            names = self.groups.get(which, (which,))
            found = tuple(device for device in self.devices if device.name in names)
        if not found:
            every = [*self.groups, *(device.name for device in self.devices)]
            raise EdgenetError(
                f"{self.path} has no device, group or label '{one_line(which)}'", _nearest(which, every)
            )
        return found


def is_fleet(text: str) -> bool:
    """Return whether a text after --on names a fleet file, or a part of one."""
    return _TEXT.fullmatch(text) is not None


def fleet_devices(text: str) -> tuple[FleetDevice, ...]:
    """Return the devices that a text such as "fleet.toml:indoors" names.

    Raises:
        EdgenetError: the file cannot be used (see `read_fleet`), or has no such devices.
    """
    match = _TEXT.fullmatch(text)
    assert match is not None  # `is_fleet` has said so
    return read_fleet(Path(match["file"])).chosen(match["which"])


def chosen_devices(texts: Iterable[str]) -> tuple[FleetDevice, ...]:
    """Return all devices that the texts after --on name; each text may hold several, with commas between them.

    A device that a fleet file's groups name several times comes once.

    Raises:
        EdgenetError: a text is no target, or two names lead to the same device.
    """
    found: dict[str, FleetDevice] = {}
    for text in (part for whole in texts for part in whole.split(",")):
        if is_fleet(text):
            for device in fleet_devices(text):
                found[device.on] = device
        else:
            device = FleetDevice(text, text, read_target(text), text)
            if text in found:
                raise EdgenetError(f"{text} is given twice", "give each device once")
            found[text] = device
    _refuse_doubles(tuple(found.values()))
    return tuple(found.values())


def read_fleet(path: Path) -> Fleet:
    """Read a fleet file.

    Raises:
        EdgenetError: it cannot be read, or something in it is unknown, wrong or there twice; the message names it.
    """
    try:
        data = read_limited(path)
    except OSError as error:
        raise EdgenetError(f"cannot read the fleet {path}: {error.strerror}", "check the path") from None
    table = read_toml(path, data, "give the devices one by one with --on", _PAGE)
    _check_keys(str(path), table, ("devices", "groups", "ssh"))
    shared = _ssh_options(f"{path}: [ssh]", table.get("ssh", {}))
    devices = tuple(
        _device(path, name, entry, shared) for name, entry in _table(path, "devices", table).items()
    )
    if not devices:
        raise EdgenetError(f"{path} has no devices", f"add a table [devices.NAME]; see {_PAGE}")
    fleet = Fleet(path, devices, _groups(path, table, {device.name for device in devices}))
    _refuse_doubles(devices)
    return fleet


def _device(path: Path, name: str, entry: Any, shared: Mapping[str, str]) -> FleetDevice:
    where = f"{path}: device '{one_line(name)}'"
    if not _NAME.fullmatch(name):
        raise EdgenetError(where, "name devices with letters, digits, '.', '_' and '-'")
    if not isinstance(entry, dict):
        raise EdgenetError(f"{where} is no table", f"write [devices.{name}]")
    _check_keys(where, entry, ("on", "labels", "canary", "ssh"))
    address, labels, canary = entry.get("on"), entry.get("labels", {}), entry.get("canary", False)
    if not isinstance(address, str):
        raise EdgenetError(f"{where} has no text 'on'", 'add on = "ssh:USER@HOST"')
    try:
        target = read_target(address)
    except EdgenetError as error:
        raise EdgenetError(f"{where}: {error.found}", "give ssh:USER@HOST[:PORT] or adb:SERIAL") from None
    own = _ssh_options(f"{where}, ssh", entry.get("ssh", {}))
    if isinstance(target, Ssh):
        target = replace(target, options=tuple({**shared, **own}.items()))
    elif own or not isinstance(target, Adb) or target.serial is None:
        raise EdgenetError(f"{where} is '{address}'", "a fleet has ssh:USER@HOST[:PORT] and adb:SERIAL")
    if not isinstance(canary, bool):
        raise EdgenetError(f"{where}: canary is {one_line(repr(canary))}", "give true or false")
    texts = isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())
    if not texts:
        raise EdgenetError(f"{where}: labels are no table of texts", 'write labels = { room = "kitchen" }')
    return FleetDevice(name, f"{path}:{name}", target, address, labels, canary)


def _groups(path: Path, table: Mapping[str, Any], names: set[str]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for group, members in _table(path, "groups", table).items():
        where = f"{path}: group '{one_line(group)}'"
        if not _NAME.fullmatch(group) or group in names:
            raise EdgenetError(
                f"{where} has the name of a device" if group in names else where, "give it another name"
            )
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            raise EdgenetError(f"{where} is no list of names", f'write {group} = ["NAME", "NAME"]')
        for member in members:
            if member not in names:
                raise EdgenetError(
                    f"{where} names '{one_line(member)}', and no device has this name",
                    _nearest(member, names),
                )
            if members.count(member) > 1:
                raise EdgenetError(f"{where} names {member} twice", "name each device once")
        groups[group] = tuple(members)
    return groups


def _ssh_options(where: str, table: Any) -> dict[str, str]:
    if not isinstance(table, dict):
        raise EdgenetError(f"{where} is no table", 'write ssh = { ProxyJump = "HOST" }')
    _check_keys(where, table, tuple(_SSH))
    for name, value in table.items():
        if isinstance(value, bool) or not _SSH[name].fullmatch(str(value)):
            raise EdgenetError(
                f"{where}: {name} is {one_line(repr(value))}", "give a value that ssh_config(5) allows there"
            )
    return {name: str(value) for name, value in table.items()}


def _table(path: Path, name: str, table: Mapping[str, Any]) -> dict[str, Any]:
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise EdgenetError(f"{path}: '{name}' is no table", f"see {_PAGE}")
    return found


def _check_keys(where: str, table: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in table:
        if key not in known:
            raise EdgenetError(f"{where} has the unknown key '{one_line(key)}'", _nearest(key, known))


def _nearest(name: str, names: Iterable[str]) -> str:
    """Return the remedy for a name that is not there."""
    every = list(names)
    near = difflib.get_close_matches(name[:60], every, 1, 0.5)
    if near:
        return f"the nearest is '{near[0]}'"
    return f"it has {', '.join(every[:8])}{', ...' if len(every) > 8 else ''}"


def _refuse_doubles(devices: Sequence[FleetDevice]) -> None:
    """Refuse two names for one address; two addresses of one device show only when the devices answer."""
    first: dict[object, FleetDevice] = {}
    for device in devices:
        other = first.setdefault(_address(device.target), device)
        if other is not device:
            raise EdgenetError(
                f"{other.name} and {device.name} are the same device ({device.address})",
                "give each device one name",
            )


def _address(target: Target) -> object:
    if isinstance(target, Ssh):
        jump = dict(target.options).get("ProxyJump")
        return (target.host.lower(), target.user, target.port or 22, jump)
    return target
