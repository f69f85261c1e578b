"""The state of a training in one file, from which it resumes as if it had never stopped.

It holds the plan (what the user asked for), the position, the log of the finished epochs and all tensors. The file may
come from anyone, so the type of every field is checked, and nothing of another type gets into a training.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import safetensors.torch
from edgenet_device.foreign_text import one_line, read_json
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.training.photos import TrainingPhotos
from edgenet.training.qat import QatPlan
from edgenet.training.recipe import Distillation, Recipe, check_device_name
from edgenet.zoo.classifier import NetworkOptions


@dataclass(frozen=True)
class TrainingState:
    """Everything that a training needs to resume.

    Attributes:
        plan: what the user asked for.
        position: how far the training has come.
        data_digest: the digest of the training photos (see `data_digest`).
        labels: the class names.
        options: the options that the network was built with.
        source: where the initial weights came from, as checkpoints state it.
        licence: the licence of the initial weights.
        processes: the number of processes that share each batch.
        updates: the number of steps taken.
        tensors: the learner's tensors (see `learner.learner_tensors`).
    """

    plan: Plan
    position: Position
    data_digest: str
    labels: tuple[str, ...]
    options: NetworkOptions
    source: str
    licence: str
    processes: int
    updates: int
    tensors: dict[str, Tensor]


STATE_FILE = "state.safetensors"
FORMAT_VERSION = 1
# All metadata is one JSON text under one key, because safetensors writes several keys in no fixed order.
METADATA_KEY = "edgenet.training"


def save_state(folder: Path, state: TrainingState) -> None:
    """Write the state file; an earlier one is replaced only when the new one is complete.

    Raises:
        EdgenetError: the file cannot be written.
    """
    metadata = {
        "format": FORMAT_VERSION,
        **{name: asdict(getattr(state, name)) for name in ("plan", "position", "options")},
        **{name: getattr(state, name) for name in _JSON_FIELDS},
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    text = json.dumps(metadata, sort_keys=True)
    write_atomically(folder / STATE_FILE, safetensors.torch.save(tensors, {METADATA_KEY: text}))


def load_state(folder: Path) -> TrainingState:
    """Read the state file that `save_state` wrote.

    Raises:
        EdgenetError: there is no state file, it is damaged, or a newer edgenet wrote it.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        raise EdgenetError(
            f"{folder} holds no training to resume (no {STATE_FILE})",
            "give the folder that edgenet train --out wrote",
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = read_json((file.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        version = metadata.pop("format", None) if isinstance(metadata, dict) else None
        if type(version) is not int:
            raise ValueError("it does not say its format")
        if version <= FORMAT_VERSION:
            state = record_from_json(TrainingState, metadata, "the state", tensors=tensors)
            _check_state(state)
            return state
    except (SafetensorError, OSError, ValueError, EdgenetError) as error:
        found = error.found if isinstance(error, EdgenetError) else error
        raise EdgenetError(f"{path} is damaged ({found})", "start the training again") from error
    raise EdgenetError(f"{path} was written by a newer edgenet", "update edgenet")


_MOST = 1e15
"""No count, loss or time of a training comes near it; with larger ones, sums would overflow."""


def _check_state(state: TrainingState) -> None:
    """Check what the types of a state do not say.

    Raises:
        ValueError: a number is out of its range, or two contradict each other.
        EdgenetError: the device has no valid name.
    """
    plan, position, sums = state.plan, state.position, state.position.sums
    check_device_name(plan.device)
    figures = [*asdict(sums).values(), *(value for row in position.rows for value in asdict(row).values())]
    counts = [position.epoch, position.step, sums.photos, sums.correct, state.updates, plan.memory or 0]
    times = [sums.waiting_s, sums.computing_s, *(row.waiting_s for row in position.rows)]
    if max(map(abs, figures)) > _MOST or min(*counts, *times) < 0 or max(counts) > _MOST:
        raise ValueError("a number is out of its range")
    if position.epoch > plan.recipe.epochs or [row.epoch for row in position.rows] != list(
        range(1, position.epoch + 1)
    ):
        raise ValueError(f"epoch {position.epoch} of {plan.recipe.epochs} does not go with the log's epochs")
    if (position.step > 0) != (sums.photos > 0) or (sums.photos and not sums.computing_s):
        raise ValueError(f"step {position.step} of its epoch does not go with {sums.photos} photos")
    if any(min(row.resolution, row.photos, row.computing_s) <= 0 for row in position.rows):
        raise ValueError("an epoch of its log has no photos, or took no time")
    if state.processes < 1 or (plan.qat is not None and plan.qat.photos < 1):
        raise ValueError("it has no processes, or no photos to calibrate with")
    if state.options.classes != len(state.labels):
        raise ValueError(f"it has {state.options.classes} classes and {len(state.labels)} labels")


# JSON can store these fields of the state directly.
_JSON_FIELDS = ("data_digest", "labels", "source", "licence", "processes", "updates")


def check_same_data(state: TrainingState, labels: tuple[str, ...], digest: str, where: str) -> None:
    """Check that the photos and the classes are still those of the saved training.

    Args:
        state: the saved state.
        labels: the class names now.
        digest: the digest of the photos now.
        where: the path of the photos, for the error message.

    Raises:
        EdgenetError: the photos or the classes differ.
    """
    if labels != state.labels:
        new, gone = set(labels) - set(state.labels), set(state.labels) - set(labels)
        changes = [f"{name} is new" for name in sorted(new)] + [f"{name} is gone" for name in sorted(gone)]
        raise EdgenetError(
            f"the classes in {where} are not those of the training: {'; '.join(changes[:3]) or 'another order'}",
            "give the same class folders, or start a new training with another --out",
        )
    if digest != state.data_digest:
        raise EdgenetError(
            f"the photos in {where} are not those that the training started with",
            "give the same photos, or start a new training with another --out",
        )


def data_digest(photos: TrainingPhotos) -> str:
    """Return the SHA-256 over the photos' contents and class indices, in order, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for content, label in zip(photos.contents, photos.labels, strict=True):
        digest.update(content + int(label).to_bytes(4, "little"))
    return digest.hexdigest()


@dataclass(frozen=True)
class Plan:
    """Every choice that decides what a training does.

    Attributes:
        variant: the variant's name.
        data: the path of the photos, as the user gave it.
        recipe: the training recipe.
        distillation: how much the teacher counts.
        pretrained: "imagenet" or a file of weights to start from; None for random weights.
        teacher: a variant with ImageNet weights or a file of weights; None for no teacher.
        hold_out: share of every class to validate with, if the data has no validation split.
        device: "auto", "cpu", "mps", "cuda" or "cuda:N".
        memory: bytes for photos in memory; None for half of the available memory. It changes only the speed.
        qat: the settings of quantization-aware training of `pretrained`; None to train a float network.
        architecture: what the network in the checkpoint `pretrained` is; None for what its tensors look like.
    """

    variant: str
    data: str
    recipe: Recipe
    distillation: Distillation
    pretrained: str | None = None
    teacher: str | None = None
    hold_out: float = 0.1
    device: str = "auto"
    memory: int | None = None
    qat: QatPlan | None = None
    architecture: str | None = None


@dataclass(frozen=True)
class EpochSums:
    """The sums of an epoch so far.

    Attributes:
        loss: the sum of the photos' training losses.
        correct: the number of photos that were classified correctly.
        photos: the number of photos shown.
        waiting_s: seconds in which the network waited for photos.
        computing_s: seconds of forward pass, backward pass and update.
    """

    loss: float = 0.0
    correct: int = 0
    photos: int = 0
    waiting_s: float = 0.0
    computing_s: float = 0.0


@dataclass(frozen=True)
class Position:
    """How far a training has come.

    Attributes:
        epoch: the current epoch, from 0; the training is finished when it equals the recipe's number of epochs.
        step: the next step of this epoch, from 0.
        sums: the sums of this epoch so far.
        rows: the log rows of the finished epochs.
    """

    epoch: int = 0
    step: int = 0
    sums: EpochSums = EpochSums()
    rows: tuple[EpochRow, ...] = ()


@dataclass(frozen=True)
class EpochRow:
    """One epoch's figures.

    Attributes:
        epoch: the epoch, from 1.
        resolution: the side of the training pictures, pixels.
        learning_rate: the learning rate of the epoch's last step.
        train_loss: the training loss, as it was optimized, averaged over the photos.
        train_top1: top-1 accuracy on the augmented training photos, percent, with the weights of each step.
        val_loss: mean cross-entropy on the validation photos, with the averaged weights.
        val_top1: top-1 accuracy on the validation photos, percent, with the averaged weights.
        val_photos: the number of validation photos used.
        photos: the number of training photos shown.
        photos_per_s: training photos per second of waiting and computing.
        waiting_s: seconds in which the network waited for photos.
        computing_s: seconds of forward pass, backward pass and update.
        validating_s: seconds of validation.
    """

    epoch: int
    resolution: int
    learning_rate: float
    train_loss: float
    train_top1: float
    val_loss: float
    val_top1: float
    val_photos: int
    photos: int
    photos_per_s: float
    waiting_s: float
    computing_s: float
    validating_s: float


def log_csv(rows: Sequence[EpochRow]) -> bytes:
    """Return a CSV with one line per epoch (RFC 4180, except that lines end with a line feed)."""
    names = [field.name for field in fields(EpochRow)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_short(getattr(row, name)) for name in names])
    return text.getvalue().encode()


def _short(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


Record = TypeVar("Record")


def record_from_json(kind: type[Record], values: object, place: str, **given: Any) -> Record:
    """Return the dataclass `kind` with these values, the inverse of `dataclasses.asdict`.

    A field that is not among the values has its default.

    Args:
        kind: a dataclass. Its fields are numbers, texts, flags, literals, tuples and other such dataclasses, or None.
        values: parsed JSON.
        place: what the values are, for error messages.
        given: the fields that JSON does not have, by name.

    Raises:
        ValueError: a value has another type than its field, a field is missing, or there is no field of that name.
        EdgenetError: the dataclass itself refuses a value.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{place} is no JSON object")
    known = {field.name: field for field in fields(cast(Any, kind)) if field.name not in given}
    if unknown := sorted(values.keys() - known.keys()):
        raise ValueError(f"{place} has the unknown field {one_line(repr(unknown[0]), 60)}")
    for name, field in known.items():
        if name not in values and field.default is MISSING:
            raise ValueError(f"{place} has no {name}")
    hints = get_type_hints(kind)
    checked = {name: _value(hints[name], value, f"{place}.{name}") for name, value in values.items()}
    return kind(**checked, **given)


def _value(hint: Any, value: object, place: str) -> Any:
    """Return a JSON value as the annotated type has it: lists as tuples, objects as dataclasses."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return None if value is None else _value(next(p for p in parts if p is not NoneType), value, place)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{place} is no list")
        each = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        if len(each) != len(value):
            raise ValueError(f"{place} has {len(value)} values instead of {len(each)}")
        return tuple(
            _value(part, item, f"{place}[{index}]")
            for index, (part, item) in enumerate(zip(each, value, strict=True))
        )
    if is_dataclass(hint):
        return record_from_json(cast(Any, hint), value, place)
    if origin is Literal:
        fits = isinstance(value, str) and value in parts
    elif hint is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        fits = type(value) is hint  # a bool is an int, but not here
    if not fits:
        raise ValueError(f"{place} is {one_line(repr(value), 60)}")
    return value
