"""Finds a network's state dict in a checkpoint as people have them: under any nesting, with any prefix, with any head.

Training programs put the tensors under a name of their own (`state_dict`, `model`, `ema`) beside optimizers and
settings, and wrappers put a prefix before each (`module.`, `model.`, `_orig_mod.`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from edgenet_device.foreign_text import is_number
from safetensors import SafetensorError, safe_open
from torch import Tensor

from edgenet.errors import EdgenetError, one_line
from edgenet.zoo.layouts import LIBRARIES
from edgenet.zoo.pickle_steps import Call, StoredTensor
from edgenet.zoo.torch_file import class_of, open_torch_file

OWN_MARK = "features.0.conv.weight"
"""A tensor that our own networks have, and no other library's."""
EXPORT = (
    "export it in the program that made it, and give the .onnx:"
    " network.eval(); torch.onnx.export(network, torch.zeros(1, 3, 224, 224), 'network.onnx')"
)


@dataclass(frozen=True)
class StateDict:
    """A network's tensors as a file holds them.

    Attributes:
        tensors: by name, without a prefix.
        found: where they were, for people, such as "state_dict, with the prefix model."; empty at the top.
        settings: plain data beside the tensors, such as timm's "arch".
    """

    tensors: dict[str, Tensor]
    found: str
    settings: Mapping[str, Any]


def read_state_dict(path: Path) -> StateDict:
    """Return the state dict of a network in a file of torch or safetensors; nothing of it is unpickled.

    Raises:
        EdgenetError: the file cannot be read, or holds no state dict, or a whole module.
    """
    if path.suffix.lower() == ".safetensors":
        return _without_prefix(_read_safetensors(path), (), {}, path)
    file = open_torch_file(path)
    content = file.content
    where, named = _best_of(_candidates(content))
    if not named:
        raise _nothing(path, content)
    tensors = {name: file.tensor(stored) for name, stored in named.items()}
    settings = content if isinstance(content, dict) else {}
    return _without_prefix(tensors, where, settings, path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise EdgenetError(
            f"{path} is not a complete safetensors file ({error})", "save or download it again"
        ) from error


@dataclass(frozen=True)
class _Candidate:
    where: tuple[str, ...]
    tensors: dict[str, StoredTensor]


MOVING_AVERAGES = ("ema", "average", "swa")
NOT_NETWORKS = ("optim", "sched", "scaler", "loss", "callback", "criterion")
_DEEPEST = 8


def _candidates(content: Any, where: tuple[str, ...] = ()) -> Iterator[_Candidate]:
    """Yield every dict of tensors in the content, except those of optimizers and the like."""
    if len(where) > _DEEPEST:
        return
    if isinstance(content, Call):
        if isinstance(content.state, dict) and _is_script(content):
            yield _Candidate(where, dict(_script_tensors(content)))
        content = content.items
    if not isinstance(content, dict):
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, StoredTensor)}
    if tensors:
        yield _Candidate(where, tensors)
    for name, value in content.items():
        if isinstance(name, str) and not any(part in name.lower() for part in NOT_NETWORKS):
            yield from _candidates(value, (*where, name))


def _is_script(call: Call) -> bool:
    return class_of(call).startswith("__torch__.")


def _script_tensors(call: Call, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, StoredTensor]]:
    """Yield the tensors of a TorchScript module, whose attributes are its tensors and its parts."""
    if depth > 4 * _DEEPEST or not isinstance(call.state, dict):
        return
    for name, value in call.state.items():
        if isinstance(value, StoredTensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Call):
            yield from _script_tensors(value, f"{prefix}{name}.", depth + 1)


def _best_of(candidates: Iterator[_Candidate]) -> tuple[tuple[str, ...], dict[str, StoredTensor]]:
    """Return the largest dict of tensors; of two that are equally large, the moving average of the other."""

    def rank(candidate: _Candidate) -> tuple[int, bool]:
        is_average = any(part in name.lower() for name in candidate.where for part in MOVING_AVERAGES)
        # A moving average may lack the counters of batch normalization.
        counted = sum(not name.endswith("num_batches_tracked") for name in candidate.tensors)
        return counted, is_average

    best = max(candidates, key=rank, default=None)
    return (best.where, best.tensors) if best else ((), {})


def _nothing(path: Path, content: Any) -> EdgenetError:
    whole = next((call for call in _calls(content)), None)
    if whole is None:
        return EdgenetError(f"{path} holds {_described(content)}, not named tensors", EXPORT)
    return EdgenetError(
        f"{path} holds a whole object of the class {class_of(whole)}, which only its own Python code can read",
        EXPORT,
    )


def _calls(content: Any) -> Iterator[Call]:
    values = content.values() if isinstance(content, dict) else [content]
    return (value for value in values if isinstance(value, Call))


def _described(content: Any) -> str:
    if isinstance(content, dict):
        names = ", ".join(one_line(str(name), 40) for name in list(content)[:3])
        return f"a dict with {names or 'nothing'}"
    return f"a {type(content).__name__}"


