"""The target that reads what an interrupted training left behind, as `train --resume` does."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch

from edgenet.errors import EdgenetError
from edgenet.progress import no_log, silent
from edgenet.training.job import Job, resume_job, snapshot, start_job
from edgenet.training.loop import run_epochs
from edgenet.training.processes import ProcessShare, StopRequest, TrainingStopped
from edgenet.training.qat import QatPlan
from edgenet.training.recipe import Augmentation, Distillation, Recipe
from edgenet.training.state import STATE_FILE, EpochRow, EpochSums, Plan, Position, load_state, save_state
from edgenet.workflows.arguments import checked
from tools.fuzz.mutations import BINARY
from tools.fuzz.verdicts import Check
from tools.fuzz.weight_targets import header_changed
from tools.fuzz.workers import Target

_PHOTOS = "photos"
_ALONE, _HERE = ProcessShare(), torch.device("cpu")


def write_photos(folder: Path) -> None:
    """Write photos of two classes into a folder of the scratch folder, of which one step is two."""
    for number, name in enumerate(("blue", "red")):
        (folder / _PHOTOS / name).mkdir(parents=True, exist_ok=True)
        for photo in range(3):
            pixels = np.random.default_rng((number, photo)).integers(0, 255, (33, 34, 3), np.uint8)
            path = folder / _PHOTOS / name / f"{photo}.png"
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


@cache
def state_seeds() -> dict[str, bytes]:
    """Return the states of trainings that were stopped within an epoch, after one, and in training for int8."""
    recipe = Recipe(epochs=3, batch=2, augmentation=Augmentation(mixup=0.2))
    row = EpochRow(1, 32, 0.1, 2.0, 50.0, 2.1, 49.0, 2, 4, 10.0, 1.0, 2.0, 3.0)
    within, between = Position(0, 1, EpochSums(1.0, 1, 2, 4.0, 5.0)), Position(1, rows=(row,))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder)
        plan = Plan("mobilenet_v1_0.01_32", str(folder / _PHOTOS), recipe, Distillation())
        job = start_job(plan, folder, _ALONE, _HERE, silent)
        plan = replace(plan, data=_PHOTOS)
        refined = replace(plan, qat=QatPlan("fast"), pretrained="absent", teacher="absent")
        return {
            "within": _saved(folder, replace(job, plan=plan), within),
            "between": _saved(folder, replace(job, plan=plan), between),
            "int8": _saved(folder, replace(job, plan=refined), within),
        }


def _saved(folder: Path, job: Job, position: Position) -> bytes:
    save_state(folder, snapshot(job, position))
    return (folder / STATE_FILE).read_bytes()


def states(folder: Path) -> Check:
    """Read the state of a training, set the training up again, take its next step and save it."""
    write_photos(folder)

    def check(data: bytes) -> None:
        (folder / STATE_FILE).write_bytes(data)
        _take_a_step(folder)
        load_state(folder)

    return check


@checked
def _take_a_step(folder: Path) -> None:
    """Do what `resume_training` does, but stop after one step; the state is saved then."""
    state = load_state(folder)
    if "/" in state.plan.data or state.plan.data.startswith(("~", "..")):
        raise EdgenetError("photos elsewhere, which the user would have to have")
    job = resume_job(state, folder, _ALONE, _HERE, silent)
    request = StopRequest()
    request.asked = True
    with suppress(TrainingStopped):
        run_epochs(job, request, silent, no_log)


TARGETS = (
    Target(
        "state",
        "states of trainings",
        ("edgenet.training.state",),
        state_seeds,
        (*BINARY, *[header_changed] * 8),
        states,
    ),
)
