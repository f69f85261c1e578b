"""Which runtime for which device, and what of a wheel is unpacked there."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from edgenet.devices.device import DeviceFacts
from edgenet.devices.environment import _ASK_PYTHON, _UNPACK
from edgenet.devices.wheels import Python, requirements
from edgenet.errors import EdgenetError
from edgenet.files import sha256

OPENCV = "opencv-python-headless==4.11.0.86"


def packages(
    userland: str, version: tuple[int, int], numpy: str | None = "1.24.2", cv2: bool = True
) -> tuple[str, ...]:
    facts = DeviceFacts("aarch64", userland, None, None, (*version, 0), (), None)
    return requirements(facts, Python(version, numpy, cv2, True, "2.36")).packages


def test_what_a_python_says_it_has(tmp_path: Path) -> None:
    """It asks the names of folders, which is quicker than the standard library's modules and says the same."""

    def says(*options: str) -> dict[str, object]:
        command = [sys.executable, *options, "-c", _ASK_PYTHON]
        answer: dict[str, object] = json.loads(
            subprocess.run(command, check=True, capture_output=True).stdout
        )
        return answer

    here = {"numpy": metadata.version("numpy"), "cv2": True, "venv": True, "glibc": platform.libc_ver()[1]}
    assert says() == here
    assert says("-I", "-S") == {**here, "numpy": None, "cv2": False}  # without any packages
    all_of_debian = tmp_path / "numpy-1.24.2.egg-info"
    for name in ("numpydoc-1.5.dist-info", "cv2.pyi", all_of_debian.name):
        (tmp_path / name).touch()
    found = subprocess.run(
        [sys.executable, "-S", "-c", _ASK_PYTHON],
        env={"PYTHONPATH": f"/no/such/folder:{tmp_path}"},
        check=True,
        capture_output=True,
    )
    assert json.loads(found.stdout) == {**here, "numpy": "1.24.2", "cv2": False}


def test_the_runtime_for_each() -> None:
    assert packages("aarch64", (3, 11)) == ("ai-edge-litert==2.3.0",)
    assert packages("aarch64", (3, 13), "2.2.4") == ("ai-edge-litert==2.3.0",)
    assert packages("aarch64", (3, 9)) == ("ai-edge-litert==2.1.0",)
    assert packages("armv7l", (3, 11)) == ("tflite-runtime==2.14.0",)


def test_numpy_and_opencv_only_where_the_system_has_none() -> None:
    assert packages("aarch64", (3, 11), None, cv2=False) == ("ai-edge-litert==2.3.0", "numpy==2.2.6", OPENCV)
    assert packages("armv7l", (3, 11), cv2=False) == ("tflite-runtime==2.14.0",)


@pytest.mark.parametrize(
    ("userland", "version", "numpy", "why"),
    [
        ("armv7l", (3, 13), "2.2.4", r"32-bit Arm with Python 3\.13; install the 64-bit"),
        ("armv7l", (3, 11), None, "no numpy below 2.*apt install python3-numpy"),
        ("armv7l", (3, 11), "2.2.4", "no numpy below 2"),
        ("aarch64", (3, 8), None, r"Python 3\.8; edgenet needs Python 3\.9 to 3\.14"),
        ("riscv64", (3, 13), None, "no LiteRT runtime exists for riscv64"),
    ],
)
def test_refused(userland: str, version: tuple[int, int], numpy: str | None, why: str) -> None:
    with pytest.raises(EdgenetError, match=why):
        packages(userland, version, numpy)


def test_a_32_bit_pi_without_opencv_is_reported() -> None:
    facts = DeviceFacts("aarch64", "armv7l", None, None, (3, 11, 2), (), None)
    notes = requirements(facts, Python((3, 11), "1.24.2", False, True, "2.36")).notes
    assert "sudo apt install python3-opencv" in notes[0]


def test_a_wheel_is_unpacked_without_what_nothing_imports(tmp_path: Path) -> None:
    """numpy's tests stay away, but numpy.testing of numpy 2.2 imports one of their files."""
    wheel, folder = tmp_path / "numpy.whl", tmp_path / "packages"
    kept = [
        "numpy/__init__.py",
        "numpy/testing/utils.py",
        "numpy/_core/tests/_natype.py",
        "other/tests/data.py",
    ]
    left_out = [
        "numpy/tests/test_all.py",
        "numpy/_core/tests/test_dtype.py",
        "a/libLiteRtWebGpuAccelerator.so",
    ]
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (*kept, *left_out):
            archive.writestr(name, "")
    subprocess.run([sys.executable, "-c", _UNPACK, folder, wheel, sha256(wheel)], check=True)
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*")) == sorted(kept)
