"""edgenet: from photos to a small int8 MobileNet that runs live on a Raspberry Pi or Android phone.

Every command of the command line is also a function of this package with the same name and the same words for its
arguments, such as `edgenet.convert`; `edgenet.load` opens a finished model:

    import edgenet

    edgenet.convert("mobilenet_v2_1.0_224", "v2.tflite", calibration="photos")
    model = edgenet.load("v2.tflite")
    print(model.top("cat.jpg", 3))

The module behind a name is imported when the name is first used, so that `import edgenet` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
@IMPORTS@
    __version__: str

_HOMES = {
@HOMES@
}
"""The module that each public name lives in."""

__all__ = [
@ALL@
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("edgenet")
    if name not in _HOMES:
        raise AttributeError(f"module 'edgenet' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
