"""Write the names of the weights and the logits of Keras' own applications, with values from `filling.py`, as JSON.

    .envs/keras_tflite/bin/python benchmarks/peers/pretrained/keras_networks.py OUT.json CLASSES SIDE NETWORK...

NETWORK is `keras:APPLICATION:ALPHA` or `keras:APPLICATION:ALPHA:minimalistic`, such as `keras:MobileNetV2:0.35`. Each
network is saved as .h5, and its weights are loaded again from the filled file, so that the names and their order are
those of the file. The JSON is like that of `torch_networks.py`; each name is that of the layer and of the weight, with
a space between. `tflite` is the path of the float .tflite that TensorFlow makes of the network, beside OUT.json.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import h5py
import keras
import numpy as np
import tensorflow as tf
from filling import filled, picture


def network_of(name: str, classes: int, side: int) -> keras.Model:
    """Return a fresh network."""
    _, application, alpha, *more = name.split(":")
    options = {"minimalistic": bool(more), "include_preprocessing": False} if "V3" in application else {}
    return getattr(keras.applications, application)(
        input_shape=(side, side, 3),
        alpha=float(alpha),
        weights=None,
        classes=classes,
        classifier_activation=None,
        **options,
    )


def fill(path: Path) -> list[tuple[str, list[int]]]:
    """Fill the weights in a .h5, and return their names and shapes in the file's order."""
    tensors = []
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        for layer in group.attrs["layer_names"]:
            for weight in group[layer].attrs["weight_names"]:
                data = group[layer][weight]
                name = f"{layer} {weight}"
                data[...] = filled(name, data.shape)
                tensors.append((name, list(data.shape)))
    return tensors


def main() -> None:
    """Compute and write."""
    out, classes, side, *names = sys.argv[1:]
    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.h5"
            network = network_of(name, int(classes), int(side))
            network.save(path)
            tensors = fill(path)
            network.load_weights(path)
        pixels = np.transpose(picture(int(side)), (0, 2, 3, 1))
        logits = np.asarray(network(pixels, training=False)).reshape(-1)
        tflite = Path(out).with_name(f"{name.replace(':', '-')}.tflite")
        tflite.write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())
        row = {"network": name, "side": int(side), "tensors": tensors, "logits": logits.tolist()}
        rows.append({**row, "tflite": str(tflite)})
        print(name, flush=True)
    Path(out).write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
