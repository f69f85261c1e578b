"""The options of camera.py that a service starts with: read and checked here before anything reaches the device."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from edgenet_device.entry import parse_with_source
from edgenet_device.events.log_file import SUFFIXES
from edgenet_device.events.mqtt import check_topic, read_address
from edgenet_device.events.options import EventOptions, event_options
from edgenet_device.events.sinks import read_triggers
from edgenet_device.events.stored import read_login, read_secret, tls_context
from edgenet_device.events.webhook import check_url
from edgenet_device.foreign_text import one_line, printable
from edgenet_device.frames.view import view_of
from edgenet_device.live.command_line import camera_parser, options_of, read_config
from edgenet_device.model_file import open_model, read_labels
from edgenet_device.normalization import normalization_named
from edgenet_device.source_text import read_source, shown_source
from edgenet_device.web.address import parse_address

from edgenet.errors import EdgenetError

FILES = ("labels", "webhook-secret", "webhook-ca", "mqtt-login", "mqtt-ca")
"""Options whose value is a file of this machine, which is brought along."""
_WRITTEN_FILES = ("log", "record")
_WRITTEN_FOLDERS = ("snapshots", "clips", "queue", "keep-in")
_REFUSED = {
    "state": "the service sets it itself",
    "window": "a service has no desktop",
    "json": "edgenet status shows what the service sees",
    "frames": "a service goes on",
    "config": "give --config to edgenet itself",
}
_MODEL = "MODEL"


@dataclass(frozen=True)
class Option:
    """An option as it stands on a command line: its name without the dashes, and its value; None for a flag."""

    name: str
    value: str | None = None

    def word(self) -> str:
        """Return the option as one word of a command line."""
        return f"--{self.name}" if self.value is None else f"--{self.name}={self.value}"

    def shown(self) -> str:
        """Return the option as it may be shown to anybody: a URL without its user, password and query.

        The arguments of a command may hold a password, too: only their number is shown.
        """
        if self.value is None:
            return self.word()
        if self.name == "exec":
            return f"--exec={_shown_command(self.value)}"
        return f"--{self.name}={shown_source(self.value)}"


def _shown_command(command: str) -> str:
    try:
        words = _words_of(command)
    except EdgenetError:  # settings that were damaged on the device
        return "?"
    return f"{words[0]}{counted_arguments(len(words) - 1)}"


def counted_arguments(count: int) -> str:
    """Return what is shown after a program in place of its arguments, such as " (2 arguments)"."""
    return "" if count == 0 else f" ({count} argument{'s' if count > 1 else ''})"


@dataclass(frozen=True)
class ServiceOptions:
    """The options of camera.py for a service, in the order of its command line.

    Attributes:
        options: all but the two below.
        source: the camera; None if it is not among them.
        serve: the page's address; None if it is not among them.
    """

    options: tuple[Option, ...] = ()
    source: str | None = None
    serve: str | None = None

    def words(self) -> tuple[str, ...]:
        """Return `options` as the words of a command line."""
        return tuple(option.word() for option in self.options)

    def shown(self) -> tuple[str, ...]:
        """Return `options` as they may be shown to anybody."""
        return tuple(option.shown() for option in self.options)

    def has(self, name: str) -> bool:
        """Return whether an option is among `options`."""
        return any(option.name == name for option in self.options)

    def written_folders(self) -> tuple[str, ...]:
        """Return the folders outside the service's state folder that the options write to, on the device."""
        found = []
        for option in self.options:
            path = PurePosixPath(option.value or "")
            if path.is_absolute() and option.name in (*_WRITTEN_FILES, *_WRITTEN_FOLDERS):
                found.append(str(path.parent if option.name in _WRITTEN_FILES else path))
        return tuple(dict.fromkeys(found))

    def commands(self) -> tuple[str, ...]:
        """Return the programs that the options start, where they are named by their whole path."""
        commands = (_words_of(option.value or "")[0] for option in self.options if option.name == "exec")
        return tuple(word for word in commands if word.startswith("/"))


