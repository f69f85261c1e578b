"""The verb `deploy`: install a bundle on a device, or go back to the release that ran before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgenet_device.signature import key_name
from edgenet_device.source_text import read_source
from edgenet_device.updates.download import check_url

from edgenet.devices import releases
from edgenet.devices import updates as trusting
from edgenet.devices.app_folders import OwnCode, code_on
from edgenet.devices.device import Device, DeviceFacts
from edgenet.devices.install import InstalledRelease, install_release, install_scripts
from edgenet.devices.service import install_service, restart_service, service_runs
from edgenet.devices.service_options import ServiceOptions, check_labels, read_options
from edgenet.devices.service_settings import fitted_to_release, read_settings, with_every_option
from edgenet.devices.targets import open_device
from edgenet.devices.unit import Service
from edgenet.devices.updates import OFF, BundleOnDevice, install_updates, require_trust
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent
from edgenet.signing import read_public_key
from edgenet.workflows.arguments import checked
from edgenet.workflows.own_code import (
    OwnCodeTask,
    few,
    plan_own_code,
    refuse_mixed_options,
    require_program,
    stale_notes,
)
from edgenet.workflows.status import bundle_name


@dataclass(frozen=True)
class Deployed:
    """What runs on the device after `deploy` or `rollback`.

    Attributes:
        target: the target as the user gave it.
        facts: the device's hardware and software.
        folder: the release's folder on the device; its camera.sh starts the camera, or on a phone its classify.sh
            classifies photos there.
        release: the release's ID.
        previous: ID of the release that `rollback` would go back to; None if there is none.
        moved: whether files had to be copied.
        swapped: whether the release that runs is another one than before.
        packages: Python packages that were installed just now.
        service: what was done about the service: "installed", "restarted", or None.
        notes: what the user should know.
        trusts: name of the key that the device has just been told to trust; None if it was not.
        code: code of the user's own on the device.
    """

    target: str
    facts: DeviceFacts
    folder: str
    release: str
    previous: str | None
    moved: bool
    swapped: bool
    packages: tuple[str, ...] = ()
    service: str | None = None
    notes: tuple[str, ...] = ()
    trusts: str | None = None
    code: tuple[OwnCode, ...] = ()


@checked
def deploy(
    bundle: str | Path,
    on: str,
    *,
    offline: bool = False,
    service: bool = False,
    system_service: bool = False,
    source: str = "0",
    serve: str | None = None,
    options: Sequence[str] = (),
    config: str | Path | None = None,
    trust: str | Path | None = None,
    with_: str | Path | None = None,
    requirements: str | Path | None = None,
    run: str | None = None,
    updates: str | None = None,
    progress: Progress = silent,
) -> Deployed:
    """Install a bundle (or .tflite) on a device; whatever fails meanwhile, the old or the new release runs, whole.

    >>> edgenet.deploy("small.edgenet", "ssh:pi@raspberrypi.local", service=True, serve="8080")  # doctest: +SKIP

    Args:
        bundle: from `convert` or `package`.
        on: the device: "ssh:USER@HOST[:PORT]", "adb" or "adb:SERIAL".
        offline: for a device without internet: this machine downloads the Python packages and copies them there.
        service: also install a user service that runs the camera from boot on; one that runs follows in any case.
        system_service: like `service`, but a system service, which needs sudo without a password on the device.
        source: camera of the service, as `camera` takes it.
        serve: address of the service's live web page: PORT (for the device only) or HOST:PORT.
        options: other options of `camera.py` for the service, such as ["--threshold", "0.6"]; files that they name
            are of this machine, except those that the camera writes. Without any, a service keeps those that it has.
        config: a camera.toml with such options, which come before `options`.
        trust: a public key from `new_key`; from now on the device runs only bundles that are signed by it.
        with_: a program of your own, or a folder, which stays on the device through later deploys and rollbacks.
        requirements: a requirements file with the packages that it needs, which this machine downloads.
        run: your program that the service starts, such as "my_app.py", with `options` as its arguments; or "camera.py".
        updates: address of a folder of `publish`, where the device then looks every hour for newer ones; or "off".
        progress: called with every step.

    Raises:
        EdgenetError: what is given is wrong, or the device cannot be reached, or cannot run or trust the bundle.
        TypeError: an argument has the wrong type.
    """
    task = plan_deploy(
        bundle,
        offline=offline,
        service=service,
        system_service=system_service,
        source=source,
        serve=serve,
        options=options,
        config=config,
        trust=trust,
        with_=with_,
        requirements=requirements,
        run=run,
        updates=updates,
    )
    task.code.check_target(on)
    with open_device(on) as device:
        return deploy_to(on, device, task, progress)


@dataclass(frozen=True)
class DeployTask:
    """What `deploy` is asked to do; `options` is None if the service shall keep its own, `updates` if they stay."""

    bundle: Path
    offline: bool
    key: bytes | None
    service: Service | None
    options: ServiceOptions | None
    code: OwnCodeTask
    updates: str | None = None

    @property
    def for_camera(self) -> bool:
        """Whether settings are given that only camera.py knows."""
        service = self.service or Service()
        return self.options is not None or service.source != "0" or service.serve is not None

    def check(self) -> None:
        """Check the bundle and the options before anything is done on a device.

        Raises:
            EdgenetError: there is no such bundle, no service that the options are for, or the model lacks a label that
                they name.
        """
        releases.require_bundle(self.bundle)
        if self.service is None and (self.options is not None or self.code.run is not None):
            raise EdgenetError("options are given, and no service to start with them", "add --service")
        if self.options is not None:
            check_labels(self.options, self.bundle)


def plan_deploy(
    bundle: str | Path,
    *,
    offline: bool = False,
    service: bool = False,
    system_service: bool = False,
    source: str = "0",
    serve: str | None = None,
    options: Sequence[str] = (),
    config: str | Path | None = None,
    trust: str | Path | None = None,
    with_: str | Path | None = None,
    requirements: str | Path | None = None,
    run: str | None = None,
    updates: str | None = None,
) -> DeployTask:
    """Return what `deploy` with these arguments has to do, after checking them.

    Raises:
        EdgenetError: an option is wrong, or the bundle is not signed by the key to trust.
    """
    key = None if trust is None else read_public_key(trust)
    if key is not None:
        _check_signed_by(key, Path(bundle))
    code = plan_own_code(with_, requirements, run, options)
    if code.program is not None:
        if config is not None or source != "0" or serve is not None:
            raise EdgenetError(
                f"--config, --source and --serve are for camera.py, and the service shall run {code.program}",
                "give its arguments after --",
            )
        options = ()
    given = read_options(options, None if config is None else Path(config)) if options or config else None
    wanted = _wanted_service(given, source, serve, system_service) if service or system_service else None
    if updates is not None and updates != OFF:
        check_url(updates)
    task = DeployTask(Path(bundle), offline, key, wanted, given, code, updates)
    task.check()
    return task


def deploy_to(on: str, device: Device, task: DeployTask, progress: Progress) -> Deployed:
    """Do what `deploy` was asked to do on an open device; `on` is its name for the result.

    Raises:
        EdgenetError: see `deploy`.
    """
    facts = device.facts()
    require_trust(device, task.updates, task.key)
    as_it_runs, unread = _kept_service(device)
    kept = None if as_it_runs is None else with_every_option(as_it_runs)
    wanted = _completed(on, task, kept)
    later = wanted or kept
    if task.options is None and later is not None and later.program is None:
        check_labels(later.options, task.bundle)
    require_program(device, task.code, None if wanted is None else wanted.program)
    wheels = task.code.wheels(device, progress)
    placed = install_release(task.bundle, device, progress, task.offline, task.key, opencv=True)
    running, before = releases.running(device)
    swapped = placed.release != running
    left = _files_left_behind(device, placed, running if swapped else None)
    code, about_code = task.code.place(device, wheels, progress)
    _activate(device, placed, swapped, task.key)
    new_code = any(
        one.state == "copied" and kept and kept.program and kept.program.app == one.name for one in code
    )
    done: str | None = None
    notes: tuple[str, ...] = ()
    if wanted is not None:
        progress("start the service", 0, None)
        done, notes = "installed", install_service(device, wanted)
    elif swapped or new_code:
        done, notes = _restart(device, as_it_runs, kept)
    if task.updates is not None:
        notes += install_updates(device, task.updates, progress)
    return Deployed(
        target=on,
        facts=facts,
        folder=placed.installed.release,
        release=placed.release,
        previous=running if swapped else before,
        moved=placed.copied,
        swapped=swapped,
        packages=placed.environment.made,
        service=done,
        notes=(*unread, *placed.environment.notes, *left, *about_code, *notes),
        trusts=None if task.key is None else key_name(task.key),
        code=code,
    )


def _completed(on: str, task: DeployTask, kept: Service | None) -> Service | None:
    """Return the service that `deploy` installs, with what it keeps of the one that is there; None for none."""
    if task.service is None:
        return None
    if task.for_camera and task.code.run is None:
        refuse_mixed_options(kept, on)
    wanted = task.code.service(task.service, kept)
    if task.options is not None or kept is None:
        return wanted
    return replace(wanted, options=kept.options)


def _wanted_service(given: ServiceOptions | None, source: str, serve: str | None, system: bool) -> Service:
    """Return the settings of the service; the source and the address may be among the options.

    Raises:
        EdgenetError: they are given twice.
    """
    given = given or ServiceOptions()
    for name, twice in (
        ("source", given.source is not None and source != "0"),
        ("serve", given.serve is not None and serve is not None),
    ):
        if twice:
            raise EdgenetError(
                f"--{name} is given twice, to edgenet and among camera.py's options", "give one"
            )
    return Service(read_source(given.source or source), given.serve or serve, system, given)


def _kept_service(device: Device) -> tuple[Service | None, list[str]]:
    """Return the settings of the service that is there, and a note for the user if they cannot be read."""
    try:
        return read_settings(device), []
    except EdgenetError as error:
        return None, [str(error)]


def _files_left_behind(device: Device, placed: InstalledRelease, old: str | None) -> list[str]:
    """Return a note for each release that somebody changed and that does not run any more."""
    left = {place.folder: place.files for place in placed.set_aside}
    if old is not None and (files := releases.changed_files(device, old)):
        left[f"{device.home}/releases/{old}"] = files
    return [
        f"{folder} has files that were added or changed there ({few(files)}): they are kept, and the release that "
        "runs now is without them"
        for folder, files in left.items()
    ]


def _activate(device: Device, placed: InstalledRelease, swapped: bool, key: bytes | None) -> None:
    """Make a release the one that runs, and its bundle the newest one of the trusted key, if the device trusts one."""
    guarded = key is not None or trusting.has_trust(device)
    here = BundleOnDevice(placed.installed, placed.installed.bundle)
    if guarded:
        trusting.check(here, key)
    if swapped:
        releases.activate(device, placed.release)
    if guarded:
        # Only now: if the power fails before, the device still runs its old bundle.
        trusting.accept(here, key)


def _check_signed_by(key: bytes, bundle: Path) -> None:
    """Refuse a bundle that the device would refuse, before anything is copied."""
    from edgenet.bundle import open_bundle  # here, because it imports numpy, which other deploys do not need

    signed_by = open_bundle(bundle).signed_by
    if signed_by != key:
        found = "has no signature" if signed_by is None else f"was signed by the key {key_name(signed_by)}"
        raise EdgenetError(
            f"{bundle} {found}, and the key to trust is {key_name(key)}",
            f"sign it: edgenet package {bundle} --sign KEY",
        )


@checked
def rollback(on: str) -> Deployed:
    """Go back to the release that ran before; a second rollback undoes the first.

    >>> edgenet.rollback("ssh:pi@raspberrypi.local").release  # doctest: +SKIP

    Args:
        on: the device, as `deploy` takes it.

    Raises:
        EdgenetError: there is no earlier release, or it is damaged.
    """
    with open_device(on) as device:
        facts = device.facts()
        running, release = releases.running(device)
        if release is None:
            raise EdgenetError(f"there is no previous release on {on}", "deploy one")
        if not releases.is_intact(device, release):
            raise EdgenetError(
                f"the previous release {release} is damaged on {on}", "deploy its bundle again"
            )
        folder = f"{device.home}/releases/{release}"
        if guarded := trusting.has_trust(device):
            there = BundleOnDevice(install_scripts(device), f"{folder}/{bundle_name(device, release)}")
            trusting.check(there, older=True)
        has, notes = _kept_service(device)
        fitted, about_options = fitted_to_release(device, release, has) if has else (None, ())
        releases.activate(device, release)
        if guarded:
            trusting.accept(there, older=True)
        done, more = _restart(device, has, fitted)
        code = code_on(device)
        return Deployed(
            on,
            facts,
            folder,
            release,
            running,
            moved=False,
            swapped=True,
            service=done,
            notes=(*notes, *about_options, *more, *stale_notes(code)),
            code=code,
        )


def _restart(
    device: Device, has: Service | None, fitted: Service | None
) -> tuple[str | None, tuple[str, ...]]:
    """Restart a service that runs, with other options if the release needs that.

    Args:
        device: the device.
        has: the settings with which it runs; None if there are none.
        fitted: those that suit the release in use.

    Returns:
        "restarted", or None if no service runs; and notes for the user.
    """
    if fitted is None or fitted == has:
        return ("restarted" if restart_service(device) else None), ()
    return ("restarted", install_service(device, fitted)) if service_runs(device) else (None, ())