def _without_prefix(
    tensors: Mapping[str, Tensor], where: tuple[str, ...], settings: Mapping[str, Any], path: Path
) -> StateDict:
    """Return the tensors of the network that is known by one of its names, without what stands before that name."""
    marks = (OWN_MARK, *(mark for library in LIBRARIES for mark in library.marks))
    prefixes = {
        name.removesuffix(mark)
        for name in tensors
        for mark in marks
        if name == mark or name.endswith(f".{mark}")
    }
    prefix = _one_prefix(prefixes, path)
    inside = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    outside = {name: t for name, t in tensors.items() if not name.startswith(prefix)}
    if not prefixes:
        inside = dict(tensors)
    inside |= _head_outside(inside, outside, path)
    place = ".".join(one_line(name, 40) for name in where)
    found = ", ".join(filter(None, (place, f"with the prefix {one_line(prefix, 80)}" if prefix else "")))
    return StateDict(inside, found, settings)


def _one_prefix(prefixes: set[str], path: Path) -> str:
    """Return the only prefix; of a network and its teacher or moving average, that of the network."""
    copies = ("teacher", *MOVING_AVERAGES)
    own = {prefix for prefix in prefixes if not any(part in prefix.lower() for part in copies)} or prefixes
    if len(own) > 1:
        names = ", ".join(one_line(prefix, 60) or "(none)" for prefix in sorted(own)[:3])
        raise EdgenetError(f"{path} holds several networks, with the prefixes {names}", EXPORT)
    return next(iter(own), "")


HEADS = ("classifier", "fc", "head", "linear", "last_linear", "output", "_fc")


def _head_outside(
    inside: Mapping[str, Tensor], outside: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Return the last layer if it stands beside the network, as after `self.backbone = ...; self.head = ...`.

    Small tensors beside a network belong to its loss or metrics; a matrix would be a layer that is not known.
    """
    layers = {name.rpartition(".")[0] for name, t in outside.items() if t.ndim >= 2 and t.is_floating_point()}
    copies = {name for name in layers if any(part in name.lower() for part in ("teacher", *MOVING_AVERAGES))}
    layers -= copies
    if not layers:
        return {}
    has_own = any(name.startswith(("classifier.", "_fc.")) for name in inside)
    if has_own or len(layers) > 1:
        raise EdgenetError(
            f"{path} holds layers beside the network: {some_names(layers)}; the file does not say what they do",
            EXPORT,
        )
    (head,) = layers
    given = {kind: outside.get(f"{head}.{kind}") for kind in ("weight", "bias")}
    return {f"classifier.{kind}": tensor for kind, tensor in given.items() if tensor is not None}


def with_usual_head(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the tensors with the head's layers under the names that its library gives them.

    People replace `classifier` by a Linear, or by a Sequential with a Dropout and a Linear; MobileNetV3 of torchvision
    has two layers there.

    Raises:
        EdgenetError: there is no head, or a larger one: the file does not say what lies between its layers.
    """
    heads = sorted(
        {
            name.rpartition(".")[0]
            for name, t in tensors.items()
            if name.endswith(".weight") and _is_head(name, t)
        },
        key=_numbers,
    )
    if not heads:
        raise without_head(path)
    usual = _usual_heads(tensors)
    if len(heads) != len(usual):
        count = len(heads)
        raise EdgenetError(
            f"{path} has a head of {count} layers ({some_names(heads)}) where {len(usual)} are usual; the file does not"
            " say what lies between them",
            EXPORT,
        )
    names = dict(zip(heads, usual, strict=True))
    renamed = {}
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"{names.get(layer, layer)}.{kind}"] = tensor
    for layer in usual:  # a last layer without a bias
        renamed.setdefault(f"{layer}.bias", torch.zeros(len(renamed[f"{layer}.weight"])))
    return _with_two_classes(renamed, usual[-1])


def without_head(path: Path) -> EdgenetError:
    """Return the error for a network without its last layer."""
    return EdgenetError(
        f"{path} has no head: it holds the network's features, but no last layer that names classes",
        "give the checkpoint of the whole classifier",
    )


def _usual_heads(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return what the library whose tensors these are calls the layers of its head."""
    if any(".block.0.0." in name for name in tensors):
        return ["classifier.0", "classifier.3"]
    if "features.1.conv.0.0.weight" in tensors:
        return ["classifier.1"]
    return ["_fc" if "_conv_stem.weight" in tensors else "classifier"]


def _is_head(name: str, tensor: Tensor) -> bool:
    """Return whether this is a matrix, or a 1x1 convolution, whose name begins as heads do."""
    first = name.split(".")[0]
    return first in HEADS and (tensor.ndim == 2 or (tensor.ndim == 4 and math.prod(tensor.shape[2:]) == 1))


def _numbers(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if is_number(part) else (-1, part) for part in name.split(".")]


def _with_two_classes(tensors: dict[str, Tensor], last: str) -> dict[str, Tensor]:
    """Give the last layer of a binary classifier, one logit x, two logits [0, x], whose softmax means the same."""
    layer = {kind: tensors[f"{last}.{kind}"] for kind in ("weight", "bias")}
    if len(layer["bias"]) != 1:
        return tensors
    return tensors | {f"{last}.{kind}": torch.cat([torch.zeros_like(t), t]) for kind, t in layer.items()}


def some_names(names: set[str] | list[str]) -> str:
    """Return the first three names, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - 3} more" if len(ordered) > 3 else ""
    return ", ".join(one_line(name, 80) for name in ordered[:3]) + more
