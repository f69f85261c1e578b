"""The whole route on this machine, with a stand-in that prints the real program's output."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from benchmark_outputs import as_older, output
from edgenet_device.latency.affinity import found_sets
from edgenet_device.latency.conditions import device_facts
from edgenet_device.latency.report import table

from edgenet.devices.local import LocalDevice
from edgenet.errors import EdgenetError
from edgenet.latency.reading import read_report
from edgenet.latency.shell_conditions import conditions_there, facts_there
from edgenet.workflows.bench import bench
from edgenet.workflows.reports import compare
from edgenet.workflows.reports import report as make_page

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"),
    reason="the stand-in knows the instructions of two machines",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder in which this machine keeps what a device would keep."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def calls(program: Path) -> list[list[str]]:
    """Return the arguments of every call, except for the model's path."""
    return [line.split()[1:] for line in Path(f"{program}.calls").read_text().splitlines()]


def test_the_report(program, model: Path, tmp_path: Path) -> None:
    given = program()
    (report,) = bench(model, profile=True, benchmark_model=given).reports
    assert report["route"] == "benchmark_model"
    assert report["program"]["file"] == "benchmark_model"
    assert len(report["program"]["sha256"]) == 64
    steady = report["steady_state"]
    assert (steady["n"], steady["min_ms"], steady["p50_ms"], steady["max_ms"]) == (2830, 2.471, 3.271, 10.668)
    assert (steady["mean_ms"], steady["std_ms"]) == (pytest.approx(3.52201), pytest.approx(1.053))
    assert [steady[name] for name in ("p90_ms", "p99_ms", "samples_ns")] == [None] * 3  # it tells none
    assert report["cold_start"]["load_ms"] == 8.414
    assert report["cold_start"]["total_ms"] is None
    assert report["delegate"] == {"name": "XNNPACK", "nodes_taken": 4, "nodes_total": 4, "partitions": 1}
    assert len(report["profile"]["operators"]) == 33
    assert report["profile"]["operators"][2]["low_ms"] is None
    assert report["profile"]["operators"][2]["mult_adds"] is None  # which of ours it is, nobody knows
    assert report["device"]["cores"] == len(found_sets()[0].cpus)
    assert len(report["during"]) == 10
    assert "p90 -" in table(report)
    assert not list((tmp_path / "data/edgenet").iterdir())  # the model is gone again
    flags = ["--num_threads=1", "--warmup_runs=1", "--warmup_min_secs=0", "--num_runs=5", "--min_secs=0.1"]
    flags += ["--max_secs=600", "--use_xnnpack=true"]
    assert calls(given) == [flags] * 10 + [[*flags, "--enable_op_profiling=true"]]
    assert report["program"]["arguments"] == flags


def test_every_set_is_tried(program, model: Path) -> None:
    given = program()
    cpu = found_sets()[0].cpus[0]
    (report,) = bench(model, affinity=f"{cpu}/all", benchmark_model=given).reports
    assert [(row["threads"], row["cpus"], row["best"]) for row in report["tried"]] == [
        (1, str(cpu), True), (1, "all", False),
    ]  # fmt: skip
    assert report["affinity"] == [cpu]


def test_the_program_stays_on_its_cpus(program, model: Path, tmp_path: Path) -> None:
    note = tmp_path / "note"
    given = program(before=f"grep Cpus_allowed_list /proc/self/status >{note}")
    cpu = found_sets()[0].cpus[-1]
    bench(model, affinity=str(cpu), benchmark_model=given)
    assert note.read_text().split() == ["Cpus_allowed_list:", str(cpu)]


