"""Targets that read what the studio's steps Try and Deploy find: reports in its folder, and the ssh configuration."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from tools.fuzz.mutations import TEXT, json_changed
from tools.fuzz.report_targets import report_seeds
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target


@cache
def training_seeds() -> dict[str, bytes]:
    """Return reports of trainings: with and without judged photos and an answer for unknown things."""
    judged = {"file": "a/1.jpg", "class": 0, "answer": 0, "confidence": 0.9}
    photos = [
        judged,
        {**judged, "answer": 1, "confidence": 0.4},
        {**judged, "answer": None, "confidence": 0.0},
    ]
    unknown = {"kept": 95.0, "false_alarms": 4.0}
    found = {
        "judged": {"format": "edgenet.training.v1", "photos": photos, "unknown": unknown},
        "without": {"format": "edgenet.training.v1", "photos": photos[2:], "unknown": None},
    }
    return {name: json.dumps(value).encode() for name, value in found.items()}


def costs(folder: Path) -> Check:
    """Read the input as the report of a run, and count what a threshold costs."""
    from edgenet.studio_app.try_routes import read_costs

    path = folder / "report.json"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        read_costs(path)

    return check


def latencies(folder: Path) -> Check:
    """Read the input as a latency report in the studio's folder."""
    from tiny_model import tiny_model

    from edgenet.studio_app.deploy_routes import Latencies

    model = folder / "small.tflite"
    model.write_bytes(tiny_model())
    kept = Latencies(folder)
    kept.folder.mkdir()

    def check(data: bytes) -> None:
        (kept.folder / "one.json").write_bytes(data)
        kept.of(model)

    return check


@cache
def ssh_seeds() -> dict[str, bytes]:
    """Return ssh configurations: hosts, patterns, quotation marks."""
    return {
        "plain": b"Host pi kitchen\n  HostName 192.0.2.7\n  User pi\nHost *.local !x\n  Port 22\n",
        "quoted": b'Include "missing file"\nhost="a b" c\n# Host d\nMatch host e\n',
    }


def ssh_configuration(folder: Path) -> Check:
    """Read the input as the user's ssh configuration."""
    from edgenet.devices.ssh_connection import hosts_in

    path = folder / "config"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        hosts_in(path)

    return check


TARGETS = (
    Target(
        "studio-costs",
        "what a threshold costs by a training's report",
        ("edgenet.studio_app.try_routes",),
        training_seeds,
        (json_changed,),
        costs,
    ),
    Target(
        "studio-latencies",
        "latency reports in the studio's folder",
        ("edgenet.studio_app.deploy_routes",),
        report_seeds,
        (json_changed,),
        latencies,
    ),
    Target(
        "ssh-configuration",
        "hosts in the ssh configuration",
        ("edgenet.devices.ssh_connection",),
        ssh_seeds,
        TEXT,
        ssh_configuration,
    ),
)
