"""Files of a wrong kind, cut short, hostile, or wrongly named: every verb that takes a network says what they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hostile_pickles import HOSTILE, Runs
from small_network import LABELS, PHOTOS

import edgenet
from edgenet.errors import EdgenetError
from edgenet.training.starting import load_weights
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.registry import build_with

SUFFIXES = (
    *(
        ".tflite",
        ".edgenet",
        ".onnx",
        ".h5",
        ".keras",
        ".json",
        ".pb",
        ".pth",
        ".pt",
        ".pt2",
        ".bin",
        ".ckpt",
    ),
    *(".safetensors", ".npz"),
)
WRONG = {
    "web page": b"<!DOCTYPE html>\n<html><body>Sign in to continue</body></html>",
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "empty": b"",
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Path:
    """Two labelled photos, which are never looked at."""
    folder = tmp_path_factory.mktemp("labelled")
    for label in LABELS[:2]:
        (folder / label).mkdir()
        (folder / label / "a.jpg").write_bytes(b"not decoded")
    return folder


@pytest.fixture
def refusals(labelled: Path, tmp_path: Path) -> Callable[[Path], set[str]]:
    """Return a function that gives a file to every verb and returns what they say; each must refuse it in one line."""
    out = tmp_path / "out"
    out.mkdir()
    verbs: tuple[Callable[[Path], object], ...] = (
        lambda path: edgenet.convert(path, out / "net.tflite", float=True),
        lambda path: edgenet.evaluate(path, labelled),
        lambda path: edgenet.inspect(path),
        lambda path: edgenet.package(path, out / "net.edgenet"),
        lambda path: edgenet.load(path),
        lambda path: edgenet.bench(path, runs=1, min_seconds=0.01),
        lambda path: load_weights(str(path)),
    )

    def refuse(path: Path) -> set[str]:
        said = set()
        for verb in verbs:
            with pytest.raises(EdgenetError) as error:
                verb(path)
            assert error.value.remedy
            said.add(str(error.value))
        assert not any("\n" in line or "allow_pickle" in line or "weights_only" in line for line in said)
        assert list(out.iterdir()) == []
        return said

    return refuse


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_model_is_named_whatever_it_is_called(
    what: str, tmp_path: Path, refusals: Callable[[Path], set[str]]
) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"model{suffix}"
        path.write_bytes(WRONG[what])
        assert [line for line in refusals(path) if f"{path} is" not in line or what not in line] == []


@pytest.mark.parametrize("name", HOSTILE)
def test_no_verb_runs_a_pickle(name: str, tmp_path: Path, refusals: Callable[[Path], set[str]]) -> None:
    proof, path = tmp_path / "ran", tmp_path / name
    HOSTILE[name](path, Runs(proof))
    refusals(path)
    assert not proof.exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Path:
    """A folder with a good file of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("small.safetensors", "small.onnx", "float.tflite", "int8.tflite"):
        shutil.copy(made / name, folder)
    edgenet.package(folder / "int8.tflite", folder / "small.edgenet")
    network = build_with("mobilenet_v1_0.25_32", NetworkOptions(3))
    torch.save(network.state_dict(), folder / "net.pth")
    torch.save(network.state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.jit.trace(network.eval(), torch.zeros(1, 3, 32, 32)).save(str(folder / "script.pt"))
    np.savez(folder / "slim.npz", a=np.ones((3, 3), np.float32))
    return folder


NAMES = (
    *(
        "small.safetensors",
        "small.onnx",
        "float.tflite",
        "int8.tflite",
        "small.edgenet",
        "net.pth",
        "legacy.pth",
    ),
    *("script.pt", "slim.npz"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_short_is_refused(
    name: str, whole: Path, tmp_path: Path, refusals: Callable[[Path], set[str]]
) -> None:
    data, path = (whole / name).read_bytes(), tmp_path / name
    for kept in (1, 100, len(data) // 2, len(data) - 1000, len(data) - 1):
        path.write_bytes(data[: max(kept, 1)])
        refusals(path)


def test_the_end_of_a_zip_inside_a_bundle_is_not_taken_for_its_own(whole: Path, tmp_path: Path) -> None:
    """The .tflite in a bundle ends with a zip of its labels."""
    path, data = tmp_path / "model.bin", (whole / "small.edgenet").read_bytes()
    path.write_bytes(data[: data.index(b"labels.txt", data.index(b"PK\x05\x06")) - 30])
    with pytest.raises(
        EdgenetError, match=r"is the beginning of a zip whose end is missing, not .*; download the file again"
    ):
        edgenet.convert(path, tmp_path / "net.tflite", float=True)


def test_the_content_counts_and_not_the_name(whole: Path, tmp_path: Path) -> None:
    photos = labelled_photos(tmp_path)
    for name, precision in (
        ("int8.tflite", "int8"),
        ("small.edgenet", "int8"),
        ("small.safetensors", "float32"),
    ):
        path = shutil.copy(whole / name, tmp_path / "model.bin")
        assert edgenet.evaluate(path, photos).models[0].precision == precision


def labelled_photos(folder: Path) -> Path:
    """Return two labelled photos."""
    for index, label in enumerate(LABELS[:2]):
        (folder / "photos" / label).mkdir(parents=True)
        shutil.copy(sorted(PHOTOS.glob("*.jpg"))[index], folder / "photos" / label)
    return folder / "photos"
