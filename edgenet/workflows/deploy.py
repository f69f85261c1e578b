"""The verbs `deploy` and `status`: install a bundle on a device, and report what runs there and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgenet_device.foreign_text import read_json
from edgenet_device.signature import key_name
from edgenet_device.source_text import read_source

from edgenet.bundle import open_bundle
from edgenet.devices import releases
from edgenet.devices import trust as trusting
from edgenet.devices.device import Device, DeviceFacts
from edgenet.devices.install import InstalledRelease, install_release, install_scripts
from edgenet.devices.releases import SUMS, bundle_in
from edgenet.devices.service import install_service, last_error, restart_service
from edgenet.devices.service_options import ServiceOptions, check_labels, read_options
from edgenet.devices.service_settings import parse_settings, read_settings, settings_path
from edgenet.devices.shell import script, understood
from edgenet.devices.targets import open_device
from edgenet.devices.trust import BundleOnDevice
from edgenet.devices.unit import UNIT, Service
from edgenet.errors import EdgenetError, one_line
from edgenet.progress import Progress, silent
from edgenet.signing import read_public_key
from edgenet.workflows.arguments import checked

# The camera rewrites its state file all the time; a state older than this says nothing about the present.
_FRESH_S = 10.0
_ASK = """
link=$(readlink "$1/current") && echo "release=${link#releases/}"
echo "uptime=$(cut -d ' ' -f 1 /proc/uptime)"
echo "clock=$(date +%s)"
! command -v systemctl >/dev/null || echo systemd=
for manager in "systemctl --user" systemctl; do
    [ "$($manager show -p LoadState --value "$2" 2>/dev/null)" = loaded ] || continue
    asked=${asked:-$manager}
    [ "$($manager show -p ActiveState --value "$2")" = inactive ] || { asked=$manager; break; }
done
[ -z "$asked" ] || $asked show -p ActiveState,SubState,NRestarts,Result,ActiveEnterTimestampMonotonic "$2"
case "$asked" in *--user) folder=${XDG_RUNTIME_DIR:-/run/user/$(id -u)} ;; *) folder=/run ;; esac
[ ! -r "$folder/edgenet/camera.json" ] || echo "state=$(cat "$folder/edgenet/camera.json")"
[ ! -r "$3" ] || echo "settings=$(cat "$3")"
exit 0
"""


@dataclass(frozen=True)
class Deployed:
    """What runs on the device after `deploy` or `rollback`.

    Attributes:
        target: the target as the user gave it.
        facts: the device's hardware and software.
        folder: the release's folder on the device; its camera.sh starts the camera.
        release: the release's ID.
        previous: ID of the release that `rollback` would go back to; None if there is none.
        moved: whether files had to be copied.
        swapped: whether the release that runs is another one than before.
        packages: Python packages that were installed just now.
        service: what was done about the service: "installed", "restarted", or None.
        notes: what the user should know.
        trusts: name of the key that the device has just been told to trust; None if it was not.
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
    progress: Progress = silent,
) -> Deployed:
    """Install a bundle (or .tflite) on a device and make it the one that runs there.

    If the power or the connection fails at any moment, either the old or the new release runs, never half of
    one. Files that the device already has are not copied again.

    >>> edgenet.deploy("small.edgenet", "ssh:pi@raspberrypi.local", service=True, serve="8080")  # doctest: +SKIP

    Args:
        bundle: from `convert` or `package`.
        on: the device: "ssh:USER@HOST[:PORT]", "adb" or "adb:SERIAL".
        offline: for a device without internet: this machine downloads the Python packages and copies them
            there.
        service: also install a user service that runs the camera from boot on; a service that already runs
            switches to the new bundle in any case.
        system_service: like `service`, but a system service, which needs sudo without a password on the device.
        source: camera of the service, as `camera` takes it.
        serve: address of the service's live web page: PORT (for the device only) or HOST:PORT.
        options: other options of `camera.py` for the service, such as ["--threshold", "0.6"]; files that they name
            are files of this machine, except those that the camera writes. Without options, a service that is there
            keeps those that it has.
        config: a camera.toml with such options, which come before `options`.
        trust: a public key from `new_key`; from now on the device runs only bundles that are signed by it.
        progress: called with every step.

    Raises:
        EdgenetError: an option is wrong, the device cannot be reached or cannot run the bundle, or the bundle is not
            signed by the key that the device trusts; the message says why.
        TypeError: an argument has the wrong type.
    """
    key = None if trust is None else read_public_key(trust)
    if key is not None:
        _check_signed_by(key, Path(bundle))
    given = read_options(options, None if config is None else Path(config)) if options or config else None
    wanted = _wanted_service(given, source, serve, system_service) if service or system_service else None
    task = _Task(Path(bundle), offline, key, wanted, given)
    task.check()
    with open_device(on) as device:
        return _deployed(on, device, task, progress)


