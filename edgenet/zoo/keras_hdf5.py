"""Reads Keras' HDF5 in a child process: a damaged or hostile file can end the process of the HDF5 library.

That library trusts offsets in the file. With wrong ones it can crash, also when the file is closed, and no Python code
can catch that. The child hands the arrays back as an .npz without Python objects, and what it found as JSON.
"""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from edgenet_device.foreign_text import one_line, read_json, say
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

MOST_WAIT_S = 120
"""Far longer than any file takes; a damaged one could keep the library busy for ever."""
MOST_CPU_S, BYTES_PER_S = 10, 20_000_000
"""How long the child may compute: far longer than a sound file of its size needs."""
_ENDLESS = "the HDF5 library does not come to an end with it"
_CHILD = "import sys; sys.path[:] = sys.argv[3:]; from edgenet.zoo.keras_hdf5 import answer; answer(*sys.argv[1:3])"


class Hdf5Error(ValueError):
    """The bytes are no complete HDF5 file, or one that must not be read; the message is one line."""


def read_hdf5(data: bytes, layout: str, most: int) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Return what a Keras file says about itself, and its arrays by name.

    Args:
        data: the file.
        layout: "whole" for a .h5 with a model: each name begins with that of the outermost layer; "weights" for the
            model.weights.h5 of a .keras, with names such as "layers/conv2d/vars/0"; or "layers" for a .h5 with or
            without a model, of which only the weights of each layer are wanted, in the file's order.
        most: bytes that the arrays may have together.

    Returns:
        "model_config", "keras_version" and "has_weights" of a whole model, nothing for the other layouts; and the
        arrays.

    Raises:
        Hdf5Error: it cannot be read.
    """
    done = _run_child(data, layout, most)
    if done.returncode == -getattr(signal, "SIGXCPU", 0) < 0:
        raise Hdf5Error(_ENDLESS)
    if done.returncode < 0:
        raise Hdf5Error("the HDF5 library crashes on it")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise Hdf5Error(one_line(said[-1]) if said else "it cannot be read")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as arrays:
        facts = read_json(arrays["facts"].tobytes())
        names = facts.pop("names")
        return facts, {name: arrays[f"array{number}"] for number, name in enumerate(names)}


def _run_child(data: bytes, layout: str, most: int) -> subprocess.CompletedProcess[bytes]:
    # The child must not find modules in the current folder, so it gets this process's own path.
    command = [sys.executable, "-c", _CHILD, layout, str(most), *filter(None, sys.path)]
    try:
        return subprocess.run(command, input=data, capture_output=True, timeout=MOST_WAIT_S)
    except subprocess.TimeoutExpired:
        raise Hdf5Error(_ENDLESS) from None


def answer(layout: str, most: str) -> None:
    """Read HDF5 from stdin and write an .npz to stdout, in the child process; an error is one line on stderr."""
    import h5py

    data = io.BytesIO(sys.stdin.buffer.read())
    _limit_computing(MOST_CPU_S + len(data.getbuffer()) // BYTES_PER_S)
    try:
        with h5py.File(data, "r") as file:
            facts, found = LAYOUTS[layout](file)
            arrays = _arrays(found, int(most))
    # What h5py raises for a damaged file depends on which byte changed.
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError) as error:
        say(one_line(str(error)) or type(error).__name__, sys.stderr)
        raise SystemExit(1) from None
    text = json.dumps({**facts, "names": list(arrays)}).encode()
    packed: dict[str, Any] = {f"array{number}": array for number, array in enumerate(arrays.values())}
    np.savez(sys.stdout.buffer, **packed, facts=np.frombuffer(text, np.uint8))


def _limit_computing(seconds: int) -> None:
    """Let the system end this process when it has computed for so long."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = seconds if hard == resource.RLIM_INFINITY else min(seconds, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _whole(file: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the facts and the datasets of a .h5 with a whole model."""
    facts: dict[str, Any] = {
        name: _text(file.attrs[name]) for name in ("model_config", "keras_version") if name in file.attrs
    }
    facts["has_weights"] = "layer_names" in file.attrs or "model_weights" in file
    if "model_config" not in facts:
        return facts, {}
    return facts, _of_layers(_member(file, "model_weights"))


def _layers(file: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return no facts, and the datasets of a .h5 with or without a model."""
    top = _member(file, "model_weights") if "model_weights" in file else file
    if "layer_names" not in top.attrs and "layer_names0" not in top.attrs:
        raise ValueError("it is not one of Keras' weights")
    return {}, _of_layers(top)


def _of_layers(top: Any) -> dict[str, Any]:
    """Return the datasets of a group with Keras' layers, in the order of the layers."""
    groups = [(name, _member(top, name)) for name in _names(top, "layer_names")]
    return {
        f"{layer}/{name.removesuffix(':0')}": _member(group, name)
        for layer, group in groups
        for name in _names(group, "weight_names")
    }


def _weights(file: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return no facts, and the datasets of a .keras file's weights, without the optimizer's."""
    found: dict[str, Any] = {}
    for root in ("layers", "_layer_checkpoint_dependencies"):  # Keras 2.12 used the second name
        if root in file:
            found |= dict(_datasets(_member(file, root), "layers"))
    return {}, found


LAYOUTS = {"whole": _whole, "weights": _weights, "layers": _layers}


def _member(group: Any, path: str) -> Any:
    """Return a group or dataset of the file itself: HDF5 can also link to other files."""
    import h5py

    for name in path.strip("/").split("/"):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"'{name}' is missing, or a link to elsewhere")
        group = group[name]
    return group


_DEEPEST = 40
"""Nested models cost three groups each, so this is a model within a model, a dozen times."""


def _datasets(group: Any, prefix: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield every variable below a group with its path."""
    if depth > _DEEPEST:
        raise ValueError("its groups are nested too deeply")
    for name in group:
        member, path = _member(group, name), f"{prefix}/{name}"
        if hasattr(member, "keys"):
            inner = path.replace("/_layer_checkpoint_dependencies", "/layers")
            yield from _datasets(member, inner, depth + 1)
        else:
            yield path, member


def _names(group: Any, attribute: str) -> list[str]:
    """Return a list of names, which Keras spreads over several attributes if it is long."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    names: list[str] = []
    number = 0
    while f"{attribute}{number}" in group.attrs:
        names += [_text(name) for name in group.attrs[f"{attribute}{number}"]]
        number += 1
    return names


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _arrays(datasets: Mapping[str, Any], most: int) -> dict[str, FloatArray]:
    """Return the numbers of the datasets as float32, if they are the file's own and not too many."""
    for name, dataset in datasets.items():
        if not hasattr(dataset, "nbytes") or dataset.dtype.kind not in "fiu":
            raise ValueError(f"'{name}' does not hold numbers")
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"'{name}' refers to another file")
    unpacked = sum(int(dataset.nbytes) for dataset in datasets.values())
    if unpacked > most:
        raise ValueError(f"it would unpack to {unpacked:,} bytes")
    return {name: np.asarray(dataset[()], np.float32) for name, dataset in datasets.items()}
