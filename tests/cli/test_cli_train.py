"""`edgenet train` as a user has it."""

from __future__ import annotations

import csv
import os
import signal
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import Edgenet

TINY = "mobilenet_v1_0.25_32"
QUICK = ("--epochs", "1", "--batch", "8")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders dark and light, 8 photos each."""
    for name, level in (("dark", 40), ("light", 200)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(8):
            noise = np.random.default_rng([level, number]).integers(-30, 30, (32, 32, 3))
            cv2.imwrite(str(folder / f"{number}.png"), (level + noise).astype(np.uint8))
    return tmp_path / "photos"


def test_from_photos_to_an_int8_file(edgenet: Edgenet, photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (photos / "dark" / "3.png").write_bytes(b"\x89PNG cut")
    ran = edgenet(
        "train", TINY, "--data", photos, "--out", run, *QUICK, "--balance", "--no-flip", "--seed", 5
    )
    assert ran.status == 0, ran.err
    for part in (
        "0.8 M mult-adds",
        "13 photos of 2 classes",
        "epoch 1/1",
        "photos/s",
        "top-1",
        "95 % interval",
    ):
        assert part in ran.out
    assert "left out 1 unreadable photo:\n  dark/3.png" in ran.err
    assert ran.out.index("dark") < ran.out.index("light")
    checkpoint = run / f"{TINY}.safetensors"
    made = edgenet(
        "convert", checkpoint, "--calibration", photos, "--recipe", "minmax", "-o", tmp_path / "x.tflite"
    )
    assert made.status == 0, made.err
    shown = edgenet("evaluate", checkpoint, tmp_path / "x.tflite", "--data", photos, "--json").json()
    assert [row["precision"] for row in shown["models"]] == ["float32", "int8"]


@pytest.mark.slow
def test_the_int8_network_of_a_checkpoint(edgenet: Edgenet, photos: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "float", tmp_path / "int8"
    assert edgenet("train", TINY, "--data", photos, "--out", first, *QUICK).status == 0
    qat = ("--qat", "--pretrained", first / f"{TINY}.safetensors", "--recipe", "minmax")
    ran = edgenet("train", *qat, "--data", photos, "--out", second, *QUICK)
    assert ran.status == 0, ran.err
    for part in (
        "int8, minmax",
        "int8, trained",
        "same answer on 2 of 2 photos, logits at most 0 steps apart",
    ):
        assert part in ran.out
    shown = edgenet("evaluate", second / f"{TINY}.int8.tflite", "--data", photos, "--json").json()
    assert [row["precision"] for row in shown["models"]] == ["int8"]
    ran = edgenet("train", *qat, "--data", photos, "--out", tmp_path / "x", *QUICK, "--progressive")
    assert ran.status == 2
    assert "--progressive does not go with --qat" in " ".join(ran.err.split())


def test_json_is_alone_on_standard_output(edgenet: Edgenet, photos: Path, tmp_path: Path) -> None:
    ran = edgenet("train", TINY, "--data", photos, "--out", tmp_path / "run", *QUICK, "--json")
    found = ran.json()
    assert found["variant"] == TINY
    assert found["n"] == 2
    assert [row["name"] for row in found["classes"]] == ["dark", "light"]
    assert found["epochs"][0]["photos"] == 14
    assert "epoch 1/1" in ran.err


def test_every_number_reaches_the_plan(edgenet: Edgenet, photos: Path, tmp_path: Path) -> None:
    from edgenet.training.state import load_state

    options = {
        "--batch": 7, "--learning-rate": 0.03, "--weight-decay": 0.002, "--warmup-epochs": 0.25,
        "--label-smoothing": 0.05, "--ema-decay": 0.9, "--precision": "float32", "--crop-scale": 0.6,
        "--colour": 0.1, "--mixup": 0.3, "--hold-out": 0.25, "--device": "cpu", "--memory": 0.5, "--seed": 9,
        "--epochs": 1,
    }  # fmt: skip
    arguments = [text for pair in options.items() for text in pair]
    assert (
        edgenet("train", TINY, "--data", photos, "-o", tmp_path / "run", *arguments, "--progressive").status
        == 0
    )
    plan = load_state(tmp_path / "run").plan
    recipe, augmentation = plan.recipe, plan.recipe.augmentation
    found = {
        "--batch": recipe.batch, "--learning-rate": recipe.learning_rate, "--weight-decay": recipe.weight_decay,
        "--warmup-epochs": recipe.warmup_epochs, "--label-smoothing": recipe.label_smoothing,
        "--ema-decay": recipe.ema_decay, "--precision": recipe.precision, "--crop-scale": augmentation.crop_scale,
        "--colour": augmentation.colour, "--mixup": augmentation.mixup, "--hold-out": plan.hold_out,
        "--device": plan.device, "--memory": (plan.memory or 0) / 1e9, "--seed": recipe.seed,
        "--epochs": recipe.epochs,
    }  # fmt: skip
    assert found == options
    assert recipe.progressive
    assert augmentation.flip


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", TINY, "--data", "photos"),
        ("train", TINY, "--out", "run"),
        ("train", "--data", "photos", "--out", "run", "--epochs", "3"),
        ("train", TINY, "--resume", "run"),
        ("train", "--resume", "run", "--out", "other"),
        ("train", "--resume", "run", "--epochs", "3"),
        ("train", "--resume", "run", "--balance"),
        ("train", TINY, "--data", "photos", "--out", "run", "--temperature", "3"),
        ("train", TINY, "--data", "photos", "--out", "run", "--batch", "1"),
        ("train", TINY, "--data", "photos", "--out", "run", "--recipe", "fast"),
    ],
    ids=" ".join,
)
def test_wrong_usage(edgenet: Edgenet, arguments: tuple[str, ...]) -> None:
    ran = edgenet(*arguments)
    assert ran.status == 2
    assert "Usage: edgenet train" in ran.err


@pytest.mark.parametrize(
    ("variant", "options", "found"),
    [
        ("mobilenet_v9_1.0_224", (), "not the name of a variant"),
        (TINY, ("--learning-rate", "0"), "the learning rate is 0"),
        (TINY, ("--precision", "float16"), "'float16' is not one of"),
        (TINY, ("--qat",), "give its checkpoint with --pretrained"),
        (TINY, ("--qat", "--pretrained", "a", "--recipe", "slow"), "'slow' is not one of"),
        (
            TINY,
            ("--qat", "--pretrained", "a", "--weight-decay", "0.1"),
            "--weight-decay does not go with --qat",
        ),
        (
            TINY,
            ("--qat", "--pretrained", "a", "--freeze-epochs", "1"),
            "--freeze-epochs does not go with --qat",
        ),
        (
            TINY,
            ("--qat", "--pretrained", "a", "--precision", "bfloat16"),
            "--precision does not go with --qat",
        ),
    ],
)
def test_a_wrong_value_is_reported_before_anything_is_read(
    edgenet: Edgenet, tmp_path: Path, variant: str, options: tuple[str, ...], found: str
) -> None:
    ran = edgenet("train", variant, "--data", tmp_path / "none", "--out", tmp_path / "run", *options)
    assert ran.status == 2
    assert found in " ".join(ran.err.split())
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_is_one_line(edgenet: Edgenet, photos: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "run")
    edgenet("train", TINY, "--data", tmp_path / "none", *out).refusal("does not exist")
    edgenet("train", "mobilenet_full_0.25_32", "--data", photos, *out, "--pretrained", "imagenet").refusal(
        "no ImageNet weights"
    )
    edgenet("train", TINY, "--data", photos, *out, "--teacher", "no.safetensors").refusal(
        "no file no.safetensors"
    )
    edgenet("train", "--resume", tmp_path).refusal("holds no training to resume")
    (tmp_path / "file").write_text("")
    edgenet("train", TINY, "--data", photos, "--out", tmp_path / "file" / "run").refusal(
        "cannot make the folder"
    )


def interrupt_after_two_epochs(run: Path, ended: threading.Event) -> None:
    """Send Ctrl-C to this process once the log has the lines of two epochs."""
    log = run / "log.csv"
    while not log.exists() or len(log.read_text().splitlines()) < 3:
        if ended.wait(0.02):
            return
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_ctrl_c_prints_how_to_go_on(edgenet: Edgenet, photos: Path, tmp_path: Path) -> None:
    run, ended = tmp_path / "run", threading.Event()
    watching = threading.Thread(target=interrupt_after_two_epochs, args=(run, ended))
    watching.start()
    ran = edgenet("train", TINY, "--data", photos, "--out", run, "--epochs", 300, "--batch", 8)
    ended.set()
    watching.join()
    assert ran.status == 130
    assert "epoch 2/300" in ran.out
    assert ran.err.startswith("edgenet: stopped in epoch ")
    assert ran.err.endswith(f"continue with: edgenet train --resume {run}\n")
    assert len(list(csv.DictReader((run / "log.csv").open()))) >= 2
