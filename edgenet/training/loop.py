"""The training loop: runs the epochs step by step and saves the state regularly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.progress import Log, Progress, in_stage
from edgenet.training.job import Job, save_network, snapshot
from edgenet.training.learner import forget_gradients, set_training
from edgenet.training.loader import Batch, epoch_order, load_epoch, steps_per_epoch
from edgenet.training.machine import free_unused_memory, runs_ahead
from edgenet.training.processes import StopRequest, TrainingStopped, wait_for_all
from edgenet.training.recipe import learning_rate, resolution_in
from edgenet.training.state import EpochRow, EpochSums, Position, log_csv, save_state
from edgenet.training.step import loss_of, read_results, train_step
from edgenet.training.validation import Validation, measure_statistics, validate

LOG_FILE = "log.csv"
SAVE_EVERY_S = 60.0
VALIDATED_PER_EPOCH = 2000
"""The most photos that the validation after each epoch uses. The final validation, which is reported, uses all."""


def run_epochs(job: Job, request: StopRequest, progress: Progress, log: Log) -> Position:
    """Train from the job's position to the end.

    Args:
        job: the training; its learner is changed in place.
        request: whether a signal has asked the training to stop.
        progress: called as the work advances.
        log: called with one line per epoch.

    Returns:
        the position at the end, with one log row per epoch.

    Raises:
        TrainingStopped: a signal asked the training to stop; its state is saved.
        EdgenetError: memory ran out, a photo can no longer be read, the disk is full, or the loss is NaN or infinite.
    """
    position, recipe = job.position, job.plan.recipe
    while position.epoch < recipe.epochs:
        set_training(job.learner.network, frozen=position.epoch < recipe.freeze_epochs)
        position = _run_steps(job, position, request, progress)
        row = _epoch_row(job, position, *_validate_some(job, position.epoch, progress))
        position = Position(position.epoch + 1, rows=(*position.rows, row))
        _save(job, position, whole=True)
        log(epoch_line(row, recipe.epochs, _remaining_s(job, position)))
    return position


def _run_steps(job: Job, position: Position, request: StopRequest, progress: Progress) -> Position:
    """Run the remaining steps of the position's epoch."""
    recipe, photos = job.plan.recipe, job.data.photos
    per_epoch = steps_per_epoch(len(photos), recipe.batch)
    resolution = resolution_in(recipe, position.epoch, job.variant.resolution)
    every = READ_EVERY if runs_ahead(job.settings.device) else 1
    unread, waiting_s, computing_s, saved = [], 0.0, 0.0, time.monotonic()
    with closing(_load(job, position, resolution)) as loader:
        while True:
            began = time.perf_counter()
            batch = next(loader, None)
            received = time.perf_counter()
            if batch is not None:
                rate = learning_rate(recipe, position.epoch * per_epoch + batch.step, per_epoch)
                figures = _train_step(job, batch, position.epoch, rate, request.asked)
                unread.append(UnreadStep(figures, batch.step, batch.photos))
                waiting_s += received - began
            stop, reading = False, bool(unread) and (batch is None or (batch.step + 1) % every == 0)
            if reading:
                position, stop = _read_steps(job, position, unread)
            computing_s += time.perf_counter() - received
            if reading:
                position = replace(position, sums=_add_times(position.sums, waiting_s, computing_s))
                unread, waiting_s, computing_s = [], 0.0, 0.0
                done = position.epoch * len(photos) + position.sums.photos
                progress("training", done, recipe.epochs * len(photos))
            if stop:
                _stop(job, position, per_epoch)
            if reading and time.monotonic() - saved > SAVE_EVERY_S:
                _save(job, position, whole=False)
                saved = time.monotonic()
            if batch is None:
                return position


READ_EVERY = 16
"""On a GPU, how many steps are started before their results are read: reading waits for the GPU, which then idles.

The number is the same in all processes, so that they stop after the same step.
"""


@dataclass(frozen=True)
class UnreadStep:
    """A step that was started.

    Attributes:
        figures: what `train_step` returned.
        step: the step's number in the epoch, from 0.
        photos: the number of photos in the step over all processes.
    """

    figures: Tensor
    step: int
    photos: int


def _load(job: Job, position: Position, resolution: int) -> Generator[Batch, None, None]:
    settings = job.settings
    pinned = runs_ahead(settings.device)
    return load_epoch(
        job.data.photos, job.plan.recipe, position.epoch, resolution, position.step, settings.share, pinned
    )


def _train_step(job: Job, batch: Batch, epoch: int, rate: float, stop: bool) -> Tensor:
    try:
        return train_step(job.learner, batch, job.settings, epoch, rate, stop)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Try smaller batches only after the handler: the error kept the tensors that filled the memory alive.
    raise out_of_memory(
        job.plan.recipe.batch, 2 * job.settings.share.processes, lambda photos: _fits(job, batch, photos)
    )


def _read_steps(job: Job, position: Position, unread: Sequence[UnreadStep]) -> tuple[Position, bool]:
    """Return the position after the steps, and whether a process was asked to stop.

    Raises:
        EdgenetError: a loss is NaN or infinite.
    """
    sums, stop = position.sums, False
    for step, result in zip(unread, read_results([step.figures for step in unread]), strict=True):
        if not math.isfinite(result.loss):
            raise EdgenetError(
                f"the loss is {result.loss} in epoch {position.epoch + 1}, step {step.step + 1}: the training diverged",
                f"start again with a lower --learning-rate than {job.plan.recipe.learning_rate:g}",
            )
        sums = replace(
            sums,
            loss=sums.loss + result.loss * step.photos,
            correct=sums.correct + result.correct,
            photos=sums.photos + step.photos,
        )
        stop = stop or result.stop
    return replace(position, step=unread[-1].step + 1, sums=sums), stop


