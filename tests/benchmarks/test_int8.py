"""The int8 benchmark: its figures on numbers computed by hand, its goals at their limits, and its kept files."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_graphs import build, float_file, interpreter, quantize
from small_network import PHOTOS, RESOLUTION, save_small_checkpoint
from tiny_model import tiny_model

from benchmarks.accuracy import compare, cut_at_logits, integer_logits_of, logits_of
from benchmarks.environments import ROOT
from benchmarks.normalizations import SLIM
from benchmarks.quantizing import inputs
from benchmarks.quantizing.conversions import Workshop, convert
from benchmarks.quantizing.converters import AI_EDGE, Converter, our_code
from benchmarks.quantizing.goals import LIMITS, Goal, cut_goal, judge_goals
from benchmarks.quantizing.inputs import FEW_NAME, draw_name
from benchmarks.quantizing.judging import Judge, check_integer_reading, held_out
from benchmarks.quantizing.networks import SLIM_WEIGHTS, Network
from benchmarks.quantizing.rows import CutComparison, IntegerCheck, Row
from benchmarks.quantizing.tables import table
from benchmarks.quantizing.totals import CALIBRATION_DATA, totals
from benchmarks.tflite_files import put_pixels
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.graph.ir import Unary
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.from_graph import raw_program
from edgenet.workflows.convert import convert as edgenet_convert

SMALL = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)


def network(source: Path) -> Network:
    return Network("v1", "a small network", source, (), None, SLIM, 0, source.parent)


class TestMeasure:
    def test_the_figures_of_logits_worked_out_by_hand(self) -> None:
        real = np.array([[4, 0, 0], [0, 4, 0], [0, 0, 4], [4, 0, 0]], np.float32)
        logits = real.copy()
        logits[1] = [1, 0, 0]  # was right, is wrong
        labels = np.array([0, 1, 0, 0])  # the third photo is wrong in both
        figures = compare(real, logits, labels)
        assert (figures.float_top1, figures.top1, figures.drop) == (75, 50, 25)
        assert (figures.agreement, figures.lost, figures.won, figures.n) == (75, 1, 0, 4)
        assert figures.sqnr_db == pytest.approx(10 * np.log10(64 / 17))

    def test_a_constant_added_to_a_photos_logits_is_not_an_error_once_centred(self) -> None:
        real = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
        figures = compare(real, real + np.arange(5, dtype=np.float32)[:, None], np.zeros(5, int))
        assert figures.sqnr_db < 0
        assert figures.centred_sqnr_db > 100
        assert figures.agreement == 100

    def test_the_logits_are_what_the_softmax_takes(self, tmp_path: Path) -> None:
        """The tiny model's class c has four times the mean of colour c."""
        path = tmp_path / "tiny.tflite"
        path.write_bytes(tiny_model())
        expected = 4 * (SMALL.astype(np.float64).mean((1, 2)) - 127) / 127.5
        np.testing.assert_allclose(logits_of(path, SMALL, SLIM), expected, atol=1e-4)

    def test_pixels_go_in_as_each_file_wants_them(self) -> None:
        """uint8 as they are; int8 and float32 after the normalization, here (pixel - 127) / 127.5."""
        graph = build(lambda builder, source: builder.add(Unary("relu"), [source], "out"), (8, 8))
        int8 = write_tflite(raw_program(quantize(graph, SMALL)))
        centred = ((127.0,) * 3, (127.5,) * 3)
        for content, expected in (
            (tiny_model(), SMALL[:1]),
            (int8, (SMALL[:1].astype(int) - 128).astype(np.int8)),
            (float_file(graph), ((SMALL[:1] - 127.0) / 127.5).astype(np.float32)),
        ):
            runner = interpreter(content)
            put_pixels(runner, SMALL[:1], centred)
            given = runner.get_tensor(runner.get_input_details()[0]["index"])
            assert given.dtype == expected.dtype
            np.testing.assert_array_equal(given, expected)

    def test_a_file_without_softmax_is_refused(self) -> None:
        with pytest.raises(EdgenetError, match="does not end in a softmax"):
            cut_at_logits(cut_at_logits(tiny_model()))


@pytest.fixture(scope="module")
def small_int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    source = save_small_checkpoint(folder / "small.safetensors")
    edgenet_convert(str(source), folder / "small.tflite", calibration=PHOTOS, photos=8, recipe="minmax")
    return folder / "small.tflite"


