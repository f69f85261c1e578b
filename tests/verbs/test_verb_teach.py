"""`edgenet train` without a network's name: stages, honest figures, files, refusals and interruptions."""

from __future__ import annotations

import functools
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from edgenet_device.classifier import NOTHING_KNOWN, Classifier
from edgenet_device.model_file import open_model
from small_network import save_small_checkpoint

from edgenet.bundle import open_bundle
from edgenet.commands.app import main
from edgenet.data.groups import Groups
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.latency.options import BenchOptions
from edgenet.progress import no_log, silent
from edgenet.teaching import finetuning
from edgenet.teaching.mixture import STRANGE, CrossFit, worthwhile
from edgenet.training.processes import StopRequest, TrainingStopped
from edgenet.training.state import STATE_FILE
from edgenet.workflows import teach_network, teach_stages
from edgenet.workflows.teach import Teaching, _some_of_each, _taught, teach
from edgenet.workflows.teach_files import _with_unknown
from edgenet.workflows.teach_stages import (
    Course,
    Head,
    Options,
    _fine_tuning_words,
    features_at,
    fine_tuning,
    judge_head,
)
from edgenet.zoo.checkpoint import load_checkpoint

CLASSES = ("blue", "green", "red")
COLOURS = ((200, 60, 60), (60, 200, 60), (60, 60, 200))
SHORT = 0.5
"""Minutes: so few that the quicker recipe of quantization is taken."""


