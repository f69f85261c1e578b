"""LiteRT.js in Chromium (the copy that edgenet's page uses), on photos that already have the network's size.

    PYTHONPATH=. python benchmarks/client_programs/litert_js_client.py MODEL.tflite PHOTOS.npz > scores.json

It runs in edgenet's own environment. LiteRT.js does not read labels, so they are read from the file, as edgenet's page
does.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
from photos_to_json import Client, Scores, labels_in, run_client

from benchmarks.chromium_page import as_rgba, blank_page
from edgenet.web.site import litert_js, litert_js_record

_START = """
async () => {
  const litert = await import("/litert/index.js");
  await litert.loadLiteRt("/litert/");
  window.litert = litert;
  window.model = await litert.loadAndCompile("/model.tflite", { accelerator: "wasm" });
}
"""
_CLASSIFY = """
async ({ rgba }) => {
  const from = Uint8Array.from(atob(rgba), (c) => c.charCodeAt(0));
  const rgb = from.filter((value, index) => index % 4 !== 3);
  const shape = Array.from(window.model.getInputDetails()[0].shape);
  const [scores] = await window.model.run([new window.litert.Tensor(rgb, shape)]);
  return Array.from(scores.toTypedArray());
}
"""


def start(model: bytes, open_parts: ExitStack) -> Client:
    """Return the labels in the file, and a function that runs the page's network on one photo."""
    files = {f"litert/{name}": data for name, data in litert_js().items()}
    page = open_parts.enter_context(blank_page({"model.tflite": model, **files}))
    page.evaluate(_START)

    def classify(photo: np.ndarray) -> Scores:
        scores = page.evaluate(_CLASSIFY, as_rgba(photo))
        return Scores(int(np.argmax(scores)), scores)

    return Client(lambda: labels_in(model), classify)


if __name__ == "__main__":
    with ExitStack() as parts:
        run_client(
            __doc__ or "", "litert.js", litert_js_record()["version"], lambda model: start(model, parts)
        )
