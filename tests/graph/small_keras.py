"""A small Keras model written by hand in the three formats, as Keras and the TensorFlow.js converter write them."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SIDE, CLASSES = 8, 3
Layer = dict[str, Any]
Weights = Mapping[str, Mapping[str, np.ndarray]]


def layer(kind: str, name: str, **config: Any) -> Layer:
    """Return a layer as a Sequential model's configuration holds it."""
    return {"class_name": kind, "config": {"name": name, **config}}


def layers(
    *, first: Sequence[Layer] = (), channels: int = 3, last: str = "softmax", outputs: int = CLASSES
) -> list[Layer]:
    """Return the layers of the model; `first` come right after the input."""
    return [
        layer("InputLayer", "input", batch_input_shape=[None, SIDE, SIDE, channels]),
        *first,
        layer(
            "Conv2D", "conv", filters=4, kernel_size=[3, 3], strides=[2, 2], padding="same", activation="relu"
        ),
        layer("BatchNormalization", "norm", axis=[3], epsilon=1e-3),
        layer("GlobalAveragePooling2D", "pool"),
        layer("Dense", "scores", units=outputs, activation=last),
    ]


RESCALING = layer("Rescaling", "rescaling", scale=1 / 127.5, offset=-1)


def sequential(given: Sequence[Layer]) -> Layer:
    """Return a Sequential model of layers."""
    return {"class_name": "Sequential", "config": {"name": "model", "layers": list(given)}}


def weights(channels: int = 3, outputs: int = CLASSES) -> Weights:
    """Return the model's weights by layer and variable."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    norm = {
        "gamma": normal(4),
        "beta": normal(4),
        "moving_mean": normal(4),
        "moving_variance": 1 + normal(4) ** 2,
    }
    return {
        "conv": {"kernel": normal(3, 3, channels, 4), "bias": normal(4)},
        "norm": norm,
        "scores": {"kernel": normal(4, outputs), "bias": normal(outputs)},
    }


def write_h5(path: Path, model: Layer, given: Weights) -> Path:
    """Write a .h5 as Keras 2 does."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        file.attrs["keras_version"] = "2.15.0"
        top = file.create_group("model_weights")
        top.attrs["layer_names"] = [name.encode() for name in given]
        for name, variables in given.items():
            group = top.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{variable}:0".encode() for variable in variables]
            for variable, array in variables.items():
                group[f"{name}/{variable}:0"] = array
    return path


def write_keras(path: Path, model: Layer, given: Weights) -> Path:
    """Write a .keras as Keras 3 does, whose weights are numbered."""
    counted = {"conv": "conv2d", "norm": "batch_normalization", "scores": "dense"} | _counted(model)
    data = io.BytesIO()
    with h5py.File(data, "w") as file:
        for name, variables in given.items():
            for number, array in enumerate(variables.values()):
                file[f"layers/{counted[name]}/vars/{number}"] = array
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", data.getvalue())
    return path


KINDS = {
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "BatchNormalization": "batch_normalization",
    "Dense": "dense",
}


def _counted(model: Layer) -> dict[str, str]:
    """Return the names that .keras gives the outermost layers with weights."""
    used: Counter[str] = Counter()
    names = {}
    for one in model["config"]["layers"]:
        if (kind := KINDS.get(one["class_name"])) is not None:
            names[one["config"]["name"]] = f"{kind}_{used[kind]}" if used[kind] else kind
            used[kind] += 1
    return names


def write_tfjs(folder: Path, model: Layer, given: Weights) -> Path:
    """Write a model.json with two shards, whose border is within a tensor."""
    flat = {
        f"{name}/{variable}": array
        for name, variables in given.items()
        for variable, array in variables.items()
    }
    data = b"".join(array.tobytes() for array in flat.values())
    shards = {"group1-shard1of2.bin": data[:100], "group1-shard2of2.bin": data[100:]}
    entries = [{"name": name, "shape": list(a.shape), "dtype": "float32"} for name, a in flat.items()]
    for name, part in shards.items():
        (folder / name).write_bytes(part)
    described = {
        "format": "layers-model",
        "modelTopology": {"keras_version": "2.15.0", "backend": "tensorflow", "model_config": model},
        "weightsManifest": [{"paths": list(shards), "weights": entries}],
    }
    (folder / "model.json").write_text(json.dumps(described))
    return folder / "model.json"