def _add_times(sums: EpochSums, waiting_s: float, computing_s: float) -> EpochSums:
    return replace(sums, waiting_s=sums.waiting_s + waiting_s, computing_s=sums.computing_s + computing_s)


def _fits(job: Job, batch: Batch, photos: int) -> bool:
    """Return whether a step with so many photos fits into memory; the weights do not change."""
    mine = max(photos // job.settings.share.processes, 1)
    try:
        forget_gradients(job.learner.network)
        free_unused_memory(job.settings.device)
        loss, _ = loss_of(
            job.learner,
            replace(batch, pixels=batch.pixels[:mine], labels=batch.labels[:mine]),
            job.settings,
            0,
        )
        loss.backward()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error from torch, OpenCV or Python means that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in OUT_OF_MEMORY_TEXTS)


OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
)


def out_of_memory(batch: int, least: int, fits: Callable[[int], bool]) -> EdgenetError:
    """Return an error that names a batch size that fits; `batch` is halved until one does.

    Args:
        batch: the batch size that did not fit.
        least: the smallest useful batch size.
        fits: tries a training step with so many photos and returns whether it fits.
    """
    smaller = batch // 2
    while smaller >= least:
        if fits(smaller):
            return EdgenetError(
                f"there is not enough memory for a batch of {batch}", f"give --batch {smaller}, which fits"
            )
        smaller //= 2
    return EdgenetError(
        f"there is not enough memory for a batch of {batch}, nor for one of {least}",
        "choose a variant with a smaller width or a lower resolution",
    )


def _validate_some(job: Job, epoch: int, progress: Progress) -> tuple[Validation | None, float]:
    """Validate the averaged weights on some of the validation photos.

    Returns:
        the result (None in every process except the first), and the seconds it took.
    """
    began = time.perf_counter()
    recipe, photos = job.plan.recipe, job.data.photos
    if epoch >= recipe.freeze_epochs:  # in frozen epochs the statistics still fit the weights
        order = epoch_order(photos.labels, recipe.seed, epoch, recipe.balance)
        measure_statistics(job.learner.average, photos, order, job.variant.resolution, job.settings.share)
    validation = None
    if job.settings.share.process == 0:
        validation = validate_job(job, progress, VALIDATED_PER_EPOCH)
    wait_for_all(job.settings.share)
    return validation, time.perf_counter() - began


def validate_job(job: Job, progress: Progress, limit: int | None = None) -> Validation:
    """Validate the averaged weights on the validation photos.

    Args:
        job: the training.
        progress: called after every batch.
        limit: the number of photos to use, evenly spread; None uses all.
    """
    average = job.learner.average
    return validate(
        average,
        average.normalization,
        job.data.validation,
        job.variant.resolution,
        limit,
        in_stage(progress, "validating"),
    )


def _epoch_row(job: Job, position: Position, validation: Validation | None, validating_s: float) -> EpochRow:
    sums, recipe = position.sums, job.plan.recipe
    per_epoch = steps_per_epoch(len(job.data.photos), recipe.batch)
    return EpochRow(
        epoch=position.epoch + 1,
        resolution=resolution_in(recipe, position.epoch, job.variant.resolution),
        learning_rate=learning_rate(recipe, (position.epoch + 1) * per_epoch - 1, per_epoch),
        train_loss=sums.loss / sums.photos,
        train_top1=100 * sums.correct / sums.photos,
        val_loss=validation.loss if validation else 0.0,
        val_top1=validation.top1 if validation else 0.0,
        val_photos=len(validation.labels) if validation else 0,
        photos=sums.photos,
        photos_per_s=sums.photos / (sums.waiting_s + sums.computing_s),
        waiting_s=sums.waiting_s,
        computing_s=sums.computing_s,
        validating_s=validating_s,
    )


def _save(job: Job, position: Position, whole: bool) -> None:
    """Write the state; after a whole epoch also write the network and the log."""
    if job.settings.share.process != 0:
        return
    if whole:
        save_network(job)
        write_atomically(job.out / LOG_FILE, log_csv(position.rows))
    save_state(job.out, snapshot(job, position))


def _stop(job: Job, position: Position, per_epoch: int) -> None:
    _save(job, position, whole=False)
    raise TrainingStopped(
        f"stopped in epoch {position.epoch + 1} of {job.plan.recipe.epochs}, after step {position.step} of "
        f"{per_epoch}; everything is saved in {job.out}",
        f"continue with: edgenet train --resume {job.out}",
    )


def epoch_line(row: EpochRow, epochs: int, remaining_s: float) -> str:
    """Return one epoch's figures as a line to print."""
    return (
        f"epoch {row.epoch}/{epochs}  loss {row.train_loss:.3f}  top-1 train {row.train_top1:.1f} % val "
        f"{row.val_top1:.1f} %  {row.photos_per_s:.0f} photos/s  waiting {row.waiting_s:.1f} s computing "
        f"{row.computing_s:.1f} s  about {duration(remaining_s)} to go"
    )


def _remaining_s(job: Job, position: Position) -> float:
    """Estimate the seconds that the remaining epochs take; a photo's time grows with its number of pixels."""
    recipe, last = job.plan.recipe, position.rows[-1]
    here = (last.waiting_s + last.computing_s) / last.resolution**2
    return sum(
        here * resolution_in(recipe, epoch, job.variant.resolution) ** 2 + last.validating_s
        for epoch in range(position.epoch, recipe.epochs)
    )


def duration(seconds: float) -> str:
    """Format a duration for printing.

    >>> duration(250.4)
    '4 min 10 s'
    """
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
