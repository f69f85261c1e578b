"""The learning rate, the resolution, the order, and what is drawn: each a function of where the training is."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgenet.errors import EdgenetError
from edgenet.training.loader import Purpose, batches, epoch_order, generator, steps_per_epoch
from edgenet.training.recipe import Augmentation, Recipe, learning_rate, resolution_in

STEPS = 10


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine() -> None:
    recipe = Recipe(epochs=5, learning_rate=0.2, warmup_epochs=1)
    rates = [learning_rate(recipe, step, STEPS) for step in range(50)]
    assert rates[0] == pytest.approx(0.2 / 11)
    assert rates[9] == pytest.approx(0.2 * 10 / 11)
    assert rates[10] == 0.2
    assert rates[30] == pytest.approx(0.1)  # half of the way down
    assert rates[40] == pytest.approx(0.2 * (1 + math.cos(0.75 * math.pi)) / 2)
    assert 0 < rates[49] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_frozen_beginning_has_the_full_rate_and_the_warm_up_comes_after_it() -> None:
    recipe = Recipe(epochs=4, learning_rate=0.2, warmup_epochs=1, freeze_epochs=1)
    assert [learning_rate(recipe, step, STEPS) for step in (0, 9)] == [0.2, 0.2]
    assert learning_rate(recipe, 10, STEPS) == pytest.approx(0.2 / 11)
    assert learning_rate(recipe, 20, STEPS) == 0.2


def test_a_warm_up_longer_than_the_training_leaves_half_of_it() -> None:
    recipe = Recipe(epochs=2, learning_rate=0.2, warmup_epochs=2)
    assert learning_rate(recipe, 10, STEPS) == 0.2


def test_progressive_epochs_are_smaller_at_first() -> None:
    recipe = Recipe(epochs=10, progressive=True)
    assert [resolution_in(recipe, epoch, 128) for epoch in (0, 3, 4, 6, 7, 9)] == [64, 64, 96, 96, 128, 128]
    assert resolution_in(recipe, 0, 32) == 32
    assert resolution_in(replace(recipe, progressive=False), 0, 128) == 128


def test_every_photo_once_an_epoch_in_another_order_each_time() -> None:
    labels = np.repeat([0, 1], [30, 7])
    first, again, second = (epoch_order(labels, 5, epoch, False) for epoch in (0, 0, 1))
    assert sorted(first) == list(range(37))
    assert (first == again).all()
    assert (first != second).any()
    assert (first != epoch_order(labels, 6, 0, False)).any()


def test_steps_differ_by_at_most_one_photo() -> None:
    sizes = [len(step) for step in batches(np.arange(100), 33)]
    assert sizes == [25, 25, 25, 25]
    assert steps_per_epoch(100, 33) == 4
    assert [len(step) for step in batches(np.arange(11), 4)] == [4, 4, 3]


def test_balanced_epochs_show_every_class_equally_often() -> None:
    labels = np.repeat([0, 1, 2], [60, 9, 3])
    order = epoch_order(labels, 0, 0, balance=True)
    assert len(order) == 72
    assert np.bincount(labels[order]).tolist() == [24, 24, 24]
    assert len(set(order[labels[order] == 0])) == 24
    # Of the smallest class every photo comes before one comes a ninth time.
    assert np.bincount(order[labels[order] == 2] - 69).tolist() == [8, 8, 8]
    seen = {index for epoch in range(12) for index in epoch_order(labels, 0, epoch, balance=True)}
    assert seen == set(range(72))


def test_what_is_drawn_depends_on_every_part_of_its_place() -> None:
    places = [
        (0, Purpose.ORDER, 0, 0),
        (1, Purpose.ORDER, 0, 0),
        (0, Purpose.MIXUP, 0, 0),
        (0, Purpose.ORDER, 1, 0),
        (0, Purpose.ORDER, 0, 1),
    ]
    assert len({generator(*place).random() for place in places}) == len(places)
    assert generator(*places[0]).random() == generator(*places[0]).random()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"epochs": 0}, "the number of epochs is 0"),
        ({"batch": 1}, "the batch is 1"),
        ({"learning_rate": math.nan}, "the learning rate is nan"),
        ({"label_smoothing": 1.5}, "the label smoothing is 1.5"),
        ({"epochs": 2, "freeze_epochs": 3}, "the number of frozen epochs is 3"),
        ({"precision": "float8"}, "the precision is float8"),
    ],
)
def test_numbers_out_of_range(numbers: dict, message: str) -> None:
    with pytest.raises(EdgenetError, match=message):
        Recipe(**numbers)


def test_augmentation_out_of_range() -> None:
    with pytest.raises(EdgenetError, match=r"the smallest crop is 2; give 0.05 to 1"):
        Augmentation(crop_scale=2)
