"""The stamps of Tux Paint on photos: ten tools to tell apart, each seen at any angle and size on many backgrounds."""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.classifying.sources import Place
from benchmarks.classifying.split import Photo, Split

TOOLS = (
    "hammer", "mallet_metal", "measuring_tape", "paintbrush_large", "plyers", "saw", "toolbox", "wrench",
    "wrench_adjustable", "wrench_plumbers",
)  # fmt: skip
MOST = 500
JUDGED = 100
SIZE = 192
"""The side of the composed photos, pixels."""


def stamp_split(place: Place, seed: int) -> Split:
    """Put every tool on random photos; half of the photos are backgrounds of training photos, half of judged ones."""
    archive = place.zip("imagenet-sample-500.zip")
    folder = place.debian("tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps/household/tools"
    backgrounds = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
    random = np.random.default_rng(seed)
    random.shuffle(backgrounds)
    half = len(backgrounds) // 2

    def draw(part: str, names: list[str], count: int) -> list[Photo]:
        return [
            Photo(label, f"{part}-{seed}-{label}-{index:03d}.jpg", names[random.integers(len(names))])
            for index in range(count)
            for label in range(len(TOOLS))
        ]

    def compose(photo: Photo) -> bytes:
        return _composed(archive.read(photo.origin), folder / f"{TOOLS[photo.label]}.png", photo.name)

    training = draw("training", backgrounds[half:], MOST)
    return Split(training, draw("judged", backgrounds[:half], JUDGED), compose)


def _composed(background: bytes, stamp: Path, name: str) -> bytes:
    """Return a JPEG of the stamp on a random square of the photo; the name decides every random choice."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    photo = _square(_decoded(background, cv2.IMREAD_COLOR), random)
    drawing = _decoded(stamp.read_bytes(), cv2.IMREAD_UNCHANGED).astype(np.float32)
    height, width = drawing.shape[:2]
    scale = random.uniform(0.4, 0.8) * SIZE / max(height, width)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(0, 360), scale)
    turn[:, 2] += random.uniform(0.3, 0.7, 2) * SIZE - (width / 2, height / 2)
    drawing[..., :3] *= drawing[..., 3:] / 255  # a transparent pixel's colour must not bleed into the edge
    placed = cv2.warpAffine(drawing, turn, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    light = random.uniform(0.6, 1.2)
    mixed = photo * (1 - placed[..., 3:] / 255) + placed[..., :3] * light
    pixels = mixed.clip(0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def _decoded(data: bytes, flags: int) -> NDArray[np.uint8]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert pixels is not None
    return pixels.astype(np.uint8, copy=False)


def _square(photo: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.float32]:
    height, width = photo.shape[:2]
    side = int(min(height, width) * random.uniform(0.6, 1))
    top, left = random.integers(height - side + 1), random.integers(width - side + 1)
    square = photo[top : top + side, left : left + side]
    return cv2.resize(square, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.float32)
