"""A folder of results has one writer at a time, and a writer that dies leaves it free."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgenet.errors import EdgenetError
from edgenet.files import locked_folder

HOLD = """
import sys
from pathlib import Path
from edgenet.files import locked_folder
with locked_folder(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    """A process that has locked the folder until its standard input ends."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    return holder


def test_a_second_process_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    with (
        pytest.raises(
            EdgenetError, match=rf"process {holder.pid} on .* is writing into .*; wait until it ends"
        ),
        locked_folder(tmp_path),
    ):
        raise AssertionError("the folder was locked twice")
    holder.communicate()
    assert list(tmp_path.iterdir()) == []
    with locked_folder(tmp_path):
        pass


def test_a_killed_process_leaves_the_folder_free(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert len(list(tmp_path.iterdir())) == 1, "the lock's file stays, but nobody holds it"
    with locked_folder(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_second_call_in_the_same_process_is_refused(tmp_path: Path) -> None:
    with (
        locked_folder(tmp_path),
        pytest.raises(EdgenetError, match="is writing into"),
        locked_folder(tmp_path),
    ):
        pass
    with locked_folder(tmp_path):
        pass


def test_folders_inside_have_their_own_locks(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    with locked_folder(tmp_path), locked_folder(tmp_path / "inside"):
        pass


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked_folder(tmp_path):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_removed_lock_file_does_not_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening the file and locking it, the process before removes it: then another file is the lock."""
    import fcntl

    locks: list[int] = []

    def removed(descriptor: int, how: int) -> None:
        if not locks:
            (tmp_path / ".edgenet-lock").unlink()
        locks.append(descriptor)

    monkeypatch.setattr(fcntl, "flock", removed)
    with locked_folder(tmp_path):
        assert len(locks) == 2
        assert (tmp_path / ".edgenet-lock").exists()


def test_a_file_system_without_locks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lines: list[str] = []
    with locked_folder(tmp_path, lines.append):
        pass
    assert lines == [
        f"note: {tmp_path} cannot be locked (No locks available), so take care that nothing else writes into it"
    ]


def test_a_system_without_flock_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    lines: list[str] = []
    with locked_folder(tmp_path, lines.append):
        pass
    assert lines[0].startswith(f"note: {tmp_path} cannot be locked (this system has no flock)")
