"""Opens the sinks that the options ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgenet_device.errors import EdgenetError
from edgenet_device.events.gpio import PinSink, read_pin
from edgenet_device.events.hub import Sink
from edgenet_device.events.options import EventOptions
from edgenet_device.events.watcher import ANY_LABEL, Trigger, read_trigger
from edgenet_device.foreign_text import one_line

_MB = 1_000_000


@dataclass(frozen=True)
class Triggers:
    """What the options' labels mean for one model.

    Attributes:
        commands: the triggers of each --exec, in order.
        pins: the pin and the trigger of every --gpio.
        all: the triggers of every --on-label.
    """

    commands: tuple[tuple[Trigger, ...], ...]
    pins: tuple[tuple[str, Trigger], ...]
    all: tuple[Trigger, ...]

    @property
    def held(self) -> tuple[tuple[str, float], ...]:
        """The (label, seconds) that must be told."""
        every = (*self.all, *(trigger for _, trigger in self.pins))
        return tuple((one.label, one.seconds) for one in every if one.seconds)

    @property
    def pictures(self) -> tuple[Trigger, ...]:
        """What snapshots and clips are made of."""
        return self.all or (Trigger(ANY_LABEL),)


def read_triggers(options: EventOptions, labels: Sequence[str]) -> Triggers:
    """Return what the options' labels mean.

    Raises:
        EdgenetError: the model has no such label (the message names the nearest), or nothing happens at a label.
    """
    told = (options.log, options.webhook, options.mqtt, options.snapshots, options.clips)
    if options.on_label and not options.pairs and not any(told):
        raise EdgenetError(
            f"--on-label {one_line(options.on_label[0])}: no option says what happens then",
            "add one, such as --exec CMD or --snapshots DIR",
        )
    commands = tuple(
        tuple(read_trigger("--on-label", text, labels) for text in texts) for texts, _ in options.pairs
    )
    every = tuple(read_trigger("--on-label", text, labels) for text in options.on_label)
    pins = [read_pin(text) for text in options.gpio]
    switched = tuple((one.pin, read_trigger("--gpio", one.trigger, labels)) for one in pins)
    return Triggers(commands, switched, every)


def opened_sinks(options: EventOptions, triggers: Triggers, model: str) -> list[Sink]:
    """Return the sinks that the options ask for. A kind of sink is imported when it is needed.

    Args:
        model: the model's file name.

    Raises:
        EdgenetError: one of them cannot be opened.
    """
    sinks: list[Sink] = []
    if options.pairs:
        from edgenet_device.events.command import CommandSink

        for fired_by, (_, command) in zip(triggers.commands, options.pairs):
            sinks.append(CommandSink(fired_by, command, options.exec_limit))
    if options.log:
        from edgenet_device.events.log_file import LogSink

        sinks += [LogSink(path, round(options.log_size * _MB)) for path in options.log]
    if options.webhook:
        sinks += _webhooks(options)
    if options.mqtt is not None:
        sinks.append(_mqtt(options, model))
    sinks += [PinSink(pin, trigger) for pin, trigger in triggers.pins]
    sinks += _pictures(options, triggers.pictures)
    return sinks


def _pictures(options: EventOptions, triggers: Sequence[Trigger]) -> Iterator[Sink]:
    from edgenet_device.events.pictures import KeptFiles

    budget = round(options.pictures_size * _MB)
    if options.snapshots is not None:
        from edgenet_device.events.pictures import SnapshotSink

        yield SnapshotSink(triggers, KeptFiles("--snapshots", options.snapshots, ".jpg", budget))
    if options.clips is not None:
        from edgenet_device.events.pictures import ClipSink

        files = KeptFiles("--clips", options.clips, ".avi", budget)
        yield ClipSink(triggers, files, options.clip_before, options.clip_after)


def _webhooks(options: EventOptions) -> list[Sink]:
    from edgenet_device.events.stored import opened_queue, read_secret
    from edgenet_device.events.webhook import Webhook, WebhookSink, check_url
    from edgenet_device.source_text import read_source

    secret = (
        None if options.webhook_secret is None else read_secret("--webhook-secret", options.webhook_secret)
    )
    sinks: list[Sink] = []
    for given in options.webhook:
        url = read_source(given)
        check_url(url)
        queue = opened_queue(options.queue, "webhook", url, round(options.queue_size * _MB))
        sinks.append(WebhookSink(Webhook(url, secret, options.webhook_ca), queue))
    return sinks


def _mqtt(options: EventOptions, model: str) -> Sink:
    from edgenet_device.events.mqtt import (
        Broker,
        MqttSink,
        check_topic,
        default_topic,
        load_paho,
        read_address,
    )
    from edgenet_device.events.stored import opened_queue, read_login

    load_paho()  # before anything is made on the disk
    host, port = read_address(options.mqtt)
    broker = Broker(
        host,
        port,
        None if options.mqtt_login is None else read_login("--mqtt-login", options.mqtt_login),
        options.mqtt_ca,
        check_topic("--mqtt-topic", options.mqtt_topic or default_topic()),
        options.mqtt_discovery and check_topic("--mqtt-discovery", options.mqtt_discovery),
        model,
    )
    receiver = f"{host}:{port}/{broker.topic}"
    return MqttSink(broker, opened_queue(options.queue, "mqtt", receiver, round(options.queue_size * _MB)))
