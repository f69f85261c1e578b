"""The state of a training in one file, from which it resumes as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.training.log import EpochRow
from edgenet.training.plan import Plan, plan_from_json, plan_to_json
from edgenet.zoo.checkpoint import options_from
from edgenet.zoo.classifier import NetworkOptions

STATE_FILE = "state.safetensors"
FORMAT_VERSION = 1
# All metadata is one JSON text under one key, because safetensors writes several keys in no fixed order.
METADATA_KEY = "edgenet.training"


@dataclass(frozen=True)
class Sums:
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
    sums: Sums = Sums()
    rows: tuple[EpochRow, ...] = ()


@dataclass(frozen=True)
class TrainingState:
    """Everything that a training needs to resume.

    Attributes:
        plan: what the user asked for.
        position: how far the training has come.
        data_digest: the digest of the training photos (see `plan.data_digest`).
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


def save_state(folder: Path, state: TrainingState) -> None:
    """Write the state file; an earlier one is replaced only when the new one is complete.

    Raises:
        EdgenetError: the file cannot be written.
    """
    metadata = {
        "format": FORMAT_VERSION,
        "plan": plan_to_json(state.plan),
        "position": asdict(state.position),
        "options": asdict(state.options),
        **{name: getattr(state, name) for name in _PLAIN},
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.tensors.items()}
    text = json.dumps(metadata, sort_keys=True)
    write_atomically(folder / STATE_FILE, safetensors.torch.save(tensors, {METADATA_KEY: text}))


_PLAIN = ("data_digest", "labels", "source", "licence", "processes", "updates")


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
            metadata = json.loads((file.metadata() or {})[METADATA_KEY])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if metadata["format"] > FORMAT_VERSION:
            raise EdgenetError(f"{path} was written by a newer edgenet", "update edgenet")
        return _state(metadata, tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise EdgenetError(
            f"{path} is damaged ({type(error).__name__}: {error})", "start the training again"
        ) from error


def _state(metadata: dict[str, Any], tensors: dict[str, Tensor]) -> TrainingState:
    position = metadata["position"]
    return TrainingState(
        plan=plan_from_json(metadata["plan"]),
        position=Position(
            epoch=position["epoch"],
            step=position["step"],
            sums=Sums(**position["sums"]),
            rows=tuple(EpochRow(**row) for row in position["rows"]),
        ),
        labels=tuple(metadata["labels"]),
        options=options_from(metadata["options"]),
        tensors=tensors,
        **{name: metadata[name] for name in _PLAIN if name != "labels"},
    )


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
