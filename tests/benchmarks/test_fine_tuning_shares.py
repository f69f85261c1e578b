"""The benchmark of the fine-tuning's shares: real trainings of a small network, and the table of what a rule takes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from small_network import small_network

from benchmarks import fine_tuning_shares
from benchmarks.classifying.sources import Place
from benchmarks.classifying.split import Photo, Split
from benchmarks.fine_tuning_shares import KEPT, Shares, read, table, train
from edgenet.teaching import finetuning
from edgenet.teaching.mixture import SHARES


class Spots:
    """A set of noise with a bright spot on the left or on the right."""

    classes = ("left", "right")

    def split(self, place: Place, seed: int) -> Split:
        rng = np.random.default_rng(seed)
        pictures = [self.picture(rng, number % 2) for number in range(60)]
        photos = [Photo(number % 2, f"{number}.png", str(number)) for number in range(60)]
        return Split(photos[:20], photos[20:], lambda photo: pictures[int(photo.origin)])

    def picture(self, rng: np.random.Generator, side: int) -> bytes:
        photo = rng.integers(0, 120, (48, 48, 3), dtype=np.uint8)
        cv2.circle(
            photo, (int(rng.integers(6, 18)) + 24 * side, int(rng.integers(10, 38))), 5, (255,) * 3, -1
        )
        return cv2.imencode(".png", photo)[1].tobytes()


def test_every_share_is_judged_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fine_tuning_shares.SETS, "spots", Spots())
    monkeypatch.setattr(fine_tuning_shares, "load_network", lambda name, size: small_network(resolution=size))
    monkeypatch.setattr(
        fine_tuning_shares, "familiarity_of", lambda course, head: 0.5
    )  # it has tests of its own
    monkeypatch.setattr(finetuning, "PASSES", 1)
    monkeypatch.setattr(finetuning, "LEAST_STEPS", 4)
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))
    train(("spots", 10, 0), 32, Place(tmp_path, tmp_path), tmp_path)
    [(key, kept)] = read(tmp_path / KEPT).items()
    assert key == ("spots", 10, 0, 32)
    assert len(kept.top1) == len(kept.loss) == len(SHARES)
    assert np.array(kept.losses).shape == (len(SHARES), 20)
    assert len(set(kept.loss)) == len(SHARES)  # every share is another network
    assert table([kept]).count("| spots |") == 1


def shares(gain: float, top1: list[float], familiar: float = 0.9) -> Shares:
    """Return a result whose photos held out all gain as much with all of the fine-tuning, more or less."""
    before = 1 + 0.01 * (np.arange(20) % 2)
    losses = [(before - gain * share * (1 + 0.1 * (np.arange(20) % 3))).tolist() for share in SHARES]
    return Shares("signs", 10, 0, 96, familiar, 60, losses, top1, [0.5] * len(SHARES))


def test_the_table_says_what_the_rule_takes_and_what_would_have_been_best() -> None:
    found = table([shares(0.5, [70, 71, 72, 73, 74]), shares(-0.5, [70, 71, 72, 73, 76])])
    assert "| 100 % | 74.0 | 74.0 |" in found
    assert "| 0 % | 70.0 | 76.0 |" in found
    assert "-3.00 points from the best share, at worst -6.0" in found


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / KEPT
    path.write_text('{"set": "signs"\n[1]\n')
    assert read(path) == {}
