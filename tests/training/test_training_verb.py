"""`train` from photos to a checkpoint: it learns, its files agree with its report, and other verbs take them."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import cv2
import pytest
import torch
from recipe_options import options_from
from shape_photos import TINY, every_class, write_photos

from edgenet.errors import EdgenetError
from edgenet.training.learner import head_name
from edgenet.training.recipe import Augmentation, Distillation, Recipe
from edgenet.training.starting import StartingWeights, pretrained_network
from edgenet.training.state import Plan, record_from_json
from edgenet.workflows.evaluate import evaluate
from edgenet.workflows.train import train
from edgenet.workflows.training_result import Training
from edgenet.zoo.checkpoint import load_checkpoint, save_checkpoint
from edgenet.zoo.registry import parse_variant

QUICK = Recipe(epochs=1, batch=24)
LEARNS = Recipe(
    epochs=7,
    batch=12,
    learning_rate=0.05,
    ema_decay=0.9,
    augmentation=Augmentation(crop_scale=0.7, colour=0.1),
)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shapes in the folders train and val, 20 and 10 photos a class; not to be changed."""
    root = tmp_path_factory.mktemp("parts") / "shapes"
    write_photos(root / "train", every_class(20))
    write_photos(root / "val", every_class(10), first=100)
    return root


@pytest.fixture(scope="module")
def trained(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, list[str]]:
    """A training of some epochs on the shapes, and the lines that it printed."""
    out, lines = tmp_path_factory.mktemp("trained") / "run", []
    result = train(TINY, parts, out, options=options_from(LEARNS), log=lines.append)
    assert result is not None
    return result, lines


def test_it_learns_what_can_be_learned(trained: tuple[Training, list[str]]) -> None:
    result, _ = trained
    assert result.top1 >= 80  # chance is 33
    assert result.epochs[-1].train_loss < result.epochs[0].train_loss - 0.1


def test_figures_belong_together(trained: tuple[Training, list[str]]) -> None:
    result, _ = trained
    assert (result.training_photos, result.n, result.held_out) == (60, 30, False)
    assert result.top1 == pytest.approx(100 * sum(row.right for row in result.classes) / 30)
    assert result.top1_interval.low < result.top1 <= result.top1_interval.high
    assert result.top5 is None
    assert [row.name for row in result.classes] == ["blue", "green", "red"]
    assert all((row.training_photos, row.photos) == (20, 10) for row in result.classes)
    for row in result.epochs:
        assert row.photos == 60
        assert row.photos_per_s == pytest.approx(60 / (row.waiting_s + row.computing_s))
        assert row.resolution == 32


def test_evaluate_agrees_with_the_accuracy_that_was_reported(
    trained: tuple[Training, list[str]], parts: Path
) -> None:
    result, _ = trained
    network = load_checkpoint(Path(result.out))
    assert network.labels == ("blue", "green", "red")
    assert network.origin == "trained by edgenet on shapes, from random weights"
    assert evaluate(result.out, parts, split="val").models[0].top1 == result.top1


def test_the_log_has_a_line_for_every_epoch(trained: tuple[Training, list[str]]) -> None:
    result, _ = trained
    rows = list(csv.DictReader((Path(result.out).parent / "log.csv").open()))
    assert [row["epoch"] for row in rows] == [str(n) for n in range(1, 8)]
    last = result.epochs[-1]
    for name in ("train_loss", "val_top1", "waiting_s", "computing_s", "photos_per_s", "learning_rate"):
        assert float(rows[-1][name]) == pytest.approx(getattr(last, name), rel=1e-4)


def test_the_class_table_and_the_figures_are_written(trained: tuple[Training, list[str]]) -> None:
    result, _ = trained
    folder = Path(result.out).parent
    rows = list(csv.DictReader((folder / "classes.csv").open()))
    assert [row["class"] for row in rows] == ["blue", "green", "red"]
    assert sum(int(row["right"]) for row in rows) == sum(row.right for row in result.classes)
    for name in ("curve.png", "confusion.png"):
        picture = cv2.imread(str(folder / name))
        assert picture is not None
        assert picture.std() > 5  # not empty
    assert {Path(path).name for path in result.files} == {
        "log.csv",
        "curve.png",
        "classes.csv",
        "confusion.png",
    }


def test_every_epoch_is_reported_with_its_speed_and_the_remaining_time(
    trained: tuple[Training, list[str]],
) -> None:
    lines = [line for line in trained[1] if not line.startswith("warning: ")]  # the shapes look alike
    assert lines[0].startswith("mobilenet_v1_0.25_32: 0.8 M mult-adds, 0.21 M parameters; cpu, float32")
    assert lines[1] == "60 photos of 3 classes to train with, 30 in val to validate with; 60 stay in memory"
    assert len(lines) == 9
    for part in ("epoch 3/7", "photos/s", "waiting", "computing", "to go"):
        assert part in lines[4]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(shapes: Path, tmp_path: Path) -> None:
    def made(name: str, seed: int) -> bytes:
        result = train(
            TINY, shapes, tmp_path / name, options=options_from(dataclasses.replace(QUICK, seed=seed))
        )
        assert result is not None
        return Path(result.out).read_bytes()

    first = made("a", 1)
    assert made("b", 1) == first
    assert made("c", 2) != first


def test_a_folder_that_holds_a_training_is_not_overwritten(
    trained: tuple[Training, list[str]], shapes: Path
) -> None:
    folder = Path(trained[0].out).parent
    with pytest.raises(EdgenetError, match=r"already holds a training; continue it with --resume .*run"):
        train(TINY, shapes, folder, options=options_from(QUICK))