class TestIntegerReading:
    def test_it_equals_what_litert_runs(self, small_int8: Path) -> None:
        images = load_all(open_photos(PHOTOS), RESOLUTION, limit=6).images
        judge = Judge(
            network(small_int8), images, np.zeros(6, int), np.zeros((6, 5), np.float32), np.zeros(6, int)
        )
        check = check_integer_reading(judge, small_int8, range(6))
        assert check == IntegerCheck(photos=6, values=30, different=0, largest=0)
        # The int8 logits, and the same logits dequantized.
        integers, real = integer_logits_of(small_int8, images, SLIM), logits_of(small_int8, images, SLIM)
        assert integers.dtype == np.int8
        assert np.ptp(integers.astype(int)) > 10
        assert np.corrcoef(integers.ravel(), real.ravel())[0, 1] == pytest.approx(1, abs=1e-6)

    def test_a_file_that_cannot_be_read_back_does_not_count_as_equal(self, tmp_path: Path) -> None:
        path = tmp_path / "tiny.tflite"
        path.write_bytes(tiny_model())  # float
        judge = Judge(network(path), SMALL, np.zeros(6, int), np.zeros((6, 3), np.float32), np.zeros(6, int))
        check = check_integer_reading(judge, path, range(6))
        assert "not int8" in (check.error or "")
        assert not check.equal


def test_a_draw_never_judges_itself() -> None:
    draws = np.arange(500) % 5
    for draw in range(3):
        judged = held_out(draws, draw_name(draw))
        assert len(judged) == 400
        assert not set(judged) & set(range(draw, 500, 5))
    # Other sets are judged on the photos outside the first draw, so that they can be compared with it.
    assert held_out(draws, FEW_NAME) == held_out(draws, CALIBRATION_DATA) == held_out(draws, draw_name(0))


def test_every_converter_calibrates_on_the_pixels_that_edgenet_sees(tmp_path: Path) -> None:
    archive, rng = tmp_path / "photos.zip", np.random.default_rng(2)
    listing = io.StringIO()
    rows = csv.writer(listing)
    rows.writerow(["file", "class_index", "name"])
    with zipfile.ZipFile(archive, "w") as photos:
        for index in range(40):
            small = rng.integers(0, 256, (5, 7, 3), np.uint8)
            big = cv2.resize(small, (350, 260), interpolation=cv2.INTER_CUBIC)
            photos.writestr(f"{index:03}.jpg", cv2.imencode(".jpg", big)[1].tobytes())
            rows.writerow([f"{index:03}.jpg", index, f"class {index}"])
        photos.writestr("labels.csv", listing.getvalue())
    inputs.write_photos(archive, tmp_path / "inputs")

    with np.load(tmp_path / "inputs" / inputs.JUDGED) as judged:
        images, labels = judged["images"], judged["labels"]
    assert labels.tolist() == list(range(40))
    seen = []
    for draw in range(5):
        pngs = sorted((tmp_path / "inputs" / draw_name(draw)).glob("*.png"))
        assert len(pngs) == 8
        for png in pngs:
            seen.append(int(png.stem))
            np.testing.assert_array_equal(cv2.imread(str(png))[:, :, ::-1], images[int(png.stem)])
    assert sorted(seen) == list(range(40))
    few = {int(png.stem) for png in (tmp_path / "inputs" / FEW_NAME).glob("*.png")}
    assert few <= set(range(0, 40, 5))


def row(converter: str, photos: str = "draw-0", network: str = "v1", **changes: object) -> Row:
    """Return a row that meets every goal of `balanced` on V1; `changes` replace figures and fields."""
    figures = {"drop": 0.25, "agreement": 99.0, "sqnr_db": 27.0, "top1": 90.5, "float_top1": 90.75, "n": 400}
    figures |= {"lost": 3, "won": 2, "kl": 0.0061, "worst_db": 24.5, "saturated": 2}
    figures |= {key: value for key, value in changes.items() if key in figures}
    made = Row(network, converter, photos, None, figures, 60.0, 500.0, 4_000_000, 33, None)
    fields = {key: value for key, value in changes.items() if key not in figures}
    return dataclasses.replace(made, **fields)


def verdicts(*rows: Row) -> dict[str, Goal]:
    return {goal.goal: goal for goal in judge_goals(rows, {"v1": 32, "v2": 72, "lite0": 62})}


def only(goals: dict[str, Goal], words: str) -> Goal:
    (found,) = [goal for text, goal in goals.items() if words in text]
    return found


