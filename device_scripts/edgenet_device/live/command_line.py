"""The command line of camera.py, which edgenet also reads for a camera that runs as a service."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgenet_device.entry import (
    ScriptParser,
    add_model_facts,
    add_source,
    add_threads,
    at_least,
    between,
    parse_with_source,
    script_parser,
)
from edgenet_device.events.options import add_event_options
from edgenet_device.frames.view import add_view_options
from edgenet_device.live.config_file import read_config
from edgenet_device.live.field_output import add_field_options

_NOT_IN_FILES = ("help", "config")


def camera_parser(about: str | None = None) -> ScriptParser:
    """Return the parser of the command line; `about` is the docstring of the script."""
    shape = script_parser("camera.py", about)
    add = shape.add_argument
    add("model", metavar="MODEL", type=Path, help="path of a .edgenet bundle or .tflite file")
    add_source(
        shape,
        "camera (0, csi or /dev/video0), video, photo, folder of photos, or URL of a stream (default: 0)",
    )
    add(
        "--config",
        metavar="FILE",
        type=Path,
        help="read options from a TOML file (camera.toml); those on the command line come after them",
    )
    add("--top", metavar="K", type=at_least(1), default=5, help="number of labels to show (default: 5)")
    add_threads(shape)
    add_model_facts(shape)
    add(
        "--threshold",
        metavar="P",
        type=between(0, 1),
        default=0.3,
        help="scores below this, 0 to 1, are shown as 'nothing I know' (default: 0.3)",
    )
    add(
        "--smooth",
        metavar="S",
        type=between(0, 60),
        default=0.3,
        help="half-life of the scores' moving average, and how long another label must be right before it is shown, "
        "in seconds; 0 for neither (default: 0.3)",
    )
    add("--frames", metavar="N", type=at_least(1), help="stop after N frames (default: go on)")
    _add_outputs(shape)
    add_view_options(shape)
    add_event_options(shape)
    add_field_options(shape)
    return shape


def _add_outputs(shape: argparse.ArgumentParser) -> None:
    add = shape.add_argument
    add(
        "--serve",
        metavar="ADDRESS",
        nargs="?",
        const="8080",
        help="serve a live web page at PORT, HOST or HOST:PORT (without an address: port 8080, for this machine only)",
    )
    add("--record", metavar="FILE.mp4", type=Path, help="record the labelled frames as a video")
    add("--window", action="store_true", help="show the labelled frames in a desktop window")
    add(
        "--state", metavar="FILE", type=Path, help="for a service: save the state in FILE, and notify systemd"
    )
    add("--json", action="store_true", help="print one JSON object per line for each frame, then the summary")


def options_of(shape: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return what argparse knows of each option that a file may set, by its name without the dashes."""
    every = {name[2:]: action for name, action in shape._option_string_actions.items() if name[:2] == "--"}
    return {name: action for name, action in every.items() if name not in _NOT_IN_FILES}


def parse_camera(shape: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """Parse a command line, and before it the file that its --config names.

    Raises:
        EdgenetError: the file cannot be used, or "@FILE" as the source cannot be read.
    """
    given = parse_with_source(shape, arguments, default="0")
    if given.config is None:
        return given
    words = read_config(given.config, options_of(shape))
    # A source on the command line takes the place of the file's; argparse would take both for a contradiction.
    source = [word.partition("=")[2] for word in words if word.startswith("--source=")]
    others = [word for word in words if not word.startswith("--source=")]
    return parse_with_source(shape, [*others, *arguments], default=source[-1] if source else "0")
