"""The options of camera.py that a release on a device knows: an older one, after a rollback, may know fewer.

Such a release's camera.py would end at once with "unrecognized arguments". So its service starts without these options,
and the settings keep them for the next release that knows them.
"""

from __future__ import annotations

from dataclasses import replace

from edgenet.devices.device import Device
from edgenet.devices.releases import SCRIPTS
from edgenet.devices.service_options import ServiceOptions, kept_options
from edgenet.devices.unit import Service

# Before the package edgenet_device, and before --config, camera.py read no options from a service's settings.
_ASK = """
try:
    from edgenet_device.live.command_line import camera_parser
    known = list(camera_parser()._option_string_actions)
except (ImportError, AttributeError):
    known = []
print("\\n".join(known if "--config" in known else []))
"""


def with_every_option(service: Service) -> Service:
    """Return the settings with the options that an older release had to do without."""
    return replace(service, options=kept_options(service.wanted), wanted=()) if service.wanted else service


def fitted_to_release(device: Device, release: str, service: Service) -> tuple[Service, tuple[str, ...]]:
    """Return the settings of a service with those options that a release on the device knows.

    Args:
        device: the device.
        release: the release's ID.
        service: the settings.

    Returns:
        the settings, and notes for the user.
    """
    whole = with_every_option(service)
    if not whole.options.options:
        return whole, ()
    folder = f"{device.home}/releases/{release}"
    python = ["env", f"PYTHONPATH={folder}/{SCRIPTS}", f"{folder}/environment/bin/python"]
    done = device.run([*python, "-c", _ASK])
    if done.status:  # whatever is wrong there, the start of the service will say it
        return whole, ()
    known = done.out.decode(errors="replace").split()
    options = tuple(option for option in whole.options.options if f"--{option.name}" in known)
    left_out = [f"--{option.name}" for option in whole.options.options if option not in options]
    if not left_out:
        return whole, ()
    note = (
        f"the release {release} does not know {', '.join(dict.fromkeys(left_out))}: the service is without, and has "
        "these options again with the next release that knows them"
    )
    return replace(whole, options=ServiceOptions(options), wanted=whole.options.words()), (note,)
