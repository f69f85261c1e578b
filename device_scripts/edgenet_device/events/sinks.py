"""Opens the sinks that the options ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgenet_device.events.hub import Sink
from edgenet_device.events.options import EventOptions
from edgenet_device.events.trigger import Trigger, read_trigger

_MB = 1_000_000


@dataclass(frozen=True)
class Triggers:
    """What the options' labels mean for one model.

    Attributes:
        commands: the triggers of each --exec, in order.
        all: the triggers of every --on-label.
    """

    commands: tuple[tuple[Trigger, ...], ...]
    all: tuple[Trigger, ...]

    @property
    def held(self) -> tuple[tuple[str, float], ...]:
        """The (label, seconds) that must be told."""
        return tuple((one.label, one.seconds) for one in self.all if one.seconds)


def read_triggers(options: EventOptions, labels: Sequence[str]) -> Triggers:
    """Return what the options' labels mean.

    Raises:
        EdgenetError: the model has no such label; the message names the nearest.
    """
    commands = tuple(
        tuple(read_trigger("--on-label", text, labels) for text in texts) for texts, _ in options.pairs
    )
    every = tuple(read_trigger("--on-label", text, labels) for text in options.on_label)
    return Triggers(commands, every)


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
    return sinks


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
