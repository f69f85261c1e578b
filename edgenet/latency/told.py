"""The parts of a latency report that this machine tells where no script of ours runs beside the model."""

from __future__ import annotations

from collections import Counter
from typing import Any

from device_scripts.delegate import read_operators
from device_scripts.model_file import ModelFile
from device_scripts.runtime import load_runtime, make_interpreter


def operators_of(model: ModelFile) -> list[str]:
    """Kinds of the model's operators, as the interpreter of this machine reads them."""
    nodes = read_operators(make_interpreter(load_runtime(), model, 1)) or []
    return [node["op_name"] for node in nodes if node["op_name"] != "DELEGATE"]


def model_facts(model: ModelFile, operators: list[str]) -> dict[str, Any]:
    """Of the report: the model."""
    manifest = model.manifest or {}
    return {
        "file": model.path.name,
        "name": manifest.get("name"),
        "bundle": model.manifest is not None,
        "sha256": model.sha256,
        "size_bytes": len(model.data),
        "operators": len(operators) or None,
        "operators_by_type": dict(sorted(Counter(operators).items())) or None,
        "accuracy": manifest.get("accuracy"),
    }
