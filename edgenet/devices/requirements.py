"""Which packages a device needs, by its architecture and its Python: a LiteRT runtime, numpy and OpenCV."""

from __future__ import annotations

from dataclasses import dataclass

from edgenet.devices.device import DeviceFacts
from edgenet.errors import EdgenetError


@dataclass(frozen=True)
class Python:
    """The device's python3.

    Attributes:
        version: such as (3, 11).
        numpy: version of the numpy that it can import; None if there is none.
        cv2: whether it can import OpenCV.
        venv: whether it can make virtual environments with pip.
        glibc: version of its C library, such as "2.36".
    """

    version: tuple[int, int]
    numpy: str | None
    cv2: bool
    venv: bool
    glibc: str


@dataclass(frozen=True)
class Requirements:
    """The packages to install.

    Attributes:
        packages: pip requirements with exact versions; they are installed without their dependencies.
        userland: the architecture to install for.
        python: the Python to install for.
        notes: messages for the user.
    """

    packages: tuple[str, ...]
    userland: str
    python: Python
    notes: tuple[str, ...] = ()


_OLDEST = (3, 9)
_NEWEST = (3, 14)
_TFLITE_NEWEST = (3, 11)
_OPENCV_APT = "sudo apt install python3-opencv"
# The last OpenCV whose wheels work with numpy 1.24, which picamera2 of Raspberry Pi OS "bookworm" needs.
OPENCV = "opencv-python-headless==4.11.0.86"
_LITERT = "ai-edge-litert==2.3.0"
_LITERT_3_9 = "ai-edge-litert==2.1.0"  # the last one for Python 3.9
_TFLITE = "tflite-runtime==2.14.0"
_NUMPY = "numpy==2.2.6"
_NUMPY_3_14 = "numpy==2.4.6"  # the one above has no wheels for Python 3.14
_NUMPY_BELOW_2 = "numpy==1.26.4"
DEVICE_PACKAGES = {
    _LITERT: "3.10",
    _LITERT_3_9: "3.9",
    _TFLITE: "3.9",
    _NUMPY: "3.10",
    _NUMPY_3_14: "3.14",
    _NUMPY_BELOW_2: "3.9",
    OPENCV: "3.9",
}
"""Every package that a device may need, with the oldest Python that is given it; `make lock` lists their SHA-256."""


def requirements(facts: DeviceFacts, python: Python) -> Requirements:
    """Choose the packages: ai-edge-litert, or tflite-runtime with numpy below 2 if there is no such wheel.

    Raises:
        EdgenetError: no runtime exists for this architecture and Python, or 32-bit Arm lacks its numpy.
    """
    runtime = _runtime(facts.userland, python.version)
    packages = [runtime, *_numpy(runtime, facts.userland, python)]
    notes = []
    if not python.cv2:
        if facts.userland == "armv7l":
            notes.append(f"the device has no OpenCV; for cameras and photos, run {_OPENCV_APT} there")
        else:
            packages.append(OPENCV)
    return Requirements(tuple(packages), facts.userland, python, tuple(notes))


def _runtime(userland: str, python: tuple[int, int]) -> str:
    version = ".".join(map(str, python))
    if not _OLDEST <= python <= _NEWEST:
        raise EdgenetError(f"the device has Python {version}", "edgenet needs Python 3.9 to 3.14")
    if userland in ("aarch64", "x86_64"):
        return _LITERT if python > _OLDEST else _LITERT_3_9
    if userland == "armv7l":
        if python <= _TFLITE_NEWEST:
            return _TFLITE
        raise EdgenetError(
            f"no LiteRT runtime exists for 32-bit Arm with Python {version}",
            "install the 64-bit Raspberry Pi OS (or 32-bit bookworm, which has Python 3.11)",
        )
    raise EdgenetError(
        f"no LiteRT runtime exists for {userland}",
        "edgenet needs a 64-bit Arm, 32-bit Armv7 or x86-64 system",
    )


def _numpy(runtime: str, userland: str, python: Python) -> list[str]:
    """Return the numpy to install; an empty list if the system's numpy is usable."""
    below_2 = runtime == _TFLITE
    if python.numpy is not None and not (below_2 and int(python.numpy.split(".")[0]) >= 2):
        return []
    if userland == "armv7l":
        raise EdgenetError(
            "the device has no numpy below 2, and there is no wheel of one for 32-bit Arm",
            "run sudo apt install python3-numpy on the device",
        )
    if below_2 or python.version == _OLDEST:
        return [_NUMPY_BELOW_2]
    return [_NUMPY if python.version < _NEWEST else _NUMPY_3_14]