def test_models_take_turns(program, model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.tflite"
    other.write_bytes(model.read_bytes())
    given = program()
    reports = bench([model, other], benchmark_model=given).reports
    assert [report["model"]["file"] for report in reports] == ["tiny.tflite", "other.tflite"]
    order = [line.split()[0][-8] for line in Path(f"{given}.calls").read_text().splitlines()]
    assert "".join(order) == "0110" * 5


def test_a_program_that_prints_no_median(program, model: Path, tmp_path: Path) -> None:
    """The report is written without the value, and every reader states what it cannot do without it."""
    given = program(as_older(output("runs")))
    written = bench(model, benchmark_model=given, out=tmp_path / "reports")
    (report,) = written.reports
    assert report["steady_state"]["p50_ms"] is None
    assert report["steady_state"]["mean_ms"] == pytest.approx(3.52201)
    assert "p50 unknown: this benchmark_model is too old to report the median" in report["reasons"]
    assert "p50 -" in table(report)
    path = Path(written.files[0])
    page = make_page([path], tmp_path / "page.html")
    assert page.rows[0].p50_ms is None
    assert "reports no single runs" in (tmp_path / "page.html").read_text()
    with pytest.raises(EdgenetError, match="cannot be compared: it has neither single runs nor medians"):
        compare(path, path)
    with pytest.raises(EdgenetError, match="too old to report the median, by which we choose a setting"):
        bench(model, affinity="all/all", benchmark_model=given)


def test_reports_are_compared_by_the_medians_of_their_blocks(program, model: Path, tmp_path: Path) -> None:
    found = bench([model, model], benchmark_model=program(), out=tmp_path / "reports")
    result = compare(*map(Path, found.files))
    assert result.difference.paired
    assert result.difference.verdict == "no difference"
    assert (result.a.n, result.a.p90_ms) == (2830, None)
    page = make_page([Path(found.files[0])], tmp_path / "page.html")
    assert {Path(name).name for name in page.files} == {"page.html", "page.csv", "page-cold-start.png"}
    assert "benchmark_model" in (tmp_path / "page.html").read_text()


def test_a_damaged_report_is_refused(program, model: Path) -> None:
    (report,) = bench(model, benchmark_model=program()).reports
    for changes in ({"n": 0}, {"min_ms": -1.0}, {"block_p50_ms": [1.0, -1.0]}, {"min_ms": None}):
        changed = {**report, "steady_state": {**report["steady_state"], **changes}}
        with pytest.raises(EdgenetError):
            read_report(json.loads(json.dumps(changed)), "damaged.json")


def test_failures_say_why(program, model: Path) -> None:
    def refusal(given: Path, **options: object) -> str:
        with pytest.raises(EdgenetError) as error:
            bench(model, benchmark_model=given, **options)  # type: ignore[arg-type]
        return str(error.value)

    given = program("not-a-model", before="exec 2>&1", status=1)
    assert refusal(given).startswith(
        "benchmark_model failed on local with exit status 1: "
        "The model is not a valid Flatbuffer buffer; Failed to load model"
    )
    assert "with exit status 3: out of luck" in refusal(program("", before="echo out of luck >&2", status=3))
    assert "with exit status 139" in refusal(program(before="kill -SEGV $$"))
    assert "printed no timings; its last line is: 42" in refusal(program("42"))
    assert "printed no table of operators" in refusal(program(profile="runs"), profile=True)
    assert "benchmark_model cannot be used with --sustained" in refusal(program(), sustained=60)
    assert "benchmark_model cannot be used with --settle" in refusal(program(), settle=0)
    assert "CPU 4096 is not among the usable CPUs" in refusal(program(), affinity="4096")
    given = program()
    given.chmod(0o644)
    assert "local cannot start benchmark_model: " in refusal(given)


def test_a_browser_runs_no_programs(program, model: Path) -> None:
    with pytest.raises(EdgenetError, match="benchmark_model does not run in a browser"):
        bench(model, on="browser", benchmark_model=program())


def test_the_shell_and_the_device_scripts_report_the_same() -> None:
    facts, sets = facts_there(LocalDevice())
    known = device_facts()
    for name in ("cpu", "memory_bytes", "os", "kernel", "machine"):
        assert facts[name] == known[name], name
    assert sets == found_sets()
    assert conditions_there(LocalDevice()).load_average is not None
