"""Targets that read Keras models: .h5, .keras and TensorFlow.js' model.json."""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import h5py
import numpy as np

from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.workflows.sources import SourceOptions, open_source
from edgenet.zoo import keras_hdf5
from tools.fuzz.forks import Forks
from tools.fuzz.mutations import BINARY, json_changed, members_changed, unpacked, zip_changed
from tools.fuzz.verdicts import Check
from tools.fuzz.workers import Target


@cache
def keras_seeds() -> dict[str, bytes]:
    """Return a small model in the three formats, by the file's name; of TensorFlow.js' only its model.json."""
    from small_keras import layers, sequential, weights, write_h5, write_keras, write_tfjs

    model, values = sequential(layers()), weights()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tfjs").mkdir()
        tfjs = write_tfjs(folder / "tfjs", model, values)
        return {
            "net.h5": write_h5(folder / "net.h5", model, values).read_bytes(),
            "net.keras": write_keras(folder / "net.keras", model, values).read_bytes(),
            "model.json": (tfjs if tfjs.is_file() else tfjs / "model.json").read_bytes(),
        }


def only(name: str) -> Callable[[], dict[str, bytes]]:
    """Return a function that returns one of the seeds."""
    return lambda: {name: keras_seeds()[name]}


def keras_files(name: str) -> Callable[[Path], Check]:
    """Return a setup that reads a Keras model of this name as `convert` does."""

    def setup(folder: Path) -> Check:
        from small_keras import layers, sequential, weights, write_tfjs
        from survival import _is_small, _photo

        if name != "model.json":
            forks = Forks("hdf5")
            keras_hdf5._run_child = lambda data, layout, most: forks.run(data, layout, str(most))
        path = folder / name
        if name == "model.json":
            write_tfjs(folder, sequential(layers()), weights())  # for its file of weights

        def check(data: bytes) -> None:
            path.write_bytes(data)
            try:
                source = open_source(str(path), SourceOptions(normalization="-1..1"))
            except EdgenetError as error:
                if "normalization" not in str(error):
                    raise
                source = open_source(str(path), SourceOptions())
            if _is_small(source.graph):
                run(source.graph, _photo(source.graph))

        return check

    return setup


_LARGE = (2**16, 2**14)


def h5_changed(data: bytes, rng: random.Random) -> bytes:
    """Change the JSON text of the model, the lists of names, or an array within an .h5."""
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        groups: list[h5py.Group] = [file]
        arrays: list[h5py.Dataset] = []
        file.visititems(lambda _, item: (arrays if isinstance(item, h5py.Dataset) else groups).append(item))
        owner = rng.choice([*groups, *arrays])
        if owner.attrs and rng.random() < 0.8:
            key = rng.choice(sorted(owner.attrs))
            value = owner.attrs[key]
            text = value.encode() if isinstance(value, str) else value
            if isinstance(text, bytes):
                owner.attrs[key] = json_changed(text, rng).decode("utf-8", "replace").replace("\0", "")
            else:
                owner.attrs[key] = rng.choice(("", 0, np.zeros(3), b"\xff", "x" * 5000))
        elif arrays:
            one = rng.choice(arrays)
            name, shape = (
                one.name,
                rng.choice(((), (0,), (1,), one.shape[::-1], (*one.shape, 1), _LARGE)),
            )
            del file[name]
            kind = rng.choice((np.float32, np.float64, np.int8, np.bool_))
            file.create_dataset(
                name,
                shape,
                kind,
                chunks=(1 << 10, 1 << 10) if len(shape) == 2 and shape[0] > 1 << 10 else None,
            )
    return buffer.getvalue()


def keras_changed(data: bytes, rng: random.Random) -> bytes:
    """Change the JSON texts or the weights in a .keras, which is a zip."""
    members = unpacked(data)
    change = h5_changed if rng.random() < 0.4 else json_changed
    return members_changed(change)(data, rng) if members else zip_changed(data, rng)


_READS = ("edgenet.graph.keras_file", "edgenet.graph.keras_reader", "edgenet.workflows.file_sources")
_READS_HDF5 = (*_READS, "edgenet.zoo.keras_hdf5")
TARGETS = (
    Target(
        "keras-h5",
        "Keras .h5",
        _READS_HDF5,
        only("net.h5"),
        (*BINARY, *[h5_changed] * 4),
        keras_files("net.h5"),
    ),
    Target(
        "keras-zip",
        "Keras .keras",
        _READS,
        only("net.keras"),
        (*BINARY, zip_changed, *[keras_changed] * 5),
        keras_files("net.keras"),
    ),
    Target(
        "keras-js",
        "TensorFlow.js model.json",
        _READS,
        only("model.json"),
        (*BINARY, *[json_changed] * 8),
        keras_files("model.json"),
    ),
)
