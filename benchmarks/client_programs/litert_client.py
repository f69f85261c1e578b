"""The plain interpreter of ai-edge-litert or tflite-runtime, whichever this environment has.

    python benchmarks/client_programs/litert_client.py MODEL.tflite PHOTOS.npz > scores.json

Needs the environment of requirements-ai-edge-litert.txt or requirements-tflite-runtime.txt.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from photos_to_json import Client, Scores, labels_in, run_client

try:
    from ai_edge_litert.interpreter import Interpreter

    RUNTIME = "ai-edge-litert"
except ImportError:
    from tflite_runtime.interpreter import Interpreter

    RUNTIME = "tflite-runtime"


def start(model: bytes) -> Client:
    """Return the labels in the file, and a function that runs the signature on one photo."""
    interpreter = Interpreter(model_content=model, num_threads=1)
    run = interpreter.get_signature_runner("serving_default")

    def classify(photo: np.ndarray) -> Scores:
        scores = run(image=photo[None])["probability"][0]
        return Scores(int(scores.argmax()), [float(score) for score in scores])

    return Client(lambda: labels_in(model), classify)


if __name__ == "__main__":
    run_client(__doc__ or "", RUNTIME, version(RUNTIME), start)
