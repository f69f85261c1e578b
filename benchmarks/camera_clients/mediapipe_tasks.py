"""MediaPipe Tasks' ImageClassifier: mediapipe_tasks.py MODEL FRAMES.npy, or MODEL --first PICTURE

It is given RGB frames, so it need not convert colours, which the other clients do.
"""

from __future__ import annotations

import sys
import time

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from turns import run_client


def main() -> None:
    """Classify on one core, to which the benchmark pins this process."""
    options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=sys.argv[1]), max_results=5)
    classifier = vision.ImageClassifier.create_from_options(options)
    if sys.argv[2] == "--first":
        found = classifier.classify(mp.Image.create_from_file(sys.argv[3])).classifications[0].categories
        print(found[0].category_name, flush=True)
        return
    frames = np.ascontiguousarray(np.load(sys.argv[2])[..., ::-1])

    def frame_ms(number: int) -> float:
        began = time.perf_counter_ns()
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=frames[number % len(frames)])
        categories = classifier.classify(image).classifications[0].categories
        assert [category.category_name for category in categories]
        return (time.perf_counter_ns() - began) / 1e6

    run_client(frame_ms)


if __name__ == "__main__":
    main()
