"""The options for events, in one table: the camera's command line is made of it, and so is whatever else sets them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from edgenet_device.entry import between

_LONGEST_S = 86_400


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        name: its name, without the dashes.
        metavar: what stands for its value.
        help: what it does.
        read: turns its text into its value; raises ValueError or argparse.ArgumentTypeError.
        default: its value unless it is given; None if it has none.
        many: whether it may be given several times.
    """

    name: str
    metavar: str
    help: str
    read: Callable[[str], Any] = str
    default: Any = None
    many: bool = False

    @property
    def field(self) -> str:
        """The name of its value in Python."""
        return self.name.replace("-", "_")


OPTIONS = (
    Option(
        "hold",
        "S",
        "a label enters after it was the answer for S seconds (default: 0.5)",
        between(0, _LONGEST_S),
        0.5,
    ),
    Option(
        "release",
        "S",
        "a label leaves after it was not the answer for S seconds (default: 1)",
        between(0, _LONGEST_S),
        1.0,
    ),
    Option(
        "on-label",
        "LABEL[:SECONDS]",
        "what the next --exec, and --snapshots and --clips, act on: LABEL enters, or has been there for SECONDS; "
        "'*' is every label, 'nothing I know' is nothing known; several are allowed",
        many=True,
    ),
    Option(
        "exec",
        "CMD",
        "start CMD (no shell) at each --on-label before it, with the event in EDGENET_* and as JSON on its input",
        many=True,
    ),
    Option(
        "exec-limit",
        "S",
        "end a CMD that runs for longer than S seconds (default: 30)",
        between(0.1, _LONGEST_S),
        30.0,
    ),
    Option("log", "FILE", "append events to FILE.csv or FILE.jsonl", Path, many=True),
    Option(
        "log-size",
        "MB",
        "begin a new log at this size, and keep five (default: 10)",
        between(0.01, 10_000),
        10.0,
    ),
    Option("webhook", "URL", "post events to URL, or to the URL that @FILE holds", many=True),
    Option("webhook-secret", "FILE", "sign what is posted (HMAC-SHA256) with the secret in FILE", Path),
    Option("webhook-ca", "FILE", "PEM file of the authority that signed the webhook's certificate", Path),
    Option(
        "mqtt", "HOST[:PORT]", "publish events on a broker, where Home Assistant finds them (needs paho-mqtt)"
    ),
    Option("mqtt-login", "FILE", "user and password for the broker: the two lines of FILE", Path),
    Option(
        "mqtt-ca",
        "FILE",
        "use TLS, and trust the authority in this PEM file (port 8883: TLS without it)",
        Path,
    ),
    Option("mqtt-topic", "TOPIC", "publish below TOPIC (default: edgenet/ and a name of the device's own)"),
    Option(
        "mqtt-discovery",
        "TOPIC",
        "where Home Assistant looks; '' for nowhere (default: homeassistant)",
        str,
        "homeassistant",
    ),
    Option("gpio", "PIN=LABEL[:SECONDS]", "switch PIN on while LABEL is present (needs gpiozero)", many=True),
    Option(
        "snapshots", "DIR", "keep the frame of each --on-label, or of every label that enters, in DIR", Path
    ),
    Option("clips", "DIR", "keep the seconds before and after it as a film in DIR", Path),
    Option("clip-before", "S", "seconds of a clip before the event (default: 5)", between(0, 60), 5.0),
    Option("clip-after", "S", "seconds of a clip after the event (default: 5)", between(0, 60), 5.0),
    Option(
        "pictures-size",
        "MB",
        "most disk space for snapshots, and for clips; then the oldest go (default: 500)",
        between(0.1, 1e6),
        500.0,
    ),
    Option(
        "queue",
        "DIR",
        "where events wait for a receiver that is away (default: edgenet's state folder)",
        Path,
    ),
    Option(
        "queue-size",
        "MB",
        "most disk space for each receiver's waiting events (default: 16)",
        between(0.1, 10_000),
        16.0,
    ),
)
"""Every option for events."""


@dataclass(frozen=True)
class EventOptions:
    """Values of OPTIONS.

    Attributes:
        values: the value of every option by its field's name; a tuple for those that may be given several times.
        pairs: (labels, command) of every --exec: the texts of each --on-label since the --exec before it.
    """

    values: dict[str, Any]
    pairs: tuple[tuple[tuple[str, ...], str], ...] = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None


def defaults() -> EventOptions:
    """Return the options when none is given."""
    return EventOptions({one.field: () if one.many else one.default for one in OPTIONS})


def add_event_options(shape: argparse.ArgumentParser) -> None:
    """Add every option to a command line; `event_options` returns their values."""
    group = shape.add_argument_group("events (docs/events.md)")
    for one in OPTIONS:
        group.add_argument(
            f"--{one.name}",
            metavar=one.metavar,
            type=one.read,
            action=_InOrder if one.many else "store",
            default=one.default,
            help=one.help,
        )


class _InOrder(argparse.Action):
    """Appends to one list for all options with many values: --on-label belongs to the --exec after it."""

    many = True

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given = getattr(namespace, "in_order", None) or []
        namespace.in_order = [*given, (self.dest, values)]


def event_options(shape: argparse.ArgumentParser, given: argparse.Namespace) -> EventOptions:
    """Return the options' values; an --exec without an --on-label before it is a usage error."""
    in_order: Sequence[tuple[str, Any]] = getattr(given, "in_order", None) or []
    values = {
        one.field: tuple(value for name, value in in_order if name == one.field)
        if one.many
        else getattr(given, one.field)
        for one in OPTIONS
    }
    pairs, labels = [], []
    for name, value in in_order:
        if name == "on_label":
            labels.append(value)
        elif name == "exec":
            if not labels:
                shape.error("give --on-label LABEL before --exec CMD, for what starts the command")
            pairs.append((tuple(labels), value))
            labels = []
    return EventOptions(values, tuple(pairs))
