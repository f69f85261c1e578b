"""The verb `train`: a folder of photos to a network that knows its classes."""

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
    """Trains a network on class folders of photos, from scratch or from other weights.

    The network is the last epoch's averaged weights, not the epoch that was best on the validation photos: choosing by
    them would make their accuracy flatter. The same seed, photos and machine give the same bytes.

    Args:
        variant: its name, such as mobilenet_v2_0.35_96; None for the one of `options.pretrained`, with `options.qat`.
        data: a folder or zip of class folders, with or without train and val (or test) folders around them.
        out: the folder for the checkpoint, the log, the figures and the state; made if it is not there.
        say: told a line as each epoch is done.

    Returns:
        what was found; None in the processes beside the first that `torchrun` started.

    Raises:
        EdgenetError: photos, weights or options that do not fit; out of memory; a folder that holds a training already.
        TrainingStopped: SIGINT or SIGTERM came; `resume_training` goes on.
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
    """Goes on with a training that was stopped or killed; the result has the same bytes as without the stop.

    Args:
        run: the folder that `train` wrote into.
        data: where the same photos are now, if they were moved.

    Raises:
        EdgenetError: nothing to go on with, or other photos than before; or see `train`.
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
    save_network(job)  # also where every epoch was done before
    found = validate_job(job, progress)
    training = summary(job, position.rows, found, warnings)
    if job.plan.qat is not None:
        training = replace(training, out=str(int8_path(job)), int8=finish_int8(job, progress))
    write_reports(job, training, found)
    return replace(training, seconds=time.perf_counter() - began)


def _prepare_folder(out: Path) -> None:
    if (out / STATE_FILE).exists():
        raise EdgenetError(
            f"{out} holds a training already", f"go on with --resume {out}, or give another --out"
        )
    make_folder(out)


def _only_first(progress: Progress) -> Progress:
    return progress if is_first() else silent
