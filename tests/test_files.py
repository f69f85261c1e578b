"""Atomic writes on real full, read-only and limited file systems; checksums; deterministic zips."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgenet.errors import EdgenetError
from edgenet.files import sha256, stored_zip, write_atomically

OLD = b"old contents, whole"


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB with one file on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode:
        pytest.skip(f"may not mount a small file system here: {mounted.stderr.strip()}")
    (folder / "file").write_bytes(OLD)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_writes_new_and_replaces_old(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"one")
    write_atomically(str(path), b"")
    assert path.read_bytes() == b""
    assert names(tmp_path) == ["file"]


def test_permissions_follow_the_umask_then_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    before = os.umask(0o027)
    try:
        write_atomically(path, b"one")
        assert path.stat().st_mode & 0o777 == 0o640
        path.chmod(0o755)
        write_atomically(path, b"two")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o755


def test_follows_a_link_and_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    write_atomically(tmp_path / "link", b"one")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"one"


def test_the_longest_name_that_the_file_system_takes(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("n" * 255), b"one")
    assert names(tmp_path) == ["n" * 255]


def test_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    with pytest.raises(EdgenetError, match=r"cannot write .*file: No space left on device; free some space"):
        write_atomically(small_disk / "file", bytes(200_000))
    assert (small_disk / "file").read_bytes() == OLD
    assert names(small_disk) == ["file"]


def test_read_only_file_system_keeps_the_old_file(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(EdgenetError, match="Read-only file system; choose a folder that can be written"):
        write_atomically(small_disk / "file", b"new")
    assert (small_disk / "file").read_bytes() == OLD


def test_read_only_folder_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip(
                "this user (root) may write to any folder; the read-only file system is tested instead"
            )
        with pytest.raises(EdgenetError, match="Permission denied; choose a folder that you may write to"):
            write_atomically(path, b"new")
    finally:
        tmp_path.chmod(0o755)
    assert path.read_bytes() == OLD


def test_limit_on_file_sizes_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(OLD)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(EdgenetError, match="File too large; raise the limit"):
            write_atomically(path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "file"
    path.write_bytes(OLD)
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["file"]


def test_refuses_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(OLD)
    for name, message in {
        "": "is a folder; give the name of a file",
        "pipe": "is a device or a pipe",
        "no/such": "there is no folder .*no; make it first",
        "file/below": "there is no folder .*file; make it first",
        "loop": "cannot write .*loop: ",
        "n" * 256: "File name too long; choose a shorter name|File name too long; give another path",
    }.items():
        with pytest.raises(EdgenetError, match=message):
            write_atomically(tmp_path / name, b"new")
    assert names(tmp_path) == ["file", "loop", "pipe"]


def test_sha256_of_bytes_and_of_a_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000  # more than one chunk
    (tmp_path / "file").write_bytes(data)
    assert sha256(data) == sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()
    with pytest.raises(EdgenetError, match=r"cannot read .*nothing: No such file"):
        sha256(tmp_path / "nothing")


def test_stored_zip_is_the_same_every_time_and_stands_behind_anything() -> None:
    members = {"b.txt": b"second", "a.txt": b"first" * 100}
    # The beginning looks like the end of another zip, and must not be mistaken for one.
    front = b"PK\x05\x06" + bytes(18)
    made = stored_zip(members, behind=front)
    assert made == stored_zip(dict(members), behind=front)
    assert made.startswith(front)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == members
        assert archive.namelist() == ["b.txt", "a.txt"]
        # Offsets count from the first byte: readers that do not guess (minizip) find the local header there.
        for entry in archive.infolist():
            assert made[entry.header_offset :].startswith(b"PK\x03\x04")
            assert entry.compress_type == zipfile.ZIP_STORED
