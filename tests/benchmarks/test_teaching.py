"""The teaching benchmark: nothing is on both sides of a split, the goal's arithmetic, and resuming a stopped run."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from benchmarks import teaching
from benchmarks.classifying import sources
from benchmarks.classifying.methods import Int8, Lesson, Taught, fit_logistic_regression
from benchmarks.classifying.photo_sets import FASHION_CLASSES, MODULE, SETS, STUDENT
from benchmarks.classifying.results import Cell, Kept, Result, cells, judge, table
from benchmarks.classifying.sources import Place
from benchmarks.classifying.split import Photo, Split, apart, limited, sizes_of, write_folder
from benchmarks.classifying.stamps import TOOLS
from benchmarks.teaching import Plan, goal_lines, run
from edgenet.errors import EdgenetError


def result(method: str, top1: float, seed: int = 0, name: str = "signs", size: int = 10) -> Result:
    return Result(name, size, seed, method, 96, photos=10 * size, n=100, top1=top1, seconds=2.0)


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A cache folder that has the packages' files already: tiny pictures under the packages' own names."""
    root = tmp_path / "cache" / "packages"
    stamps = root / "tuxpaint-stamps-default/usr/share/tuxpaint/stamps/household/tools"
    stamps.mkdir(parents=True)
    for index, tool in enumerate(TOOLS):
        drawing = np.full((20, 30, 4), 20 * index, np.uint8)
        drawing[:, :, 3] = 255
        cv2.imwrite(str(stamps / f"{tool}.png"), drawing)
    cells_folder = root / "elpv-dataset/elpv_dataset/data"
    (cells_folder / "images").mkdir(parents=True)
    (cells_folder / "images/cell0001.png").write_bytes(b"one")
    probabilities = ("0.0", "1.0", "0.3333333333333333", "0.6666666666666666")
    (cells_folder / "labels.csv").write_text(
        "".join(f"images/cell{i:04d}.png  {probabilities[i % 4]}  mono\n" for i in range(1, 2625))
    )
    fashion = root / "dataset-fashion-mnist/usr/share/datasets/fashion-mnist"
    fashion.mkdir(parents=True)
    for part, n in (("train", 60), ("t10k", 20)):
        pictures = np.arange(n * 4, dtype=np.uint8).reshape(n, 2, 2)
        header = struct.pack(">4B3i", 0, 0, 8, 3, n, 2, 2)
        (fashion / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(header + pictures.tobytes()))
        labels = struct.pack(">4Bi", 0, 0, 8, 1, n) + bytes(i % 10 for i in range(n))
        (fashion / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return tmp_path / "cache"


class TestSplits:
    @pytest.mark.parametrize("name", SETS)
    def test_no_photo_and_no_origin_is_on_both_sides(
        self, name: str, shared_data: Path, packages: Path
    ) -> None:
        place = Place(shared_data, packages)
        seen = []
        for seed in (0, 1):
            split = SETS[name].split(place, seed)
            assert not {one.origin for one in split.training} & {one.origin for one in split.judged}
            assert not {one.name for one in split.training} & {one.name for one in split.judged}
            labels = set(range(len(SETS[name].classes)))
            assert {one.label for one in split.training} == {one.label for one in split.judged} == labels
            seen.append(split)
        assert [one.name for one in seen[0].training] != [one.name for one in seen[1].training]
        again = SETS[name].split(place, 1)
        assert (again.training, again.judged) == (seen[1].training, seen[1].judged)

    def test_no_student_signs_on_both_sides(self, shared_data: Path, tmp_path: Path) -> None:
        """A student's signs 0 to 9 were photographed in a row, so students are that many numbers apart."""
        for seed in range(5):
            split = SETS["hand-signs"].split(Place(shared_data, tmp_path), seed)
            training, judged = (
                np.array([int(photo.origin) for photo in part]) for part in (split.training, split.judged)
            )
            assert np.abs(training[:, None] - judged[None, :]).min() > STUDENT
            assert min(Counter(photo.label for photo in split.training).values()) >= 30
            assert min(Counter(photo.label for photo in split.judged).values()) >= 30

    def test_solar_cells_are_a_module_apart_and_only_the_sure_ones_count(
        self, tmp_path: Path, packages: Path
    ) -> None:
        split = SETS["solar-cells"].split(Place(tmp_path, packages), 3)
        training, judged = (
            np.array([int(photo.name[-8:-4]) for photo in part]) for part in (split.training, split.judged)
        )
        assert np.abs(training[:, None] - judged[None, :]).min() > MODULE
        for photo in (*split.training, *split.judged):
            assert (
                int(photo.name[-8:-4]) % 4 == photo.label
            )  # the labels repeat: sure 0, sure 1, unsure, unsure
        assert split.read(Photo(1, "images/cell0001.png", "")) == b"one"

    def test_cifars_judged_photos_are_its_test_photos(self, shared_data: Path, tmp_path: Path) -> None:
        split = SETS["cifar10"].split(Place(shared_data, tmp_path), 0)
        assert all("/train/" in photo.name for photo in split.training)
        assert all("/test/" in photo.name for photo in split.judged)
        assert set(Counter(photo.label for photo in split.judged).values()) == {200}

    def test_fashions_pictures_are_read_with_their_labels(self, tmp_path: Path, packages: Path) -> None:
        split = SETS["fashion"].split(Place(tmp_path, packages), 0)
        photo = next(one for one in split.judged if one.origin == "t10k 13")
        assert FASHION_CLASSES[photo.label] == "dress"
        pixels = cv2.imdecode(np.frombuffer(split.read(photo), np.uint8), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        assert pixels.tolist() == [[52, 53], [54, 55]]

    def test_a_stamp_is_composed_alike_each_time_and_shows_its_drawing(
        self, shared_data: Path, packages: Path
    ) -> None:
        split = SETS["stamps"].split(Place(shared_data, packages), 0)
        photo = split.training[0]
        assert split.read(photo) == split.read(photo)
        pixels = cv2.imdecode(np.frombuffer(split.read(photo), np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        assert pixels.shape == (192, 192, 3)
        assert split.read(photo) != split.read(split.training[len(TOOLS)])
        black = (pixels.astype(int).max(axis=2) < 12).mean()  # the first drawing of the fixture is black
        assert black > 0.05

    def test_stretches_that_are_judged_keep_their_distance(self) -> None:
        photos = [Photo(i % 3, f"{i}", f"{i}") for i in range(400)]
        training, judged = apart(
            photos, range(400), stretch=50, gap=7, share=0.25, random=np.random.default_rng(0)
        )
        assert len(judged) == 100
        places = np.array([int(one.name) for one in judged])
        assert all(np.abs(places - int(one.name)).min() > 7 for one in training)
        assert 400 - 100 - 2 * 2 * 7 <= len(training) <= 400 - 100 - 7

    def test_a_smaller_size_is_part_of_a_larger_one(self) -> None:
        photos = [Photo(i % 2, f"{i}", f"{i}") for i in range(20)]
        assert limited(photos, 3) == photos[:6]
        assert limited(photos, 99) == photos

    def test_sizes_stop_where_the_photos_are_used_up(self) -> None:
        photos = [Photo(0, f"{i}", f"{i}") for i in range(35)] + [
            Photo(1, f"b{i}", f"b{i}") for i in range(12)
        ]
        split = Split(photos, [], lambda photo: b"")
        assert sizes_of(split, (10, 30, 100, 500)) == [10, 30, 100]
        assert sizes_of(split, (10, 30, 35, 100)) == [10, 30, 35]
        assert sizes_of(split, (50,)) == [50]


class TestSources:
    def test_a_missing_zip_is_said_with_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(EdgenetError, match=r"cifar10-images\.zip does not exist; .*--data"):
            SETS["cifar10"].split(Place(tmp_path, tmp_path), 0)

    def test_without_debians_tools_the_reason_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sources.shutil, "which", lambda name: None)
        with pytest.raises(EdgenetError, match="dataset-fashion-mnist is a Debian package"):
            SETS["fashion"].split(Place(tmp_path, tmp_path), 0)

    def test_a_download_that_fails_leaves_nothing_that_looks_complete(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sources.sys, "executable", "/bin/false")
        with pytest.raises(EdgenetError, match="failed: no output"):
            Place(tmp_path, tmp_path).pypi("elpv-dataset==0")
        assert not (tmp_path / "packages" / "elpv-dataset").exists()


class TestGoal:
    def test_the_gap_is_to_the_best_other_mean_over_common_seeds(self) -> None:
        found = cells(
            [
                result("linear", 80, 0), result("linear", 90, 1), result("linear", 10, 2),
                result("today", 84, 0), result("today", 88, 1),
                result("auto", 85, 0), result("auto", 86, 1), result("auto", 99, 3),
            ]
        )  # fmt: skip
        assert found[0].gap("auto") == pytest.approx(85.5 - 86)
        assert found[0].gap("linear") == pytest.approx(85 - 86)

    @pytest.mark.parametrize(
        ("gaps", "overall", "missed", "reached"),
        [
            ((-0.5, 2.5), 1.0, (), True),
            ((-0.6, 4.0), 1.7, (("a", 10),), False),
            ((0.9, 0.9), 0.9, (), False),
        ],
    )
    def test_the_limits(self, gaps: tuple[float, float], overall: float, missed: Any, reached: bool) -> None:
        found = [
            Cell(name, 10, {"linear": {0: 80.0}, "auto": {0: 80.0 + gap}}, {}, 100)
            for name, gap in zip("ab", gaps, strict=True)
        ]
        goal = judge(found, "auto")
        assert goal.overall == pytest.approx(overall)
        assert (goal.missed, goal.reached) == (missed, reached)
        assert ("missed)" in "\n".join(goal_lines(goal))) == bool(missed)

    def test_without_the_method_or_a_common_seed_nothing_is_judged(self) -> None:
        assert judge(cells([result("linear", 80)]), "auto").overall is None
        goal = judge(cells([result("linear", 80, 0), result("auto", 90, 1)]), "auto")
        assert goal.overall is None
        assert not goal.reached
        assert "not judged" in goal_lines(goal)[0]

    def test_the_table_has_mean_and_spread(self) -> None:
        found = cells([result("linear", 80, 0), result("linear", 90, 1), result("today", 70.25)])
        row = table(found, ("linear", "today", "auto")).splitlines()[2]
        assert row == "| signs | 10 (100 in all) | 85.0 ± 7.1 % (n=2, 2 s) | 70.2 % (n=1, 2 s) | - |"


class TestKept:
    def test_a_line_that_was_cut_off_loses_only_its_result(self, tmp_path: Path) -> None:
        kept = Kept(tmp_path / "new" / "results.jsonl")
        assert kept.read() == {}
        kept.add(result("linear", 80))
        with kept.path.open("a") as file:
            file.write('{"set": "signs", "si')
        kept.add(result("today", 70))
        kept.add(result("linear", 81))
        assert list(kept.read().values()) == [result("linear", 81), result("today", 70)]


def save_photos(folder: Path) -> Path:
    """Write a zip like that of the hand signs: every class is a grey of its own."""
    with zipfile.ZipFile(folder / "hand-signs.zip", "w") as archive:
        for number in range(1000, 1600):
            pixels = np.full((16, 16, 3), 25 * (number % 10), np.uint8)
            data = cv2.imencode(".jpg", pixels)[1].tobytes()
            archive.writestr(f"hand-signs/{number % 10}/IMG_{number}.JPG", data)
    return folder


class Brightness:
    """A method that knows the greys of the classes; it counts its lessons, and can be stopped in one of them."""

    def __init__(self) -> None:
        self.lessons: list[tuple[str, int]] = []
        self.stop_in = -1

    def __call__(self, lesson: Lesson) -> Taught:
        if len(self.lessons) == self.stop_in:
            (lesson.work / "half").write_text("a training that was killed")
            raise KeyboardInterrupt
        assert not list(lesson.work.iterdir())
        self.lessons.append((lesson.photos.name, lesson.seed))
        names = (*"9876543210", "nothing I know")
        greys = 25.0 * np.arange(9, -1, -1)

        def score(images: np.ndarray) -> np.ndarray:
            near = -np.abs(images.mean(axis=(1, 2, 3))[:, None] - greys)
            return np.hstack([near, np.full((len(images), 1), 99)]).astype(np.float32)

        # The "int8 file" has its labels in another order, and takes the brightest class for the next one.
        int8 = Int8(names[-2::-1], lambda images: score(np.minimum(images, 200))[:, -2::-1])
        return Taught(names, score, {"kind": "brightness"}, int8)


class TestRun:
    PLAN = Plan(("hand-signs",), (10, 30), (0, 1), ("fake",), resolution=16)

    @pytest.fixture
    def fake(self, monkeypatch: pytest.MonkeyPatch) -> Brightness:
        fake = Brightness()
        monkeypatch.setitem(teaching.METHODS, "fake", fake)
        return fake

    def test_a_run_that_was_stopped_continues(self, tmp_path: Path, fake: Brightness) -> None:
        place, work = Place(save_photos(tmp_path), tmp_path), tmp_path / "work"
        fake.stop_in = 2
        with pytest.raises(KeyboardInterrupt):
            run(self.PLAN, place, work)
        fake.stop_in = -1
        run(self.PLAN, place, work)
        assert fake.lessons == [("train-10-0", 0), ("train-10-1", 1), ("train-30-0", 0), ("train-30-1", 1)]
        kept = Kept(work / "results.jsonl").read()
        assert [one.top1 for one in kept.values()] == [
            100.0
        ] * 4  # the answer "nothing I know" does not count
        assert {one.details["int8_top1"] for one in kept.values()} == {90.0}
        assert {one.photos for one in kept.values()} == {100, 300}
        assert {one.details["kind"] for one in kept.values()} == {"brightness"}
        run(self.PLAN, place, work)
        assert len(fake.lessons) == 4
        assert not list((work / "runs").iterdir())

    def test_results_of_an_older_version_of_a_method_are_measured_again(
        self, tmp_path: Path, fake: Brightness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place, work = Place(save_photos(tmp_path), tmp_path), tmp_path / "work"
        plan = replace(self.PLAN, sizes=(10,), seeds=(0,))
        for version in (1, 2):
            monkeypatch.setitem(teaching.VERSIONS, "fake", version)
            run(plan, place, work)
            run(plan, place, work)
            assert len(fake.lessons) == version
            results = Kept(work / "results.jsonl").read().values()
            assert [one.version for one in teaching.chosen(results, plan)] == [version]
        assert [one.version for one in results] == [1, 2]

    def test_ctrl_c_says_how_to_go_on(
        self,
        tmp_path: Path,
        fake: Brightness,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        fake.stop_in = 0
        monkeypatch.setitem(teaching.METHODS, "linear", fake)
        options = {
            "data": save_photos(tmp_path),
            "cache": tmp_path / "c",
            "sets": "hand-signs",
            "methods": "linear",
        }
        monkeypatch.setattr(
            "sys.argv", ["teaching", *(f"--{name}={value}" for name, value in options.items())]
        )
        assert teaching.main() == 130
        assert "the same command continues" in capsys.readouterr().err

    def test_a_set_that_cannot_be_had_is_left_out_with_a_reason(
        self, tmp_path: Path, fake: Brightness, capsys: pytest.CaptureFixture[str]
    ) -> None:
        plan = Plan(("cifar10", "hand-signs"), (10,), (0,), ("fake",), resolution=16)
        run(plan, Place(save_photos(tmp_path), tmp_path), tmp_path / "work")
        assert len(fake.lessons) == 1
        assert "cifar10 is left out: " in capsys.readouterr().err

    def test_a_method_that_fails_does_not_stop_the_others(
        self, tmp_path: Path, fake: Brightness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(lesson: Lesson) -> Taught:
            raise EdgenetError("nothing was learnt", "give up")

        monkeypatch.setitem(teaching.METHODS, "fails", fails)
        plan = Plan(("hand-signs",), (10,), (0,), ("fails", "fake"), resolution=16)
        run(plan, Place(save_photos(tmp_path), tmp_path), tmp_path / "work")
        assert [one.method for one in Kept(tmp_path / "work" / "results.jsonl").read().values()] == ["fake"]

    def test_the_report_is_printed_without_running(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        kept = Kept(tmp_path / f"version-{teaching.VERSION}" / "results.jsonl")
        current = teaching.VERSIONS["auto"]
        kept.add(result("linear", 80.0, name="hand-signs"))
        kept.add(result("auto", 50.0, name="hand-signs"))  # by an older version
        for size, lost in ((10, 1.0), (30, 0.5)):
            both = replace(
                result("auto", 82.0, name="hand-signs", size=size),
                details={"int8_top1": 82 - lost},
                version=current,
            )
            kept.add(both)
        arguments = ["--report", "--cache", str(tmp_path), "--json", str(tmp_path / "report.json")]
        monkeypatch.setattr("sys.argv", ["teaching", *arguments])
        assert teaching.main() == 0
        printed = capsys.readouterr().out
        assert "hand-signs, 10 a class: auto is +2.0 points from the best other" in printed
        assert "int8 loses 0.75 points on the mean, at most 1.00 (hand-signs, 10 a class)." in printed
        assert "hand-signs is judged on photos of other students; not of ImageNet's kind." in printed
        assert json.loads((tmp_path / "report.json").read_text())["goal"]["reached"]


class TestMethods:
    def test_logistic_regression_is_at_the_minimum_of_its_objective(self) -> None:
        random = np.random.default_rng(0)
        labels = [0, 1, 2] * 10
        features = random.normal(size=(30, 5)).astype(np.float32) + np.array(labels, np.float32)[:, None]
        weight, bias = fit_logistic_regression(features, labels)
        error = torch.softmax(torch.from_numpy(features @ weight.T + bias), 1).numpy() - np.eye(3)[labels]
        np.testing.assert_allclose(error.T @ features + weight, 0, atol=1e-3)
        np.testing.assert_allclose(error.sum(axis=0), 0, atol=1e-3)

    @pytest.mark.slow
    def test_the_methods_learn_two_colours(self, tmp_path: Path) -> None:
        random = np.random.default_rng(0)
        photos = [Photo(i % 2, f"{i}.png", f"{i}") for i in range(65)]

        def draw(photo: Photo) -> bytes:
            pixels = random.integers(0, 100, (64, 64, 3)).astype(np.uint8)
            pixels[..., 2 * photo.label] += 150
            return cv2.imencode(".png", pixels)[1].tobytes()

        folder = write_folder(tmp_path / "photos", photos, ("blue", "red"), draw)
        for method, least in (("linear", 100), ("adamw", 90), ("auto", 100)):
            (tmp_path / method).mkdir()
            lesson = Lesson(folder, 48, 0, tmp_path / method, minutes=0.9)  # too short for the slower recipe
            made = teaching.teach_and_judge(("colours", 16, 0), method, lesson, folder, 65)
            assert made.top1 >= least
            assert made.n == 65
            assert ("int8_top1" in made.details) == (method == "auto")
