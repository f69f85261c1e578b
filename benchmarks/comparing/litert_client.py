"""A client that runs LiteRT, to be timed in turns with other runtimes: FILE.tflite PHOTOS.npz NORMALIZATION

It times `invoke` with one thread on the first photo, as `benchmarks.peers.runtime_client` does.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.camera_clients.turns import run_client
from benchmarks.normalizations import parse
from benchmarks.tflite_files import open_file, put_pixels


def main() -> None:
    """Answer requests until the input ends."""
    file, photos, normalization = sys.argv[1:]
    interpreter = open_file(Path(file))
    put_pixels(interpreter, np.load(photos)["images"][:1], parse(normalization))

    def inference_ms(_: int) -> float:
        began = time.perf_counter_ns()
        interpreter.invoke()
        return (time.perf_counter_ns() - began) / 1e6

    run_client(inference_ms)


if __name__ == "__main__":
    main()
