"""The folder in which the examples of the API reference run: a small network in several forms, and some photos."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
from small_network import LABELS, PHOTOS, save_small_checkpoint, small_network

import edgenet
from edgenet.assets import clip

COUNT = 12
CLASSES = (LABELS[0], LABELS[2], LABELS[4])


def make_example_folder(folder: Path) -> None:
    """Make `photos`, `labelled`, `clip.mp4`, `small.*`, `float.tflite`, a training in `run`, a report in `latency`."""
    for index, photo in enumerate(sorted(PHOTOS.glob("*.jpg"))[:COUNT]):
        name = "cat.jpg" if index == 0 else photo.name
        for place in (folder / "photos", folder / "labelled" / CLASSES[index % len(CLASSES)]):
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo, place / name)
    shutil.copyfile(clip(), folder / "clip.mp4")
    checkpoint = save_small_checkpoint(folder / "small.safetensors")
    photos = folder / "photos"
    edgenet.convert(checkpoint, folder / "small.tflite", calibration=photos, recipe="minmax")
    edgenet.convert(checkpoint, folder / "float.tflite", float=True)
    edgenet.package(folder / "small.tflite", folder / "small.edgenet")
    options = edgenet.TrainingOptions(epochs=1, batch=8)
    edgenet.train("mobilenet_v1_0.25_32", folder / "labelled", folder / "run", options=options)
    edgenet.bench(folder / "small.tflite", runs=50, min_seconds=0.05, out=folder / "latency")


def example_names(folder: Path) -> dict[str, Any]:
    """Return the names that the examples use: `edgenet`, `module`, `arrays` and `array`."""
    photos = [cv2.imread(str(path)) for path in sorted((folder / "photos").glob("*.jpg"))]
    arrays = [cv2.cvtColor(photo, cv2.COLOR_BGR2RGB) for photo in photos if photo is not None]
    return {"edgenet": edgenet, "module": small_network().module, "arrays": arrays, "array": arrays[0]}
