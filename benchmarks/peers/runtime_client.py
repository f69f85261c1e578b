"""The shared part of the clients of runtimes that do not run .tflite files: their arguments and their answers.

    python -m benchmarks.peers.NAME.client FILE PHOTOS.npz NORMALIZATION [--judge OUT.npz]

With --judge the logits of all photos and the file's operators go to OUT.npz. Otherwise the client waits for requests
and times inferences of the first photo; see `benchmarks.camera_clients.turns`. Neither normalization nor softmax is
timed: photos are normalized beforehand, and the outputs are logits. Each client runs in its own environment.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.camera_clients.turns import run_client
from benchmarks.normalizations import parse
from benchmarks.peers.calibration import channels_first

Inference = Callable[[], NDArray[np.float32]]


class Runtime(NamedTuple):
    """A loaded file, with one thread.

    Attributes:
        given: takes a photo, float32 [1, 3, H, W], and returns a function that infers it and returns logits [1, N].
        operators: returns how often each operator occurs.
    """

    given: Callable[[NDArray[np.float32]], Inference]
    operators: Callable[[], Mapping[str, int]]


def serve(load: Callable[[Path], Runtime]) -> None:
    """Read the command line and answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("photos", type=Path, help="'images': uint8 [n, H, W, 3], RGB")
    parser.add_argument("normalization", type=parse)
    parser.add_argument("--judge", type=Path, metavar="OUT.npz")
    options = parser.parse_args()
    images = np.load(options.photos)["images"]
    mean, std = (np.array(values, np.float32) for values in options.normalization)
    runtime = load(options.file)

    def inference(image: NDArray[np.uint8]) -> Inference:
        return runtime.given(channels_first((image[None].astype(np.float32) - mean) / std))

    if options.judge:
        logits = np.concatenate([inference(image)() for image in images])
        np.savez(options.judge, logits=logits, operators=json.dumps(runtime.operators()))
        return
    first = inference(images[0])

    def inference_ms(_: int) -> float:
        began = time.perf_counter_ns()
        first()
        return (time.perf_counter_ns() - began) / 1e6

    run_client(inference_ms)
