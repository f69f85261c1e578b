"""MediaPipe's own ImageClassifier for the web takes edgenet's file unchanged: the same labels, the same scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.classifier import Classifier
from edgenet_device.frames.photos import read_photo
from edgenet_device.preprocess import prepare
from small_network import LABELS, PHOTOS, save_small_checkpoint

from edgenet.workflows.convert import convert

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "benchmarks" / "client_programs" / "mediapipe_web_client.py"


@pytest.mark.slow
@pytest.mark.usefixtures("launch_chromium")
def test_labels_and_scores_are_those_of_litert(tmp_path: Path) -> None:
    checkpoint = save_small_checkpoint(tmp_path / "small.safetensors")
    model = tmp_path / "int8.tflite"
    convert(str(checkpoint), model, calibration=PHOTOS, photos=8, recipe="minmax")
    images = np.concatenate([prepare(read_photo(path), 64) for path in sorted(PHOTOS.glob("*.jpg"))[:4]])
    np.savez(tmp_path / "photos.npz", images=images)
    done = subprocess.run(
        [sys.executable, CLIENT, model, tmp_path / "photos.npz"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    last = (done.stderr.splitlines() or [""])[-1]
    if done.returncode and "npm" in last:
        pytest.skip(last)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["labels"] == list(LABELS)
    classifier = Classifier(model, threads=1)
    for image, photo in zip(images, answer["photos"], strict=True):
        assert np.abs(classifier.score_prepared(image) - photo["scores"]).max() < 1e-5
