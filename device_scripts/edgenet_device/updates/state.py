"""What a device remembers of its updates: the one that is on trial, and those that have failed here.

HOME/updates/state.json; it is written whole, before each step that it is about, so that an update goes on after a power
failure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgenet_device.foreign_text import json_text, read_json
from edgenet_device.output_files import write_atomically

SCHEMA = "edgenet.updates.state.v1"
_MOST_BYTES = 1 << 16
_MOST_REFUSED = 20


@dataclass(frozen=True)
class Trial:
    """A release that is in use, but has not lived through its first minutes yet.

    Attributes:
        release: its ID.
        before: the release that ran before, to go back to.
        sha256: the bundle's SHA-256.
        signed_at: when the bundle was signed.
        starts: how often a run of the update has begun to watch it.
    """

    release: str
    before: str
    sha256: str
    signed_at: int
    starts: int = 0


@dataclass(frozen=True)
class UpdateState:
    """The contents of state.json.

    Attributes:
        trial: the release on trial; None if there is none.
        refused: why bundles have failed on this device, by their SHA-256.
    """

    trial: Trial | None = None
    refused: dict[str, str] = field(default_factory=dict)

    def with_refused(self, sha256: str, why: str) -> UpdateState:
        """Return the state after a bundle has failed."""
        kept = [*((one, text) for one, text in self.refused.items() if one != sha256), (sha256, why[:500])]
        return replace(self, trial=None, refused=dict(kept[-_MOST_REFUSED:]))


def read_state(path: Path) -> UpdateState:
    """Return what a state.json says; one that is missing or damaged says nothing."""
    try:
        with path.open("rb") as file:
            parts: Any = read_json(file.read(_MOST_BYTES))
        if parts["schema"] != SCHEMA:
            return UpdateState()
        trial = None if parts["trial"] is None else Trial(**parts["trial"])
        texts = [*parts["refused"], *parts["refused"].values()]
        if trial is not None:
            texts += [trial.release, trial.before, trial.sha256]
        numbers = [] if trial is None else [trial.starts, trial.signed_at]
        sound = all(isinstance(text, str) for text in texts) and all(type(one) is int for one in numbers)
        return UpdateState(trial, parts["refused"]) if sound else UpdateState()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return UpdateState()


def write_state(path: Path, state: UpdateState) -> None:
    """Write a state.json.

    Raises:
        EdgenetError: it cannot be written.
    """
    parts = {"schema": SCHEMA, "trial": state.trial and asdict(state.trial), "refused": state.refused}
    write_atomically(path, (json_text(parts) + "\n").encode())
