"""The folder of scripts to copy to a device: what is in it, how it is updated, and that a user's files stay."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgenet.assets import exported_files
from edgenet.errors import EdgenetError
from edgenet.workflows import package as workflow
from edgenet.workflows.package import SUMS, export_scripts

ROOT = Path(__file__).resolve().parents[2]


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def other_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make edgenet have another classify.py, one more module, and no capture.py."""
    changed = tmp_path / "changed.py"
    changed.write_text("# another version\n")
    sources = {**exported_files(), "classify.py": changed, "edgenet_device/later/more.py": changed}
    del sources["capture.py"]
    monkeypatch.setattr(workflow, "exported_files", lambda: sources)


def test_the_export_is_the_scripts_and_the_package_and_a_list(tmp_path: Path) -> None:
    result = export_scripts(str(tmp_path / "new" / "device"))
    found = files(tmp_path / "new" / "device")
    scripts = {path.name for path in (ROOT / "device_scripts").glob("*.py")}
    assert {name for name in found if "/" not in name} == scripts | {SUMS, "LICENSE", "NOTICE"}
    assert found["LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert b"contains nothing of others" in found["NOTICE"]
    assert {name.partition("/")[0] for name in found if "/" in name} == {"edgenet_device", "examples"}
    for name in found.keys() - {SUMS}:
        assert found[name] == (ROOT / "device_scripts" / name).read_bytes()
    assert not [name for name in found if "__pycache__" in name]
    assert {"classify.py", "edgenet_device/live/page.html", "edgenet_device/py.typed"} <= found.keys()
    assert set(result.files) == set(result.written) == found.keys() - {SUMS}
    assert result.removed == ()


def test_the_list_is_one_that_sha256sum_checks(tmp_path: Path) -> None:
    export_scripts(tmp_path)
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", SUMS], cwd=tmp_path, check=True)
    assert len((tmp_path / SUMS).read_text().splitlines()) == len(files(tmp_path)) - 1


def test_an_export_is_updated_and_a_users_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "device"
    other_version(monkeypatch, tmp_path)
    export_scripts(device)
    mine = {"my.py": b"mine", "v2.edgenet": b"a model", "edgenet_device/mine.txt": b"notes"}
    for name, data in mine.items():
        (device / name).write_bytes(data)
    (device / "edgenet_device" / "__pycache__").mkdir()
    monkeypatch.undo()
    result = export_scripts(device)
    assert set(result.written) == {"classify.py", "capture.py"}
    assert result.removed == ("edgenet_device/later/more.py",)
    assert not (device / "edgenet_device" / "later").exists()
    fresh = tmp_path / "fresh"
    export_scripts(fresh)
    assert files(device) == {**files(fresh), **mine}
    assert export_scripts(device).written == ()


def test_a_file_that_was_changed_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "device"
    export_scripts(device)
    for name in ("classify.py", "capture.py"):
        (device / name).write_bytes(b"my own work")
        before = files(device)
        with monkeypatch.context() as patch:
            other_version(patch, tmp_path)
            with pytest.raises(
                EdgenetError, match=rf"{name} was changed since it was exported; move it away"
            ):
                export_scripts(device)
        assert files(device) == before
        (device / name).unlink()
        assert export_scripts(device).written == (name,)


def test_other_folders_are_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    with pytest.raises(
        EdgenetError, match="holds other files and no export of edgenet; give a new or an empty"
    ):
        export_scripts(tmp_path)
    with pytest.raises(EdgenetError, match=r"mine\.txt is a file; give a folder"):
        export_scripts(tmp_path / "mine.txt")
    with pytest.raises(EdgenetError, match=r"cannot make the folder .*below"):
        export_scripts(tmp_path / "mine.txt" / "below")
    assert files(tmp_path) == {"mine.txt": b"mine"}


def test_a_list_that_names_files_elsewhere_removes_nothing(tmp_path: Path) -> None:
    device, outside = tmp_path / "device", tmp_path / "outside.txt"
    export_scripts(device)
    outside.write_bytes(b"mine")
    checksum = subprocess.run(["sha256sum", outside], capture_output=True, text=True, check=True).stdout[:64]
    with (device / SUMS).open("a") as handle:
        handle.write(f"{checksum}  ../outside.txt\n{checksum}  {outside}\n")
    assert export_scripts(device).removed == ()
    assert outside.read_bytes() == b"mine"


def test_an_interrupted_export_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, count = workflow.write_atomically, 0

    def interrupted(path: Path, data: bytes) -> None:
        nonlocal count
        count += 1
        if count == 8:
            raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(workflow, "write_atomically", interrupted)
        with pytest.raises(KeyboardInterrupt):
            export_scripts(tmp_path)
    assert len(files(tmp_path)) == 7
    result = export_scripts(tmp_path)
    assert len(files(tmp_path)) == len(result.files) + 1
    assert len(result.written) == len(result.files) - 6
