"""A model's operators as this machine's runtime lists them, for measurements whose own runtime does not."""

from __future__ import annotations

from device_scripts.delegate import operator_kinds
from device_scripts.model_file import ModelFile
from device_scripts.runtime import load_runtime, make_interpreter


def operators_of(model: ModelFile) -> list[str] | None:
    """Return the operators' kinds, in order; None if this machine's runtime does not list them."""
    return operator_kinds(make_interpreter(load_runtime(), model, 1))
