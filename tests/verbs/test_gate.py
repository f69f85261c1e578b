"""The accuracy gate, with a network whose float answers are the labels, so that every int8 change is a loss."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_network import PHOTOS, label_by_float

import edgenet
from edgenet.data.loading import choose
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.tflite.metadata import read_facts
from edgenet.workflows.accuracy_gate import GateResult, rejected
from edgenet.workflows.convert import Conversion, convert


@pytest.fixture(scope="module")
def labelled(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every photo in the folder of the float network's answer."""
    return label_by_float(made / "small.safetensors", tmp_path_factory.mktemp("labelled") / "photos")


def tried(
    made: Path,
    out: Path,
    data: Path,
    max_drop: float | None = None,
    calibration: Path = PHOTOS,
    photos: int = 8,
) -> Conversion:
    source = str(made / "small.safetensors")
    return convert(
        source,
        out,
        calibration=calibration,
        photos=photos,
        recipe="minmax",
        data=data,
        max_drop=max_drop,
    )


@pytest.fixture(scope="module")
def judged(made: Path, labelled: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GateResult]:
    """A file that was made without a limit, not to be changed, and what was measured of it."""
    out = tmp_path_factory.mktemp("judged") / "net.tflite"
    found = tried(made, out, labelled).measured
    assert found is not None
    return out, found


@pytest.mark.slow
def test_figures_are_those_of_evaluate(
    made: Path, labelled: Path, judged: tuple[Path, GateResult], tmp_path: Path
) -> None:
    """On the photos that did not calibrate; the float network is right on all of them."""
    out, found = judged
    assert found.calibrating == 8
    assert found.evaluation.n == len(open_photos(PHOTOS)) - 8
    real, given = found.evaluation.models
    assert real.top1 == 100.0
    assert given.top1 == given.agreement < 100
    others = tmp_path / "others"
    shutil.copytree(labelled, others)
    for name in choose(open_photos(PHOTOS), 8).names:
        next(others.rglob(name)).unlink()
    again = edgenet.evaluate([str(made / "small.safetensors"), str(out)], others)
    assert again.n == found.evaluation.n
    assert [row.top1 for row in again.models] == [real.top1, given.top1]
    assert again.models[1].against_first == found.paired


