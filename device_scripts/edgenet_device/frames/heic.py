"""Reads HEIC, the format of iPhones, with the package pillow-heif where it is installed.

OpenCV reads no HEIC. The package is optional: it is imported by name, and only when the first HEIC photo comes.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

from edgenet_device.errors import EdgenetError

HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
PACKAGE = "pillow_heif"
WAY_OUT = "pip install pillow-heif, or export the photos as JPEG"
_DAMAGE = (ValueError, RuntimeError, OSError, EOFError, SyntaxError, LookupError)
"""What the package raises for damaged files."""


def heic_is_readable() -> bool:
    """Return whether the package that reads HEIC is installed."""
    return importlib.util.find_spec(PACKAGE) is not None


class HeicPhoto:
    """A HEIC file that was opened but not decoded yet.

    Attributes:
        size: (width, height) in pixels, after the turn that the file states.

    Raises:
        EdgenetError: the package is not installed, or the file is damaged.
    """

    def __init__(self, data: bytes, name: str) -> None:
        if not heic_is_readable():
            raise EdgenetError(
                f"{name} is HEIC, the format of iPhones, and no package here reads it", WAY_OUT
            )
        self._name = name
        try:
            self._image: Any = importlib.import_module(PACKAGE).open_heif(
                data, convert_hdr_to_8bit=True, bgr_mode=True
            )
            self.size: tuple[int, int] = self._image.size
        except ImportError as error:
            raise EdgenetError(f"{name} is HEIC, and pillow-heif does not start: {error}", WAY_OUT) from error
        except _DAMAGE as error:
            raise self._damaged(error) from error

    def decode(self) -> np.ndarray:
        """Return the pixels, uint8 BGR [height, width, 3], turned as the file says; transparency is dropped.

        Raises:
            EdgenetError: the file is damaged, or memory does not suffice.
        """
        try:
            pixels = np.asarray(self._image)
        except (*_DAMAGE, MemoryError) as error:
            raise self._damaged(error) from error
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]

    def _damaged(self, error: Exception) -> EdgenetError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return EdgenetError(
            f"{self._name} is HEIC and is truncated or damaged: {reason}", "copy it again or leave it out"
        )
