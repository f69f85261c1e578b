"""What `benchmark_model` prints: figures of ours in the form that its source prints (see `tool_output`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_scripts.delegate import Delegate
from edgenet.errors import EdgenetError
from edgenet.latency.tool_output import read_operators, read_run

LOGS = Path(__file__).parent / "benchmark_model"
RUN = (LOGS / "run.txt").read_text()
WHOLE = "INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate."
STATISTICS = next(line for line in RUN.splitlines() if "count=58" in line)


def test_a_run() -> None:
    run = read_run(RUN, 33)
    assert (run.init_ms, run.first_ms) == (5.021, 2.614)
    assert (run.n, run.min_ms, run.p50_ms, run.max_ms) == (58, 1.640, 1.694, 1.893)
    assert (run.mean_ms, run.std_ms) == (pytest.approx(1.7012), 0.039)
    assert run.delegate == Delegate("XNNPACK", 33, 33, 1)


def test_what_was_delegated_is_what_it_tells() -> None:
    quiet = "\n".join(line for line in RUN.splitlines() if "Replacing" not in line)
    assert read_run(quiet, 33).delegate == Delegate(None, None, None, None)
    assert read_run(f"{WHOLE}\n{quiet}", 33).delegate == Delegate("XNNPACK", 33, 33, 1)
    partly = WHOLE.replace("completely", "partially").replace("delegate.", "delegate w/ 2 delegate kernels.")
    assert read_run(f"{partly}\n{quiet}", 33).delegate == Delegate(None, None, None, None)


def test_runs_that_took_exactly_as_long() -> None:
    same = RUN.replace(STATISTICS, "INFO: count=58 curr=7 (all same) p5=7 median=7 p95=7")
    run = read_run(same, 33)
    assert (run.n, run.min_ms, run.p50_ms, run.max_ms, run.std_ms) == (58, 0.007, 0.007, 0.007, 0.0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "ends with: nothing"),
        ("ERROR: Failed to load model bad.tflite\n", "ends with: ERROR: Failed to load model bad.tflite"),
        (RUN.replace(STATISTICS, STATISTICS.partition(" p5=")[0]), "averages and no median"),
        (RUN.partition("INFO: Inference timings")[0], "tells no timings"),
    ],
)
def test_no_run(text: str, found: str) -> None:
    with pytest.raises(EdgenetError, match=found):
        read_run(text, 33)


def test_operators_of_the_timed_runs() -> None:
    """Not those of the beginning, nor those sorted by time; an average is of one call."""
    older = read_operators(RUN + (LOGS / "operators_with_start.txt").read_text())
    assert [(one.kind, one.name, one.ms) for one in older] == [
        ("CONV_2D", "[features.0/conv]:2", 0.702),
        ("DEPTHWISE_CONV_2D", "[features.1/depthwise/conv]:3", 0.190),
    ]
    newer = read_operators(RUN + (LOGS / "operators.txt").read_text())
    assert [one.kind for one in newer] == ["Convolution (NHWC, QC8) IGEMM", "Convolution (NHWC, QC8) DWConv"]
    assert newer[1].ms == pytest.approx(13 * 0.031)


def test_no_operators() -> None:
    for text in (RUN, RUN + (LOGS / "operators.txt").read_text().replace("[avg ms]", "[ms]")):
        with pytest.raises(EdgenetError, match="no times of operators"):
            read_operators(text)
