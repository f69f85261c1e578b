"""Outputs that cannot be written: reported before the work if that can be known, and the old file stays whole."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Edgenet, Ran

from edgenet.errors import EdgenetError
from edgenet.files import check_output

OLD = b"an older file"


@pytest.fixture(params=["convert", "package"])
def verb(request: pytest.FixtureRequest) -> str:
    """A verb that writes a file."""
    return request.param


@pytest.fixture
def name(verb: str) -> str:
    """The name of a file that the verb may write."""
    return {"convert": "net.tflite", "package": "net.edgenet"}[verb]


@pytest.fixture
def write(verb: str, edgenet: Edgenet, made: Path) -> Callable[[Path], Ran]:
    """Runs the verb, which writes a file to the path given."""

    def run(out: Path) -> Ran:
        if verb == "convert":
            return edgenet("convert", made / "small.safetensors", "--float", "-o", out)
        return edgenet("package", made / "int8.tflite", "-o", out)

    return run


def test_missing_folder(write: Callable, name: str, tmp_path: Path) -> None:
    out = tmp_path / "nowhere" / name
    write(out).refusal(f"cannot write {out}: there is no folder {out.parent}", "make it first")
    assert not out.parent.exists()


def test_a_folder_as_out(write: Callable, name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    write(folder).refusal(f"{folder} is a folder", "give the name of a file")


@pytest.mark.parametrize("wrong", ["net.txt", "net", "tflite", "net.tflite.gz"])
def test_a_wrong_ending_is_refused(write: Callable, verb: str, tmp_path: Path, wrong: str) -> None:
    ran = write(tmp_path / wrong)
    assert ran.status == 2
    endings = {"convert": ".tflite or .onnx", "package": ".edgenet"}[verb]
    assert f"does not end in {endings}; give the file such a name" in " ".join(ran.err.split())
    assert list(tmp_path.iterdir()) == []


def test_an_ending_in_capitals_is_taken(write: Callable, name: str, tmp_path: Path) -> None:
    assert write(tmp_path / name.upper()).status == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("report", "none.json", "--out", "page.pdf"),
        ("inspect", "none.tflite", "--against", "a", "--data", "b", "--plot", "plot.svg"),
        ("camera", "none.edgenet", "--record", "film.avi"),
        ("camera", "none.edgenet", "--on", "browser", "--out", "report.txt"),
    ],
    ids=" ".join,
)
def test_a_wrong_ending_is_reported_before_anything_is_read(
    edgenet: Edgenet, arguments: tuple[str, ...]
) -> None:
    ran = edgenet(*arguments)
    assert ran.status == 2
    assert f"'{arguments[-1]}' does not end in ." in " ".join(ran.err.split())


def test_a_file_as_folder(write: Callable, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(OLD)
    write(tmp_path / "file" / name).refusal("cannot write", "there is no folder")
    assert (tmp_path / "file").read_bytes() == OLD


def test_a_name_too_long(write: Callable, name: str, tmp_path: Path) -> None:
    write(tmp_path / ("n" * 300 + name)).refusal("cannot write", "File name too long")


def test_a_device_as_out(write: Callable, name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    write(tmp_path / name).refusal(f"{name} is a device or a pipe")
    assert Path("/dev/full").exists()


def test_an_older_file_is_replaced_and_keeps_its_permissions(
    write: Callable, name: str, tmp_path: Path
) -> None:
    out = tmp_path / name
    out.write_bytes(OLD)
    out.chmod(0o640)
    assert write(out).status == 0
    assert out.read_bytes() != OLD
    assert out.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [out]


def test_the_source_is_never_overwritten(edgenet: Edgenet, made: Path, tmp_path: Path) -> None:
    source, other = tmp_path / "net.tflite", tmp_path / "link.tflite"
    source.write_bytes((made / "float.tflite").read_bytes())
    other.symlink_to(source)
    bundle = tmp_path / "link.edgenet"
    bundle.symlink_to(source)
    for out in (source, other):
        edgenet("convert", source, "--float", "-o", out).refusal("is also the input", "another name")
    edgenet("package", source, "-o", bundle).refusal("is also the input", "another name")
    assert source.read_bytes() == (made / "float.tflite").read_bytes()


def test_an_unwritable_output_is_reported_before_the_work(
    edgenet: Edgenet, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*arguments: object) -> None:
        raise AssertionError("the network was opened first")

    monkeypatch.setattr("edgenet.workflows.convert.open_source", work)
    out = tmp_path / "nowhere" / "net.tflite"
    edgenet("convert", made / "small.safetensors", "--float", "-o", out).refusal("there is no folder")


Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a small file system of its own; skips where that is not allowed."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        place = tmp_path / "mounted"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command")
        if done.returncode != 0:
            pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield make
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_full_disk(write: Callable, name: str, mount: Mount) -> None:
    """64 KiB, of which the older file takes some: the new one, of about a megabyte, does not fit."""
    out = mount("size=64k") / name
    out.write_bytes(OLD)
    write(out).refusal(f"cannot write {out}: No space left on device", "free some space")
    assert out.read_bytes() == OLD
    assert list(out.parent.iterdir()) == [out]


def test_read_only_mount(write: Callable, name: str, mount: Mount) -> None:
    place = mount("size=64k")
    out = place / name
    out.write_bytes(OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    write(out).refusal("cannot write", "read-only")
    assert out.read_bytes() == OLD


def test_read_only_folder(tmp_path: Path, process: Edgenet, made: Path) -> None:
    out = tmp_path / "closed" / "net.tflite"
    out.parent.mkdir()
    out.write_bytes(OLD)
    out.parent.chmod(0o555)
    try:
        if os.access(out.parent, os.W_OK):
            pytest.skip("root may write everywhere; see the read-only mount")
        process("convert", made / "small.safetensors", "--float", "-o", out).refusal(
            "cannot write", "read-only for you"
        )
    finally:
        out.parent.chmod(0o755)
    assert out.read_bytes() == OLD


def test_check_output_takes_what_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(tmp_path / "new.tflite", "mobilenet_v2_1.0_224", tmp_path / "missing.npz")
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere.tflite")
    check_output(tmp_path / "dangling")
    monkeypatch.chdir(tmp_path)
    check_output(Path("here.tflite"))


def test_check_output_refuses_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(EdgenetError, match=r"cannot write .*a"):
        check_output(tmp_path / "a" / "net.tflite")


def test_a_verb_whose_output_has_a_name_of_its_own_needs_no_out(edgenet: Edgenet, tmp_path: Path) -> None:
    done = edgenet("report", tmp_path / "missing")
    assert done.status == 1
    assert done.err == f"edgenet: the report {tmp_path / 'missing'} does not exist; check the path\n"
