"""Trains, quantizes and evaluates the variants of a sweep, here or on the machines of a Ray cluster."""

from __future__ import annotations

import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.files import make_folder, write_atomically
from edgenet.progress import Log, Progress, silent
from edgenet.training.job import TrainingData, read_training_data
from edgenet.training.processes import TrainingStopped
from edgenet.training.state import STATE_FILE, Plan
from edgenet.workflows.convert import convert
from edgenet.workflows.evaluate import EvaluationOptions, evaluate_scorers
from edgenet.workflows.scoring import open_scorer
from edgenet.workflows.sources import SourceOptions
from edgenet.workflows.sweep_plan import TRAINED_FILE, SweepOptions, TrainedVariant, keep
from edgenet.workflows.sweep_start import starting_options
from edgenet.workflows.train import resume_training, train
from edgenet.workflows.training_result import Training
from edgenet.zoo.registry import Variant

MOST_CPUS = 4
"""CPUs per training: a MobileNet gains little from more, and a large machine trains several at once."""
RETRIES = 2
"""How often a variant whose machine is lost is started again on another machine."""
WAIT_S = 0.5
PORTS = {"": 6379, "ray": 10001}  # Ray's default ports, of a cluster and of its client server
CONNECTION_SECONDS = 5.0
TRAINING_FOLDER = "training"
"""The folder of a variant's training, within the variant's own folder."""
KEPT_THERE = {STATE_FILE}
"""Files that are not sent back: the training state is only for resuming, and the training is finished."""


def model_path(folder: Path, variant: Variant) -> Path:
    """Return the path of a variant's int8 file."""
    return folder / f"{variant.name}.tflite"


def read_photo_split(variant: Variant, data: Path, options: SweepOptions, progress: Progress) -> TrainingData:
    """Return the training and validation photos that every variant shares, without pixels in memory.

    Raises:
        EdgenetError: see `train`.
    """
    training = options.training
    plan = Plan(
        variant.name,
        str(data),
        training.training_recipe(),
        training.distillation(),
        hold_out=training.hold_out,
        memory=0,
    )
    return read_training_data(plan, variant.resolution, progress)


def make_variant(
    variant: Variant,
    data: Path,
    folder: Path,
    options: SweepOptions,
    photos: tuple[PhotoSet, PhotoSet],
    progress: Progress,
    log: Log,
) -> TrainedVariant:
    """Train a variant, or resume its training; then quantize and evaluate it.

    Args:
        folder: folder for the variant's training and int8 file; made if missing.
        photos: the photos to calibrate with, and the photos to evaluate with.

    Raises:
        EdgenetError, TrainingStopped: see `train` and `convert`.
    """
    folder.mkdir(exist_ok=True)
    calibrating, judging = photos

    def named(stage: str, done: int, total: int | None) -> None:
        progress(f"{variant.name}: {stage}", done, total)  # so that each variant has its own progress bars

    trained = _train(variant, data, folder / TRAINING_FOLDER, options, named, log)
    model = model_path(folder, variant)
    converted = convert(trained.out, model, calibration=calibrating, recipe=options.recipe, progress=named)
    scorers = [
        open_scorer(name, SourceOptions(), EvaluationOptions().threads) for name in (trained.out, str(model))
    ]
    evaluation = evaluate_scorers(scorers, judging, EvaluationOptions(), named)
    real, int8 = evaluation.models
    return TrainedVariant(
        variant=variant.name,
        width=variant.width,
        resolution=variant.resolution,
        mult_adds=trained.mult_adds,
        parameters=trained.parameters,
        bytes=converted.bytes,
        n=evaluation.n,
        float_top1=real.top1,
        int8_top1=int8.top1,
        int8_low=int8.top1_interval.low,
        int8_high=int8.top1_interval.high,
        float_low=real.top1_interval.low,
        float_high=real.top1_interval.high,
    )


def _train(
    variant: Variant, data: Path, run: Path, options: SweepOptions, progress: Progress, log: Log
) -> Training:
    if (run / STATE_FILE).exists():
        trained = resume_training(run, data=data, progress=progress, log=log)
    else:
        training = starting_options(variant, options)
        trained = train(variant.name, data, run, options=training, progress=progress, log=log)
    if trained is None:
        raise EdgenetError("a sweep runs in one process", "start it without torchrun")
    return trained


def make_on_ray(
    address: str,
    variants: Sequence[Variant],
    data: Path,
    out: Path,
    options: SweepOptions,
    digest: str,
    log: Log,
) -> None:
    """Train, quantize and evaluate variants on a Ray cluster (the extra `ray`); write each one's files to `out`.

    Args:
        address: address as `ray.init` takes it: "auto", HOST:PORT, "ray://HOST:PORT", or "local" to start Ray
            here.
        data: path of the photos, the same on every machine of the cluster.
        digest: digest of the photos; a machine with other photos at that path raises an error.
        log: called with a line at the start and for each finished variant, and with the lines of `train`.

    Raises:
        EdgenetError: Ray is not installed or cannot be reached, or a variant cannot be made; finished
            variants are kept.
        TrainingStopped: the user pressed Ctrl-C.
    """
    if not variants:
        return
    ray = _import_ray()
    with _connected(ray, address):
        cpus, gpus = _share(ray.nodes(), options.training.device)
        from ray.util.queue import Queue

        lines = Queue(actor_options={"num_cpus": 0})
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(_make)
        place = str(data) if "://" in str(data) else str(data.resolve())
        pending = {
            task.remote(variant, place, options, digest, version("edgenet"), lines): variant
            for variant in variants
        }
        log(f"training {len(variants)} variants on Ray, each with {cpus} CPUs{' and a GPU' if gpus else ''}")
        while pending:
            done, _ = ray.wait(list(pending), timeout=WAIT_S)
            for reference in done:
                variant = pending.pop(reference)
                files = _result(ray, reference, variant)
                _log_all(lines, log)
                _take(out / variant.name, files)
                log(f"{variant.name}: done on Ray, {len(pending)} still to do")
            _log_all(lines, log)


