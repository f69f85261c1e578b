"""Which programs are taken, and for what devices."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from stand_in_program import stand_in

from edgenet.devices.device import DeviceFacts
from edgenet.devices.local import LocalDevice
from edgenet.errors import EdgenetError
from edgenet.latency.benchmark_model import check_fits, read_program


class Elsewhere(LocalDevice):
    """This machine under another name."""

    name = "adb:elsewhere"

    def __init__(self, machine: str, userland: str) -> None:
        super().__init__()
        self._machine = DeviceFacts(machine, userland, None, None, None, (), None)

    def facts(self) -> DeviceFacts:
        return self._machine


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_a_program_is(tmp_path: Path) -> None:
    content = stand_in("exit 0", "aarch64")
    found = read_program(written(tmp_path / "program", content))
    assert (found.machine, found.size_bytes) == ("aarch64", len(content))
    assert found.facts()["sha256"] == hashlib.sha256(content).hexdigest()


def object_file() -> bytes:
    content = bytearray(stand_in("exit 0", "aarch64"))
    content[16] = 1  # ET_REL
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "does not begin as ELF files do"),
        (b"\x7fELF", "another kind of ELF file"),
        (b"PK\x03\x04" + bytes(100), "does not begin as ELF files do"),
        (
            b"#!/system/bin/sh\nexec ./benchmark_model\n",
            "does not begin as ELF files do",
        ),
        (object_file(), "another kind of ELF file"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, found: str) -> None:
    with pytest.raises(EdgenetError, match=found):
        read_program(written(tmp_path / "file", content))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(EdgenetError, match="cannot read the program"):
            read_program(path)


def test_programs_for_other_machines(tmp_path: Path) -> None:
    arm = read_program(written(tmp_path / "arm", stand_in("exit 0", "aarch64")))
    check_fits(arm, Elsewhere("aarch64", "aarch64"))
    with pytest.raises(
        EdgenetError, match=r"arm is for aarch64, and adb:elsewhere is armv7l; give .* for armv7l"
    ):
        check_fits(arm, Elsewhere("aarch64", "armv7l"))
    content = bytearray(stand_in("exit 0", "aarch64"))
    content[18] = 40  # EM_ARM
    old = read_program(written(tmp_path / "old", bytes(content)))
    check_fits(old, Elsewhere("armv7l", "armv7l"))
    check_fits(old, Elsewhere("aarch64", "aarch64"))  # which may still run it
    with pytest.raises(EdgenetError, match="is for armv7l, and adb:elsewhere is x86_64"):
        check_fits(old, Elsewhere("x86_64", "x86_64"))
