"""Files that come with edgenet: the demo's video and digits, the calibration photos, and the scripts for devices.

In a checkout the photos and the scripts lie at its top, where people find them; in the wheel they lie in this package.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def calibration_photos() -> Path:
    """Return the folder of photos that `--calibration builtin` uses."""
    return _folder("calibration_data")


def device_scripts() -> Path:
    """Return the folder with the scripts for devices: `camera.py`, `classify.py` and the others."""
    return _folder("device_scripts")


def clip() -> Path:
    """Return the video that the demo classifies; its licence is in `clip.json` beside it."""
    return _PACKAGE / "assets" / "clip.mp4"


def _folder(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
