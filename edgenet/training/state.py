"""The state of a training in one file, from which it goes on as if it had not stopped."""

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
# All metadata is one JSON text under one key: safetensors writes several keys in no fixed order.
METADATA_KEY = "edgenet.training"


@dataclass(frozen=True)
class Sums:
    """What an epoch added up so far."""

    loss: float = 0.0
    correct: int = 0
    photos: int = 0
    waiting_s: float = 0.0
    computing_s: float = 0.0


@dataclass(frozen=True)
class Position:
    """Where a training is.

    Attributes:
        epoch: the epoch that goes on, from 0; all are done when it is the recipe's number.
        step: the step in it that comes next.
        sums: of the epoch so far.
        rows: of the epochs before.
    """

    epoch: int = 0
    step: int = 0
    sums: Sums = Sums()
    rows: tuple[EpochRow, ...] = ()


@dataclass(frozen=True)
class TrainingState:
    """Everything that a training needs to go on.

    Attributes:
        data_digest: of the training photos (`plan.data_digest`).
        labels: the classes.
        options: what the network is built with.
        source: where the first weights came from, as a checkpoint states it.
        licence: of them.
        processes: among which the batches are divided.
        updates: how many steps there were.
        tensors: see `learner.learner_tensors`.
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
    """Writes the state; until it is whole, the one before stays.

    Raises:
        EdgenetError: it cannot be written.
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
    """Reads what `save_state` wrote.

    Raises:
        EdgenetError: there is none, or it is damaged or of a newer edgenet.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        raise EdgenetError(
            f"{folder} holds no training to go on with (no {STATE_FILE})",
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
    """Refuses to go on with other photos or classes than before.

    Raises:
        EdgenetError: they differ.
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
            f"the photos in {where} are not those that the training began with",
            "give the same photos, or start a new training with another --out",
        )
