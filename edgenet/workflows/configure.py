"""The verb `configure`: the options of a camera that runs as a service, shown and changed without a new deploy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from edgenet_device.source_text import read_source, shown_source

from edgenet.devices import releases
from edgenet.devices.device import Device
from edgenet.devices.releases import SUMS, bundle_in
from edgenet.devices.service import install_service, switch_service
from edgenet.devices.service_options import ServiceOptions, check_labels, read_options
from edgenet.devices.service_settings import fitted_to_release, read_settings, with_every_option
from edgenet.devices.targets import open_device
from edgenet.devices.unit import Service
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent
from edgenet.workflows.arguments import checked
from edgenet.workflows.own_code import OwnCodeTask, plan_own_code, refuse_mixed_options, require_program


@dataclass(frozen=True)
class Configured:
    """The settings of a service. None of its texts holds a password.

    Attributes:
        target: the target as the user gave it.
        source: the camera.
        serve: address of the live page; None if there is none.
        system: whether it is a system service, not a user service.
        options: the other options of camera.py.
        program: the user's own program that runs instead of camera.py, without its arguments; None for camera.py.
        changed: whether they were changed, and the service started again, just now.
        notes: what the user should know.
        switched: whether the service was started (True) or stopped (False) just now; None for neither.
    """

    target: str
    source: str
    serve: str | None
    system: bool
    options: tuple[str, ...]
    changed: bool
    notes: tuple[str, ...] = ()
    program: str | None = None
    switched: bool | None = None


@checked
def configure(
    on: str,
    *,
    options: Sequence[str] = (),
    config: str | Path | None = None,
    run: str | None = None,
    running: bool | None = None,
    progress: Progress = silent,
) -> Configured:
    """Change the options of the camera that runs as a service on a device, and start it again; or return them.

    >>> edgenet.configure("ssh:pi@raspberrypi.local", options=["--threshold", "0.6"]).options  # doctest: +SKIP
    ('--threshold=0.6',)

    Args:
        on: the device, as `deploy` takes it.
        options: options of `camera.py`. They take the place of all that the service had, except for its source and
            its page's address, which stay as they are unless they are given.
        config: a camera.toml with such options, which come before `options`. With none of these, nothing is changed.
        run: the program that the service starts, as `deploy` takes it; `options` are then its arguments.
        running: True to start the service, now and at boot; False to stop it and to keep it from starting at boot.
        progress: called with every step.

    Raises:
        EdgenetError: an option is wrong, the model lacks a label, no service is installed, or it does not start.
        TypeError: an argument has the wrong type.
    """
    code = plan_own_code(None, None, run, options)
    given = _given_options(options, config, code)
    if running is not None and (given is not None or run is not None):
        raise EdgenetError(
            "--start and --stop cannot be given with options",
            "give one of them alone; options start the service",
        )
    with open_device(on) as device:
        service = read_settings(device)
        if service is None:
            raise EdgenetError(
                f"no service that can be configured runs on {on}",
                "edgenet deploy BUNDLE --service installs one",
            )
        notes: tuple[str, ...] = ()
        if given is not None or run is not None:
            service = _changed(device, on, service, given, code)
            release, _ = releases.running(device)
            service, notes = fitted_to_release(device, release, service) if release else (service, ())
            progress("start the service", 0, None)
            notes += install_service(device, service)
        elif running is not None:
            switch_service(device, service, running)
        return Configured(
            target=on,
            source=shown_source(service.source),
            serve=service.serve,
            system=service.system,
            options=service.options.shown(),
            changed=given is not None or run is not None,
            notes=notes,
            program=service.shown_program(),
            switched=running,
        )


def _given_options(
    options: Sequence[str], config: str | Path | None, code: OwnCodeTask
) -> ServiceOptions | None:
    """Return the options for camera.py; None if there are none."""
    if code.program is not None and config is not None:
        raise EdgenetError(
            f"--config is for camera.py, and the service shall run {code.program}", "leave it out"
        )
    words = () if code.program else options
    return read_options(words, None if config is None else Path(config)) if words or config else None


def _changed(
    device: Device, on: str, service: Service, given: ServiceOptions | None, code: OwnCodeTask
) -> Service:
    """Return the settings that a service gets; what is not given stays."""
    if code.run is None:
        refuse_mixed_options(service, on)
    require_program(device, code, code.program)
    given = given or with_every_option(service).options
    if code.program is None:
        _check_labels_there(device, given)
    source = service.source if given.source is None else read_source(given.source)
    return code.service(Service(source, given.serve or service.serve, service.system, given), service)


def _check_labels_there(device: Device, options: ServiceOptions) -> None:
    """Check the labels in the options against the model that runs on the device."""
    if not (options.has("on-label") or options.has("gpio")):
        return
    release = f"{device.home}/current"
    name = bundle_in(device.pull(f"{release}/{SUMS}").decode(errors="replace"))
    if name is None:
        return
    with TemporaryDirectory() as folder:
        bundle = Path(folder) / name
        bundle.write_bytes(device.pull(f"{release}/{name}"))
        check_labels(options, bundle)
