"""The benchmark of bursts: its frames show one photo, its draws are judged on other scenes, and its table says so."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.burst_scenes import FRAMES, Draw, Looks, burst, draw, draws_table, found_in
from edgenet.accuracy import Interval


def test_a_burst_is_the_same_for_a_seed_and_its_frames_differ() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    frames, again = (burst(photo, np.random.default_rng(3)) for _ in range(2))
    assert len(frames) == FRAMES
    assert all(frame.shape == (256, 256, 3) for frame in frames)
    assert all((one == other).all() for one, other in zip(frames, again, strict=True))
    assert (frames[0] != frames[1]).any()


@pytest.fixture(scope="module")
def looks() -> Looks:
    """Three classes of 12 scenes with 6 frames: features near their scene's, and thumbnails that are noise."""
    rng = np.random.default_rng(0)
    labels, scenes = np.repeat(np.arange(3), 72), np.repeat(np.arange(36), FRAMES)
    class_centres, scene_centres = rng.normal(0, 1, (3, 40)), rng.normal(0, 2, (36, 40))
    features = class_centres[labels] + scene_centres[scenes] + rng.normal(0, 0.1, (216, 40))
    thumbnails = np.repeat(rng.integers(0, 256, (36, 32, 32, 3), dtype=np.uint8), FRAMES, axis=0)
    return Looks(features.astype(np.float32), thumbnails, labels, scenes)


def test_scenes_are_counted_as_found(looks: Looks) -> None:
    found = found_in(looks)
    assert (found.photos, found.scenes, found.groups, found.largest) == (216, 36, 36, FRAMES)
    assert (found.recall, found.precision) == (1.0, 1.0)
    single = found_in(looks.take(np.arange(216) % FRAMES == 0))
    assert (single.groups, single.recall, single.precision) == (36, None, None)


@pytest.mark.slow
def test_photos_of_bursts_claim_more_than_is_true_and_groups_do_not(looks: Looks) -> None:
    draws = [draw(looks, 6, seed) for seed in range(4)]
    assert [one.groups for one in draws] == [18] * 4
    assert sum(one.held for one in draws) >= 3
    assert not any(one.by_photos_held for one in draws)
    assert all(one.by_photos > one.truth + 10 for one in draws)


def test_the_table_counts_what_was_held() -> None:
    wide, narrow = Interval(20.0, 80.0), Interval(95.0, 100.0)
    draws = [Draw(2, 10, 50.0, wide, 99.0, narrow, truth) for truth in (70.0, 90.0)]
    row = draws_table(draws).splitlines()[1].split()
    assert row[:2] == ["2", "10.0"]
    assert [cell for cell in row if "/" in cell] == ["1/2", "0/2"]
