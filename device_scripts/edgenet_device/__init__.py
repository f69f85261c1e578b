"""edgenet on the device: a network's labels for a camera's pictures, in a few lines of Python.

    from edgenet_device import Camera, Classifier

    classifier = Classifier("v2.edgenet")
    for frame in Camera(0):
        print(classifier.top(frame, 3))

It needs only numpy, OpenCV and a LiteRT runtime, and Python 3.9 or newer. A name is imported when it is first
used, so that importing the package costs nothing: the scripts beside it time their own cold start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgenet_device.classifier import Classifier as Classifier
    from edgenet_device.errors import EdgenetError as EdgenetError
    from edgenet_device.frames import Frame as Frame
    from edgenet_device.frames.source import Camera as Camera
    from edgenet_device.frames.view import View as View
    from edgenet_device.live.loop import LabelOptions as LabelOptions
    from edgenet_device.live.loop import classify_frames as classify_frames

_MODULES = {
    "Camera": "frames.source",
    "Classifier": "classifier",
    "EdgenetError": "errors",
    "Frame": "frames",
    "LabelOptions": "live.loop",
    "View": "frames.view",
    "classify_frames": "live.loop",
}

__all__ = ["Camera", "Classifier", "EdgenetError", "Frame", "LabelOptions", "View", "classify_frames"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
