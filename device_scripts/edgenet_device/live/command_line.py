"""The command line of camera.py, and the files that its --config names.

edgenet also reads both for a camera that runs as a service. A file is camera.toml, as people write it, whose keys are
the options' names; or the JSON that edgenet keeps for a service, whose "arguments" are the words of a command line.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

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
from edgenet_device.errors import EdgenetError
from edgenet_device.events.options import add_event_options
from edgenet_device.foreign_text import one_line, read_json
from edgenet_device.frames.view import add_view_options
from edgenet_device.live.field_output import add_field_options

_NOT_IN_FILES = ("help", "config")
LARGEST = 1 << 20
ACTIONS = "actions"
"""The array of tables that each hold an --on-label and what belongs to it, because their order counts."""
_NUMBERS = (int, float)
_PAGE = "docs/on-the-device.md"


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


def read_config(path: Path, options: Mapping[str, argparse.Action]) -> list[str]:
    """Return the options that a file sets, as the words of a command line.

    Args:
        path: the file; .json is a service's, anything else is TOML, which needs Python 3.11.
        options: what argparse knows of each option that may be set, by its name without the dashes.

    Raises:
        EdgenetError: the file cannot be read or is neither, a key is no option, or a value has the wrong type.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "give --config FILE") from None
    if path.suffix == ".json":
        return _of_service(path, data)
    table = read_toml(path, data, "give the options on the command line", _PAGE)
    return [word for key, value in table.items() for word in _words(path, key, value, options)]


def _of_service(path: Path, data: bytes) -> list[str]:
    try:
        words = read_json(data, LARGEST)["arguments"]
        if isinstance(words, list) and all(isinstance(word, str) for word in words):
            return words
        reason = "its arguments are no list of texts"
    except (ValueError, TypeError, KeyError) as error:
        reason = str(error)
    raise EdgenetError(
        f"{path} is no settings of a service: {one_line(reason)}", "edgenet configure writes it"
    )


def read_toml(path: Path, data: bytes, otherwise: str, page: str) -> dict[str, Any]:
    """Return the table that the bytes of a TOML file hold.

    Args:
        path: the file, for messages.
        data: its bytes.
        otherwise: what to do with a Python that cannot read TOML.
        page: the page that describes the file.

    Raises:
        EdgenetError: this Python is older than 3.11, or the bytes are no TOML.
    """
    try:
        reader = import_module("tomllib")
    except ModuleNotFoundError:
        raise EdgenetError(f"{path}: this Python cannot read TOML, which needs 3.11", otherwise) from None
    try:
        if len(data) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
        found: dict[str, Any] = reader.loads(data.decode("utf-8-sig"))
        return found
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise EdgenetError(f"{path} is not TOML: {one_line(reason)}", f"see {page}") from None


def _words(path: Path, key: str, value: Any, options: Mapping[str, argparse.Action]) -> Iterator[str]:
    """Yield the words of a command line for one key."""
    if key == ACTIONS and isinstance(value, list) and all(isinstance(table, dict) for table in value):
        for table in value:
            # The label comes before what it starts, in whatever order the table has them.
            for inner in sorted(table, key=lambda name: _named(name) != "on-label"):
                yield from _words(path, inner, table[inner], options)
        return
    action = options.get(_named(key))
    if action is None:
        raise EdgenetError(f"{path}: there is no option '{one_line(key, 60)}'", _nearest(key, options))
    option = f"--{_named(key)}"
    if isinstance(value, bool):
        if action.nargs not in (0, "?"):
            raise EdgenetError(f"{path}: {key} takes a value, not {str(value).lower()}", "give the value")
        if value:
            # Without its value, an option that may have one would take the next word of the command line for it.
            yield option if action.nargs == 0 else f"{option}={action.const}"
        return
    if action.nargs == 0:
        raise EdgenetError(f"{path}: {key} takes true or false", "give one of the two")
    many = hasattr(action, "many")
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, (str, *_NUMBERS)) and not isinstance(one, bool) for one in values):
        raise EdgenetError(f"{path}: {key} takes a text or a number", f"see {_PAGE}")
    if isinstance(value, list) and not many:
        values = [",".join(str(one) for one in value)]  # the four numbers of a region
    for one in values:
        yield f"{option}={one}"


def _named(key: str) -> str:
    return key.replace("_", "-")


def _nearest(key: str, options: Mapping[str, argparse.Action]) -> str:
    near = difflib.get_close_matches(_named(key)[:60], [*options, ACTIONS], 1, 0.5)
    return f"the nearest is '{near[0]}'" if near else "camera.py --help lists the options"
