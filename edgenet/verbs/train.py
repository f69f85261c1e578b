"""The verb `train`: trains a network on a folder of photos, to recognise the folder's classes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.files import make_folder
from edgenet.progress import Progress, silent
from edgenet.training.interrupt import stop_on_signals
from edgenet.training.job import Job, Say, begin, save_network, take_up
from edgenet.training.loop import run_epochs, validate_job
from edgenet.training.processes import is_first, joined, local_device
from edgenet.training.state import STATE_FILE, load_state
from edgenet.verbs.train_int8 import finish_int8, int8_path
from edgenet.verbs.training_result import Training, first_lines, summary, training_warnings, write_reports
from edgenet.verbs.training_settings import TrainingOptions, training_plan


def train(
    variant: str | None,
    data: Path,
    out: Path,
    options: TrainingOptions = TrainingOptions(),  # noqa: B008 (frozen)
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
    with joined(device) as share:
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
    with joined(device) as share:
        job = take_up(state, run, share, device, _only_first(progress))
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