def read_options(words: Sequence[str], config: Path | None = None) -> ServiceOptions:
    """Read and check camera.py's options, and the files of this machine that they name.

    Args:
        words: the options, as on the command line of camera.py.
        config: a camera.toml, whose options come before those.

    Raises:
        EdgenetError: an option or a value is wrong, does not suit a service, or a file cannot be read.
    """
    for word in words:
        if printable(word) != word:
            raise EdgenetError(
                f"a line break or another control character stands in '{one_line(word)}'", "leave it out"
            )
    shape = camera_parser()
    shape.refuse = _refuse
    kept = [] if config is None else read_config(config, options_of(shape))
    every = [*kept, *words]
    given = parse_with_source(shape, [_MODEL, *every], "0")
    _check(given, event_options(shape, given))
    view_of(shape, given)
    found = kept_options(every)
    for option in found.options:
        if option.name in _REFUSED:
            raise EdgenetError(f"--{option.name} is not for a service", _REFUSED[option.name])
    return found


def _refuse(message: str) -> NoReturn:
    raise EdgenetError(f"camera.py's options: {message}", "camera.py --help lists them")


def _check(given: argparse.Namespace, events: EventOptions) -> None:
    """Check the values that camera.py itself would check only when it starts."""
    if given.labels is not None:
        read_labels(given.labels)
    if given.normalization is not None:
        normalization_named(given.normalization)
    if given.serve is not None:
        parse_address(given.serve)
    for path in events.log:
        if path.suffix.lower() not in SUFFIXES:
            raise EdgenetError(f"{path} does not end in .csv or .jsonl", "give the log such a name")
    for _, command in events.pairs:
        _words_of(command)
    for url in events.webhook:
        check_url(read_source(url))
    if events.mqtt is not None:
        read_address(events.mqtt)
    for option, topic in (("--mqtt-topic", events.mqtt_topic), ("--mqtt-discovery", events.mqtt_discovery)):
        if topic:
            check_topic(option, topic)
    if events.webhook_secret is not None:
        read_secret("--webhook-secret", events.webhook_secret)
    if events.mqtt_login is not None:
        read_login("--mqtt-login", events.mqtt_login)
    for option, authority in (("--webhook-ca", events.webhook_ca), ("--mqtt-ca", events.mqtt_ca)):
        if authority is not None:
            tls_context(option, authority)


def _words_of(command: str) -> list[str]:
    """Return the program of an --exec and its arguments; whether it is there shows only on the device."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise EdgenetError(f"--exec {one_line(command)}: {error}", "close the quotes") from None
    if not words:
        raise EdgenetError("--exec is empty", "give the program and its arguments")
    return words


def kept_options(words: Sequence[str]) -> ServiceOptions:
    """Return the options on a command line that camera.py takes, with the texts of their values.

    Raises:
        EdgenetError: camera.py does not take them.
    """
    shape = camera_parser()
    shape.refuse = _refuse
    names = {action.dest: name for name, action in options_of(shape).items()}
    for action in options_of(shape).values():
        action.type, action.choices, action.default = None, None, argparse.SUPPRESS
    given = shape.parse_intermixed_args([_MODEL, *words])
    if given.source is not None:
        raise EdgenetError(f"'{one_line(given.source)}' is no option of camera.py", "give --source SOURCE")
    found = vars(given)
    source, serve = found.pop("source_option", None), found.pop("serve", None)
    return ServiceOptions(tuple(_options(found, names)), source, serve)


def _options(found: dict[str, object], names: dict[str, str]) -> Iterator[Option]:
    in_order = found.pop("in_order", [])
    for field, value in found.items():
        if field in names and value is not None:
            yield Option(names[field], None if value is True else str(value))
    assert isinstance(in_order, list)
    for field, value in in_order:
        yield Option(names[field], value)


def check_labels(options: ServiceOptions, bundle: Path) -> None:
    """Check that a model has the labels that options name.

    Raises:
        EdgenetError: it lacks one; the message names the nearest.
    """
    shape = camera_parser()
    given = shape.parse_args([_MODEL, *options.words()])
    events = event_options(shape, given)
    if not (events.on_label or events.gpio):
        return
    labels = open_model(bundle).labels
    if not labels and given.labels is not None and given.labels.is_file():
        labels = read_labels(given.labels)
    if labels:
        read_triggers(events, labels)
