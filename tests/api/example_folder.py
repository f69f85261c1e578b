"""The folder in which the examples of the API reference run: a small network in several forms, and some photos."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
from small_network import LABELS, PHOTOS, save_small_checkpoint, small_network

import edgenet
from edgenet.assets import clip
from edgenet.workflows.review import FORMAT

COUNT = 12
CLASSES = (LABELS[0], LABELS[2], LABELS[4])


def make_example_folder(folder: Path) -> None:
    """Make the files that the examples use.

    `photos`, `labelled`, `clip.mp4`, `small.*`, `float.tflite`, `review.json` that moves a photo of `labelled`, a
    training in `run` and a report in `latency`.
    """
    for index, photo in enumerate(sorted(PHOTOS.glob("*.jpg"))[:COUNT]):
        name = "cat.jpg" if index == 0 else photo.name
        for place in (folder / "photos", folder / "labelled" / CLASSES[index % len(CLASSES)]):
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(photo, place / name)
    moved = {"file": "daisy/cat.jpg", "class": "daisy", "action": "move", "to": "rose"}
    moved["sha256"] = hashlib.sha256((folder / "labelled" / moved["file"]).read_bytes()).hexdigest()
    (folder / "review.json").write_text(json.dumps({"format": FORMAT, "decisions": [moved]}))
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
