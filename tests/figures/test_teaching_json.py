"""The report of a training for programs: its indices hold, and it is strict JSON whatever photos are called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgenet_device.foreign_text import read_json
from teaching_reports import small_report

from edgenet.figures.teaching_facts import FORMAT, write_report_json


def test_the_report_says_what_the_page_says(tmp_path: Path) -> None:
    write_report_json(tmp_path / "report.json", small_report())
    found = read_json((tmp_path / "report.json").read_bytes())
    assert found["format"] == FORMAT
    assert found["accuracy"]["interval"] == {"low": 70.0, "high": 91.0}
    assert [one["name"] for one in found["classes"]] == ["bolt", "nut"]
    wrong = found["label_errors"][0]
    assert found["photos"][wrong["index"]]["file"] == "bolt/1.jpg"
    assert {
        pair["given"]: [found["photos"][i]["file"] for i in pair["photos"]] for pair in found["mixups"]
    } == {
        0: ["bolt/1.jpg"],
        1: ["nut/4.jpg"],
    }
    assert found["twice_as_many_photos"]["accuracy"] == 90.0
    assert found["skipped"] == [{"file": "IMG_1.HEIC", "reason": "it is HEIC"}]


def test_names_that_are_no_text_and_missing_parts(tmp_path: Path) -> None:
    report = small_report(curve=None, int8=None, unknown=None)
    photos = (replace(report.photos[0], file="bolt/\udcff.jpg"), *report.photos[1:])
    write_report_json(tmp_path / "report.json", replace(report, photos=photos))
    found = read_json((tmp_path / "report.json").read_bytes(), surrogates=True)
    assert found["photos"][0]["file"] == "bolt/\udcff.jpg"
    assert found["int8"] is found["unknown"] is found["twice_as_many_photos"] is None
