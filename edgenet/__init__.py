"""edgenet: from photos to a small int8 MobileNet that runs live on a Raspberry Pi or Android phone.

Every command of the command line is also a function of this package with the same name, such as `edgenet.convert`.
The module behind it is imported when the function is first used, so that `import edgenet` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgenet.workflows.bench import bench
    from edgenet.workflows.camera import camera, capture
    from edgenet.workflows.convert import convert
    from edgenet.workflows.demo import demo
    from edgenet.workflows.deploy import deploy, status
    from edgenet.workflows.evaluate import evaluate
    from edgenet.workflows.inspect import inspect
    from edgenet.workflows.models import models
    from edgenet.workflows.package import package
    from edgenet.workflows.reports import compare, report
    from edgenet.workflows.select import select
    from edgenet.workflows.sweep import sweep
    from edgenet.workflows.train import train


_VERBS = {
    "bench": "bench",
    "camera": "camera",
    "capture": "camera",
    "compare": "reports",
    "convert": "convert",
    "demo": "demo",
    "deploy": "deploy",
    "evaluate": "evaluate",
    "inspect": "inspect",
    "models": "models",
    "package": "package",
    "report": "reports",
    "select": "select",
    "status": "deploy",
    "sweep": "sweep",
    "train": "train",
}
"""The module of `edgenet.workflows` that each verb lives in."""

__all__ = [
    "bench",
    "camera",
    "capture",
    "compare",
    "convert",
    "demo",
    "deploy",
    "evaluate",
    "inspect",
    "models",
    "package",
    "report",
    "select",
    "status",
    "sweep",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module 'edgenet' has no attribute '{name}'")
    return getattr(import_module(f"edgenet.workflows.{_VERBS[name]}"), name)
