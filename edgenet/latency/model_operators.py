"""A model's operators as this machine's runtime reads them, for routes whose runtime tells none."""

from __future__ import annotations

from device_scripts.delegate import operator_kinds
from device_scripts.model_file import ModelFile
from device_scripts.runtime import load_runtime, make_interpreter


def operators_of(model: ModelFile) -> list[str] | None:
    """Their kinds, in order; None where the runtime of this machine does not tell."""
    return operator_kinds(make_interpreter(load_runtime(), model, 1))
