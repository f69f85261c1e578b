"""The verb `train`: trains a network on a folder of photos, to recognise the folder's classes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.files import make_folder
from edgenet.progress import Progress, Say, silent
from edgenet.training.interrupt import stop_on_signals
from edgenet.training.job import Job, begin, resume, save_network
from edgenet.training.loop import run_epochs, validate_job
from edgenet.training.processes import is_first, join_processes, local_device
from edgenet.training.recipe import Augmentation, Distillation, Recipe
from edgenet.training.state import STATE_FILE, Plan, load_state
from edgenet.training.student import QatPlan
from edgenet.workflows.training_result import (
    Training,
    finish_int8,
    first_lines,
    int8_path,
    summary,
    training_warnings,
    write_reports,
)
from edgenet.zoo.readers import load_network


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        recipe: the training recipe; None for the default (see `first_recipe`).
        pretrained: weights to start from: "imagenet", or a file of weights of the same architecture and
            width.
        teacher: a network with the same classes to learn from by distillation.
        distillation: how to learn from the teacher.
        hold_out: share of every class to hold out for validation, if the data has no validation folder.
        device: "auto", "cpu", "cuda" or "cuda:N".
        memory: memory for keeping photos, bytes; None for half of the free memory.
        qat: for quantization-aware training of `pretrained`, which is also the teacher unless `teacher` is
            given.
    """

    recipe: Recipe | None = None
    pretrained: str | None = None
    teacher: str | None = None
    distillation: Distillation = Distillation()  # noqa: RUF009 (frozen)
    hold_out: float = 0.1
    device: str = "auto"
    memory: int | None = None
    qat: QatPlan | None = None


def train(
    variant: str | None,
    data: Path,
    out: Path,
    options: TrainingOptions = TrainingOptions(),
    progress: Progress = silent,
    say: Say = lambda line: None,
) -> Training | None:
    """Train a network on class folders of photos, from scratch or from other weights.

    The result is the averaged weights after the last epoch, not the epoch that was best on the validation
    photos: choosing by those photos would make their accuracy look better than it is. The same seed, photos
    and machine give the same bytes.

    Args:
        variant: the variant's name, such as mobilenet_v2_0.35_96; None, only with `options.qat`, for the
            variant of `options.pretrained`.
        data: a folder or zip of class folders, with or without train and val (or test) folders around them.
        out: the folder for the checkpoint, the log, the figures and the state; made if missing.
        say: called with a line after each epoch.

    Returns:
        The result of the training; None in every process started by `torchrun` except the first.

    Raises:
        EdgenetError: photos, weights or options are not usable, memory runs out, or `out` already holds a
            training.
        TrainingStopped: SIGINT or SIGTERM came; `resume_training` continues.
    """
    plan = training_plan(variant, data, options)
    device = local_device(plan.device)
    _prepare_folder(out)
    with join_processes(device) as share:
        job = begin(plan, out, share, device, _only_first(progress))
        return _run(job, progress, say)


def resume_training(
    run: Path, data: Path | None = None, progress: Progress = silent, say: Say = lambda line: None
) -> Training | None:
    """Continue a training that was stopped or killed; the result has the same bytes as without the stop.

    Args:
        run: the folder that `train` wrote into.
        data: the new place of the same photos, if they were moved.

    Raises:
        EdgenetError: there is no training to continue, or the photos are different from before; see also
            `train`.
        TrainingStopped: see `train`.
    """
    state = load_state(run)
    if data is not None:
        state = replace(state, plan=replace(state.plan, data=str(data)))
    device = local_device(state.plan.device)
    with join_processes(device) as share:
        job = resume(state, run, share, device, _only_first(progress))
        return _run(job, progress, say)


def _run(job: Job, progress: Progress, say: Say) -> Training | None:
    first = job.setting.share.process == 0
    progress, say = (progress, say) if first else (silent, lambda line: None)
    warnings = training_warnings(job)
    for line in (*first_lines(job), *(f"warning: {warning}" for warning in warnings)):
        say(line)
    began = time.perf_counter()
    with stop_on_signals() as request:
        position = run_epochs(job, request, progress, say)
    if not first:
        return None
    save_network(job)  # also when a training is resumed after its last epoch
    found = validate_job(job, progress)
    training = summary(job, position.rows, found, warnings)
    if job.plan.qat is not None:
        training = replace(training, out=str(int8_path(job)), int8=finish_int8(job, progress))
    write_reports(job, training, found)
    return replace(training, seconds=time.perf_counter() - began)


def _prepare_folder(out: Path) -> None:
    if (out / STATE_FILE).exists():
        raise EdgenetError(
            f"{out} already holds a training", f"continue it with --resume {out}, or give another --out"
        )
    make_folder(out)


def _only_first(progress: Progress) -> Progress:
    return progress if is_first() else silent


# ==== edgenet.verbs.training_settings
# The options of the verb `train`, the default training recipes, and the plan that they make.

FINE_TUNING = Recipe(
    epochs=10,
    batch=32,
    learning_rate=0.005,
    weight_decay=4e-5,
    warmup_epochs=0.5,
    freeze_epochs=1,
    augmentation=Augmentation(crop_scale=0.5),
)
"""The default recipe for fine-tuning a pretrained network; from scratch, the default is `Recipe()`."""
QUANTIZATION_AWARE = Recipe(
    epochs=4,
    batch=32,
    learning_rate=0.02,
    weight_decay=0.0,
    warmup_epochs=0.1,
    ema_decay=0.99,
    precision="float32",
    augmentation=Augmentation(crop_scale=0.5),
)
"""The default recipe for quantization-aware training; its learning rate is in int8 steps (see `adam`)."""


def first_recipe(options: TrainingOptions) -> Recipe:
    """Return the default recipe for these options."""
    if options.qat is not None:
        return QUANTIZATION_AWARE
    return FINE_TUNING if options.pretrained else Recipe()


def training_plan(variant: str | None, data: Path, options: TrainingOptions) -> Plan:
    """Return the plan, which contains everything that decides what the training does.

    Raises:
        EdgenetError: the options contradict each other, or with `qat` and no variant the checkpoint cannot be
            read.
    """
    recipe = options.recipe or first_recipe(options)
    if options.qat is not None:
        _check_qat(options, recipe)
    if variant is None:
        variant = load_network(options.pretrained or "").variant.name
    teacher = options.teacher or (options.pretrained if options.qat else None)
    return Plan(
        variant=variant,
        data=str(data),
        recipe=recipe,
        distillation=options.distillation,
        pretrained=options.pretrained,
        teacher=teacher,
        hold_out=options.hold_out,
        device=options.device,
        memory=options.memory,
        qat=options.qat,
    )


def _check_qat(options: TrainingOptions, recipe: Recipe) -> None:
    if options.pretrained is None:
        raise EdgenetError(
            "--qat refines an already trained network", "give its checkpoint with --pretrained"
        )
    if options.pretrained.lower().endswith((".tflite", ".edgenet")):
        raise EdgenetError(
            f"{options.pretrained} is not a checkpoint, so its weights cannot be trained",
            "give --pretrained the .safetensors that it was made from",
        )
    refused = {
        "--progressive": recipe.progressive,
        "--freeze-epochs": recipe.freeze_epochs > 0,
        "--weight-decay": recipe.weight_decay > 0,
        "--precision": recipe.precision != "float32",
    }
    for name, given in refused.items():
        if given:
            raise EdgenetError(
                f"{name} does not go with --qat, which trains int8 steps in float32", f"leave out {name}"
            )
