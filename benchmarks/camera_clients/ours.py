"""The live loop of device_scripts/camera.py over frames in memory: ours.py MODEL FRAMES.npy"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import cv2
import numpy as np
from turns import run_client

from device_scripts.frame import Frame
from device_scripts.model_file import open_model
from device_scripts.newest import EveryFrame
from device_scripts.runtime import Classifier, load_runtime
from device_scripts.watching import Watching, watch


def main() -> None:
    """Classifies with one thread."""
    cv2.setNumThreads(1)
    frames = np.load(sys.argv[2])
    classifier = Classifier(open_model(Path(sys.argv[1])), load_runtime(), 1)
    source = (Frame("frame", frame) for frame in itertools.cycle(frames))
    seen = watch(classifier, EveryFrame(source), Watching(top=5))
    run_client(lambda number: sum(next(seen).stage_ns[1:]) / 1e6)


if __name__ == "__main__":
    main()
