"""Features of a frozen network: what its last layer receives, cached by content, with every unreadable photo named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from edgenet_device.preprocess import prepare

from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.teaching import features
from edgenet.teaching.features import PhotoFeatures, extract_features
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.registry import build, parse_variant


def network(seed: int = 0) -> LoadedNetwork:
    """Return a small network whose batch normalization has statistics of its own."""
    torch.manual_seed(seed)
    module = build("mobilenet_v1_0.25_32", classes=4).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
    labels = ("a", "b", "c", "d")
    return LoadedNetwork(
        module, parse_variant("mobilenet_v1_0.25_32"), labels, module.normalization, "test", "none"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            photo = cv2.resize(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), (64, 48))
            cv2.imwrite(str(tmp_path / "photos" / name / f"{number}.png"), photo)
    return tmp_path / "photos"


def extract(folder: Path, cache: Path, of: LoadedNetwork | None = None) -> PhotoFeatures:
    return extract_features(open_photos(folder), of or network(), cache=cache)


def test_they_are_what_the_last_layer_receives(folder: Path, tmp_path: Path) -> None:
    given = network()
    found = extract(folder, tmp_path / "cache", given)
    received = []
    given.module.classifier.register_forward_hook(lambda layer, inputs, output: received.append(inputs[0]))
    photos = open_photos(folder)
    for index in (0, 7, 39):
        pixels = prepare(photos.read(index), 32)
        for view, picture in enumerate((pixels, pixels[:, :, ::-1].copy())):
            received.clear()
            with torch.no_grad():
                given.with_pixels()(torch.from_numpy(picture).permute(0, 3, 1, 2).float())
            expected = received[0][0].numpy()
            assert np.abs(found.values[index, view] - expected).max() < 1e-4 * np.abs(expected).max()
        small = cv2.resize(pixels[0], (32, 32), interpolation=cv2.INTER_AREA)
        assert (found.thumbnails[index] == small).all()
    assert found.labels.tolist() == [0] * 20 + [1] * 20


def test_the_cache_gives_the_same_bytes_and_saves_the_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = extract(folder, tmp_path / "cache")
    computed = []
    real = features._features
    monkeypatch.setattr(features, "_features", lambda *given: computed.append(len(given[2])) or real(*given))
    (folder / "dog" / "19.png").rename(
        folder / "dog" / "renamed.png"
    )  # known by its content, not by its name
    cv2.imwrite(str(folder / "dog" / "new.png"), np.full((40, 40, 3), 90, np.uint8))
    second = extract(folder, tmp_path / "cache")
    assert sum(computed) == 1
    order = [second.contents.index(content) for content in first.contents]
    assert (second.values[order] == first.values).all()
    assert (second.thumbnails[order] == first.thumbnails).all()


def test_other_weights_have_other_features(folder: Path, tmp_path: Path) -> None:
    first = extract(folder, tmp_path / "cache")
    second = extract(folder, tmp_path / "cache", network(seed=1))
    assert np.abs(first.values - second.values).max() > 0.01


def test_a_damaged_or_unwritable_cache_only_costs_time(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = extract(folder, cache)
    (stored,) = cache.rglob("*.npz")
    stored.write_bytes(stored.read_bytes()[:1000])
    assert (extract(folder, cache).values == first.values).all()
    (tmp_path / "file").write_text("in the way")
    assert (extract(folder, tmp_path / "file").values == first.values).all()


def test_photos_that_cannot_be_read_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "cat" / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    found = extract(folder, tmp_path / "cache")
    assert len(found) == 40
    assert [name for name, _ in found.skipped] == ["cat/broken.jpg"]


def test_no_readable_photo_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "a.jpg").write_bytes(b"no photo")
    with pytest.raises(EdgenetError, match="none of the 1 photos"):
        extract(tmp_path / "photos", tmp_path / "cache")


def test_take_keeps_everything_together(folder: Path, tmp_path: Path) -> None:
    found = extract(folder, tmp_path / "cache")
    some = found.take([30, 2])
    assert some.labels.tolist() == [1, 0]
    assert some.photos.names == (found.photos.names[30], found.photos.names[2])
    assert some.contents == (found.contents[30], found.contents[2])
    assert (some.values[1] == found.values[2]).all()
