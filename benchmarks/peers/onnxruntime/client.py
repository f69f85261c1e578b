"""The client for ONNX Runtime on the CPU; see `benchmarks.peers.runtime_client`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime

from benchmarks.peers.runtime_client import Inference, Runtime, serve


def load(file: Path) -> Runtime:
    """Return a session with one thread and all optimizations."""
    session = onnxruntime.InferenceSession(file, _options(), providers=["CPUExecutionProvider"])

    def given(photo: np.ndarray) -> Inference:
        inputs = {session.get_inputs()[0].name: photo}
        return lambda: session.run(None, inputs)[0]

    return Runtime(given, lambda: _operators(file))


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return options


def _operators(file: Path) -> Counter[str]:
    """Count the operators that run: those of the optimized graph, in which integer operators replace QDQ pairs."""
    with TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        options = _options()
        options.optimized_model_filepath = str(optimized)
        options.log_severity_level = 3  # without this it warns that the optimized file fits only this machine
        onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return Counter(node.op_type for node in onnx.load(optimized).graph.node)


if __name__ == "__main__":
    serve(load)
