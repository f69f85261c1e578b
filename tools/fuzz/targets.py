"""All targets of the fuzz, and which module that reads files or answers from outside has which target.

`unlisted_readers` finds the readers in the code itself, so that a new one without a target fails a test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools.fuzz import (
    ROOT,
    answer_targets,
    command_targets,
    data_targets,
    deploy_targets,
    event_targets,
    field_targets,
    keras_targets,
    key_targets,
    onnx_targets,
    report_targets,
    server_targets,
    settings_targets,
    studio_targets,
    tflite_targets,
    training_targets,
    weight_targets,
)
from tools.fuzz.workers import Target

_FILES = (
    *(
        tflite_targets,
        onnx_targets,
        keras_targets,
        weight_targets,
        data_targets,
        event_targets,
        field_targets,
        report_targets,
        training_targets,
        answer_targets,
    ),
    *(key_targets, server_targets, settings_targets, command_targets, studio_targets, deploy_targets),
)
TARGETS: dict[str, Target] = {target.name: target for file in _FILES for target in file.TARGETS}

WITHOUT_TARGET = {
    "edgenet.assets.digits": "a picture and a JSON text that come with edgenet",
    "edgenet.devices.adb_connection": "the user's own adb server, on this machine",
    "edgenet.devices.local": "files of this machine, handed on as bytes",
    "edgenet.devices.phone_pack": "packages whose SHA-256 is checked before they are unpacked",
    "edgenet.devices.wheels": "the list of packages that comes with edgenet",
    "edgenet.figures.teaching_page": "the page's own style and script",
    "edgenet.latency.benchmark_model": "the first 20 bytes of a program that the user is about to run",
    "edgenet.studio_app.guard": "the studio's own certificate, which cryptography checks",
    "edgenet.studio_app.server": "files of the page, which come with edgenet",
    "edgenet.training.machine": "what the kernel says about this machine's memory",
    "edgenet.training.photos": "photos, handed on to edgenet_device.frames.photos",
    "edgenet.web.site": "an archive and a record that come with edgenet",
    "edgenet.workflows.demo": "what edgenet's own programs have just printed",
    "edgenet.workflows.normalization_check": "a network that was read before",
    "edgenet.workflows.onnx_source": "an .onnx that open_source has read before",
    "edgenet.workflows.package": "files handed on to the readers of networks, and edgenet's own scripts",
    "edgenet.workflows.publish": "an index, handed on to edgenet_device.updates.index",
    "edgenet.workflows.sweep_training": "files that this run has just made",
    "edgenet.zoo.catalogue": "a table that comes with edgenet",
    "edgenet.zoo.finished_files": "files that edgenet_device.model_file has checked, and official files",
    "edgenet.zoo.pretrained": "an official file that the catalogue names",
    "edgenet.zoo.paper": "a table that comes with edgenet",
    "edgenet.zoo.weights": "an official file that the catalogue names, checked by its size and checksum",
    "edgenet_device.events.mqtt": "this machine's own number; paho-mqtt reads what a broker answers",
    "edgenet_device.updates.release": "the list of a release's files, which edgenet has written",
    "edgenet_device.frames.usb": "what the kernel says about processes",
    "edgenet_device.latency.affinity": "what the kernel says about processors",
    "edgenet_device.latency.conditions": "what the kernel says about clocks and temperatures",
    "edgenet_device.latency.interleaved": "how busy this machine is",
    "edgenet_device.latency.measure": "what a process that it has started prints",
}
"""Modules that read, but nothing of other people's that is not tried elsewhere, each with what it is that they read."""

_READING = frozenset({
    *("read_json", "loads", "load", "read_limited", "read_arrays", "safe_open", "open_heif", "load_from_string"),
    *("ZipFile", "is_zipfile", "reader", "DictReader", "imdecode", "imread", "VideoCapture", "fromstring"),
    *("read_bytes", "read_text", "fromfile", "getwindow", "recv", "unpack_from", "literal_eval", "File", "GetRootAs"),
})  # fmt: skip
"""Names of functions and classes that take apart what was read. A plain `open` hands bytes to one of them."""


@cache
def readers() -> tuple[str, ...]:
    """Return the modules of edgenet and of the device's package that call a function that reads, by dotted name."""
    return tuple(_readers())


def _readers() -> Iterator[str]:
    for base, top in ((ROOT, "edgenet"), (ROOT / "device_scripts", "edgenet_device")):
        for path in sorted((base / top).rglob("*.py")):
            if any(
                _called(node) in _READING for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            ):
                yield _dotted(path.relative_to(base))


def unlisted_readers() -> list[str]:
    """Return the modules that read and have neither a target nor a reason in `WITHOUT_TARGET`."""
    listed = {name for target in TARGETS.values() for name in target.readers} | set(WITHOUT_TARGET)
    return [name for name in readers() if name not in listed]


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    called = node.func
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