def _log_all(lines: Any, log: Log) -> None:
    for line in lines.get_nowait_batch(lines.qsize()):
        log(line)


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError:
        raise EdgenetError(
            "--ray needs the package ray, which is not installed",
            "install it with: pip install 'edgenet[ray]' (about 260 MB), or leave out --ray",
        ) from None
    module: ModuleType = ray
    return module


def _check_reachable(address: str) -> None:
    """Open a connection as a test, because Ray itself would retry for minutes.

    Raises:
        OSError: nothing answers at the address.
        ValueError: the text is not an address.
    """
    place = urlsplit(address if "://" in address else f"//{address}")
    if address not in ("auto", "local"):
        socket.create_connection(
            (place.hostname, place.port or PORTS.get(place.scheme, 0)), CONNECTION_SECONDS
        ).close()


@contextmanager
def _connected(ray: ModuleType, address: str) -> Iterator[None]:
    try:
        _check_reachable(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise EdgenetError(
            f"cannot reach Ray at {address} ({str(error).splitlines()[0]})",
            "start one with `ray start --head` and give its HOST:PORT, or give --ray local",
        ) from None
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except KeyboardInterrupt:
        raise TrainingStopped(
            "the sweep on Ray was stopped", "run the same command again to continue"
        ) from None
    finally:
        ray.shutdown()  # closing the connection also cancels the trainings that still run
        signal.signal(signal.SIGINT, before)


def _share(nodes: Sequence[dict[str, Any]], device: str) -> tuple[int, int]:
    """Return the CPUs and GPUs per training: at most MOST_CPUS, and no more than the smallest machine has."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    cpus = [int(node.get("CPU", 0)) for node in alive]
    least = min((count for count in cpus if count), default=0)
    if not least:
        raise EdgenetError("no machine of the Ray cluster has a CPU to train on", "start it with --num-cpus")
    gpus = device not in ("cpu", "mps") and any(node.get("GPU", 0) >= 1 for node in alive)
    return min(least, MOST_CPUS), int(gpus)


def _make(
    variant: Variant, data: str, options: SweepOptions, digest: str, release: str, lines: Any
) -> tuple[dict[str, bytes], list[Any]]:
    """Make a variant on a machine of the cluster.

    Returns:
        Its files' contents by path within its folder, and a reference that is there once its last line has arrived.
    """
    if release != version("edgenet"):
        raise EdgenetError(
            f"a machine of the Ray cluster has edgenet {version('edgenet')}, this one {release}",
            "install the same version on all machines",
        )
    material = read_photo_split(variant, Path(data), options, silent)
    if material.digest != digest:
        raise EdgenetError(
            f"{data} holds other photos on a machine of the Ray cluster",
            "copy the same photos there, or put them on a disk that all machines share",
        )
    last: list[Any] = []

    def say(line: str) -> None:
        # Nothing waits for the answer: while a task waits, Ray gives its CPUs to another one.
        last[:] = [lines.actor.put_nowait.remote(f"{variant.name}: {line}")]

    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / variant.name
        photos = material.photos.photoset, material.validation
        trained = make_variant(
            variant,
            Path(data),
            folder,
            options,
            photos,
            silent,
            say,
        )
        keep(folder / TRAINED_FILE, trained)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in KEPT_THERE]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}, last


def _result(ray: ModuleType, reference: Any, variant: Variant) -> dict[str, bytes]:
    """Return a variant's files, once all its lines have arrived."""
    try:
        files: dict[str, bytes]
        files, last = ray.get(reference)
        with suppress(ray.exceptions.RayError):  # a machine that is lost now owes no more than its lines
            ray.get(last)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, EdgenetError):
            raise EdgenetError(f"{variant.name} on Ray: {error.cause.found}", error.cause.remedy) from None
        raise EdgenetError(
            f"{variant.name} on Ray: {error.cause!r}",
            "install the same edgenet and its packages on every machine, and run the same command again to continue",
        ) from None
    except ray.exceptions.RayError as error:
        raise EdgenetError(
            f"{variant.name} was lost on Ray ({str(error).splitlines()[0]})",
            "run the same command again to continue",
        ) from None
    return files


def _take(folder: Path, files: dict[str, bytes]) -> None:
    """Write a variant's files; write TRAINED_FILE last, because it marks the variant as complete."""
    for name in sorted(files, key=lambda name: name == TRAINED_FILE):
        path = folder / name
        make_folder(path.parent)
        write_atomically(path, files[name])