class TestGoals:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"drop": 0.31}, "top-1 drop at most 0.3"),
            ({"agreement": 98.4}, "agreement at least 98.5"),
            ({"sqnr_db": 26.4}, "SQNR of the logits at least 26.5"),
            ({"wall_s": 90.5}, "at most 90 s"),
            ({"operators": 35}, "at most 34 operators"),
        ],
    )
    def test_each_limit_can_be_missed(self, change: dict[str, float], words: str) -> None:
        assert only(verdicts(row("edgenet balanced")), words).met is True
        assert only(verdicts(row("edgenet balanced", **change)), words).met is False

    def test_the_limits_are_those_of_the_draws_mean(self) -> None:
        draws = [
            row("edgenet balanced", draw_name(k), drop=drop) for k, drop in enumerate((0.75, -0.25, 0.4))
        ]
        drop = only(verdicts(*draws), "top-1 drop")
        assert (drop.seen, drop.met) == ("0.30", True)

    def test_a_recipe_that_failed_misses_its_goals(self) -> None:
        failed = dataclasses.replace(row("edgenet balanced"), figures=None, error="out of memory")
        goals = verdicts(failed, row(AI_EDGE))
        assert {goal.met for goal in goals.values()} == {False}
        assert len(goals) == 5  # four limits, and the peer

    def test_better_than_a_peer_means_in_everything(self) -> None:
        ours = row("edgenet balanced")
        worse = {"drop": 0.5, "agreement": 98.0, "sqnr_db": 20.0}
        assert only(verdicts(ours, row(AI_EDGE, **worse)), AI_EDGE).met is True
        for key in worse:
            assert (
                only(verdicts(ours, row(AI_EDGE, **(worse | {key: ours.figures[key]}))), AI_EDGE).met is False
            )

    def test_integers_must_be_equal(self) -> None:
        for different, met in ((0, True), (1, False)):
            check = IntegerCheck(20, 20_020, different, different)
            assert only(verdicts(row("edgenet fast", integer=check)), "integer reading").met is met

    def test_sensitivity_to_the_calibration_photos(self) -> None:
        sets = {"draw-0": 0.25, "draw-1": 0.0, "draw-2": 0.5, FEW_NAME: 0.25, CALIBRATION_DATA: 0.75}

        def seen(changed: dict[str, float]) -> tuple[bool | None, bool | None]:
            drops = (sets | changed).items()
            goals = verdicts(*(row("edgenet balanced", name, drop=drop) for name, drop in drops))
            return only(goals, "of each other").met, only(goals, "drop with calibration_data/").met

        assert seen({}) == (True, True)
        assert seen({CALIBRATION_DATA: 1.0}) == (True, False)
        assert seen({FEW_NAME: 0.75}) == (False, True)

    def test_made_again_must_be_the_same(self) -> None:
        assert only(verdicts(row("edgenet fast", repeatable=True)), "same bytes").met is True
        assert only(verdicts(row("edgenet fast", repeatable=False)), "same bytes").met is False

    def test_cut_channels_must_pay(self) -> None:
        cut = CutComparison((10.0, 9.5), (100, 90), (90.0, 90.0), (94.0, 94.0), 0.95)
        assert cut_goal("v1", cut).met is True
        assert cut_goal("v1", dataclasses.replace(cut, ratio=0.97)).met is False
        assert cut_goal("v1", dataclasses.replace(cut, top1=(90.0, 89.0))).met is False
        assert cut_goal("v1", None).met is None

    def test_every_recipe_of_the_limits_exists(self) -> None:
        assert {recipe for _, recipe in LIMITS} == {"fast", "balanced", "best"}


def writer(tmp_path: Path, code: str) -> Converter:
    """Return a converter that runs `code` with the output's path as its argument."""
    script = tmp_path / "converter.py"
    script.write_text(code)
    return Converter(
        "a/b c", None, lambda n, p, out: [sys.executable, str(script), str(out)], (script,), bool
    )


COUNTING = """import sys, pathlib
out = pathlib.Path(sys.argv[1])
log = out.parent.parent / "log"
log.write_text((log.read_text() if log.exists() else "") + "x")
out.write_text(%s)
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., tuple[object, int]]:
    """Return a function that converts with some code; it returns the result and how often the code has run so far."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "1.png").write_bytes(b"one")

    def run(code: str, again: bool = False) -> tuple[object, int]:
        where = Workshop(tmp_path / "files", again)
        made = convert(where, writer(tmp_path, code), network(tmp_path / "none"), photos, "draw-0")
        log = tmp_path / "files" / "v1" / "log"
        return made, len(log.read_text()) if log.exists() else 0

    return run


