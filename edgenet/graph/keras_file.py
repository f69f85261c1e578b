"""Opens the files in which Keras keeps a whole model: .h5, .keras, and TensorFlow.js' model.json with its shards.

All three hold the same two things: the layers as JSON, and their weights by name. Nothing of a file is run: its JSON is
read as data, its weights as arrays, and whatever holds Python code (a Lambda layer) is refused by the reader.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from edgenet_device.foreign_text import read_json

from edgenet.errors import EdgenetError, one_line
from edgenet.files import MOST_UNPACKED, UNREADABLE_ZIP, check_unpacked_size, read_limited
from edgenet.graph.ir import FloatArray
from edgenet.zoo.keras_hdf5 import read_hdf5

SAVE_WHOLE = "save the whole model with model.save('model.keras') or model.save('model.h5')"
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class KerasFile:
    """A Keras model as its file describes it.

    Attributes:
        path: the file.
        model: the model's "class_name" and "config", as Keras serializes it.
        version: the version of Keras that wrote it, such as "2.4.0"; "tfjs-layers 4.22.0" for TensorFlow.js.
        weights: the arrays by name, in the file's order.
        naming: how the names are made. "outermost": the first part is the name of the outermost layer, as in .h5
            ("model/conv1/kernel"). "counted": layers are counted by kind, as in .keras ("layers/conv2d_1/vars/0").
            "plain": layer and variable, as in TensorFlow.js ("conv1/kernel").
    """

    path: Path
    model: Mapping[str, Any]
    version: str
    weights: Mapping[str, FloatArray]
    naming: str

    def arrays(self, place: LayerPlace, variables: Sequence[str]) -> list[FloatArray]:
        """Return the weights of one layer.

        Args:
            place: where the layer stands in the model.
            variables: the variables' names in the order in which Keras makes them; "a|b" names it in two ways.

        Raises:
            EdgenetError: the file does not hold one of them, or two that could be meant.
        """
        if self.naming == "counted":
            names = [f"{place.counted}/vars/{number}" for number in range(len(variables))]
            if missing := [name for name in names if name not in self.weights]:
                raise self._refusal(place, f"'{missing[0]}' is not in the file")
            return [self.weights[name] for name in names]
        if self.naming == "outermost" and len(place.names) == 1:
            own = [array for name, array in self.weights.items() if name.startswith(f"{place.names[0]}/")]
            if len(own) == len(variables):  # Keras itself goes by this order
                return own
        return [self.weights[self._named(place, variable)] for variable in variables]

    def _named(self, place: LayerPlace, variable: str) -> str:
        """Return the name of a variable of a nested layer: it ends in the layer's name and the variable's."""
        *parents, layer = place.names
        ends = tuple(f"/{layer}/{one}" for one in variable.split("|"))
        found = [name for name in self.weights if f"/{name}".endswith(ends)]
        if self.naming == "outermost":
            found = [name for name in found if name.startswith(f"{place.names[0]}/")]
        if len(found) > 1:  # two nested models may have a layer of one name
            shared = {name: sum(parent in name.split("/")[:-2] for parent in parents) for name in found}
            found = [name for name in found if shared[name] == max(shared.values())]
        if len(found) != 1:
            count = "two variables" if found else "no variable"
            raise self._refusal(place, f"the file has {count} named '{ends[0][1:]}'")
        return found[0]

    def _refusal(self, place: LayerPlace, why: str) -> EdgenetError:
        return EdgenetError(
            f"{self.path} does not hold the weights of the layer '{place.names[-1]}': {why}", SAVE_WHOLE
        )


@dataclass(frozen=True)
class LayerPlace:
    """Where a layer stands in a model.

    Attributes:
        names: the names of the nested models around it, from the outermost on, and its own.
        counted: the same path in the manner of .keras, such as "layers/functional/layers/conv2d_1".
    """

    names: tuple[str, ...] = ()
    counted: str = ""

    def inner(self, name: str, kind: str) -> LayerPlace:
        """Return the place of a layer of this model, by its name and its counted kind ("conv2d_1")."""
        return LayerPlace((*self.names, name), f"{self.counted}/layers/{kind}".lstrip("/"))


def open_keras(path: Path) -> KerasFile:
    """Read a Keras model's file.

    Args:
        path: a .h5 (or .hdf5), a .keras, or the model.json of TensorFlow.js, whose shards lie beside it.

    Raises:
        EdgenetError: the file is missing, damaged or too large, or holds weights without the layers.
    """
    if not path.is_file():
        raise EdgenetError(f"there is no file {path}", "check the path")
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _open_tfjs(path)
    if suffix == ".keras" and zipfile.is_zipfile(path):
        return _open_v3(path)
    return _open_h5(path)  # Keras 2 writes HDF5 also under the name .keras, if it is asked to


def _open_h5(path: Path) -> KerasFile:
    data = read_limited(path, MOST_BYTES)
    facts, weights = _hdf5(data, "whole", path)
    if "model_config" not in facts:
        what = "only weights, without the layers" if facts.get("has_weights") else "no Keras model"
        raise EdgenetError(f"{path} is an HDF5 file that holds {what}", SAVE_WHOLE)
    model = _json(facts["model_config"], path)
    return KerasFile(path, model, facts.get("keras_version", ""), weights, "outermost")


def _hdf5(data: bytes, layout: str, path: Path) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    try:
        return read_hdf5(data, layout, max(MOST_UNPACKED, 100 * len(data)))
    except ValueError as error:
        raise _damaged(path, error) from error


def _open_v3(path: Path) -> KerasFile:
    try:
        with zipfile.ZipFile(path) as archive:
            check_unpacked_size(archive, path.stat().st_size, str(path))
            model = _json(archive.read("config.json"), path)
            version = _json(archive.read("metadata.json"), path).get("keras_version", "")
            if "model.weights.h5" not in archive.namelist():
                raise EdgenetError(f"{path} does not hold model.weights.h5", SAVE_WHOLE)
            data = archive.read("model.weights.h5")
    except UNREADABLE_ZIP as error:
        raise _damaged(path, error) from error
    except KeyError:
        raise EdgenetError(
            f"{path} is a zip, but not a Keras model: it has no config.json", SAVE_WHOLE
        ) from None
    _, weights = _hdf5(data, "weights", path)
    return KerasFile(path, model, str(version), weights, "counted")


def _open_tfjs(path: Path) -> KerasFile:
    """Open the model.json of TensorFlow.js' layers format."""
    described = _json(read_limited(path), path)
    topology = described.get("modelTopology")
    if described.get("format") == "graph-model" or (isinstance(topology, dict) and "node" in topology):
        raise EdgenetError(
            f"{path} is a TensorFlow.js graph model, which holds no Keras layers",
            "give the Keras model or the SavedModel that it was made from",
        )
    if not isinstance(topology, dict) or "weightsManifest" not in described:
        raise EdgenetError(
            f"{path} is not a model.json of TensorFlow.js",
            "give the model.json that lies beside the .bin files",
        )
    model = topology.get("model_config", topology)
    version = topology.get("keras_version") or described.get("generatedBy") or ""
    try:
        weights = dict(pair for group in described["weightsManifest"] for pair in _shard_arrays(group, path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error
    return KerasFile(path, _model(model, path), one_line(str(version)), weights, "plain")


def _shard_arrays(group: Mapping[str, Any], path: Path) -> Iterator[tuple[str, FloatArray]]:
    """Yield the arrays of one group of shards, which are one run of bytes cut into files."""
    data = b"".join(_shard(path, str(name)) for name in group["paths"])
    start = 0
    for entry in group["weights"]:
        shape = tuple(int(n) for n in entry["shape"])
        packed = entry.get("quantization")
        dtype = np.dtype(_TFJS_TYPES[(packed or entry)["dtype"]])
        count = math.prod(shape)
        if min(shape, default=0) < 0 or start + count * dtype.itemsize > len(data):
            raise ValueError(f"the shards end before '{entry['name']}'")
        values = np.frombuffer(data, dtype, count, start).reshape(shape).astype(np.float32)
        start += count * dtype.itemsize
        if packed and packed["dtype"] != "float16":
            values = values * np.float32(packed["scale"]) + np.float32(packed["min"])
        yield str(entry["name"]), values


_TFJS_TYPES = {
    "float32": "<f4",
    "float16": "<f2",
    "int32": "<i4",
    "uint8": "u1",
    "uint16": "<u2",
    "bool": "u1",
}


def _shard(path: Path, name: str) -> bytes:
    if not re.fullmatch(r"[\w.\-]{1,255}", name) or name.startswith(".") or len(name.encode()) > 255:
        raise EdgenetError(f"{path} names the shard {one_line(name)!r}", "its shards have to lie beside it")
    shard = path.with_name(name)
    if not shard.is_file():
        raise EdgenetError(f"{path} needs {shard}, which is not there", "put every .bin file beside it")
    return read_limited(shard, MOST_BYTES)


def _json(text: bytes | str, path: Path) -> Mapping[str, Any]:
    try:
        return _model(read_json(text), path)
    except ValueError as error:
        raise _damaged(path, error) from error


def _model(value: Any, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise EdgenetError(f"{path} does not describe a Keras model", SAVE_WHOLE)
    return value


def _damaged(path: Path, error: Exception) -> EdgenetError:
    reason = one_line(str(error)) or type(error).__name__
    return EdgenetError(f"{path} is not a complete Keras model ({reason})", "save or download it again")