def write_photos(folder: Path, count: int, seed: int = 0, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write photos of coloured blobs on noise; every photo is a scene of its own."""
    rng = np.random.default_rng(seed)
    for name, colour in zip(classes, COLOURS, strict=False):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            photo = cv2.resize(
                rng.integers(0, 255, (5, 7, 3), dtype=np.uint8), (80, 60), interpolation=cv2.INTER_CUBIC
            )
            centre = tuple(int(value) for value in rng.integers(15, 45, 2))
            cv2.circle(photo, centre, int(rng.integers(12, 25)), colour, -1)
            cv2.imwrite(str(folder / name / f"{seed}-{number}.png"), photo)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_checkpoint(tmp_path_factory.mktemp("small") / "small.safetensors")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), 16)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half as many photos as `photos`, for the tests in which networks see them at high resolutions."""
    return write_photos(tmp_path_factory.mktemp("few"), 8)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def taught(
    photos: Path, checkpoint: Path, lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Teaching:
    out = tmp_path_factory.mktemp("run")
    return teach(
        photos, out, pretrained=checkpoint, resolution=32, finetune=False, minutes=SHORT, log=lines.append
    )


def test_the_bundle_the_checkpoint_and_the_page_are_there(taught: Teaching) -> None:
    bundle = open_bundle(Path(taught.out))
    assert bundle.labels == (*CLASSES, NOTHING_KNOWN)
    assert bundle.manifest.quantization is not None
    assert bundle.manifest.accuracy is not None
    assert bundle.manifest.accuracy.n == taught.int8.photos
    assert load_checkpoint(Path(taught.checkpoint)).labels == (*CLASSES, NOTHING_KNOWN)
    page = Path(taught.report).read_text(encoding="utf-8")
    assert all(name in page for name in CLASSES)
    assert f"{taught.judged.top1:.0f}" in page
    assert sorted(path.suffix for path in Path(taught.out).parent.iterdir() if not path.name.startswith(".")) == [
        ".edgenet", ".html", ".json", ".safetensors",
    ]  # fmt: skip


def test_the_reported_probabilities_are_as_true_as_those_of_the_file(taught: Teaching) -> None:
    """The file's logits are divided by a temperature that makes its probabilities true; so are the reported ones."""
    report = json.loads(Path(taught.report).with_suffix(".json").read_text())
    judged = [one for one in report["photos"] if one["answer"] is not None]
    mean = np.mean([one["confidence"] for one in judged])
    assert abs(100 * mean - taught.judged.top1) < 3


def test_the_figure_is_true_for_new_photos_on_the_device(taught: Teaching, tmp_path: Path) -> None:
    classifier = Classifier(open_model(Path(taught.out)))
    fresh = sorted(write_photos(tmp_path, 25, seed=99).rglob("*.png"))
    answers = [
        next(label for label, _ in classifier.top(str(path), 2) if label != NOTHING_KNOWN) for path in fresh
    ]
    right = 100 * np.mean([answer == path.parent.name for answer, path in zip(answers, fresh, strict=True)])
    # Both the figure and this share have an interval; the two overlap.
    assert taught.judged.interval.low - 8 <= right <= taught.judged.interval.high + 8


def test_the_figure_counts_every_photo_once_while_it_was_held_out(taught: Teaching, lines: list[str]) -> None:
    assert taught.judged.photos == 48
    assert taught.judged.scenes == 48
    assert taught.judged.interval.low < taught.judged.top1 <= taught.judged.interval.high
    assert taught.method == "linear head"
    assert taught.training_photos == 48
    assert any(line.startswith("first classifier after") for line in lines)
    assert taught.account.read == 48


@pytest.mark.slow
def test_labels_that_mean_nothing_get_the_figure_of_chance(checkpoint: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 12)
    rng = np.random.default_rng(5)
    paths = sorted(photos.rglob("*.png"))
    for place, path in enumerate(paths):
        path.rename(path.with_name(f"t{place}.tmp"))
    for place, slot in enumerate(rng.permutation(len(paths))):
        source = paths[place].with_name(f"t{place}.tmp")
        source.rename(photos / CLASSES[slot % 3] / f"{place}.png")
    found = teach(
        photos,
        tmp_path / "run",
        pretrained=checkpoint,
        resolution=32,
        finetune=False,
        minutes=SHORT,
        unknown=False,
    )
    assert found.judged.top1 < 60


@pytest.mark.slow
def test_a_background_folder_is_no_class(checkpoint: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 10)
    (photos / "none").mkdir()
    for number in range(8):
        noise = np.random.default_rng(number).integers(0, 255, (60, 60, 3), dtype=np.uint8)
        cv2.imwrite(str(photos / "none" / f"{number}.png"), noise)
    found = teach(
        photos, tmp_path / "run", pretrained=checkpoint, resolution=32, finetune=False, minutes=SHORT
    )
    assert found.classes == CLASSES
    assert found.unknown is not None
    assert found.unknown.background == "8 photos of your own"


@pytest.mark.slow
def test_a_validation_folder_judges(checkpoint: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos" / "train", 12)
    write_photos(tmp_path / "photos" / "val", 5, seed=7)
    shared = tmp_path / "photos" / "train" / "red" / "0-0.png"
    (tmp_path / "photos" / "val" / "red" / "again.png").write_bytes(shared.read_bytes())
    found = teach(
        tmp_path / "photos",
        tmp_path / "run",
        pretrained=checkpoint,
        resolution=32,
        finetune=False,
        minutes=SHORT,
    )
    assert found.judged.photos == 15  # the copy of a training photo does not count
    assert found.judged.how == "in val"
    assert found.int8.photos == 15
    assert any("again.png" in line for line in found.warnings)


@pytest.mark.slow
def test_fine_tuning_is_kept_only_if_it_helps(
    photos: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetuning, "LEAST_STEPS", 20)  # a third of the steps, to save time
    monkeypatch.setattr(finetuning, "PASSES", 10)
    lines: list[str] = []
    found = teach(photos, tmp_path / "run", pretrained=checkpoint, resolution=32, minutes=5, log=lines.append)
    tried = [line for line in lines if "fine-tun" in line]
    assert tried
    assert (found.method == "fine-tuned") == any(line.startswith("fine-tuned for") for line in tried)
    assert found.judged.photos == 48
    assert found.int8.recipe == "balanced"  # there was time for the better one


@pytest.fixture
def head_stage(
    photos: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Course, Head, Groups]:
    """Return a head before its fine-tuning of 6 steps; its labels mean nothing, so that nothing is surely better."""
    monkeypatch.setattr(teach_stages, "wanted_steps", lambda photos, batch: 6)
    monkeypatch.setattr(teach_stages, "LEAST_STEPS", 1)
    began = time.perf_counter()
    options = Options(True, False, False, 0, torch.device("cpu"), began, began + 600)
    course = Course(tmp_path, options, StopRequest(), silent, no_log)
    network = load_checkpoint(checkpoint)
    features = features_at(course, open_photos(photos), network)
    features = replace(features, labels=np.random.default_rng(0).permutation(features.labels))
    groups = Groups(np.arange(len(features)), np.zeros((0, 2), np.int64), ())
    return course, judge_head(network, features, groups, CLASSES, 0), groups


def test_what_needs_no_proof_depends_on_how_familiar_the_photos_are_and_is_told(
    head_stage: tuple[Course, Head, Groups],
) -> None:
    course, head, groups = head_stage
    fit, words = fine_tuning(course, head, groups, CLASSES, 0.9)
    assert fit is not None
    assert fit.share == 0
    assert words.startswith(
        "no fine-tuning: 6 steps did not make it surely better (mean loss on photos held out "
    )
    for familiar, why in ((0.4, "only half like"), (0.1, "unlike")):
        fit, words = fine_tuning(course, head, groups, CLASSES, familiar)
        assert fit is not None
        assert (fit.share == 0.25) if familiar > STRANGE else (fit.share > 0)
        assert words.startswith(
            f"fine-tuned for 6 steps, because your photos are {why} those that the network knows; "
            f"the network takes {100 * fit.share:.0f} % of the change (mean loss on photos held out "
        )


def test_half_familiar_photos_that_refuse_even_a_quarter_are_told_so() -> None:
    losses = np.stack([np.ones(20), *np.full((4, 20), 2.0)])
    none = np.zeros(0)
    fit = CrossFit(0.0, none.astype(np.float32), none.astype(np.int64), losses, 6, ())
    assert worthwhile(losses, 0.4) == 0
    assert "6 steps made it surely worse (" in _fine_tuning_words(fit, 0.4)
    assert "6 steps did not make it surely better (" in _fine_tuning_words(fit, 0.9)


def test_a_head_that_was_always_right_ends_the_fine_tuning_unless_the_photos_are_strange(
    head_stage: tuple[Course, Head, Groups],
) -> None:
    course, head, groups = head_stage
    logits = np.eye(len(CLASSES), dtype=np.float32)[head.features.labels]
    head = replace(head, found=replace(head.found, logits=logits))
    assert head.right().all()
    assert fine_tuning(course, head, groups, CLASSES, 0.4) == (
        None, "no fine-tuning: the linear head is right on every photo that was held out",
    )  # fmt: skip
    fit, _ = fine_tuning(course, head, groups, CLASSES, 0.1)
    assert fit is not None
    assert fit.share > 0


def test_the_pretrained_classes_help_to_find_other_things_if_the_photos_are_familiar(
    head_stage: tuple[Course, Head, Groups], tmp_path: Path
) -> None:
    _, head, groups = head_stage
    ready = _taught(head, None, groups, 0.7, head.taught(CLASSES, ""), None, [])
    write_photos(tmp_path, 4, seed=5)
    rows = []
    for familiar, background in ((0.5, None), (0.7, None), (0.5, tmp_path), (0.7, tmp_path)):
        own = None if background is None else open_photos(background)
        rows.append(_with_unknown(replace(ready, familiar=familiar), own, silent)[0].head.weight[-1])
    assert not np.allclose(rows[0], rows[1], rtol=1e-3)
    np.testing.assert_array_equal(rows[2], rows[3])  # what the user says of other things holds


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"minutes": 0.0}, "the time is 0 minutes"),
        ({"pretrained": "imagenet", "architecture": "alexnet"}, "no ImageNet weights for alexnet"),
        ({"architecture": "mobilenet_v2"}, "holds mobilenet_v1"),
        ({"pretrained": "nowhere.safetensors"}, "nowhere.safetensors"),
    ],
)
def test_what_cannot_be_done_is_said(
    photos: Path, checkpoint: Path, tmp_path: Path, given: dict, words: str
) -> None:
    with pytest.raises(EdgenetError, match=words):
        teach(photos, tmp_path / "run", **{"pretrained": checkpoint, "resolution": 32, **given})


