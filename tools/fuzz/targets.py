"""All targets of the fuzz, and which module that reads files or answers from outside has which target.

`unlisted_readers` finds the readers in the code itself, so that a new one without a target fails a test.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tools.fuzz import (
    ROOT,
    answer_targets,
    command_targets,
    data_targets,
    onnx_targets,
    report_targets,
    server_targets,
    tflite_targets,
    weight_targets,
)
from tools.fuzz.workers import Target

_FILES = (
    *(tflite_targets, onnx_targets, weight_targets, data_targets, report_targets, answer_targets),
    *(server_targets, command_targets),
)
TARGETS: dict[str, Target] = {target.name: target for file in _FILES for target in file.TARGETS}

OWN_FILES: dict[str, str] = {}
"""Modules that read, but only what edgenet itself brings or has just made, each with what that is."""

_READING = frozenset({
    *("read_json", "loads", "load", "read_limited", "read_arrays", "safe_open", "open_heif", "load_from_string"),
    *("ZipFile", "is_zipfile", "reader", "DictReader", "imdecode", "imread", "VideoCapture", "fromstring"),
    *("read_bytes", "read_text", "fromfile", "getwindow", "recv", "unpack_from", "literal_eval", "File", "GetRootAs"),
})  # fmt: skip
"""Names of functions and classes that take apart what was read. A plain `open` hands bytes to one of them."""


def readers() -> Iterator[str]:
    """Yield the modules of edgenet and of the device's package that call a function that reads, by dotted name."""
    for base, top in ((ROOT, "edgenet"), (ROOT / "device_scripts", "edgenet_device")):
        for path in sorted((base / top).rglob("*.py")):
            if any(
                _called(node) in _READING for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            ):
                yield _dotted(path.relative_to(base))


def unlisted_readers() -> list[str]:
    """Return the modules that read and have neither a target nor a reason in `OWN_FILES`."""
    listed = {name for target in TARGETS.values() for name in target.readers} | set(OWN_FILES)
    return [name for name in readers() if name not in listed]


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    called = node.func
    return (
        called.attr
        if isinstance(called, ast.Attribute)
        else called.id
        if isinstance(called, ast.Name)
        else ""
    )


def _dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
