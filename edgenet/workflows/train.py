"""The verb `train`: trains a network on a folder of photos, to recognise the folder's classes."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edgenet.errors import EdgenetError
from edgenet.files import locked_folder, make_folder
from edgenet.progress import Log, Progress, no_log, silent
from edgenet.quantize.recipes import DEFAULT_RECIPE
from edgenet.training.job import Job, resume_job, save_network, start_job
from edgenet.training.loop import run_epochs, validate_job
from edgenet.training.machine import bfloat16_on, local_device
from edgenet.training.processes import is_first, join_processes, stop_on_signals
from edgenet.training.qat import QatPlan
from edgenet.training.recipe import Augmentation, Distillation, Recipe, check_device_name
from edgenet.training.starting import IMAGENET, load_weights
from edgenet.training.state import STATE_FILE, Plan, load_state
from edgenet.workflows.arguments import check_fields, checked
from edgenet.workflows.training_result import (
    Training,
    finish_int8,
    first_lines,
    int8_path,
    summary,
    training_warnings,
    write_reports,
)

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
AUGMENTATION = ("crop_scale", "colour", "mixup")
NUMBERS = (
    "epochs",
    "batch",
    "learning_rate",
    "weight_decay",
    "warmup_epochs",
    "label_smoothing",
    "ema_decay",
    "freeze_epochs",
    "precision",
    "seed",
)
"""The options that are numbers of the training recipe, under the same names."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train: the options that `train`, `sweep` and `select` share, named as on the command line.

    An option that is None has the default for the kind of training: from scratch, with `pretrained`, or with
    `qat`.

    >>> options = edgenet.TrainingOptions(epochs=2, batch=8, pretrained="small.safetensors")

    Attributes:
        pretrained: weights to start from: "imagenet", or a checkpoint, a Keras model or a float .tflite of the same
            architecture and width.
        architecture: for a checkpoint of torchvision or timm as `pretrained`: what the network is, instead of what its
            tensors look like: a variant, an architecture, or timm's name.
        freeze_epochs: epochs at the start that train only the last layer (0; 1 with `pretrained`; 0 with `qat`).
        teacher: checkpoint of a larger network with the same classes to learn from (distillation).
        teacher_weight: weight of the teacher in the loss, 0 to 1 (0.7); the labels have the rest.
        temperature: softmax temperature of the distillation (2).
        qat: quantization-aware training of `pretrained`, which is also the teacher unless `teacher` is given.
        recipe: quantization recipe that `qat` starts from ("balanced").
        epochs: passes over the training photos (30; 10 with `pretrained`; 4 with `qat`).
        batch: photos per step, over all processes together (128; 32 with `pretrained`).
        learning_rate: peak learning rate (0.1; 0.005 with `pretrained`; 0.02 with `qat`).
        weight_decay: weight decay of linear and not depthwise layers (1e-4; 4e-5 with `pretrained`; 0 with `qat`).
        warmup_epochs: epochs of linear learning-rate warm-up (1; 0.5 with `pretrained`; 0.1 with `qat`).
        label_smoothing: share of the target that is spread over all classes (0.1).
        ema_decay: decay of the weights' moving average, which is what is saved (0.999; 0.99 with `qat`).
        progressive: train faster: first at half the resolution, then at three quarters of it.
        balance: show every class equally often.
        precision: "auto", "float32" or "bfloat16" (auto; float32 with `qat`).
        seed: seed of all random choices (0).
        crop_scale: smallest share of a photo's area that a random crop shows (0.35; 0.5 with `pretrained`).
        no_flip: never mirror photos; for letters and signs.
        colour: strength of the colour jitter (0.2).
        mixup: mixup's alpha (0, which is none).
        hold_out: share of every class to hold out for validation, if the data has no validation folder.
        device: "auto" (a CUDA GPU, else an Apple GPU, else the CPU), "cpu", "mps", "cuda" or "cuda:N".
        memory: memory for decoded photos, GB; None for half of the available memory.

    Raises:
        EdgenetError: a value is out of range, or two options contradict each other.
        TypeError: a value has the wrong type.
    """

    pretrained: str | Path | None = None
    architecture: str | None = None
    freeze_epochs: int | None = None
    teacher: str | Path | None = None
    teacher_weight: float | None = None
    temperature: float | None = None
    qat: bool = False
    recipe: str | None = None
    epochs: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    warmup_epochs: float | None = None
    label_smoothing: float | None = None
    ema_decay: float | None = None
    progressive: bool = False
    balance: bool = False
    precision: str | None = None
    seed: int | None = None
    crop_scale: float | None = None
    no_flip: bool = False
    colour: float | None = None
    mixup: float | None = None
    hold_out: float = 0.1
    device: str = "auto"
    memory: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_device_name(self.device)
        if self.architecture is not None and str(self.pretrained or IMAGENET) == IMAGENET:
            raise EdgenetError(
                "--architecture says what the network in a checkpoint is, and none is given",
                "give the checkpoint with --pretrained, or leave out --architecture",
            )
        if self.recipe is not None and not self.qat:
            raise EdgenetError("--recipe needs --qat", "leave out one of the two")
        if not (self.teacher or self.qat) and (
            self.teacher_weight is not None or self.temperature is not None
        ):
            raise EdgenetError(
                "--teacher-weight and --temperature need --teacher", "give a teacher, or leave them out"
            )
        if self.qat:
            _check_qat(self)
        self.training_recipe(), self.distillation()  # only to report a wrong value at once

    def training_recipe(self) -> Recipe:
        """Return the recipe: the default one for this kind of training, with the options that were given."""
        base = QUANTIZATION_AWARE if self.qat else FINE_TUNING if self.pretrained else Recipe()
        augmentation = replace(base.augmentation, flip=not self.no_flip, **self._given(AUGMENTATION))
        return replace(
            base,
            progressive=self.progressive,
            balance=self.balance,
            augmentation=augmentation,
            **self._given(NUMBERS),
        )

    def distillation(self) -> Distillation:
        """Return how to learn from the teacher."""
        names = {"teacher_weight": "weight", "temperature": "temperature"}
        return Distillation(**{names[name]: value for name, value in self._given(tuple(names)).items()})

    def _given(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def _check_qat(options: TrainingOptions) -> None:
    if options.pretrained is None:
        raise EdgenetError(
            "--qat refines an already trained network", "give its checkpoint with --pretrained"
        )
    if str(options.pretrained).lower().endswith((".tflite", ".edgenet")):
        raise EdgenetError(
            f"{options.pretrained} is not a checkpoint, so its weights cannot be trained",
            "give --pretrained the .safetensors that it was made from",
        )
    refused = {
        "--progressive": options.progressive,
        "--freeze-epochs": bool(options.freeze_epochs),
        "--weight-decay": bool(options.weight_decay),
        "--precision": options.precision not in (None, "float32"),
    }
    for name, given in refused.items():
        if given:
            raise EdgenetError(
                f"{name} does not go with --qat, which trains int8 steps in float32", f"leave out {name}"
            )


@checked
def train(
    variant: str | None,
    data: str | Path,
    out: str | Path,
    *,
    options: TrainingOptions = TrainingOptions(),
    progress: Progress = silent,
    log: Log = no_log,
) -> Training | None:
    """Train a network on class folders of photos, from scratch or from other weights.

    The result is the averaged weights after the last epoch, not the epoch that was best on the validation
    photos: choosing by those photos would make their accuracy look better than it is. The same seed, photos
    and machine give the same bytes.

    >>> options = edgenet.TrainingOptions(epochs=1, batch=8)
    >>> edgenet.train("mobilenet_v1_0.25_32", "labelled", "new", options=options).out
    'new/mobilenet_v1_0.25_32.safetensors'

    Args:
        variant: the variant's name, such as mobilenet_v2_0.35_96; None, only with `qat`, for the variant of
            `pretrained`.
        data: a folder or zip of class folders, with or without train and val (or test) folders around them.
        out: the folder for the checkpoint, the log, the figures and the state; made if missing.
        options: how to train.
        progress: called with each stage's name, the amount done, and the total.
        log: called with a line after each epoch; `print` shows them.

    Returns:
        The result of the training; None in every process started by `torchrun` except the first.

    Raises:
        EdgenetError: photos, weights or options are not usable, memory runs out, or `out` already holds a
            training.
        TrainingStopped: SIGINT or SIGTERM came; `resume_training` continues.
        TypeError: an argument has the wrong type.
    """
    folder = Path(out)
    plan = training_plan(variant, Path(data), options)
    device = _device(plan)
    make_folder(folder)
    with _only_one(folder, log), join_processes(device) as share:
        _check_unused(folder)
        job = start_job(plan, folder, share, device, _only_first(progress))
        return _run(job, progress, log)


@checked
def resume_training(
    run: str | Path, *, data: str | Path | None = None, progress: Progress = silent, log: Log = no_log
) -> Training | None:
    """Continue a training that was stopped or killed; the result has the same bytes as without the stop.

    >>> edgenet.resume_training("run").variant  # after its last epoch, it only validates again
    'mobilenet_v1_0.25_32'

    Args:
        run: the folder that `train` wrote into.
        data: the new place of the same photos, if they were moved.
        progress, log: see `train`.

    Raises:
        EdgenetError: there is no training to continue, or the photos are different from before; see also
            `train`.
        TrainingStopped: see `train`.
        TypeError: an argument has the wrong type.
    """
    folder = Path(run)
    state = load_state(folder)
    if data is not None:
        state = replace(state, plan=replace(state.plan, data=str(data)))
    device = _device_again(state.plan)
    with _only_one(folder, log), join_processes(device) as share:
        job = resume_job(state, folder, share, device, _only_first(progress))
        return _run(job, progress, log)


def training_plan(variant: str | None, data: Path, options: TrainingOptions) -> Plan:
    """Return the plan, which contains everything that decides what the training does.

    Raises:
        EdgenetError: there is no variant, or the checkpoint that names it cannot be read.
    """
    pretrained, teacher = (None if w is None else str(w) for w in (options.pretrained, options.teacher))
    if variant is None and not options.qat:
        raise EdgenetError("there is no variant to train", "give its name, such as mobilenet_v2_0.35_96")
    return Plan(
        variant=variant or load_weights(pretrained or "", None, options.architecture).variant.name,
        data=str(data),
        recipe=options.training_recipe(),
        distillation=options.distillation(),
        pretrained=pretrained,
        architecture=options.architecture,
        teacher=teacher or (pretrained if options.qat else None),
        hold_out=options.hold_out,
        device=options.device,
        memory=None if options.memory is None else round(options.memory * 1e9),
        qat=QatPlan(options.recipe or DEFAULT_RECIPE) if options.qat else None,
    )


def _device(plan: Plan) -> torch.device:
    """Return the device of this process; check now that it is there and can compute in the plan's precision."""
    device = local_device(plan.device)
    bfloat16_on(device, plan.recipe.precision)
    return device


