"""Learning from another network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from recipe_options import options_from
from shape_photos import TINY

from edgenet.errors import EdgenetError
from edgenet.training.learner import new_learner
from edgenet.training.loader import Batch
from edgenet.training.processes import ProcessShare
from edgenet.training.recipe import Augmentation, Distillation, Recipe
from edgenet.training.starting import fresh_network
from edgenet.training.step import (
    StepSettings,
    label_loss,
    mix,
    read_results,
    teacher_loss,
    teacher_of,
    total_loss,
    train_step,
)
from edgenet.workflows.train import train
from edgenet.zoo.checkpoint import save_checkpoint
from edgenet.zoo.registry import parse_variant

CPU = torch.device("cpu")
LABELS = ("blue", "green", "red")


def test_the_distance_to_a_teacher_is_its_formula() -> None:
    student, teacher = torch.randn(4, 5), torch.randn(4, 5)
    t = 3.0
    p, q = F.softmax(teacher / t, 1), F.softmax(student / t, 1)
    expected = t**2 * (p * (p / q).log()).sum()
    assert torch.allclose(teacher_loss(student, teacher, t), expected, rtol=1e-4)
    assert teacher_loss(student, student, t).abs() < 1e-5


def test_both_losses_count_in_their_shares() -> None:
    one, other = torch.tensor(2.0), torch.tensor(10.0)
    assert total_loss(one, other, Distillation(weight=0.25)).item() == pytest.approx(4.0)
    assert total_loss(one, None, Distillation(weight=0.25)).item() == 2.0


def test_mixed_labels_count_in_their_shares() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    mixed = mix(torch.zeros(6, 3, 2, 2), labels, 1.0, (0, 0, 1))
    targets = mixed.share * F.one_hot(labels, 3) + (1 - mixed.share) * F.one_hot(mixed.others, 3)
    expected = -(targets * F.log_softmax(logits, 1)).sum()
    assert torch.allclose(label_loss(logits, labels, mixed, 0.0), expected, rtol=1e-5)


def test_a_student_comes_nearer_to_its_teacher() -> None:
    """Without labels' part in the loss: on noise, what can be learned is the teacher alone."""
    teacher = fresh_network(parse_variant("mobilenet_v2_0.35_48"), LABELS, seed=1)
    with torch.no_grad():
        for _ in range(10):
            teacher.module.train()(torch.randn(16, 3, 48, 48))
        teacher.module.eval().classifier.weight.normal_(std=3.0)
    student = fresh_network(parse_variant(TINY), LABELS, seed=2)
    recipe = Recipe(learning_rate=0.05, augmentation=Augmentation(mixup=0))
    settings = StepSettings(
        recipe, Distillation(1.0, 1.0), teacher_of(teacher, LABELS, CPU), CPU, ProcessShare()
    )
    learner = new_learner(student.module, recipe, CPU)
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (24, 32, 32, 3), dtype=torch.uint8, generator=rng)
    batch = Batch(0, pixels, torch.zeros(24, dtype=torch.int64), 24)
    steps = [train_step(learner, batch, settings, 0, 0.05) for _ in range(12)]
    losses = [result.loss for result in read_results(steps)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_teacher_s_outputs_are_put_into_the_student_s_order() -> None:
    teacher = fresh_network(parse_variant(TINY), ("red", "violet", "blue", "green"), seed=1)
    pixels = torch.rand(2, 3, 32, 32) * 255
    teacher.module.eval()
    raw = teacher.with_pixels()(pixels)
    assert torch.allclose(teacher_of(teacher, LABELS, CPU)(pixels), raw[:, [2, 3, 0]], atol=1e-5)


def test_a_teacher_that_lacks_a_class() -> None:
    teacher = fresh_network(parse_variant(TINY), ("red", "violet", "blue", "white"), seed=1)
    with pytest.raises(EdgenetError, match=r"knows 4 classes, but not green; train the teacher on the same"):
        teacher_of(teacher, LABELS, CPU)


@pytest.mark.slow
def test_a_teacher_from_a_file_changes_what_is_learned(shapes: Path, tmp_path: Path) -> None:
    teacher = fresh_network(parse_variant(TINY), LABELS, seed=1)
    save_checkpoint(tmp_path / "teacher.safetensors", teacher)
    recipe = Recipe(epochs=1, batch=27)
    made = []
    for name, source in (("alone", None), ("taught", str(tmp_path / "teacher.safetensors"))):
        result = train(TINY, shapes, tmp_path / name, options=options_from(recipe, teacher=source))
        assert result is not None
        made.append(Path(result.out).read_bytes())
    assert made[0] != made[1]
