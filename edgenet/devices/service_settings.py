"""The settings of the service on a device, in a private folder of their own that no release touches.

HOME/service/settings.json    the camera, the page's address, and camera.py's options, which it reads from there;
                              and the user's own program with its arguments, if that runs instead of camera.py
HOME/service/NAME-HASH        a file that an option names, brought along from this machine
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgenet_device.foreign_text import read_json
from edgenet_device.source_text import read_source

from edgenet.devices.apps import Program
from edgenet.devices.device import Device
from edgenet.devices.private_source import keep_private
from edgenet.devices.releases import SCRIPTS
from edgenet.devices.service_options import FILES, Option, ServiceOptions, kept_options
from edgenet.devices.shell import require_success, script
from edgenet.devices.unit import Service
from edgenet.errors import EdgenetError
from edgenet.files import read_limited

SCHEMA = "edgenet.service.v1"
_MOST_BYTES = 1 << 20
_WHAT = "keep the service's settings"
_TO_FILE = "webhook"
"""The option that takes "@FILE"."""
# Before the package edgenet_device, and before --config, camera.py read no options from a service's settings.
_ASK = """
try:
    from edgenet_device.live.command_line import camera_parser
    known = list(camera_parser()._option_string_actions)
except (ImportError, AttributeError):
    known = []
print("\\n".join(known if "--config" in known else []))
"""


def settings_path(home: str) -> str:
    """Return where the settings lie below edgenet's folder on a device."""
    return f"{home}/service/settings.json"


def bring_files(device: Device, options: ServiceOptions) -> ServiceOptions:
    """Copy the files of this machine that options name to the device, privately; return the options that name those.

    Files that were brought earlier are already there, and stay until the new settings are in place: they may be in use.

    Raises:
        EdgenetError: a file cannot be read here or written there.
    """
    placed, files = placed_files(device.home, options)
    for path, contents in files.items():
        keep_private(device, _WHAT, path, contents)
    return placed


def placed_files(home: str, options: ServiceOptions) -> tuple[ServiceOptions, dict[str, bytes]]:
    """Return the options as they name files on a device, and the contents of these files by their path there.

    Args:
        home: edgenet's folder on the device.
        options: the options, which name files of this machine.

    Raises:
        EdgenetError: a file cannot be read.
    """
    files: dict[str, bytes] = {}

    def place(option: Option) -> Option:
        value = option.value or ""
        if value.removeprefix("@").startswith(f"{home}/service/"):
            return option
        if option.name in FILES:
            contents, at = read_limited(Path(value), _MOST_BYTES), ""
        elif option.name == _TO_FILE and value.startswith("@"):
            contents, at = read_source(value).encode(), "@"
        else:
            return option
        path = f"{home}/service/{option.name}-{hashlib.sha256(contents).hexdigest()[:12]}"
        files[path] = contents
        return replace(option, value=at + path)

    return replace(options, options=tuple(place(option) for option in options.options)), files


# $1: the folder; $2...: the names of the files to keep.
_PRUNE = """
cd "$1" || exit 0
chmod 700 .
for file in *; do
    wanted=
    for name in "$@"; do [ "$name" != "$file" ] || wanted=yes; done
    [ -n "$wanted" ] || rm -f -- "$file"
done
"""


def keep_settings(device: Device, service: Service) -> None:
    """Write the settings of a service, and remove the files that only earlier settings named.

    Raises:
        EdgenetError: the device cannot write them.
    """
    path = settings_path(device.home)
    settings = {
        "schema": SCHEMA,
        "source": service.source,
        "serve": service.serve,
        "system": service.system,
        "arguments": service.options.words(),
        "program": None if service.program is None else [service.program.app, service.program.path],
        "program_arguments": service.arguments,
        "wanted": service.wanted,
    }
    keep_private(device, _WHAT, path, json.dumps(settings).encode())
    folder, _, name = path.rpartition("/")
    every = (*service.options.options, *kept_options(service.wanted).options)
    used = [option.value.rpartition("/")[2] for option in every if option.value]
    require_success(device, _WHAT, device.run(script(_PRUNE, folder, name, *used)))


# It is on one line, as `keep_settings` writes it.
_READ = '[ ! -r "$1" ] || cat "$1"'


def read_settings(device: Device) -> Service | None:
    """Return the settings of the service on a device; None if it has none.

    Raises:
        EdgenetError: they are damaged.
    """
    path = settings_path(device.home)
    out = device.run(script(_READ, path)).out
    return parse_settings(out.decode(errors="replace"), f"{path} on {device.name}") if out.strip() else None


def parse_settings(text: str, name: str) -> Service:
    """Return the settings that a text holds; `name` says where it is from.

    Raises:
        EdgenetError: it holds none.
    """
    try:
        found: dict[str, Any] = read_json(text)
        if found["schema"] != SCHEMA or not all(isinstance(word, str) for word in found["arguments"]):
            raise ValueError("its schema is another one")
        source, serve = found["source"], found["serve"]
        if not isinstance(source, str) or not (serve is None or isinstance(serve, str)):
            raise ValueError("its source or its address is no text")
        options = kept_options(found["arguments"])
        program, arguments = found.get("program"), tuple(found.get("program_arguments", ()))
        wanted = tuple(found.get("wanted", ()))
        if not all(isinstance(word, str) for word in (*(program or ()), *arguments, *wanted)):
            raise ValueError("its program is no text")
        kept_options(wanted)
        own = Program(*program) if program else None
        return Service(source, serve, bool(found["system"]), options, own, arguments, wanted)
    except (ValueError, KeyError, TypeError, EdgenetError) as error:
        raise EdgenetError(
            f"{name} holds no settings that this edgenet knows ({str(error)[:200]})",
            "install the service again: edgenet deploy --service",
        ) from None


def with_every_option(service: Service) -> Service:
    """Return the settings with the options that an older release had to do without."""
    return replace(service, options=kept_options(service.wanted), wanted=()) if service.wanted else service


def fitted_to_release(device: Device, release: str, service: Service) -> tuple[Service, tuple[str, ...]]:
    """Return the settings of a service with those options that a release on the device knows.

    An older release, after a rollback, may know fewer options, and its camera.py would end at once with "unrecognized
    arguments". So its service starts without these, and the settings keep them for the next release that knows them.

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
