"""The live loop of device_scripts/camera.py over frames in memory: ours.py MODEL FRAMES.npy"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import cv2
import numpy as np
from edgenet_device.frames.frame import Frame
from edgenet_device.frames.newest import EveryFrame
from edgenet_device.live.loop import LabelOptions, watch
from edgenet_device.model_file import open_model
from edgenet_device.runtime import Classifier, load_runtime
from turns import run_client


def main() -> None:
    """Classifies with one thread."""
    cv2.setNumThreads(1)
    frames = np.load(sys.argv[2])
    classifier = Classifier(open_model(Path(sys.argv[1])), load_runtime(), 1)
    source = (Frame("frame", frame) for frame in itertools.cycle(frames))
    seen = watch(classifier, EveryFrame(source), LabelOptions(top=5))
    run_client(lambda number: sum(next(seen).stage_ns[1:]) / 1e6)


if __name__ == "__main__":
    main()
