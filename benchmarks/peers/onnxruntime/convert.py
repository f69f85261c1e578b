"""Convert a float .onnx to int8 with ONNX Runtime's own static quantization: QDQ, per-channel, as documented.

    .envs/onnxruntime/bin/python -m benchmarks.peers.onnxruntime.convert FLOAT.onnx PHOTOS OUT.onnx NORMALIZATION

The .onnx is preprocessed first. Activations are uint8 and weights int8, with minima and maxima as ranges, as the
documentation of `quantize_static` recommends for x86; without VNNI the weights have 7 bits, as it also recommends. It
runs in its own environment.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.normalizations import parse
from benchmarks.peers.calibration import channels_first, normalized_photos


class Photos(CalibrationDataReader):
    """Photos, float32 [1, 3, H, W], one after the other."""

    def __init__(self, photos: Iterator[np.ndarray]) -> None:
        self._photos = photos

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next photo, or None after the last."""
        photo = next(self._photos, None)
        return None if photo is None else {"image": channels_first(photo)}


def main() -> None:
    """Convert and write the file."""
    source, photos, out, normalization = sys.argv[1:]
    with TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        # All shapes are fixed, so the symbolic inference, which requires sympy, would find nothing more.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            out,
            Photos(normalized_photos(Path(photos), parse(normalization))),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range="vnni" not in Path("/proc/cpuinfo").read_text(),
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


if __name__ == "__main__":
    main()
