"""edgenet: from photos to a small int8 MobileNet that runs live on a Raspberry Pi or Android phone.

Every command of the command line is also a function of this package with the same name, such as `edgenet.convert`.
The module behind it is imported when the function is first used, so that `import edgenet` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgenet.verbs.bench import bench
    from edgenet.verbs.camera import camera
    from edgenet.verbs.capture import capture
    from edgenet.verbs.compare import compare
    from edgenet.verbs.convert import convert
    from edgenet.verbs.demo import demo
    from edgenet.verbs.deploy import deploy
    from edgenet.verbs.evaluate import evaluate
    from edgenet.verbs.inspect import inspect
    from edgenet.verbs.models import models
    from edgenet.verbs.package import package
    from edgenet.verbs.report import report
    from edgenet.verbs.select import select
    from edgenet.verbs.status import status
    from edgenet.verbs.sweep import sweep
    from edgenet.verbs.train import train

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
    if name not in __all__:
        raise AttributeError(f"module 'edgenet' has no attribute '{name}'")
    return getattr(import_module(f"edgenet.verbs.{name}"), name)
