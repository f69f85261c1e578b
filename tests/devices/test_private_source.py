"""A camera's URL reaches a program on the device in a private file, and the file goes with the program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edgenet.devices.device import ProgramResult
from edgenet.devices.local import LocalDevice
from edgenet.devices.private_source import private_source
from edgenet.errors import EdgenetError

URL = "rtsp://me:s3cret@camera.local/live"


class Elsewhere:
    """This machine as if it were another one; its commands are kept."""

    name = "ssh:pi"

    def __init__(self) -> None:
        self.commands: list[Sequence[str]] = []

    def run(self, command: Sequence[str], **more: Any) -> ProgramResult:
        self.commands.append(command)
        return LocalDevice().run(command, **more)


@pytest.fixture(autouse=True)
def runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder


@pytest.mark.parametrize("form", ["URL", "@FILE"])
def test_a_password_is_only_in_a_file_that_goes_at_the_end(
    form: str, tmp_path: Path, runtime_folder: Path
) -> None:
    (tmp_path / "url").write_text(URL)
    device = Elsewhere()
    given = URL if form == "URL" else f"@{tmp_path / 'url'}"
    with private_source(device, given) as named:  # type: ignore[arg-type]
        (kept,) = runtime_folder.iterdir()
        assert named == f"@{kept}"
        assert kept.read_text() == URL
        assert kept.stat().st_mode & 0o777 == 0o600
    assert list(runtime_folder.iterdir()) == []
    assert "s3cret" not in str(device.commands)


def test_what_is_no_secret_travels_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("/dev/video1\n")
    device = Elsewhere()
    for given, there in (
        ("0", "0"),
        ("rtsp://cam/live", "rtsp://cam/live"),
        (f"@{tmp_path / 'source'}", "/dev/video1"),
    ):
        with private_source(device, given) as named:  # type: ignore[arg-type]
            assert named == there
    assert device.commands == []


def test_on_this_machine_the_user_s_own_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(URL)
    for given in ("0", f"@{tmp_path / 'url'}"):
        with private_source(LocalDevice(), given) as named:
            assert named == given
    with (
        pytest.raises(EdgenetError, match="cannot read the source"),
        private_source(LocalDevice(), "@missing"),
    ):
        pass


def test_a_device_that_cannot_keep_it_says_so(runtime_folder: Path) -> None:
    runtime_folder.rmdir()
    with (
        pytest.raises(EdgenetError, match="cannot keep the camera's URL on ssh:pi"),
        private_source(Elsewhere(), URL),  # type: ignore[arg-type]
    ):
        pass
