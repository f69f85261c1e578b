"""Targets that read settings, camera.toml and a service's options on a device, and code that a user brings there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tools.fuzz.mutations import TEXT, json_changed
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target


@cache
def toml_seeds() -> dict[str, bytes]:
    """Return camera.toml files: plain options, lists, and actions."""
    return {
        "plain": b'threshold = 0.6\nrotate = 180\nserve = true\njson = false\nsource = "csi"\n',
        "lists": b'region = [0.1, 0, 0.8, 1]\nlog = ["a.csv", "b.jsonl"]\nsize = "1280x720"\n',
        "actions": b'smooth = 1\n[[actions]]\non-label = ["a", "b"]\nexec = "/bin/relay"\n',
    }


def camera_toml(folder: Path) -> Check:
    """Read the input as a camera.toml, and parse what it says."""
    from edgenet_device.live.command_line import options_of, read_config

    from edgenet.devices.service_options import camera_parser, kept_options

    path = folder / "camera.toml"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        kept_options(read_config(path, options_of(camera_parser())))

    return check


@cache
def fleet_seeds() -> dict[str, bytes]:
    """Return fleet files: one device, and several with groups, labels and options of ssh."""
    one = b'[devices.a]\non = "ssh:pi@a.local"\n'
    more = b'labels = { room = "x" }\ncanary = true\nssh = { ProxyJump = "g" }\n[devices.b]\non = "adb:X1"\n'
    return {"one": one, "several": one + more + b'[groups]\nall = ["a", "b"]\n[ssh]\nConnectTimeout = 5\n'}


def fleet_file(folder: Path) -> Check:
    """Read the input as a fleet file."""
    from edgenet.devices.fleet_file import read_fleet

    path = folder / "fleet.toml"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        read_fleet(path)

    return check


@cache
def service_seeds() -> dict[str, bytes]:
    """Return settings of services: without options, and with some."""
    head = b'{"schema": "edgenet.service.v1", "source": "0", "serve": null, "system": false, "arguments": '
    own = b'[], "program": ["shop", "bin/main.py"], "program_arguments": ["--port", "80"]}'
    options = b'["--threshold=0.6", "--on-label=a", "--exec=/bin/x"]}'
    return {"bare": head + b"[]}", "options": head + options, "program": head + own}


def service_settings(folder: Path) -> Check:
    """Read the input as the settings of a service, as edgenet does and as camera.py does."""
    from edgenet_device.live.command_line import read_config

    from edgenet.devices.service_settings import parse_settings

    path = folder / "settings.json"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        read_config(path, {})
        parse_settings(data.decode(errors="replace"), "settings.json")

    return check


@cache
def code_seeds() -> dict[str, bytes]:
    """Return programs, and requirements files; each input is read as both."""
    return {
        "program": b"import os\n\n\ndef main(x: int = 1) -> None:\n    print(f'{x!r} {os.sep}')\n\n\nmain()\n",
        "coding": b"# -*- coding: latin-1 -*-\nx = '\xe4'\n",
        "names": b"flask==3.1.2 \\\n    --hash=sha256:00\npaho-mqtt[proxy]~=2.0  # a client\n-i https://host/simple\n",
    }


def own_code(folder: Path) -> Check:
    """Read the input as a program of the user's own, and as its requirements file."""
    from edgenet.devices.app_packages import read_requirements
    from edgenet.devices.apps import read_app
    from edgenet.errors import EdgenetError

    program, names = folder / "my_app.py", folder / "requirements.txt"

    def check(data: bytes) -> None:
        program.write_bytes(data)
        names.write_bytes(data)
        try:
            read_requirements(names)
        except EdgenetError:
            read_app(program)

    return check


TARGETS = (
    Target("fleet-file", "fleet files", ("edgenet.devices.fleet_file",), fleet_seeds, TEXT, fleet_file),
    Target(
        "camera-toml",
        "camera.toml",
        ("edgenet_device.live.command_line",),
        toml_seeds,
        TEXT,
        camera_toml,
    ),
    Target(
        "service-settings",
        "settings of services",
        ("edgenet.devices.service_settings",),
        service_seeds,
        (json_changed, *TEXT),
        service_settings,
    ),
    Target(
        "own-code",
        "programs of one's own and their requirements",
        ("edgenet.devices.apps", "edgenet.devices.app_packages"),
        code_seeds,
        TEXT,
        own_code,
    ),
)
