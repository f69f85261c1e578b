"""A studio's folder that becomes read-only, full or gone while the studio runs, and two studios on one folder."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from edgenet_device.web.address import Address
from studio_client import Client, photo

from edgenet.errors import EdgenetError
from edgenet.files import locked_folder
from edgenet.studio_app import places
from edgenet.studio_app.server import StudioServer
from edgenet.workflows.studio import open_studio, studio

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the small disks are Linux's tmpfs")


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real disk of 2 MB, and a studio that leaves 16 kB of it free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    monkeypatch.setattr(places, "SPARE_BYTES", 16 << 10)
    monkeypatch.setattr("edgenet.studio_app.incoming.SPARE_BYTES", 16 << 10)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def served(folder: Path) -> Iterator[Client]:
    opened = open_studio(folder)
    with StudioServer(opened, Address("127.0.0.1", 0, None)) as server:
        yield Client(opened, server.address.port)


def remount(how: str) -> Callable[[Path], None]:
    def change(disk: Path) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)

    return change


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def take_away(disk: Path) -> None:
    (disk / "things").rename(disk / "elsewhere")


def bring_back(disk: Path) -> None:
    (disk / "elsewhere").rename(disk / "things")


@pytest.mark.parametrize(
    ("breaks", "mends", "found"),
    [
        (remount("ro"), remount("rw"), "is read-only"),
        (fill, lambda disk: (disk / "filler").unlink(), "is full"),
        (take_away, bring_back, "is gone"),
    ],
    ids=["read-only", "full", "gone"],
)
def test_a_folder_that_cannot_be_written_is_said_and_nothing_is_lost(
    disk: Path,
    breaks: Callable[[Path], None],
    mends: Callable[[Path], None],
    found: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    with served(disk / "things") as client:
        client.upload("mug", "1.jpg", photo())
        before = (client.photos / "mug" / "1.jpg").read_bytes()
        breaks(disk)
        refused = client.upload("mug", "2.jpg", photo(1))
        assert (refused["status"], found in refused["found"]) == (507, True), refused
        assert found in client.get("/api/state")["trouble"]
        if found != "is full":  # a class and a move need no room
            assert client.send("/api/classes/add", b'{"label": "key"}')[0] == 507
            there, to = {"label": "mug", "name": "1.jpg"}, {"label": "mug", "name": "1.jpg", "binned": True}
            assert client.post("/api/photos/move", {"moves": [{"from": there, "to": to}]})["moves"] == []
        mends(disk)
        assert client.upload("mug", "2.jpg", photo(1))["status"] == 200
        assert client.get("/api/state")["trouble"] == ""
        assert client.names("mug") == ["1.jpg", "2.jpg"]
        assert (client.photos / "mug" / "1.jpg").read_bytes() == before
        assert not list((disk / "things").glob(".edgenet-*.tmp"))


def test_any_fault_of_the_disk_is_one_line(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: places.Places, label: str, binned: bool = False) -> list[str]:
        raise OSError(errno.EIO, "Input/output error", "/things/photos/mug")

    monkeypatch.setattr(places.Places, "names", broken)
    status, answer = client.send("/api/classes/remove", b'{"label": "mug"}')
    assert (status, answer["found"]) == (507, "/things/photos/mug: Input/output error")


def test_two_studios_on_one_folder(tmp_path: Path) -> None:
    with (
        locked_folder(tmp_path),
        pytest.raises(EdgenetError, match=r"; use the page of that studio, or stop it$"),
    ):
        studio(tmp_path, browser=False)
