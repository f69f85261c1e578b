"""Reading what benchmark_model prints."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmark_outputs import ANDROID, as_older, output
from edgenet_device.runtime import Delegate

from edgenet.errors import EdgenetError
from edgenet.latency.benchmark_model_report import (
    NOTHING_KNOWN,
    OperatorRow,
    Timings,
    read_delegate,
    read_operators,
    read_timings,
)

RUNS = Timings(
    n=283, min_ms=2.471, p50_ms=3.271, max_ms=10.668, mean_ms=3522.01 / 1e3, std_ms=1.053, load_ms=8.414,
    first_inference_ms=4.624,
)  # fmt: skip


def test_timings() -> None:
    assert read_timings(output("runs")) == RUNS
    assert read_timings(output("delegated")).n == 269  # the tables have such lines, too


def test_timings_of_an_older_program() -> None:
    assert read_timings(as_older(output("runs"))) == replace(RUNS, p50_ms=None)


def test_a_single_run() -> None:
    found = read_timings(output("one-run"))
    assert (found.n, found.min_ms, found.p50_ms, found.max_ms, found.mean_ms, found.std_ms) == (
        1, 4.443, 4.443, 4.443, 4.443, 0.0,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "hello\n", output("not-a-model"), output("runs").partition("Inference")[0]]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(EdgenetError, match="printed no timings; its last line is: "):
        read_timings(text)


def test_the_delegated_operators() -> None:
    assert read_delegate(output("runs"), 33) == Delegate("XNNPACK", 33, 33, 1)
    assert read_delegate(output("runs"), None) == NOTHING_KNOWN
    assert read_delegate(output("runs") + ANDROID, None) == Delegate("XNNPACK", 33, 33, 1)
    older = "INFO: Replacing 31 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 2 partitions."
    assert read_delegate(older, 33) == Delegate("XNNPACK", 31, 33, 2)
    none = "INFO: Though XNNPACK delegate is explicitly applied, the model graph will not be executed by the delegate."
    assert read_delegate(none, 33) == Delegate(None, 0, 33, 0)
    part = (
        "Explicitly applied XNNPACK delegate, and the model graph will be partially executed by the delegate w/ 2 "
        "delegate kernels."
    )
    assert read_delegate(part, 33) == NOTHING_KNOWN  # which nodes these take it does not say


def test_operators_within_the_delegate() -> None:
    rows = read_operators(output("delegated"))
    assert len(rows) == 33
    assert rows[2] == OperatorRow("Convolution (NHWC, QC8) IGEMM", None, 0.66)
    assert {row.output for row in rows} == {None}
    assert rows[-1].kind == "Softmax (NC, F32)"
    assert sum(row.ms for row in rows) == pytest.approx(read_timings(output("delegated")).mean_ms, rel=0.05)


def test_operators_of_the_built_in_kernels() -> None:
    rows = read_operators(output("kernels"))
    assert [row.kind for row in rows[:4]] == ["DEQUANTIZE", "QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D"]
    assert rows[3] == OperatorRow("DEPTHWISE_CONV_2D", "features.1/depthwise/conv", 1.68)


def test_operators_of_an_older_program() -> None:
    assert read_operators(output("older")) == (
        OperatorRow("QUANTIZE", "x", 0.2),
        OperatorRow("Convolution (NHWC, QS8)", None, 1.4),
        OperatorRow("Softmax (NC, F32)", None, 0.6),
        OperatorRow("WHERE", "w", 1.0),  # 0.25 ms each of four times
    )


def test_no_table_of_operators() -> None:
    for text in (output("runs"), "Operator-wise Profiling Info for Regular Benchmark Runs:\n"):
        with pytest.raises(EdgenetError, match="printed no table of operators"):
            read_operators(text)
