"""The verb `deploy_fleet`: a bundle for the devices that need it, first for the canaries and then in waves.

A device passes if it stays alive for some seconds afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet.devices import releases
from edgenet.devices.device import Device, UnreachableError
from edgenet.devices.environment import usable_environments
from edgenet.devices.fleet_file import FleetDevice
from edgenet.devices.releases import release_of
from edgenet.devices.service_settings import placed_files, read_settings
from edgenet.devices.shell import identity
from edgenet.devices.targets import open_device
from edgenet.devices.unit import Service
from edgenet.devices.updates import has_updates, trusts
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent
from edgenet.workflows.arguments import checked
from edgenet.workflows.deploy import Deployed, DeployTask, deploy_to, plan_deploy, rollback
from edgenet.workflows.fleet import FleetResult, FleetRow, devices_of, on_each
from edgenet.workflows.status import Status, status_of


@checked
def deploy_fleet(
    bundle: str | Path,
    on: str | Sequence[str],
    *,
    canaries: int = 1,
    wave: int = 8,
    check: float = 20.0,
    keep_going: bool = False,
    progress: Progress = silent,
    show: Callable[[FleetRow], None] = lambda row: None,
    arguments: Mapping[str, Any] | None = None,
) -> FleetResult:
    """Install a bundle on many devices: first on the canaries, then in waves.

    All devices are asked first, at the same time: those that are as wanted already are left alone, and those that
    cannot be reached are listed. A device passes its check if the model has run on it once and its service, if it has
    one, is still active `check` seconds later. One that fails goes back to the release that ran before. After a wave
    in which a device has failed, the rest is not tried; another run does only what is left.

    >>> edgenet.deploy_fleet("v2.edgenet", "fleet.toml", arguments={"service": True}).complete  # doctest: +SKIP

    Args:
        bundle: from `convert` or `package`.
        on: the devices, as `status_fleet` takes them.
        canaries: number of devices that are changed before all others, one after another. They are those that the
            fleet file marks so, and then the first ones; devices that are as wanted already count.
        wave: number of devices that are changed at the same time, at most 16.
        check: seconds for which a service has to stay active.
        keep_going: go on after a wave in which a device has failed.
        progress: called with every step, which begins with the device's name.
        show: called with each row as soon as it is known.
        arguments: further arguments of `deploy`, by their names.

    Raises:
        EdgenetError: an option, the bundle or the fleet is wrong, or two names lead to the same device. Whatever goes
            wrong on a device is in its row.
        TypeError: an argument has the wrong type.
    """
    if canaries < 0 or not 1 <= wave <= 16 or not 0 <= check <= 3600:
        raise EdgenetError(
            f"there are {canaries} canaries, waves of {wave} and a check of {check:g} s",
            "give at least 0 canaries, waves of 1 to 16, and a check of at most 3600 s",
        )
    task = plan_deploy(bundle, **(arguments or {}))
    devices = devices_of(on)
    for device in devices:
        task.code.check_target(device.on)
    rollout = _Rollout(task, check, progress, show)
    rows = rollout.ask(devices)
    left = sorted((device for device in devices if device.on not in rows), key=lambda one: not one.canary)
    known = sum(row.state == "as wanted already" for row in rows.values())
    for part in _waves(left, max(0, canaries - known), wave):
        done = on_each(part, rollout.place, progress, show)
        rows |= {device.on: row for device, row in zip(part, done, strict=True)}
        if any(row.state == "failed" for row in done) and not keep_going:
            break
    untried = (FleetRow(device.name, device.address, "not tried") for device in devices)
    return FleetResult(tuple(rows.get(device.on, row) for device, row in zip(devices, untried, strict=True)))


def _waves(left: Sequence[FleetDevice], canaries: int, wave: int) -> list[Sequence[FleetDevice]]:
    """Return the parts of a fleet that are changed one after another."""
    rest = left[canaries:]
    waves = [rest[start : start + wave] for start in range(0, len(rest), wave)]
    return [*([canary] for canary in left[:canaries]), *waves]


@dataclass(frozen=True)
class _Rollout:
    """What is done with each device of a fleet; see `deploy_fleet`."""

    task: DeployTask
    check: float
    progress: Progress
    show: Callable[[FleetRow], None]

    def ask(self, devices: Sequence[FleetDevice]) -> dict[str, FleetRow]:
        """Return the rows of those devices that need no deploy or cannot have one, by their text after --on.

        Raises:
            EdgenetError: two names lead to the same device.
        """
        found: dict[str, str] = {}
        wanted: set[str] = set()

        def ask(device: FleetDevice, progress: Progress) -> None:
            with open_device(device.on) as there:
                progress("ask", 0, None)
                found[device.on] = identity(there)
                if is_as_wanted(there, self.task):
                    wanted.add(device.on)

        asked = zip(devices, on_each(devices, ask, self.progress), strict=True)
        _refuse_doubles(devices, found)
        rows = {
            device.on: row for device, row in asked if row.state != "as wanted already" or device.on in wanted
        }
        for row in rows.values():
            self.show(row)
        return rows

    def place(self, device: FleetDevice, progress: Progress) -> Deployed:
        """Deploy to one device, and check its service; after a fault, go back to the release that ran before.

        Raises:
            EdgenetError: the deploy or the check fails; the message says what runs now.
        """
        with open_device(device.on) as there:
            before, _ = releases.running(there)
            try:
                deployed = deploy_to(device.on, there, self.task, progress)
                if reason := why_not_alive(there, self.check, progress):
                    raise EdgenetError(reason)
            except UnreachableError:
                raise
            except EdgenetError as error:
                raise _gone_back(device, there, before, error) from None
            return deployed


def _gone_back(device: FleetDevice, there: Device, before: str | None, error: EdgenetError) -> EdgenetError:
    """Go back to the release that ran before, if it no longer runs; return the error with what runs now."""
    running, previous = releases.running(there)
    if before is None or running == before or previous != before:
        return error
    try:
        rollback(device.on)
    except EdgenetError as other:
        return EdgenetError(f"{error.found}; going back failed, too: {other.found}", other.remedy)
    return EdgenetError(f"{error.found}; the release before runs again", error.remedy)


def _refuse_doubles(devices: Sequence[FleetDevice], found: dict[str, str]) -> None:
    """Refuse two names that lead to the same device, which would be changed twice at once."""
    first: dict[str, FleetDevice] = {}
    for device in devices:
        number = found.get(device.on)
        if number and first.setdefault(number, device) is not device:
            raise EdgenetError(
                f"{first[number].name} ({first[number].address}) and {device.name} ({device.address}) are the same "
                "device",
                "give each device one name",
            )


def is_as_wanted(device: Device, task: DeployTask) -> bool:
    """Return whether a device has all that a deploy would bring: the release, the service, the key and the updates.

    Code of the user's own is compared by the deploy itself, so a task with such code always needs one.

    Raises:
        EdgenetError: the device does not answer.
    """
    running, _ = releases.running(device)
    if running is None or task.code.app is not None or task.code.run is not None:
        return False
    phone = device.facts().is_phone
    wanted = {release_of(task.bundle, key, phone).identity for key in usable_environments(device)}
    if running not in wanted or not releases.is_intact(device, running):
        return False
    if task.key is not None and not trusts(device, task.key):
        return False
    if task.updates is not None and not has_updates(device, task.updates):
        return False
    return task.service is None or _serves(device, task, task.service)


def _serves(device: Device, task: DeployTask, wanted: Service) -> bool:
    try:
        has = read_settings(device)
    except EdgenetError:
        return False
    if has is None:
        return False
    if has.program is not None and task.for_camera:
        return False  # the deploy says which of the two to decide on
    wanted = task.code.service(wanted, has)
    if (has.source, has.serve, has.system) != (wanted.source, wanted.serve, wanted.system):
        return False
    if task.options is not None and has.options.words() != placed_files(device.home, task.options)[0].words():
        return False
    return status_of(device.name, device).service == "active"


def why_not_alive(device: Device, seconds: float, progress: Progress) -> str:
    """Watch the service of a device for some seconds; return why it does not stay active, or "" if it does.

    A device without a service, or whose service somebody has stopped, passes at once.

    Raises:
        EdgenetError: the device does not answer.
    """
    first = status_of(device.name, device)
    if first.service in (None, "inactive"):
        return ""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        progress("watch the service", int(seconds - left), int(seconds))
        time.sleep(min(1.0, left))
    return _fault(first, status_of(device.name, device), seconds)


def _fault(first: Status, last: Status, seconds: float) -> str:
    said = f": {last.last_error}" if last.last_error else ""
    if last.service != "active":
        return f"its service is {last.service} {seconds:g} s after the deploy{said}"
    if last.restarts != first.restarts:
        return f"its service ended within {seconds:g} s after the deploy, and was started again{said}"
    return ""