def test_a_new_head_on_a_checkpoint(trained: tuple[Training, list[str]], tmp_path: Path) -> None:
    source, variant = trained[0].out, parse_variant(TINY)
    before = load_checkpoint(Path(source)).module.state_dict()
    other = pretrained_network(variant, ("cat", "dog"), StartingWeights(source), 0)
    assert other.module.options.classes == 2
    head = head_name(other.module)
    assert head == "classifier"
    for name, tensor in other.module.state_dict().items():
        if not name.startswith(f"{head}."):
            assert torch.equal(tensor, before[name]), name
    assert other.module.classifier.weight.shape == (2, 256)
    same = pretrained_network(variant, ("blue", "green", "red"), StartingWeights(source), 0)
    assert torch.equal(same.module.classifier.weight, before["classifier.weight"])


def test_fine_tuning_learns_in_one_frozen_epoch(trained: tuple[Training, list[str]], tmp_path: Path) -> None:
    data = write_photos(tmp_path / "two", {"blue": 16, "red": 16}, first=900)
    recipe = Recipe(epochs=2, batch=8, learning_rate=0.2, freeze_epochs=2, ema_decay=0)
    options = options_from(recipe, pretrained=trained[0].out, hold_out=0.25)
    result = train(TINY, data, tmp_path / "run", options=options)
    assert result is not None
    assert result.top1 >= 75
    before, after = (load_checkpoint(Path(path)).module for path in (trained[0].out, result.out))
    kept = after.features.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in before.features.state_dict().items())
    assert "from trained by edgenet on shapes" in load_checkpoint(Path(result.out)).origin


def test_weights_of_another_width(trained: tuple[Training, list[str]]) -> None:
    with pytest.raises(
        EdgenetError,
        match=r"holds mobilenet_v1_0.25_32, whose layers differ from those of mobilenet_v1_0.5_32",
    ):
        pretrained_network(
            parse_variant("mobilenet_v1_0.5_32"), ("a", "b"), StartingWeights(trained[0].out), 0
        )


def test_no_imagenet_weights_for_a_variant() -> None:
    with pytest.raises(EdgenetError, match=r"no ImageNet weights for vgg16 of width 1.0 or wider; choose"):
        pretrained_network(parse_variant("vgg16_1.0_224"), ("a", "b"), StartingWeights("imagenet"), 0)


@pytest.mark.parametrize(
    "recipe",
    [
        dataclasses.replace(QUICK, augmentation=Augmentation(mixup=0.4)),
        dataclasses.replace(QUICK, balance=True),
        dataclasses.replace(QUICK, precision="bfloat16"),
    ],
    ids=["mixup", "balance", "bfloat16"],
)
def test_every_way_of_training_trains(shapes: Path, tmp_path: Path, recipe: Recipe) -> None:
    result = train(TINY, shapes, tmp_path / "run", options=options_from(recipe))
    assert result is not None
    assert 0 < result.epochs[0].train_loss < 3


def test_progressive_epochs_are_in_the_log(shapes: Path, tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, batch=54, progressive=True)
    result = train("mobilenet_v1_0.25_64", shapes, tmp_path / "run", options=options_from(recipe))
    assert result is not None
    assert [row.resolution for row in result.epochs] == [32, 48, 64]


def test_a_fault_is_reported_at_the_start(tmp_path: Path) -> None:
    write_photos(tmp_path / "train", {"blue": 4, "red": 16})
    write_photos(tmp_path / "val", {"blue": 2, "red": 2})
    (tmp_path / "train" / "red" / "0003.jpg").write_bytes(b"")
    lines: list[str] = []
    result = train(TINY, tmp_path, tmp_path / "run", options=options_from(QUICK), log=lines.append)
    assert result is not None
    assert result.skipped == (("red/0003.jpg", "red/0003.jpg is empty (0 bytes); copy it again"),)
    unequal, twice = lines[2:4]
    assert unequal.startswith("warning: the classes are unequal: 15 photos of red, 4 of blue")
    assert twice == (
        "warning: 4 of the 4 photos in val show scenes that are in train too, such as val/blue/0000.jpg and "
        "train/blue/0000.jpg: the accuracy looks better than it is; move each scene to one of the two folders"
    )
    assert len(result.warnings) == 2


def test_a_plan_survives_its_way_through_json() -> None:
    recipe = Recipe(epochs=7, seed=3, augmentation=Augmentation(mixup=0.2))
    plan = Plan(
        "mobilenet_v2_0.35_96", "photos", recipe, Distillation(0.3, 4.0), teacher="t.safetensors", memory=5
    )
    assert record_from_json(Plan, json.loads(json.dumps(dataclasses.asdict(plan))), "a plan") == plan


def test_a_diverging_training_says_so(
    trained: tuple[Training, list[str]], shapes: Path, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=8, batch=8, learning_rate=100, warmup_epochs=0, label_smoothing=0)
    loaded = load_checkpoint(Path(trained[0].out))
    with torch.no_grad():
        loaded.module.classifier.weight.fill_(3e38)  # finite, and its products are not
    source = tmp_path / "huge.safetensors"
    save_checkpoint(source, loaded)
    with pytest.raises(
        EdgenetError, match=r"the loss is (nan|inf) in epoch 1, step 1: .* lower --learning-rate"
    ):
        train(TINY, shapes, tmp_path / "run", options=options_from(recipe, pretrained=str(source)))
