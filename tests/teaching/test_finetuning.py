"""Fine-tuning from a head, mixtures of before and after, and the folds that choose among them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_network import small_network

from edgenet.data.photos import PhotoSet, open_photos
from edgenet.teaching import finetuning
from edgenet.teaching.features import PhotoFeatures, extract_features
from edgenet.teaching.finetuning import (
    FineTuning,
    blend,
    features_and_logits,
    fine_tune,
    head_of,
    wanted_steps,
    with_head,
)
from edgenet.teaching.head import LinearHead, fit_head
from edgenet.teaching.mixture import SHARES, cross_fit, familiarity, worthwhile
from edgenet.training.photos import TrainingPhotos, read_photos
from edgenet.training.recipe import Augmentation
from edgenet.zoo.checkpoint import LoadedNetwork

CPU = torch.device("cpu")
CLASSES = ("left", "right")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoSet:
    """Photos of a bright spot on the left or on the right: a network without training cannot tell them well."""
    folder = tmp_path_factory.mktemp("spots")
    rng = np.random.default_rng(0)
    for side, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for number in range(30):
            photo = rng.integers(0, 120, (48, 48, 3), dtype=np.uint8)
            centre = (int(rng.integers(6, 18)) + 24 * side, int(rng.integers(10, 38)))
            cv2.circle(photo, centre, 5, (255, 255, 255), -1)
            cv2.imwrite(str(folder / name / f"{number}.png"), photo)
    return open_photos(folder)


@pytest.fixture(scope="module")
def network() -> LoadedNetwork:
    return small_network(resolution=32)


@pytest.fixture(scope="module")
def features(
    photos: PhotoSet, network: LoadedNetwork, tmp_path_factory: pytest.TempPathFactory
) -> PhotoFeatures:
    return extract_features(photos, network, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def taught(network: LoadedNetwork, features: PhotoFeatures) -> LoadedNetwork:
    return with_head(network, fit_head(features.values, features.labels, 2, 1e-3), CLASSES, "head")


@pytest.fixture(scope="module")
def pixels(photos: PhotoSet) -> TrainingPhotos:
    return read_photos(photos, 32, 1 << 28)


# Crops and mirror images would move the spot to the other side.
PLAN = FineTuning(
    steps=80, batch=16, rate=3e-4, augmentation=Augmentation(crop_scale=1, flip=False, colour=0.1)
)


@pytest.fixture(scope="module")
def tuned(taught: LoadedNetwork, pixels: TrainingPhotos) -> LoadedNetwork:
    after = fine_tune(taught, pixels, PLAN, CPU)
    return after


def test_the_head_becomes_the_last_layer(
    network: LoadedNetwork, features: PhotoFeatures, taught: LoadedNetwork, photos: PhotoSet
) -> None:
    head = fit_head(features.values, features.labels, 2, 1e-3)
    values, logits = features_and_logits(taught, photos)
    assert np.abs(values - features.plain).max() < 1e-4
    assert np.abs(logits - head.logits(features.plain)).max() < 1e-4 * np.abs(logits).max()
    assert (head_of(taught.module).weight == head.weight).all()
    assert taught.labels == CLASSES
    assert len(network.labels) == 5  # the pretrained network is as it was


def test_fine_tuning_learns(network: LoadedNetwork, pixels: TrainingPhotos, photos: PhotoSet) -> None:
    nothing = LinearHead(np.zeros((2, 256), np.float32), np.zeros(2, np.float32))
    after = fine_tune(with_head(network, nothing, CLASSES, "none"), pixels, PLAN, CPU)
    logits = torch.from_numpy(features_and_logits(after, photos)[1])
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(photos.labels))
    assert float(loss) < 0.675  # of two classes, knowing nothing costs 0.693


def test_the_statistics_and_the_start_stay_as_they_were(taught: LoadedNetwork, tuned: LoadedNetwork) -> None:
    before, after = taught.module.state_dict(), tuned.module.state_dict()
    for name in before:
        if "running" in name:
            assert (before[name] == after[name]).all(), name
    first = next(iter(before))
    assert (before[first] != after[first]).any()


def test_the_same_seed_gives_the_same_network(taught: LoadedNetwork, pixels: TrainingPhotos) -> None:
    short = replace(PLAN, steps=5)
    first, second, other = (
        fine_tune(taught, pixels, plan, CPU) for plan in (short, short, replace(short, seed=1))
    )
    one, two, three = (network.module.state_dict() for network in (first, second, other))
    assert all((one[name] == two[name]).all() for name in one)
    assert any((one[name] != three[name]).any() for name in one)


def test_a_batch_in_parts_teaches_the_same(
    taught: LoadedNetwork, pixels: TrainingPhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(PLAN, steps=2)
    whole = fine_tune(taught, pixels, short, CPU).module.state_dict()
    monkeypatch.setattr(finetuning, "_PIXELS_AT_ONCE", 5 * 32 * 32)  # 5, 5, 5 and 1 of the 16 photos
    parts = fine_tune(taught, pixels, short, CPU).module.state_dict()
    before = taught.module.state_dict()
    for name in (next(iter(before)), "classifier.weight"):
        moved = (whole[name] - before[name]).abs().max()
        assert (parts[name] - whole[name]).abs().max() < 0.02 * moved, name


def test_early_layers_move_less_than_late_ones(taught: LoadedNetwork, pixels: TrainingPhotos) -> None:
    after = fine_tune(taught, pixels, replace(PLAN, steps=3, slower=0.5), CPU)
    moved = {
        name: float((tensor - taught.module.state_dict()[name]).abs().max())
        for name, tensor in after.module.state_dict().items()
        if tensor.is_floating_point()
    }
    assert 0 < next(iter(moved.values())) < 0.1 * moved["classifier.weight"]


def test_an_exception_of_the_progress_ends_it_at_once(taught: LoadedNetwork, pixels: TrainingPhotos) -> None:
    steps: list[int] = []

    def stop(done: int, of: int) -> None:
        steps.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(taught, pixels, PLAN, CPU, stop)
    assert steps == [1, 2]


def test_mixtures_lie_between(taught: LoadedNetwork, tuned: LoadedNetwork) -> None:
    half = blend(taught, tuned, 0.5).module.state_dict()
    for name, tensor in half.items():
        ends = taught.module.state_dict()[name], tuned.module.state_dict()[name]
        if tensor.is_floating_point():
            assert torch.allclose(tensor, (ends[0] + ends[1]) / 2), name
    assert blend(taught, tuned, 0) is taught
    assert blend(taught, tuned, 1) is tuned


def test_folds_judge_networks_that_never_saw_them(
    network: LoadedNetwork, features: PhotoFeatures, pixels: TrainingPhotos
) -> None:
    folds = np.arange(len(features)) % 3
    folds[0] = -1  # always trains
    done: list[tuple[int, int]] = []
    found = cross_fit(
        network, features, pixels, folds, CLASSES, 1e-3, replace(PLAN, steps=12), CPU,
        lambda step, of: done.append((step, of)),
    )  # fmt: skip
    assert found.share in SHARES
    assert len(found.losses) == len(SHARES)
    assert found.share == 0 or found.losses[SHARES.index(found.share)] < found.losses[0]
    assert (found.logits[0] == 0).all()
    assert (found.logits[1:] != 0).any(axis=1).all()
    total = done[-1][1]
    assert done[-1] == (total, total)
    for fold, one in enumerate(found.networks):  # each gives the photos of its fold their logits again
        rows = np.flatnonzero(folds == fold)
        again = features_and_logits(one, features.photos.take(rows.tolist()))[1]
        assert np.abs(again - found.logits[rows]).max() < 1e-4 * np.abs(again).max()


def test_labels_that_mean_nothing_are_judged_as_chance(
    network: LoadedNetwork, features: PhotoFeatures, pixels: TrainingPhotos
) -> None:
    """A figure far above chance for labels that were drawn at random would mean that photos judge what they trained."""
    drawn = np.random.default_rng(3).permutation(features.labels)
    confused = replace(features, labels=drawn)
    shuffled = replace(pixels, labels=drawn)
    folds = np.arange(len(drawn)) % 3
    found = cross_fit(network, confused, shuffled, folds, CLASSES, 1e-4, replace(PLAN, steps=30), CPU)
    assert (found.logits.argmax(1) == drawn).mean() < 0.72


def test_a_gain_that_is_chance_is_none() -> None:
    rng = np.random.default_rng(0)
    head = rng.exponential(size=200)
    noise = rng.normal(0, 1, 200)
    noise -= noise.mean()
    assert worthwhile(np.stack([head, head + noise - 0.01])) == 0
    assert worthwhile(np.stack([head, head + noise - 0.2])) == 1
    assert worthwhile(np.stack([head, head + 0.1, head - 0.3 + rng.normal(0, 1, 200)])) == 2
    assert worthwhile(np.stack([head[:1], head[:1] - 5])) == 0  # one photo proves nothing


def test_a_gain_of_one_standard_error_is_none_and_the_surer_of_two_gains_is_taken() -> None:
    spread = np.array([1.0, -1.0] * 50) * np.sqrt(99 / 100) * 10  # the standard error of the mean is 1
    head = np.full(100, 5.0)
    assert worthwhile(np.stack([head, head - spread - 1.5])) == 0
    assert worthwhile(np.stack([head, head - spread - 1.8])) == 1
    assert worthwhile(np.stack([head, head - spread - 1.8, head - spread / 4 - 1.7])) == 2


def test_strange_photos_have_to_prove_that_fine_tuning_harms() -> None:
    spread = np.array([1.0, -1.0] * 50) * np.sqrt(99 / 100) * 10  # the standard error of the mean is 1
    head = np.full(100, 5.0)
    assert worthwhile(np.stack([head, head - spread + 1.5]), familiar=0.1) == 1
    assert worthwhile(np.stack([head, head - spread + 1.8]), familiar=0.1) == 0
    assert worthwhile(np.stack([head, head - spread + 1.8, head - spread + 1.2]), familiar=0.1) == 2
    assert worthwhile(np.stack([head, head - spread + 1.5])) == 0
    assert worthwhile(np.stack([head[:1], head[:1] - 5]), familiar=0.1) == 0


def test_strange_photos_take_as_much_fine_tuning_as_they_do_not_speak_against() -> None:
    head, spread = np.full(100, 12.0), 10 * np.resize([1.0, -1.0], 100)  # a standard error of 1
    assert worthwhile(np.stack([head, head - 3, head - 3 - spread + 1.5]), familiar=0.1) == 2
    assert worthwhile(np.stack([head, head - 3, head - 3 - spread + 1.8]), familiar=0.1) == 1
    assert worthwhile(np.stack([head, head - 3, head - 3 - spread + 1.5])) == 1


def test_photos_in_between_take_the_smallest_share_unless_it_is_surely_worse() -> None:
    head, spread = np.full(100, 5.0), np.tile([-10.0, 10.0], 50)  # a standard error of 1
    unsure = np.stack([head, head - spread + 1.5, head - spread + 3])
    assert worthwhile(unsure, familiar=0.4) == 1
    assert worthwhile(unsure, familiar=0.7) == 0
    assert worthwhile(np.stack([head, head - spread + 1.8, head - spread - 1]), familiar=0.4) == 0
    assert worthwhile(np.stack([head, head - spread, head - spread - 1.8]), familiar=0.4) == 2


def test_the_folds_of_strange_photos_take_fine_tuning_that_the_others_refuse(
    network: LoadedNetwork, features: PhotoFeatures, pixels: TrainingPhotos
) -> None:
    """With labels that mean nothing, no share is surely better or worse than the head."""
    drawn = np.random.default_rng(1).permutation(features.labels)
    confused, shuffled = replace(features, labels=drawn), replace(pixels, labels=drawn)
    folds, plan = np.arange(len(drawn)) % 3, replace(PLAN, steps=12)
    familiar, strange = (
        cross_fit(network, confused, shuffled, folds, CLASSES, 1e-4, plan, CPU, familiar=familiar)
        for familiar in (0.9, 0.1)
    )
    assert familiar.losses == strange.losses
    assert familiar.share == 0 < strange.share
    assert (familiar.logits != strange.logits).any(axis=1).all()  # the folds choose by the same rule


def test_photos_that_excite_the_network_more_than_everyday_ones_are_familiar(network: LoadedNetwork) -> None:
    weight = head_of(network.module).weight
    directions = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    known = np.concatenate([directions * size for size in (40.0, 50.0, 60.0)])  # each like one of the classes
    nothing = np.zeros((10, weight.shape[1]), np.float32)
    assert familiarity(network, known, nothing) == 1
    assert familiarity(network, nothing, known) == 0
    assert familiarity(network, known, known) == 0.5
    blank = LinearHead(np.zeros_like(weight), np.zeros(len(weight), np.float32))
    assert (
        familiarity(with_head(network, blank, "abcde", ""), known, nothing) == 0.5
    )  # that network knows nothing


def test_steps_grow_with_the_photos_within_bounds() -> None:
    assert wanted_steps(10, 32) < wanted_steps(300, 32) < wanted_steps(1000, 32)
    assert wanted_steps(1_000_000, 32) == wanted_steps(2_000_000, 32)


def test_a_photo_that_vanished_is_named(taught: LoadedNetwork, photos: PhotoSet, tmp_path: Path) -> None:
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for number in range(3):
            (tmp_path / name / f"{number}.png").write_bytes(photos.read_bytes(number))
    copied = read_photos(open_photos(tmp_path), 32, 0)  # no memory: each use reads the file
    (tmp_path / "left" / "1.png").unlink()
    with pytest.raises(Exception, match=r"1\.png"):
        fine_tune(taught, copied, replace(PLAN, steps=2), CPU)
