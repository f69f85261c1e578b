"""`edgenet.bench` on this machine, which is a device too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_model import tiny_model

import edgenet
from edgenet.errors import EdgenetError

BRIEF: dict[str, Any] = {"runs": 50, "min_seconds": 0.05}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two networks of the same name, in two folders."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / "a" / "tiny.tflite", folder / "b" / "tiny.tflite"]
    for path, size in zip(paths, (32, 96), strict=True):
        path.parent.mkdir()
        path.write_bytes(tiny_model(size=size))
    return paths


@pytest.mark.slow
def test_two_models_on_this_machine(models: list[Path], tmp_path: Path) -> None:
    stages: list[str] = []
    shown: list[str] = []
    result = edgenet.bench(
        models,
        on=["local"],
        **BRIEF,
        out=tmp_path / "made" / "here",
        progress=lambda stage, done, total: stages.append(stage),
        show=lambda report: shown.append(report["target"]),
    )
    assert [Path(name).name for name in result.files] == ["tiny.on-local.json", "tiny.2.on-local.json"]
    assert shown == ["local", "local"]
    assert {"local: cold starts", "local: runs"} <= set(stages)
    for path, report in zip(result.files, result.reports, strict=True):
        assert json.loads(Path(path).read_text()) == report
        assert report["target"] == "local"
        assert report["protocol"]["name"] == "custom"  # shorter than quick
    small, large = result.reports
    assert small["steady_state"]["p50_ms"] < large["steady_state"]["p50_ms"]  # nine times the pixels


@pytest.mark.parametrize(
    ("targets", "options", "reason"),
    [
        (["moon"], BRIEF, "'moon' is not a target"),
        ([], BRIEF, "nothing to measure"),
        (["local"], {"protocol": "slow"}, "no protocol 'slow'; give quick or standard"),
        (["local"], {"sustained": 30}, "30 s is too short"),
        (["local"], {"threads": 0}, r"the numbers of threads are \[0\]"),
    ],
)
def test_refused_before_anything_runs(
    models: list[Path], targets: list[str], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EdgenetError, match=reason):
        edgenet.bench(models, on=targets, **options)


def test_the_output_of_the_device_s_script_is_passed_on(models: list[Path]) -> None:
    with pytest.raises(
        EdgenetError, match=r"measuring on local failed: CPU 4000 is not among the usable CPUs"
    ):
        edgenet.bench(models, affinity="4000")


def test_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(b"no model at all")
    with pytest.raises(EdgenetError, match=r"neither a \.tflite nor a bundle"):
        edgenet.bench([tmp_path / "x.tflite"])