def _device_again(plan: Plan) -> torch.device:
    """Return the device of a training that is continued, whose options can no longer be changed."""
    try:
        return _device(plan)
    except EdgenetError as error:
        raise EdgenetError(
            error.found, "continue on a machine like the first, or train anew with another --out"
        ) from None


def _run(job: Job, progress: Progress, log: Log) -> Training | None:
    first = job.settings.share.process == 0
    progress, log = (progress, log) if first else (silent, no_log)
    warnings = training_warnings(job) if first else ()
    for line in (*first_lines(job), *(f"warning: {warning}" for warning in warnings)):
        log(line)
    began = time.perf_counter()
    with stop_on_signals() as request:
        position = run_epochs(job, request, progress, log)
    if not first:
        return None
    save_network(job)  # also when a training is resumed after its last epoch
    validation = validate_job(job, progress)
    training = summary(job, position.rows, validation, warnings)
    if job.plan.qat is not None:
        training = replace(training, out=str(int8_path(job)), int8=finish_int8(job, progress))
    write_reports(job, training, validation)
    return replace(training, seconds=time.perf_counter() - began)


def _only_one(out: Path, log: Log) -> AbstractContextManager[None]:
    """Lock the folder against a second training; of several processes of one training only the first locks it."""
    return locked_folder(out, log) if is_first() else nullcontext()


def _check_unused(out: Path) -> None:
    if (out / STATE_FILE).exists():
        raise EdgenetError(
            f"{out} already holds a training", f"continue it with --resume {out}, or give another --out"
        )


def _only_first(progress: Progress) -> Progress:
    return progress if is_first() else silent
