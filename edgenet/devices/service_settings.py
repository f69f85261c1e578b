"""The settings of the service on a device, in a private folder of their own that no release touches.

HOME/service/settings.json    the camera, the page's address, and camera.py's options, which it reads from there
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

from edgenet.devices.device import Device
from edgenet.devices.private_source import keep_private
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


def settings_path(home: str) -> str:
    """Return where the settings lie below edgenet's folder on a device."""
    return f"{home}/service/settings.json"


def bring_files(device: Device, options: ServiceOptions) -> ServiceOptions:
    """Copy the files of this machine that options name to the device, privately; return the options that name those.

    Files that were brought earlier are already there.

    Raises:
        EdgenetError: a file cannot be read here or written there.
    """
    return replace(options, options=tuple(_brought(device, option) for option in options.options))


def _brought(device: Device, option: Option) -> Option:
    value = option.value or ""
    if value.removeprefix("@").startswith(f"{device.home}/service/"):
        return option
    if option.name in FILES:
        return replace(option, value=_keep(device, option.name, read_limited(Path(value), _MOST_BYTES)))
    if option.name == _TO_FILE and value.startswith("@"):
        return replace(option, value=f"@{_keep(device, option.name, read_source(value).encode())}")
    return option


def _keep(device: Device, name: str, contents: bytes) -> str:
    # Files that were brought earlier stay until the new settings are in place: they may be in use.
    path = f"{device.home}/service/{name}-{hashlib.sha256(contents).hexdigest()[:12]}"
    keep_private(device, _WHAT, path, contents)
    return path


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
    }
    keep_private(device, _WHAT, path, json.dumps(settings).encode())
    folder, _, name = path.rpartition("/")
    used = [option.value.rpartition("/")[2] for option in service.options.options if option.value]
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
        return Service(source, serve, bool(found["system"]), options)
    except (ValueError, KeyError, TypeError, EdgenetError) as error:
        raise EdgenetError(
            f"{name} holds no settings that this edgenet knows ({str(error)[:200]})",
            "install the service again: edgenet deploy --service",
        ) from None
