"""A float .onnx to an int8 .tflite with onnx2tf, which calls TFLiteConverter, as its README has it.

    .envs/onnx2tf/bin/python -m benchmarks.peers.onnx2tf.convert FLOAT.onnx PHOTOS OUT.tflite NORMALIZATION

Per-channel, int8 input and output (`-oiqt`, the file `..._full_integer_quant.tflite`). Runs in its own environment.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import numpy as np
import onnx2tf

from benchmarks.normalizations import parse
from benchmarks.peers.calibration import normalized_photos


def main() -> None:
    """Converts and writes the file."""
    source, photos, out, normalization = sys.argv[1:]
    with TemporaryDirectory() as folder:
        samples = Path(folder) / "photos.npy"
        np.save(samples, np.concatenate(list(normalized_photos(Path(photos), parse(normalization)))))
        onnx2tf.convert(
            input_onnx_file_path=source,
            output_folder_path=folder,
            output_integer_quantized_tflite=True,
            # The photos are normalized already: what it would do to them is nothing.
            custom_input_op_name_np_data_path=[
                ["image", str(samples), np.zeros((1, 1, 1, 3), np.float32), np.ones((1, 1, 1, 3), np.float32)]
            ],
            non_verbose=True,
        )
        shutil.copyfile(next(Path(folder).glob("*_full_integer_quant.tflite")), out)


if __name__ == "__main__":
    main()
