"""Whether a device of a fleet needs a deploy at all, and whether it passes its check after one."""

from __future__ import annotations

import time

from edgenet.devices import releases
from edgenet.devices.device import Device
from edgenet.devices.environment import usable_environments
from edgenet.devices.releases import release_of
from edgenet.devices.service_settings import placed_files, read_settings
from edgenet.devices.trust import trusts
from edgenet.devices.unit import Service
from edgenet.devices.updates import has_updates
from edgenet.errors import EdgenetError
from edgenet.progress import Progress
from edgenet.workflows.deploy import DeployTask
from edgenet.workflows.status import Status, status_of


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
