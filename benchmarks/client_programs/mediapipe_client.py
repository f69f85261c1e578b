"""MediaPipe Tasks' ImageClassifier, on photos that already have the network's size.

    python benchmarks/client_programs/mediapipe_client.py MODEL.tflite PHOTOS.npz > scores.json

Needs the environment of requirements-mediapipe.txt. MediaPipe resizes every frame to the network's input; photos of
that size stay unchanged, so only its handling of metadata and tensors is tested.
"""

from __future__ import annotations

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from photos_to_json import Client, Scores, run_client


def start(model: bytes) -> Client:
    """Return a classifier that returns all classes, and the labels that it named while it ran."""
    options = vision.ImageClassifierOptions(BaseOptions(model_asset_buffer=model), max_results=-1)
    classifier = vision.ImageClassifier.create_from_options(options)
    names: dict[int, str] = {}

    def classify(photo: np.ndarray) -> Scores:
        frame = mp.Image(image_format=mp.ImageFormat.SRGB, data=photo)
        found = classifier.classify(frame).classifications[0].categories
        names.update({category.index: category.category_name for category in found})
        in_order = sorted(found, key=lambda category: category.index)
        return Scores(found[0].index, [float(category.score) for category in in_order])

    return Client(lambda: [names[index] for index in sorted(names)], classify)


if __name__ == "__main__":
    run_client(__doc__ or "", "mediapipe", mp.__version__, start)