@dataclass(frozen=True)
class _Task:
    """What `deploy` is asked to do; `options` is None if the service shall keep its own."""

    bundle: Path
    offline: bool
    key: bytes | None
    service: Service | None
    options: ServiceOptions | None

    def check(self) -> None:
        """Check the options before anything is copied.

        Raises:
            EdgenetError: there is no service that they are for, or the model lacks a label that they name.
        """
        if self.options is not None:
            if self.service is None:
                raise EdgenetError("options are given, and no service to start with them", "add --service")
            check_labels(self.options, self.bundle)


def _deployed(on: str, device: Device, task: _Task, progress: Progress) -> Deployed:
    facts = device.facts()
    wanted = task.service
    unread: list[str] = []
    if task.options is None:
        kept, unread = _kept_options(device)
        check_labels(kept, task.bundle)
        wanted = None if wanted is None else replace(wanted, options=kept)
    placed = install_release(task.bundle, device, progress, task.offline, task.key)
    running, before = releases.running(device)
    swapped = placed.release != running
    left = _files_left_behind(device, placed, running if swapped else None)
    _activate(device, placed, swapped, task.key)
    done, notes = _serve(device, wanted, swapped, progress)
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
        notes=(*unread, *placed.environment.notes, *left, *notes),
        trusts=None if task.key is None else key_name(task.key),
    )


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


def _kept_options(device: Device) -> tuple[ServiceOptions, list[str]]:
    """Return the options of the service that is there, and a note for the user if they cannot be read."""
    try:
        kept = read_settings(device)
    except EdgenetError as error:
        return ServiceOptions(), [str(error)]
    return ServiceOptions() if kept is None else kept.options, []


def _files_left_behind(device: Device, placed: InstalledRelease, old: str | None) -> list[str]:
    """Return a note for each release that somebody changed and that does not run any more."""
    left = {place.folder: place.files for place in placed.set_aside}
    if old is not None and (files := releases.changed_files(device, old)):
        left[f"{device.home}/releases/{old}"] = files
    return [
        f"{folder} has files that were added or changed there ({_few(files)}): they are kept, and the release that "
        "runs now is without them"
        for folder, files in left.items()
    ]


def _few(names: Sequence[str], most: int = 3) -> str:
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*(one_line(name) for name in names[:most]), *more])


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
            there = BundleOnDevice(install_scripts(device), f"{folder}/{_bundle(device, release)}")
            trusting.check(there, older=True)
        releases.activate(device, release)
        if guarded:
            trusting.accept(there, older=True)
        done, _ = _serve(device, None, True, silent)
        return Deployed(on, facts, folder, release, running, moved=False, swapped=True, service=done)


def _serve(
    device: Device, service: Service | None, swapped: bool, progress: Progress
) -> tuple[str | None, tuple[str, ...]]:
    """Install or restart the service; return what was done (None for nothing), and notes for the user."""
    if service is not None:
        progress("start the service", 0, None)
        return "installed", install_service(device, service)
    if swapped and restart_service(device):
        return "restarted", ()
    return None, ()


