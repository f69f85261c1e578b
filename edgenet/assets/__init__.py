"""Files that come with edgenet: the demo's video and digits, the calibration photos, and the scripts for devices.

In a checkout the photos and the scripts lie at its top, where people find them; in the wheel they lie in this package.
"""

from __future__ import annotations

from pathlib import Path

import edgenet_device

_PACKAGE = Path(__file__).resolve().parents[1]
_DEVICE_SUFFIXES = (".py", ".html", ".typed")


def calibration_photos() -> Path:
    """Return the folder of photos that `--calibration builtin` uses."""
    return _folder("calibration_data")


def device_scripts() -> Path:
    """Return the folder with the scripts for devices: `camera.py`, `classify.py` and the others."""
    return _folder("device_scripts")


def device_files() -> dict[str, Path]:
    """Return every file that a device needs, by its path in the folder there, with forward slashes.

    These are the scripts, and beside them the package `edgenet_device`, which is a package of its own in the wheel.
    """
    package = Path(edgenet_device.__file__).resolve().parent
    files = {path.name: path for path in sorted(device_scripts().glob("*.py"))}
    for path in sorted(package.rglob("*")):
        if path.suffix in _DEVICE_SUFFIXES:
            files[f"{package.name}/{path.relative_to(package).as_posix()}"] = path
    return files


def exported_files() -> dict[str, Path]:
    """Return the files of `device_files` with their licence and the examples, for a folder that is handed on."""
    licence = {name: device_scripts() / name for name in ("LICENSE", "NOTICE")}
    examples = sorted((device_scripts() / "examples").glob("*.*"))
    return {**licence, **device_files(), **{f"examples/{path.name}": path for path in examples}}


def clip() -> Path:
    """Return the video that the demo classifies; its licence is in `clip.json` beside it."""
    return _PACKAGE / "assets" / "clip.mp4"


def _folder(name: str) -> Path:
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