class TestKeptFiles:
    def test_the_code_of_edgenet_s_conversions_exists(self) -> None:
        assert [path for path in our_code() if not path.exists()] == []

    def test_run_once_and_kept_until_code_or_photos_change(self, make: Callable, tmp_path: Path) -> None:
        first, runs = make(COUNTING % "'same'")
        again, runs_again = make(COUNTING % "'same'")
        assert (runs, runs_again, again) == (1, 1, first)
        assert first.wall_s > 0
        assert make(COUNTING % "'other'")[1] == 2
        (tmp_path / "photos" / "2.png").write_bytes(b"two")
        assert make(COUNTING % "'other'")[1] == 3

    def test_a_second_conversion_shows_whether_the_bytes_are_the_same(self, make: Callable) -> None:
        assert make(COUNTING % "'same'")[0].repeatable is None
        assert make(COUNTING % "'same'", again=True)[0].repeatable is True
        grows = COUNTING % "log.read_text()"
        make(grows)
        assert make(grows, again=True)[0].repeatable is False

    def test_code_that_does_not_exist_is_reported(self, tmp_path: Path) -> None:
        moved = Converter("a", None, lambda n, p, out: [str(out)], (tmp_path / "moved.py",), bool)
        with pytest.raises(EdgenetError, match=r"there is no .*moved\.py"):
            convert(Workshop(tmp_path, False), moved, network(tmp_path / "none"), tmp_path, "draw-0")

    def test_a_failure_is_reported_and_not_kept(self, make: Callable) -> None:
        failed, _ = make("import sys; sys.exit('no luck')")
        assert failed.path is None
        assert "no luck" in failed.error
        assert make(COUNTING % "'now'")[0].path is not None


def test_the_table_shows_figures_failures_and_goals() -> None:
    rows = [row("edgenet balanced"), row("edgenet balanced", FEW_NAME), row(AI_EDGE, drop=7.25)]
    rows.append(dataclasses.replace(row("edgenet best"), figures=None, error="it said:\nno such recipe"))
    goals = judge_goals(rows, {"v1": 32})
    report = {
        "networks": {"v1": {"title": "MobileNetV1"}},
        "references": [dataclasses.asdict(row("Keras float", sqnr_db=110.0))],
        "rows": [dataclasses.asdict(one) for one in rows],
        "totals": [dataclasses.asdict(one) for one in totals(rows)],
        "goals": [dataclasses.asdict(goal) for goal in goals],
        "load_before": 3.0,
    }
    text = table(json.loads(json.dumps(report)))
    for part in (
        "7.25 (7.25)",
        "failed: no such recipe",
        f"calibrated with {FEW_NAME}: drop 0.25",
        "the same network",
        "met     v1 balanced: top-1 drop at most 0.3 points: 0.25",
        "MISSED  v1 best: top-1 drop at most 0.2 points: the conversion failed",
        "The machine was busy",
    ):
        assert part in text


def run_benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.int8", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_wrong_arguments_and_missing_data_are_reported_in_one_line(tmp_path: Path) -> None:
    wrong = run_benchmark("--networks", "v1,v9")
    assert wrong.returncode == 2
    assert "there is no 'v9', choose from v1,v2,lite0" in wrong.stderr
    missing = run_benchmark("--networks", "v1", "--data", str(tmp_path))
    assert missing.returncode == 1
    assert len(missing.stderr.splitlines()) == 1
    assert "imagenet-sample-500.zip" in missing.stderr


def every_fifth_photo(data: Path, folder: Path) -> Path:
    """Write the benchmark's data with a fifth of the photos, 100; each calibration set then has a fifth of these."""
    folder.mkdir()
    (folder / SLIM_WEIGHTS).symlink_to(data / SLIM_WEIGHTS)
    with zipfile.ZipFile(data / inputs.PHOTOS) as whole, zipfile.ZipFile(folder / inputs.PHOTOS, "w") as part:
        header, *rows = whole.read("labels.csv").decode().splitlines()
        for row in rows[::5]:
            name = row.partition(",")[0]
            part.writestr(name, whole.read(name))
        part.writestr("labels.csv", "\n".join([header, *rows[::5]]))
    return folder


@pytest.mark.slow
def test_one_command_gives_a_report(shared_data: Path, tmp_path: Path) -> None:
    done = run_benchmark(
        *(
            "--networks",
            "v1",
            "--recipes",
            "minmax",
            "--sensitivity",
            "minmax",
            "--draws",
            "1",
            "--no-latency",
        ),
        *("--data", str(every_fifth_photo(shared_data, tmp_path / "data"))),
        *("--json", str(tmp_path / "report.json")),
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert [one["photos"] for one in report["rows"]] == ["draw-0", FEW_NAME, CALIBRATION_DATA]
    for one in report["rows"]:
        # TF-slim's V1 by the plainest recipe: FIELD's 90.9 against 92.9 on other photos
        assert one["figures"]["n"] == 80
        assert 88 < one["figures"]["float_top1"] < 94
        assert 90 < one["figures"]["agreement"] < 97
        assert 12 < one["figures"]["sqnr_db"] < 15
    assert report["rows"][0]["integer"]["different"] == 0
    assert "edgenet minmax" in done.stdout
