"""Convert a float .onnx to an int8 .tflite with onnx2tf, which calls TFLiteConverter, as its README documents.

    .envs/onnx2tf/bin/python -m benchmarks.peers.onnx2tf.convert FLOAT.onnx PHOTOS OUT.tflite NORMALIZATION

Per-channel, int8 input and output (`-oiqt`, the file `..._full_integer_quant.tflite`). It runs in its own environment.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

import numpy as np
import onnx2tf

from benchmarks.normalizations import parse
from benchmarks.peers.calibration import normalized_photos

SAMPLES = "calibration_image_sample_data_20x128x128x3_float32.npy"


def main() -> None:
    """Convert and write the file."""
    source, photos, out = (Path(part).resolve() for part in sys.argv[1:4])
    normalized = np.concatenate(list(normalized_photos(photos, parse(sys.argv[4]))))
    # The photos are normalized already.
    mean, std = np.zeros((1, 1, 1, 3), np.float32), np.ones((1, 1, 1, 3), np.float32)
    with TemporaryDirectory() as folder, chdir(folder):
        np.save("photos.npy", normalized)
        _write_samples(normalized)
        onnx2tf.convert(
            input_onnx_file_path=str(source),
            output_folder_path=folder,
            output_integer_quantized_tflite=True,
            custom_input_op_name_np_data_path=[["image", "photos.npy", mean, std]],
            non_verbose=True,
        )
        shutil.copyfile(next(Path(folder).glob("*_full_integer_quant.tflite")), out)


def _write_samples(normalized: np.ndarray) -> None:
    """Write the file on which it compares its operators with ONNX Runtime; without it, it would download one."""
    np.save(SAMPLES, normalized[:20, 48:176, 48:176])


if __name__ == "__main__":
    main()
