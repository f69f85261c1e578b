"""A state file that is damaged, or that somebody else made, ends `train --resume` with one line that says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from edgenet.errors import EdgenetError
from edgenet.training.state import METADATA_KEY, STATE_FILE, load_state
from edgenet.workflows.train import resume_training
from tools.fuzz.training_targets import state_seeds, write_photos

Metadata = dict[str, Any]
Tensors = dict[str, torch.Tensor]
HUGE = 2**62


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A training that was stopped after its first epoch, beside its photos."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path)
    (tmp_path / STATE_FILE).write_bytes(state_seeds()["between"])
    return tmp_path


def rewrite(folder: Path, change: Callable[[Metadata, Tensors], object], text: str = "") -> None:
    """Change the metadata or the tensors of the state file; `text` replaces the metadata's JSON."""
    path = folder / STATE_FILE
    with safe_open(path, framework="pt") as file:
        metadata, names = json.loads(file.metadata()[METADATA_KEY]), list(file.keys())
        tensors = {name: file.get_tensor(name).clone() for name in names}
    change(metadata, tensors)
    path.write_bytes(safetensors.torch.save(tensors, {METADATA_KEY: text or json.dumps(metadata)}))


def put(place: str, value: object) -> Callable[[Metadata, Tensors], object]:
    """Return a change of one value of the metadata; its place is keys and indices, with dots between them."""
    *path, last = [int(part) if part.isdigit() else part for part in place.split(".")]

    def change(metadata: Metadata, _: Tensors) -> None:
        value_at: Any = metadata
        for part in path:
            value_at = value_at[part]
        value_at[last] = value

    return change


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("format", "1", "it does not say its format"),
        ("format", 1.5, "it does not say its format"),
        ("more", 1, "the state has the unknown field 'more'"),
        ("labels", "ab", "the state.labels is no list"),
        ("labels.0", 7, r"the state.labels\[0\] is 7"),
        ("labels", ["a", "b", "c"], "2 classes and 3 labels"),
        ("data_digest", None, "the state.data_digest is None"),
        ("processes", "1", "the state.processes is '1'"),
        ("processes", 0, "it has no processes"),
        ("updates", -1, "a number is out of its range"),
        ("updates", HUGE, "a number is out of its range"),
        ("options.classes", HUGE, "classes and 2 labels"),
        ("options.padding", "none", "the state.options.padding is 'none'"),
        ("options.normalization.mean", [1, 2], "has 2 values instead of 3"),
        ("options.normalization.std", [0, 0, 0], "the normalization has std"),
        ("plan", [], "the state.plan is no JSON object"),
        ("plan.data", {"a": 1}, "the state.plan.data is"),
        ("plan.device", "cuda:\x1b[2J", "is not a device to train on"),
        ("plan.memory", -5, "a number is out of its range"),
        ("plan.recipe.epochs", True, "the state.plan.recipe.epochs is True"),
        ("plan.recipe.epochs", HUGE, "the number of epochs is"),
        ("plan.recipe.precision", "float8", "the state.plan.recipe.precision is 'float8'"),
        ("plan.recipe.augmentation.flip", 1, "the state.plan.recipe.augmentation.flip is 1"),
        ("plan.qat", {"recipe": "fast", "photos": 0}, "no photos to calibrate with"),
        ("position.epoch", 2, "epoch 2 of 3 does not go with the log's epochs"),
        ("position.step", 2, "step 2 of its epoch does not go with 0 photos"),
        ("position.step", -1, "a number is out of its range"),
        ("position.sums.loss", "x" * 9000, "the state.position.sums.loss is 'xxx"),
        ("position.rows", {}, "the state.position.rows is no list"),
        ("position.rows.0", {"epoch": 1}, r"the state.position.rows\[0\] has no resolution"),
        ("position.rows.0.resolution", "96", r"rows\[0\].resolution is '96'"),
        ("position.rows.0.resolution", 0, "an epoch of its log has no photos"),
        ("position.rows.0.epoch", 5, "epoch 1 of 3 does not go with the log's epochs"),
        ("position.rows.0.val_loss", 1e300, "a number is out of its range"),
        ("position.rows.0.val_loss", float("nan"), "NaN is not a JSON number"),
        ("position.rows.0.waiting_s", None, r"rows\[0\].waiting_s is None"),
    ],
)
def test_a_value_that_is_none(run: Path, place: str, value: object, said: str) -> None:
    rewrite(run, put(place, value))
    with pytest.raises(EdgenetError, match=said) as refused:
        load_state(run)
    assert str(refused.value).endswith("start the training again")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("text", ["[]", "{", "null", '{"format": 1' + "0" * 5000 + "}", "[" * 90_000])
def test_metadata_that_are_none(run: Path, text: str) -> None:
    rewrite(run, lambda *_: None, text)
    with pytest.raises(EdgenetError, match="is damaged"):
        load_state(run)


def test_a_state_of_a_newer_version(run: Path) -> None:
    rewrite(run, put("format", 2))
    with pytest.raises(EdgenetError, match="written by a newer edgenet; update edgenet"):
        load_state(run)


NAME = "network.classifier.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop(NAME), f"1 tensor missing: {NAME}"),
        (lambda tensors: tensors.update(other=torch.zeros(1)), "1 tensor left over: other"),
        (
            lambda tensors: tensors.update({"momentum.no.such": torch.zeros(1)}),
            "left over: momentum.no.such",
        ),
        (
            lambda tensors: tensors.update({NAME: tensors[NAME][:, :1].contiguous()}),
            "1 tensor of another shape",
        ),
        (
            lambda tensors: tensors.update({NAME.replace("network", "momentum"): torch.zeros(5)}),
            "of another shape",
        ),
        (lambda tensors: tensors[NAME].view(-1)[0].fill_(torch.nan), "1 tensor not finite"),
        (lambda tensors: tensors[f"average{NAME[7:]}"].fill_(torch.inf), "1 tensor not finite"),
        (lambda tensors: tensors.update({NAME: tensors[NAME].double()}), "has the type torch.float64"),
    ],
)
def test_tensors_of_another_network(run: Path, change: Callable[[Tensors], object], said: str) -> None:
    rewrite(run, lambda _, tensors: change(tensors))
    with pytest.raises(EdgenetError, match=f"{said}.*start the training again|{said}.*diverged; use another"):
        resume_training(run)


def test_a_step_after_the_end_of_its_epoch(run: Path) -> None:
    def far(metadata: Metadata, _: Tensors) -> None:
        metadata["position"].update(step=1000, sums={"photos": 5, "computing_s": 1.0})

    rewrite(run, far)
    with pytest.raises(EdgenetError, match=r"step 1000 of an epoch of \d steps; start the training again"):
        resume_training(run)