def test_the_measured_accuracy_goes_into_the_file(made: Path, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    found = tried(made, out, labelled, max_drop=100.0).measured
    facts = read_facts(out.read_bytes(), "")
    assert found is not None
    assert facts is not None
    assert facts.accuracy is not None
    assert facts.accuracy.float_top1 == 100.0
    assert facts.accuracy.int8_top1 == found.evaluation.models[1].top1
    assert (facts.accuracy.n, facts.accuracy.data) == (found.evaluation.n, labelled.name)


def test_a_file_that_loses_too_much_is_kept_aside(made: Path, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    out.write_bytes(b"the older file")
    with pytest.raises(EdgenetError) as refused:
        tried(made, out, labelled, max_drop=0.5)
    assert out.read_bytes() == b"the older file"
    aside = tmp_path / "net.rejected.tflite"
    assert rejected(out) == aside
    assert {path.name for path in tmp_path.iterdir()} == {out.name, aside.name}
    facts = read_facts(aside.read_bytes(), "")
    assert facts is not None
    assert facts.accuracy is not None
    message = str(refused.value)
    n, top1 = facts.accuracy.n, facts.accuracy.int8_top1
    assert f"int8 loses {100 - top1:.2f} points of top-1 on {n} photos of {labelled}" in message
    assert f"(float 100.00 %, int8 {top1:.2f} %, 95 % interval of the drop " in message
    for part in ("more than --max-drop 0.5", str(aside), "--recipe ", "more calibration photos"):
        assert part in message
    assert "\n" not in message


@pytest.mark.slow
def test_exactly_the_limit_passes(made: Path, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.tflite"
    found = tried(made, out, labelled).measured
    assert found is not None
    assert tried(made, out, labelled, max_drop=found.paired.drop).measured == found
    with pytest.raises(EdgenetError, match="loses"):
        tried(made, out, labelled, max_drop=found.paired.drop - 0.01)


@pytest.mark.slow
def test_few_photos_give_a_note_about_chance(
    made: Path, labelled: Path, judged: tuple[Path, GateResult], tmp_path: Path
) -> None:
    """One photo that int8 has wrong: the drop is 100 points, its interval begins below the limit."""
    one = tmp_path / "one"
    seen = set(choose(open_photos(PHOTOS), 8).names)
    for photo in sorted(labelled.rglob("*.jpg")):
        if photo.name in seen:
            continue
        shutil.rmtree(one, ignore_errors=True)
        (one / photo.parent.name).mkdir(parents=True)
        shutil.copyfile(photo, one / photo.parent.name / photo.name)
        if edgenet.evaluate([str(judged[0])], one).models[0].top1 == 0:
            break
    with pytest.raises(EdgenetError, match=r"100\.00 points .* with so few the drop may be chance"):
        tried(made, tmp_path / "other.tflite", one, max_drop=1.0)


def test_photos_that_all_calibrated_cannot_judge(made: Path, labelled: Path, tmp_path: Path) -> None:
    some = tmp_path / "some"
    for photo in sorted(labelled.rglob("*.jpg"))[:5]:
        (some / photo.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, some / photo.parent.name / photo.name)
    with pytest.raises(
        EdgenetError, match=r"all 5 photos in .* were used for calibration; give --data other"
    ):
        tried(made, tmp_path / "net.tflite", some, calibration=some, photos=5)
    assert not (tmp_path / "net.tflite").exists()


@pytest.mark.parametrize("limit", [-0.1, float("nan"), float("inf")])
def test_an_invalid_limit(made: Path, labelled: Path, tmp_path: Path, limit: float) -> None:
    with pytest.raises(EdgenetError, match=f"--max-drop is {limit}; give points of top-1"):
        tried(made, tmp_path / "net.tflite", labelled, limit)


def test_a_float_file_has_no_trial(made: Path, labelled: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="there is nothing to compare a float file with"):
        convert(str(made / "small.safetensors"), tmp_path / "net.tflite", float=True, data=labelled)


def test_wrong_data_is_reported_before_the_work(made: Path, tmp_path: Path) -> None:
    """Photos without labels before anything is opened, foreign classes before anything is quantized."""
    with pytest.raises(EdgenetError, match="have no labels"):
        tried(made, tmp_path / "net.tflite", PHOTOS)
    for name in ("oak", "elm"):
        (tmp_path / "trees" / name).mkdir(parents=True)
        shutil.copyfile(next(PHOTOS.glob("*.jpg")), tmp_path / "trees" / name / "photo.jpg")
    stages = []
    with pytest.raises(EdgenetError, match="not among its labels: elm, oak"):
        convert(
            str(made / "small.safetensors"),
            tmp_path / "net.tflite",
            calibration=PHOTOS,
            photos=8,
            recipe="minmax",
            progress=lambda stage, done, total: stages.append(stage),
            data=tmp_path / "trees",
        )
    assert not {"reading photos", "observing tensors"} & set(stages)
    assert not (tmp_path / "net.tflite").exists()


def test_the_source_is_not_overwritten_by_a_rejected_file(made: Path, labelled: Path, tmp_path: Path) -> None:
    source = tmp_path / "net.rejected.tflite"
    shutil.copyfile(made / "float.tflite", source)
    with pytest.raises(EdgenetError, match="is also the input"):
        convert(
            str(source),
            tmp_path / "net.tflite",
            calibration=PHOTOS,
            photos=8,
            recipe="minmax",
            data=labelled,
            max_drop=0.5,
        )
    assert source.read_bytes() == (made / "float.tflite").read_bytes()
