"""Computes with LiteRT the logits of a program that ends in a softmax."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device_scripts.model_file import ModelFile
from device_scripts.runtime import load_runtime, make_interpreter
from edgenet.files import sha256
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.program import Program


def lite_logits(program: Program, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run the program without its last operator, a softmax, and return that operator's input.

    Args:
        program: must end in a SOFTMAX that reads float32.
        images: uint8 RGB [n, H, W, 3].

    Returns:
        Logits, float32 [n, N].
    """
    softmax = program.operators[-1]
    assert softmax.kind == "SOFTMAX"
    before = replace(program, operators=program.operators[:-1], output=softmax.inputs[0])
    data = write_tflite(before)
    file = ModelFile(Path(program.name), data, sha256(data), (), None)
    interpreter = make_interpreter(load_runtime(), file, 1)
    image, logits = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(logits["index"])[0])
    return np.stack(rows)
