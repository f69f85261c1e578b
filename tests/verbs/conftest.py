"""Networks with known answers, and the small real network in several forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from brief_timing import time_briefly
from small_network import PHOTOS, save_small_checkpoint, save_small_onnx
from tiny_model import tiny_model
from verbs_photos import solid

from edgenet.assets import digits
from edgenet.bundle import write_bundle
from edgenet.manifest import Facts, Weights
from edgenet.workflows.convert import convert


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Use one thread, because the threads of small networks cost more time by waiting than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.safetensors, small.onnx, int8.tflite and float.tflite; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    checkpoint = save_small_checkpoint(folder / "small.safetensors")
    save_small_onnx(folder / "small.onnx")
    convert(str(checkpoint), folder / "int8.tflite", calibration=PHOTOS, photos=8, recipe="minmax")
    convert(str(checkpoint), folder / "float.tflite", float=True)
    return folder


@pytest.fixture
def colour_folders(tmp_path: Path) -> Path:
    """Class folders red, green and blue: 4, 3 and 1 photos."""
    root = tmp_path / "colours"
    for colour, count in (("red", 4), ("green", 3), ("blue", 1)):
        (root / colour).mkdir(parents=True)
        for number in range(count):
            (root / colour / f"{number}.png").write_bytes(solid(colour, number))
    return root


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the demo learn only every fourth digit."""

    every = digits.read_digits()
    some = digits.Digits(every.images[::4], every.labels[::4])
    monkeypatch.setattr(digits, "read_digits", lambda: some)
    monkeypatch.setattr(digits, "TRAINING", -(-digits.TRAINING // 4))


@pytest.fixture(scope="module")
def briefly_timed() -> Iterator[None]:
    """Lets `sweep` and `select` time each network for a moment instead of a second."""
    with pytest.MonkeyPatch.context() as patch:
        time_briefly(patch)
        yield


Build = Callable[..., Path]


@pytest.fixture
def colour_bundle(tmp_path: Path) -> Build:
    """`colour_bundle("a", labels)`: a network that is always right: output c looks at colour c % 3 of red, green, blue.

    Its labels say what each output is called; on a tie the lower output wins.
    """

    def build(name: str, labels: Sequence[str], size: int = 8) -> Path:
        path = tmp_path / f"{name}.edgenet"
        facts = Facts(name, Weights("made for a test", "Apache-2.0"))
        write_bundle(path, tiny_model(classes=len(labels), size=size), labels, facts)
        return path

    return build
