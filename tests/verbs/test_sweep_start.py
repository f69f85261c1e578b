"""From which weights the variants of a sweep start, and what is refused before anything is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgenet
from edgenet.accuracy import wilson
from edgenet.errors import EdgenetError
from edgenet.training.recipe import Recipe
from edgenet.training.starting import fresh_network
from edgenet.workflows import sweep as workflow
from edgenet.workflows import sweep_start
from edgenet.workflows.sweep_plan import TRAINED_FILE, Grid, SweepOptions, read_trained, settings
from edgenet.workflows.sweep_start import check_combinations, starting_line, starting_options
from edgenet.workflows.train import FINE_TUNING, TrainingOptions
from edgenet.zoo.catalogue import find_entry
from edgenet.zoo.checkpoint import save_checkpoint
from edgenet.zoo.registry import Variant, parse_variant

V2 = Grid("mobilenet_v2", (1.0, 0.5), (160, 96)).variants()
WIDE, NARROW = V2[2:], V2[:2]
V1 = Grid("mobilenet_v1", (0.25,), (64, 32)).variants()
PLAIN = SweepOptions()


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only the weights that an installed package holds."""
    monkeypatch.setenv("EDGENET_CACHE", str(tmp_path / "cache"))


def trained(**options: object) -> SweepOptions:
    return SweepOptions(TrainingOptions(**options))


def test_variants_with_imagenet_weights_start_from_them_and_fine_tune() -> None:
    for variant in WIDE:
        options = starting_options(variant, PLAIN)
        assert options.pretrained == "imagenet"
        assert options.training_recipe() == FINE_TUNING
    for variant in (*NARROW, *V1):
        assert starting_options(variant, PLAIN).training_recipe() == Recipe()
    given = trained(epochs=3, seed=5)
    assert starting_options(WIDE[0], given) == replace(given.training, pretrained="imagenet")


def test_from_scratch_and_given_weights() -> None:
    assert starting_options(WIDE[0], replace(PLAIN, from_scratch=True)).pretrained is None
    assert starting_options(WIDE[0], trained(pretrained="mine.safetensors")).pretrained == "mine.safetensors"


def test_one_line_says_so() -> None:
    assert starting_line(V2, PLAIN) == (
        "mobilenet_v2_1.0_96 and mobilenet_v2_1.0_160 start from ImageNet weights; there are no ImageNet weights on "
        "this machine for mobilenet_v2_0.5_96 and mobilenet_v2_0.5_160, which train from scratch "
        "(edgenet fetch mobilenet_v2_0.5_224:timm-lamb_in1k)"
    )
    assert (
        starting_line(WIDE, PLAIN) == "all networks start from ImageNet weights (--from-scratch does without)"
    )
    assert starting_line(Grid().variants(), PLAIN) == (
        "all networks train from scratch, because there are no ImageNet weights on this machine for "
        "mobilenet_v1_0.25_128, mobilenet_v1_0.25_160, mobilenet_v1_0.25_192 and 13 more (edgenet fetch "
        "mobilenet_v1_0.25_224:slim-mediapipe mobilenet_v1_0.5_224:slim mobilenet_v1_0.75_224:slim ...)"
    )
    odd = Grid("mobilenet_v1", (0.33,), (64,)).variants()
    assert starting_line(odd, PLAIN) == (
        "all networks train from scratch, because there are no ImageNet weights on this machine for "
        "mobilenet_v1_0.33_64"
    )
    assert starting_line(V2, replace(PLAIN, from_scratch=True)) == "all networks train from scratch"
    assert starting_line(V1, trained(pretrained="a.safetensors")) == "all networks start from a.safetensors"


def test_weights_on_this_machine_are_taken_unasked(tmp_path: Path) -> None:
    """The cache of this test is empty, so the file that is put there is the only one."""
    assert starting_options(NARROW[0], PLAIN).pretrained is None
    file = find_entry("mobilenet_v2_0.5_224").file
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / file).write_bytes(b"not read")
    assert starting_options(NARROW[0], PLAIN).pretrained == "imagenet"


def test_a_sweep_that_began_from_scratch_is_not_mixed() -> None:
    before, now = settings(replace(PLAIN, from_scratch=True), "a"), settings(PLAIN, "a")
    assert {name for name in now if now[name] != before[name]} == {"pretrained"}
    assert before["pretrained"] is None  # as older versions wrote it


@pytest.mark.parametrize(
    ("variants", "options", "reason"),
    [
        (
            (*V2, Variant("vgg16", 1.0, 224)),
            trained(pretrained="imagenet"),
            "no ImageNet weights for vgg16_1.0_224; leave out",
        ),
        (
            WIDE,
            replace(trained(pretrained="imagenet"), from_scratch=True),
            "--from-scratch and --pretrained contradict",
        ),
        (
            V2,
            trained(freeze_epochs=1),
            "--freeze-epochs would freeze random weights: mobilenet_v2_0.5_96 and",
        ),
        (WIDE, replace(trained(freeze_epochs=1), from_scratch=True), "would freeze random weights"),
        (
            (Variant("inception_v3", 1.0, 96),),
            trained(progressive=True),
            "would train inception_v3_1.0_96 at 48 pixels",
        ),
        (
            (Variant("alexnet", 1.0, 227),),
            trained(progressive=True),
            "would train alexnet_1.0_227 at 112 pixels first",
        ),
        (V1, trained(device="cuda:99"), "there is no device cuda:99"),
    ],
)
def test_impossible_combinations(variants: tuple[Variant, ...], options: SweepOptions, reason: str) -> None:
    with pytest.raises(EdgenetError, match=reason):
        check_combinations(variants, options)