@pytest.mark.slow
def test_one_scene_per_class_is_taught_and_its_figure_says_nothing(checkpoint: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 1)
    for name in CLASSES:
        photo = cv2.imread(str(photos / name / "0-0.png"))
        for number in range(7):  # the same picture, a little brighter each time
            cv2.imwrite(
                str(photos / name / f"again{number}.png"), cv2.add(photo, np.full_like(photo, number + 1))
            )
    found = teach(
        photos, tmp_path / "run", pretrained=checkpoint, resolution=32, unknown=False, minutes=SHORT
    )
    assert found.judged.scenes == 3
    assert "other scenes may do far worse" in found.judged.how
    assert found.judged.interval.low < 50
    assert sum("look like 1 scene" in line for line in found.warnings) == 3


def test_another_training_and_the_checkpoint_to_start_from_are_never_overwritten(
    photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    own = tmp_path / "mobilenet_v1_0.25_32.safetensors"
    own.write_bytes(checkpoint.read_bytes())
    with pytest.raises(EdgenetError, match="lies in the folder for the results"):
        teach(photos, tmp_path, pretrained=own, resolution=32)
    (tmp_path / STATE_FILE).write_bytes(b"a training")
    with pytest.raises(EdgenetError, match="holds the training of a named network"):
        teach(photos, tmp_path, pretrained=checkpoint, resolution=32)
    assert own.read_bytes() == checkpoint.read_bytes()


@pytest.mark.parametrize("name", ["report.html", "mine.safetensors", "mine.edgenet"])
def test_files_that_someone_else_made_are_never_overwritten(
    name: str, photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"somebody's own")
    with pytest.raises(EdgenetError, match=f"holds {name}, which no run of this kind made"):
        teach(photos, tmp_path, pretrained=checkpoint, resolution=32)
    assert (tmp_path / name).read_bytes() == b"somebody's own"
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_one_photo_per_class_cannot_be_taught(checkpoint: Path, tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 1)
    with pytest.raises(EdgenetError, match="no class has two different photos"):
        teach(photos, tmp_path / "run", pretrained=checkpoint, resolution=32)


def test_of_many_photos_every_class_gives_some(photos: Path) -> None:
    every = open_photos(photos)
    few = every.take([*range(3), *range(16, 48)])  # 3 of blue, 16 of green, 16 of red
    some = _some_of_each(few, 15)
    assert np.bincount(some.labels).tolist() == [3, 6, 6]
    assert len(set(some.names)) == 15
    assert _some_of_each(few, 100).names == few.names


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs `edgenet train` in this process and in `tmp_path`; returns the status, the output and the messages."""
    monkeypatch.chdir(tmp_path)

    def train(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["edgenet", "train", *arguments])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        return status, *capfd.readouterr()

    return train


@pytest.mark.slow
def test_the_command_prints_the_figure_and_json(photos: Path, checkpoint: Path, run: Run) -> None:
    status, out, err = run(
        "--data", str(photos), "--out", "run", "--pretrained", str(checkpoint), "--resolution", "32",
        "--no-finetune", "--minutes", str(SHORT), "--json",
    )  # fmt: skip
    assert status == 0, err
    found = json.loads(out)
    assert found["out"] == "run/mobilenet_v1_0.25_32.edgenet"
    assert "first classifier after" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--epochs", "3"), "without VARIANT"),
        (("--on", "local"), "--on needs --budget-ms"),
        (("--from-scratch", "--minutes", "2"), "--minutes does not go with --from-scratch"),
        (("mobilenet_v1_0.25_32", "--minutes", "2"), "only for a training without VARIANT"),
    ],
)
def test_options_that_do_not_fit_end_with_status_2(
    photos: Path, run: Run, arguments: tuple[str, ...], words: str
) -> None:
    status, _, err = run("--data", str(photos), "--out", "run", *arguments)
    assert status == 2
    assert words in " ".join(err.split())


@pytest.mark.slow
def test_ctrl_c_leaves_the_first_classifier_and_says_how_to_go_on(
    photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-u", "-m", "edgenet", "train", "--data", str(photos), "--out", "run", "--pretrained",
        str(checkpoint), "--resolution", "32", "--minutes", "30",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    made = tmp_path / "run" / "mobilenet_v1_0.25_32.safetensors"
    while not made.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stderr = process.communicate()[1]
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "run the same command again" in stderr
    assert "run holds the first classifier" in stderr
    assert load_checkpoint(made).labels == CLASSES


def test_without_flips_nothing_learns_from_mirror_images(
    photos: Path, checkpoint: Path, tmp_path: Path
) -> None:
    began = time.perf_counter()
    for no_flip, views in ((True, 1), (False, 2)):
        options = Options(False, False, no_flip, 0, torch.device("cpu"), began, began + 60)
        course = Course(tmp_path, options, StopRequest(), silent, no_log)
        features = features_at(course, open_photos(photos).take([0, 20]), load_checkpoint(checkpoint))
        assert features.values.shape[:2] == (2, views)


def test_a_stop_in_the_last_stages_is_obeyed(photos: Path, checkpoint: Path, tmp_path: Path) -> None:
    """The int8 file and the page take a while too; a signal there must not wait for them."""
    stages: list[str] = []

    def interrupt(stage: str, done: int, total: int | None) -> None:
        if stage == "looking at other things" and stage not in stages:
            signal.raise_signal(signal.SIGTERM)
        stages.append(stage)

    with pytest.raises(TrainingStopped, match="looking at other things"):
        teach(
            photos,
            tmp_path / "run",
            pretrained=checkpoint,
            resolution=32,
            finetune=False,
            minutes=SHORT,
            progress=interrupt,
        )
    assert stages[-1] == "looking at other things"
    assert [path.suffix for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")] == [
        ".safetensors"
    ]


@pytest.mark.slow
def test_the_resolution_is_the_smallest_that_is_as_good(few: Path, checkpoint: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    found = teach(
        few,
        tmp_path / "run",
        pretrained=checkpoint,
        finetune=False,
        minutes=SHORT,
        unknown=False,
        log=lines.append,
    )
    (sentence,) = [line for line in lines if line.startswith("resolution ")]
    tried = {int(size): float(share) for share, size in re.findall(r"([\d.]+) % at (\d+) px", sentence)}
    chosen = int(found.variant.rpartition("_")[2])
    assert sorted(tried) == [96, 160, 224]
    best = max(tried.values())
    error = 100 * (best / 100 * (1 - best / 100) / 24) ** 0.5
    assert chosen == min(size for size, share in tried.items() if share >= best - error - 0.05)
    # Only the chosen network is left, whatever the first classifier was.
    assert [path.name for path in (tmp_path / "run").glob("*.safetensors")] == [
        f"{found.variant}.safetensors"
    ]


@pytest.mark.slow
def test_a_budget_leaves_out_what_is_too_slow(
    few: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quicker = functools.partial(BenchOptions, runs=5, min_seconds=0.05)  # both budgets are far from any time
    monkeypatch.setattr(teach_network, "BenchOptions", quicker)
    assert sorted(teach_network.BUDGET_RESOLUTIONS) == [96, 128, 160, 192, 224]
    monkeypatch.setattr(teach_network, "BUDGET_RESOLUTIONS", (64, 48, 32))  # smaller, to save time
    lines: list[str] = []
    given = {"pretrained": checkpoint, "finetune": False, "unknown": False, "minutes": SHORT}
    found = teach(few, tmp_path / "run", budget_ms=10_000.0, log=lines.append, **given)
    assert int(found.variant.rpartition("_")[2]) in (48, 64)
    assert sum(": p50 " in line for line in lines) == 3
    with pytest.raises(EdgenetError, match="slower than 1e-05 ms on local at every resolution"):
        teach(few, tmp_path / "other", budget_ms=1e-5, resolution=32, log=lines.append, **given)
    assert sum("over the budget" in line for line in lines) == 1
