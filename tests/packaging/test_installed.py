"""The wheel in an environment of its own, away from the repository: the command, the API, and the exported scripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from packaging_parts import Run, make_environment
from small_network import LABELS

pytestmark = pytest.mark.slow
SMALL = ("--calibration", "builtin", "--photos", 6, "--recipe", "minmax")


@pytest.fixture(scope="session")
def torchrun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `torchrun`, as pip would have installed it beside the wheel."""
    path = tmp_path_factory.mktemp("bin") / "torchrun"
    path.write_text("from torch.distributed.run import main\nmain()\n")
    return path


@pytest.fixture(scope="session")
def model(python: Path, run_in: Run, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An int8 file that the API made in the environment, with the photos that come with edgenet; not to be changed."""
    folder = tmp_path_factory.mktemp("model")
    code = (
        f"import edgenet; edgenet.convert({str(checkpoint)!r}, 'small.tflite', calibration='builtin', "
        "photos=6, recipe='minmax')"
    )
    run_in(python, "-c", code, cwd=folder)
    return folder / "small.tflite"


def test_everything_is_imported_from_the_environment(python: Path, run: Run, tmp_path: Path) -> None:
    code = (
        "import sys, edgenet, edgenet_device; from edgenet import assets; from importlib.metadata import version; "
        "print(edgenet.__file__, edgenet_device.__file__, assets.calibration_photos(), assets.device_scripts(), "
        "assets.clip(), *assets.device_files().values(), sep='\\n'); assert version('edgenet') == '0.1.0'"
    )
    paths = [Path(line) for line in run(python, "-c", code).splitlines()]
    assert len(paths) > 40
    for path in paths:
        assert path.is_relative_to(python.parents[1])
        assert path.exists()


def test_no_other_name_can_be_imported(python: Path, run: Run) -> None:
    code = (
        "from importlib.util import find_spec; "
        "print([name for name in ('device_scripts', 'calibration_data', 'tests', 'benchmarks') if find_spec(name)])"
    )
    assert run(python, "-c", code) == "[]\n"


@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("models",)])
def test_a_crowded_folder_does_not_disturb(
    python: Path, run: Run, crowded: Path, arguments: tuple[str, ...]
) -> None:
    asked = run(python, "-m", "edgenet", *arguments, cwd=crowded)
    assert asked == run(python.with_name("edgenet"), *arguments, cwd=crowded)
    assert asked.strip()


def test_a_checkout_runs_without_being_installed(device_python: Path, run: Run, used_checkout: Path) -> None:
    assert "export-scripts" in run(device_python, "-m", "edgenet", "--help", cwd=used_checkout)
    assert "usage: classify.py" in run(
        device_python, used_checkout / "device_scripts" / "classify.py", "--help"
    )


def test_a_checkout_can_be_installed_editable(
    run: Run, used_checkout: Path, tmp_path: Path, crowded: Path
) -> None:
    python = make_environment(tmp_path / "environment")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index")
    run(*pip, "--no-build-isolation", "--editable", used_checkout)
    code = (
        "from edgenet.assets import calibration_photos, device_files; "
        "print(calibration_photos(), *device_files().values(), sep='\\n')"
    )
    paths = [Path(line) for line in run(python, "-c", code).splitlines()]
    assert paths[0] == used_checkout / "calibration_data"
    assert all(path.is_relative_to(used_checkout / "device_scripts") for path in paths[1:])
    assert run(python, "-m", "edgenet", "--version", cwd=crowded) == "edgenet 0.1.0\n"
    assert run(python, "-m", "edgenet", "--version", cwd=used_checkout) == "edgenet 0.1.0\n"


def test_torchrun_in_a_crowded_folder(python: Path, run: Run, crowded: Path, torchrun: Path) -> None:
    text = run(python, torchrun, "--nproc-per-node", 1, "-m", "edgenet", "train", "--help", cwd=crowded)
    assert "Usage: edgenet train" in text


def test_a_removed_folder_is_one_line(python: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = 'cd gone && rmdir ../gone && exec "$0" -m edgenet --version'
    assert run("sh", "-c", script, python).startswith("edgenet ")


def test_convert_with_the_builtin_photos_in_a_crowded_folder(
    python: Path, run: Run, crowded: Path, checkpoint: Path, model: Path
) -> None:
    """The command makes the very file that the API made in another folder."""
    command = (python, "-m", "edgenet", "convert", checkpoint, *SMALL, "--out", "small.tflite", "--json")
    report = json.loads(run(*command, cwd=crowded))
    assert (crowded / "small.tflite").stat().st_size > 100_000
    assert report["quantization"]["calibration_count"] == 6
    assert model.read_bytes() == (crowded / "small.tflite").read_bytes()


def test_the_exported_folder_runs_where_edgenet_is_not_installed(
    python: Path, device_python: Path, run: Run, model: Path, tmp_path: Path
) -> None:
    text = run(python.with_name("edgenet"), "export-scripts", "device")
    assert "scp -r " in text
    assert "pip install" in text
    photo = tmp_path / "cat.jpg"
    code = "from edgenet.assets import calibration_photos; print(calibration_photos() / '0022_tabby-cat.jpg')"
    photo.write_bytes(Path(run(python, "-c", code).strip()).read_bytes())
    code = "from importlib.util import find_spec; print(find_spec('edgenet'), find_spec('edgenet_device'))"
    assert run(device_python, "-c", code) == "None None\n"
    device = (tmp_path / "device").rename(tmp_path / "on-the-pi v1.0")
    frame, summary = map(
        json.loads, run(device_python, device / "classify.py", model, photo, "--json").splitlines()
    )
    assert {best["label"] for best in frame["top"]} <= set(LABELS)
    assert summary["frames"] == 1
    for script in ("camera.py", "capture.py", "measure_latency.py"):
        assert f"usage: {script}" in run(device_python, device / script, "--help")


def test_the_demos_parts(python: Path, run: Run, model: Path, tmp_path: Path) -> None:
    """The demo itself takes a minute and needs the ImageNet weights; these are the files and programs that it uses."""
    run(python.with_name("edgenet"), "package", model, "--out", "small.edgenet")
    code = "from pathlib import Path; from edgenet.assets.digits import write_digits; write_digits(Path('d'))"
    run(python, "-c", code)
    assert len([path for path in (tmp_path / "d").rglob("*") if path.is_file()]) > 1000
    code = "from edgenet.assets import clip, device_scripts; print(device_scripts(), clip(), sep='\\n')"
    scripts, clip = run(python, "-c", code).splitlines()
    options = ("--every", 60, "--contact-sheet", "seen.jpg")
    assert "clip.mp4#0" in run(python, Path(scripts) / "classify.py", "small.edgenet", clip, *options)
    assert (tmp_path / "seen.jpg").stat().st_size > 1000
    run(python, Path(scripts) / "measure_latency.py", "small.edgenet", "--out", "latency.json")
    assert json.loads((tmp_path / "latency.json").read_text())["schema"] == "edgenet.latency.v1"