def test_possible_combinations() -> None:
    check_combinations(WIDE, trained(pretrained="imagenet", freeze_epochs=2))
    check_combinations(V2, trained(freeze_epochs=0))
    check_combinations(V1, trained(progressive=True))
    check_combinations(V1, replace(trained(device="cuda:99"), ray="head:6379"))  # other machines train there


def test_weights_of_other_layers(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save_checkpoint(path, fresh_network(parse_variant("mobilenet_v1_0.25_32"), ("a", "b"), 0))
    check_combinations(V1, trained(pretrained=path))
    grid = Grid("mobilenet_v1", (0.25, 0.5), (32,)).variants()
    with pytest.raises(
        EdgenetError,
        match=r"small.safetensors holds mobilenet_v1_0.25_32, whose .* of mobilenet_v1_0.5_32; try only",
    ):
        check_combinations(grid, trained(pretrained=path))


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders blue, green and red of 20 photos each."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    for label, name in enumerate(("blue", "green", "red")):
        (root / name).mkdir(parents=True)
        for number in range(20):
            noise = np.random.default_rng([label, number]).integers(0, 256, (32, 32, 3), dtype=np.uint8)
            cv2.imwrite(str(root / name / f"{number}.png"), noise)
    return root


@pytest.fixture
def nothing_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test fail where something is trained or measured."""
    for name in ("make_variant", "measure_on"):
        monkeypatch.setattr(workflow, name, None)


def test_a_batch_of_more_photos_than_there_are(shapes: Path, tmp_path: Path, nothing_measured: None) -> None:
    with pytest.raises(
        EdgenetError, match=r"the batch is 55, but there are only 54 photos .*; give --batch 54 or less"
    ):
        edgenet.sweep(
            shapes, tmp_path / "grid", widths=[0.25], resolutions=[32], training=TrainingOptions(batch=55)
        )
    with pytest.raises(EdgenetError, match=r"the batch is 55, but there are only"):
        edgenet.select(
            shapes,
            tmp_path / "x",
            budget_ms=9,
            widths=[0.25],
            resolutions=[32],
            training=TrainingOptions(batch=55),
        )


def test_a_teacher_of_other_classes(shapes: Path, tmp_path: Path, nothing_measured: None) -> None:
    path = tmp_path / "teacher.safetensors"
    save_checkpoint(path, fresh_network(parse_variant("mobilenet_v1_0.25_32"), ("blue", "cat"), 0))
    with pytest.raises(
        EdgenetError, match=r"the teacher .*teacher.safetensors does not know green, red; train the"
    ):
        edgenet.sweep(
            shapes, tmp_path / "grid", widths=[0.25], resolutions=[32], training=TrainingOptions(teacher=path)
        )


def test_weights_that_cannot_be_had_stop_it_before_the_first_training(
    shapes: Path, tmp_path: Path, nothing_measured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*arguments: object) -> Path:
        raise EdgenetError("no network", "connect it")

    monkeypatch.setattr(sweep_start, "find_weights", offline)
    lines: list[str] = []
    with pytest.raises(EdgenetError, match="no network; connect it, or give --from-scratch"):
        edgenet.sweep(
            shapes,
            tmp_path / "grid",
            architecture="mobilenet_v2",
            widths=[1.0],
            resolutions=[32],
            log=lines.append,
        )
    assert lines[-1] == "all networks start from ImageNet weights (--from-scratch does without)"


def test_each_variant_is_trained_from_its_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgenet.workflows import sweep_training

    asked: list[object] = []

    def train(name: str, data: Path, run: Path, *, options: TrainingOptions, **more: object) -> str:
        asked.append((name, options.pretrained))
        return "trained"

    monkeypatch.setattr(sweep_training, "train", train)
    for variant in (WIDE[0], NARROW[0]):
        sweep_training._train(variant, tmp_path, tmp_path / "run", PLAIN, lambda *_: None, print)
    assert asked == [("mobilenet_v2_1.0_96", "imagenet"), ("mobilenet_v2_0.5_96", None)]


def test_rows_of_older_versions_get_the_interval_of_float(tmp_path: Path) -> None:
    (tmp_path / TRAINED_FILE).write_text(
        '{"variant": "v", "width": 0.5, "resolution": 32, "mult_adds": 1, "parameters": 1, "bytes": 1, "n": 40,'
        ' "float_top1": 75.0, "int8_top1": 70.0, "int8_low": 54.6, "int8_high": 81.9}'
    )
    row = read_trained(tmp_path)
    assert row is not None
    expected = wilson(30, 40)
    assert (row.float_low, row.float_high) == (expected.low, expected.high)
    (tmp_path / TRAINED_FILE).write_text("{}")
    with pytest.raises(EdgenetError, match="is damaged"):
        read_trained(tmp_path)
