"""Makes docs/demo.webp, the animated picture of README: what camera.py shows over the video that comes with edgenet.

    python -m tools.make_demo_animation MODEL.edgenet

camera.py itself draws and records the frames; this only makes them smaller. The bundle of README does.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
from PIL import Image

from edgenet.assets import clip, device_scripts

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "demo.webp"
SIZE = (480, 360)
EVERY = 3
"""Only every third frame is kept: fewer bytes, and the movement can still be followed."""
QUALITY = 60
MOST_BYTES = 1_000_000


def main(bundle: Path) -> int:
    """Record the video with its labels, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.mp4"
        camera = device_scripts() / "camera.py"
        subprocess.run([sys.executable, camera, bundle, clip(), "--record", recording], check=True)
        frames, milliseconds = smaller_frames(recording)
    first, *others = frames
    first.save(
        PICTURE, save_all=True, append_images=others, duration=milliseconds, loop=0, quality=QUALITY, method=6
    )
    size = PICTURE.stat().st_size
    print(f"{PICTURE}: {len(frames)} frames, {size / 1e3:.0f} kB")
    return 0 if size < MOST_BYTES else 1


def smaller_frames(recording: Path) -> tuple[list[Image.Image], int]:
    """Return every third frame in the picture's size, and how long each is shown, in milliseconds."""
    video = cv2.VideoCapture(str(recording))
    frames, number = [], 0
    while True:
        there, pixels = video.read()
        if not there:
            break
        if number % EVERY == 0:
            small = cv2.resize(pixels, SIZE, interpolation=cv2.INTER_AREA)
            frames.append(Image.fromarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)))
        number += 1
    return frames, round(1000 * EVERY / video.get(cv2.CAP_PROP_FPS))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
