"""The live loop of device_scripts/camera.py over frames in memory: ours.py MODEL FRAMES.npy"""

from __future__ import annotations

import itertools
import sys

import cv2
import numpy as np
from edgenet_device import Classifier, Frame
from edgenet_device.frames.source import EveryFrame
from edgenet_device.live.loop import LabelOptions, classify_frames
from turns import run_client


def main() -> None:
    """Classify with one thread."""
    cv2.setNumThreads(1)
    frames = np.load(sys.argv[2])
    classifier = Classifier(sys.argv[1], threads=1)
    source = (Frame("frame", frame) for frame in itertools.cycle(frames))
    results = classify_frames(classifier, EveryFrame(source), LabelOptions(top=5))
    run_client(lambda number: sum(next(results).stage_ns[1:]) / 1e6)


if __name__ == "__main__":
    main()
