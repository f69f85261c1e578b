"""The function `load`: opens a finished model, to classify photos in Python."""

from __future__ import annotations

from pathlib import Path

from edgenet_device.classifier import Classifier

from edgenet.workflows.arguments import checked


@checked
def load(model: str | Path, *, threads: int | None = None) -> Classifier:
    """Open a bundle or a .tflite file, int8 or float, as a function from a photo to scores.

    >>> model = edgenet.load("small.edgenet")
    >>> scores = model("photos/cat.jpg")  # float32 [classes], in the order of model.labels
    >>> label, score = model.top(array, 3)[0]  # the best label of a uint8 RGB array [height, width, 3]

    The returned `Classifier` is the one that runs on devices: a photo is preprocessed there, in training and in
    calibration by the same rule.

    Args:
        model: a file from `convert` or `package`.
        threads: threads of LiteRT; None for the number of usable CPUs, at most 4.

    Raises:
        EdgenetError: the file is missing or damaged, or has other inputs or outputs than edgenet's files.
        TypeError: an argument has the wrong type.
    """
    return Classifier(Path(model), threads)
