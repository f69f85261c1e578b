"""A script as in most tutorials: PIL, a float model, LiteRT. plain.py MODEL FRAMES.npy, or MODEL --first PICTURE

Our float files normalize the pixels, so this script need not do it.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from turns import run_client


def main() -> None:
    """Classify with one thread."""
    interpreter = Interpreter(sys.argv[1], num_threads=1)
    interpreter.allocate_tensors()
    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    size = given["shape"][1]

    def best(image: Image.Image) -> list[int]:
        pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), given["dtype"])
        interpreter.set_tensor(given["index"], pixels[None])
        interpreter.invoke()
        scores = interpreter.get_tensor(wanted["index"])[0]
        return [int(index) for index in np.argsort(scores)[::-1][:5]]

    if sys.argv[2] == "--first":
        print(best(Image.open(sys.argv[3]).convert("RGB"))[0], flush=True)
        return
    frames = np.load(sys.argv[2])

    def frame_ms(number: int) -> float:
        began = time.perf_counter_ns()
        best(Image.fromarray(np.ascontiguousarray(frames[number % len(frames)][..., ::-1])))
        return (time.perf_counter_ns() - began) / 1e6

    run_client(frame_ms)


if __name__ == "__main__":
    main()
