"""Targets that read settings: camera.toml, and the options of a service as they lie on a device."""

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
    from edgenet_device.live.command_line import options_of
    from edgenet_device.live.config_file import read_config

    from edgenet.devices.service_options import camera_parser, kept_options

    path = folder / "camera.toml"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        kept_options(read_config(path, options_of(camera_parser())))

    return check


@cache
def service_seeds() -> dict[str, bytes]:
    """Return settings of services: without options, and with some."""
    head = b'{"schema": "edgenet.service.v1", "source": "0", "serve": null, "system": false, "arguments": '
    return {"bare": head + b"[]}", "options": head + b'["--threshold=0.6", "--on-label=a", "--exec=/bin/x"]}'}


def service_settings(folder: Path) -> Check:
    """Read the input as the settings of a service, as edgenet does and as camera.py does."""
    from edgenet_device.live.config_file import read_config

    from edgenet.devices.service_settings import parse_settings

    path = folder / "settings.json"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        read_config(path, {})
        parse_settings(data.decode(errors="replace"), "settings.json")

    return check


TARGETS = (
    Target(
        "camera-toml",
        "camera.toml",
        ("edgenet_device.live.config_file",),
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
)