@dataclass(frozen=True)
class Status:
    """The state of a device. A field is None if it is unknown or its part does not run.

    Attributes:
        target: the target as the user gave it.
        release: ID of the installed release.
        bundle: name of the release's bundle.
        systemd: whether the device has systemd, which runs the service; a phone has none.
        service: state of the service in systemd's words: "active", "activating" (also while waiting for a
            restart), "failed", "inactive"; None if no service is installed.
        result: why the service last ended, in systemd's words: "success", "exit-code", "watchdog", ...
        restarts: how often systemd restarted the service.
        service_s: how long the service has been running, seconds.
        device_s: how long the device has been running, seconds.
        model: the model and the runtime that runs it.
        label: what the camera sees now; None if nothing the network knows.
        fps: frames classified per second.
        p50_ms: median time from a frame's capture to its labels, milliseconds.
        temperature: temperature of the device, degrees Celsius.
        warnings: what slows the device down now.
        lost: why no frames come; None if they come.
        page: address of the live page, as seen from the device.
        last_error: the last error in the journal.
        last_error_at: time of that error, ISO 8601.
        options: the service's options for camera.py, without passwords; see `configure`.
    """

    target: str
    release: str | None
    bundle: str | None
    systemd: bool
    service: str | None
    result: str | None
    restarts: int | None
    service_s: float | None
    device_s: float
    model: str | None = None
    label: str | None = None
    fps: float | None = None
    p50_ms: float | None = None
    temperature: float | None = None
    warnings: tuple[str, ...] = ()
    lost: str | None = None
    page: str | None = None
    last_error: str | None = None
    last_error_at: str | None = None
    options: tuple[str, ...] = ()


@checked
def status(on: str) -> Status:
    """Ask a device for its state.

    >>> edgenet.status("ssh:pi@raspberrypi.local").fps  # doctest: +SKIP

    Args:
        on: the device, as `deploy` takes it, or "local".

    Raises:
        EdgenetError: the device cannot be reached.
        TypeError: `on` is not a text.
    """
    with open_device(on) as device:
        out = device.run(script(_ASK, device.home, UNIT, settings_path(device.home))).out.decode(
            errors="replace"
        )
        answer = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        error = last_error(device) if "ActiveState" in answer else None
        bundle = _bundle(device, answer.get("release"))
        with understood(device):
            device_s = float(answer["uptime"])
            active = answer.get("ActiveState")
            since_us = int(answer.get("ActiveEnterTimestampMonotonic", "0"))
            return Status(
                target=on,
                release=answer.get("release"),
                bundle=bundle,
                systemd="systemd" in answer,
                service=active,
                result=answer.get("Result"),
                restarts=int(answer["NRestarts"]) if "NRestarts" in answer else None,
                service_s=device_s - since_us / 1e6 if active == "active" else None,
                device_s=device_s,
                last_error=error[1] if error else None,
                last_error_at=error[0] if error else None,
                options=_shown_options(answer.get("settings")),
                **_now(answer) if active == "active" else {},
            )


def _shown_options(settings: str | None) -> tuple[str, ...]:
    """Return the options that may be shown of the service's settings; none if they are missing or damaged."""
    try:
        return () if settings is None else parse_settings(settings, "the device").options.shown()
    except EdgenetError:
        return ()


def _bundle(device: Device, release: str | None) -> str | None:
    if not release:
        return None
    return bundle_in(device.pull(f"{device.home}/releases/{release}/{SUMS}").decode(errors="replace"))


def _now(answer: dict[str, str]) -> dict[str, Any]:
    """Return the camera's present state from its state file, as fields of `Status`.

    If there is no such file the result is empty; if the file is old, it holds only the model and a warning.
    """
    try:
        state = read_json(answer.get("state", ""))
        if float(answer["clock"]) - state["written"] > _FRESH_S:
            return {"model": state["model"], "lost": "the camera has stopped reporting its state"}
        keys = ("model", "label", "fps", "p50_ms", "temperature", "lost")
        return {
            **{key: state.get(key) for key in keys},
            "warnings": tuple(state["warnings"]),
            "page": state["url"],
        }
    except (ValueError, KeyError, TypeError, AttributeError):  # no state, or not one that camera.py wrote
        return {}
