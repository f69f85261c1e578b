"""Check that two machines compute the same: a program that either runs, and the rule for equality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from edgenet_device.classifier import Classifier
from edgenet_device.frames.photos import read_photo
from edgenet_device.preprocess import prepare

# scores.py MODEL PIXELS.npy SCORES.npy
SCORES = """
import sys
from pathlib import Path
import numpy as np
from edgenet_device.classifier import Classifier

classifier = Classifier(Path(sys.argv[1]), threads=1)
found = []
for pixels in np.load(sys.argv[2]):
    found.append(classifier.score_prepared(pixels))
np.save(sys.argv[3], np.array(found))
"""
LAST_BITS = 1e-4


def save_pixels(path: Path, model: Path, photos: list[Path]) -> None:
    """Save photos as the model gets them on this machine, so that only the network can differ elsewhere."""
    side = Classifier(model, threads=1).size
    np.save(path, [prepare(read_photo(photo), side) for photo in photos])


def logit_step(model: Path) -> float:
    """Return the relative change in the ratio of two scores when one int8 logit changes by one step."""
    interpreter = Interpreter(str(model))
    shape = tuple(interpreter.get_output_details()[0]["shape"])
    found = [
        tensor["quantization_parameters"]["scales"][0]
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] is np.int8 and tuple(tensor["shape"]) == shape
    ]
    return float(np.expm1(min(found)))


def steps_apart(here: np.ndarray, there: np.ndarray, step: float) -> np.ndarray:
    """Return the scores' differences in steps of the int8 logits, int [photos, classes]; `step` is a `logit_step`."""
    logs = np.log(here / there)
    logs -= np.median(logs, axis=1, keepdims=True)  # the softmax's sum is shared by all classes
    return np.rint(logs / np.log1p(step)).astype(int)


def integers_are_equal(here: np.ndarray, there: np.ndarray) -> bool:
    """Return whether the int8 logits behind these scores are the same.

    The softmax is float and differs in its last bits from one CPU to another; one step of a logit changes the ratio of
    two scores by far more than is allowed here, see `logit_step`.
    """
    return here.shape == there.shape and np.allclose(here, there, rtol=LAST_BITS, atol=1e-30)
