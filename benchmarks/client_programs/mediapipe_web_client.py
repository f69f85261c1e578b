"""MediaPipe's ImageClassifier for the web in Chromium, on photos that already have the network's size.

    PYTHONPATH=. python benchmarks/client_programs/mediapipe_web_client.py MODEL.tflite PHOTOS.npz > scores.json

It runs in edgenet's own environment; npm fetches the pinned package into `.envs/` the first time. The page may only
fetch its own files, so no usage metrics leave the machine.
"""

from __future__ import annotations

import base64
import hashlib
import io
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from photos_to_json import Client, Scores, run_client

from benchmarks.chromium_page import as_rgba, blank_page
from benchmarks.environments import ENVIRONMENTS
from edgenet.errors import EdgenetError

VERSION = "1.1.0"  # npm's "latest" is an older one
INTEGRITY = "ZJqh0wMKOINorfSffvDAxzyO1//c+FiG3IkzOdNDnLqvBB3DbMfj0bB/tys2SNf9S914sgoIbIpF4HTOi336cg=="
_WASM = ("vision_wasm_internal.js", "vision_wasm_internal.wasm")
_START = """
async () => {
  const { FilesetResolver, ImageClassifier } = await import("/vision_bundle.js");
  const model = new Uint8Array(await (await fetch("/model.tflite")).arrayBuffer());
  const files = await FilesetResolver.forVisionTasks("/wasm");
  const options = { baseOptions: { modelAssetBuffer: model }, maxResults: -1 };
  window.classifier = await ImageClassifier.createFromOptions(files, options);
}
"""
_CLASSIFY = """
(photo) => {
  const rgba = Uint8ClampedArray.from(atob(photo.rgba), (c) => c.charCodeAt(0));
  const found = window.classifier.classify(new ImageData(rgba, photo.width)).classifications[0].categories;
  return found.map(({ index, categoryName, score }) => [index, categoryName, score]);
}
"""


def package() -> dict[str, bytes]:
    """Return the files that the page needs, by their names there.

    Raises:
        EdgenetError: npm is missing or cannot fetch the package, or the package has another checksum.
    """
    kept = ENVIRONMENTS / f"mediapipe-tasks-vision-{VERSION}.tgz"
    if not kept.is_file():
        ENVIRONMENTS.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ENVIRONMENTS) as folder:
            _fetch(Path(folder)).rename(kept)
    data = kept.read_bytes()
    if base64.b64encode(hashlib.sha512(data).digest()).decode() != INTEGRITY:
        raise EdgenetError(f"{kept} does not have the expected SHA-512", "remove it and try again")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        members = {one.name: part.read() for one in archive if (part := archive.extractfile(one)) is not None}
    wasm = {f"wasm/{name}": members[f"package/wasm/{name}"] for name in _WASM}
    return {"vision_bundle.js": members["package/vision_bundle.mjs"], **wasm}


def _fetch(folder: Path) -> Path:
    command = ["npm", "pack", f"@mediapipe/tasks-vision@{VERSION}"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EdgenetError(f"npm does not run ({error})", "install npm") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EdgenetError(f"npm cannot fetch {command[-1]}: {last}", "check the network")
    return folder / done.stdout.split()[-1]


def start(model: bytes, open_parts: ExitStack) -> Client:
    """Return a classifier that returns all classes, and the labels that it named while it ran."""
    page = open_parts.enter_context(blank_page({"model.tflite": model, **package()}))
    page.evaluate(_START)
    names: dict[int, str] = {}

    def classify(photo: np.ndarray) -> Scores:
        found = page.evaluate(_CLASSIFY, as_rgba(photo))
        names.update({index: name for index, name, _ in found})
        return Scores(found[0][0], [score for _, _, score in sorted(found)])

    return Client(lambda: [names[index] for index in sorted(names)], classify)


if __name__ == "__main__":
    with ExitStack() as parts:
        run_client(__doc__ or "", "mediapipe-web", VERSION, lambda model: start(model, parts))
