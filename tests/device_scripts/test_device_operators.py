"""Truncated networks, and the time of each operator."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.flatbuffer import check_tflite
from edgenet_device.latency import measure
from edgenet_device.latency.measure import TruncatedModel
from edgenet_device.latency.samples import fill_input
from edgenet_device.model_file import open_model
from edgenet_device.runtime import load_runtime, make_interpreter
from model_files import Run

from edgenet.errors import EdgenetError


def test_every_beginning_computes_what_the_network_computes(tiny_tflite: Path) -> None:
    """Each prefix's output is the tensor that the whole network, keeping all its tensors, has there."""
    model, runtime = open_model(tiny_tflite), load_runtime()
    whole = runtime.interpreter(model_content=model.data, experimental_preserve_all_tensors=True)
    whole.allocate_tensors()
    fill_input(whole)
    whole.invoke()
    nodes = [node for node in whole._get_ops_details() if node["op_name"] != "DELEGATE"]
    truncated = TruncatedModel(model.data, "tiny")
    assert truncated.count == len(nodes) == 4
    for count, node in enumerate(nodes, 1):
        data = truncated.first(count)
        check_tflite(data, "prefix")
        assert len(data) == len(model.data)
        part = make_interpreter(runtime, replace(model, data=data), 1)
        fill_input(part)
        part.invoke()
        (output,) = part.get_output_details()
        assert output["index"] == node["outputs"][0]
        np.testing.assert_array_equal(part.get_tensor(output["index"]), whole.get_tensor(node["outputs"][0]))
    assert truncated.first(truncated.count) == model.data


def test_differences_are_paired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both see the same clock: the second takes 3 more, whatever time the machine adds to both."""
    now = [0]

    class Part:
        def __init__(self, ns: int) -> None:
            self.ns = ns

        def invoke(self) -> None:
            now[0] += self.ns

    found = measure._paired(Part(7), Part(10), lambda: now[0])
    assert set(found.tolist()) == {3}
    assert set(measure._paired(None, Part(10), lambda: now[0]).tolist()) == {10}
    assert found.size == measure.PROFILE_RUNS


def test_the_interval_of_a_difference() -> None:
    """1.57 times the interquartile range over the root of n: 8 of 1..16."""
    found = measure._difference(np.arange(1, 17) * 1_000_000)
    assert found == {"ms": 8, "low_ms": 8 - 1.57 * 8 / 4, "high_ms": 8 + 1.57 * 8 / 4}


def test_a_network_of_two_outputs_is_refused(tiny_tflite: Path) -> None:
    data = bytearray(tiny_tflite.read_bytes())
    truncated = TruncatedModel(bytes(data), "x")
    data[truncated._outputs] = 2
    with pytest.raises(EdgenetError, match="x does not have exactly one output"):
        TruncatedModel(bytes(data), "x")


def test_a_report_with_a_profile(run_copied: Run, tiny_bundle: Path) -> None:
    done = run_copied("measure_latency.py", tiny_bundle, "--min-seconds", 0.05, "--profile", "--json")
    assert done.returncode == 0, done.stderr
    profile = json.loads(done.stdout)["profile"]
    assert profile["clock"] == "CPU time"
    assert [row["kind"] for row in profile["operators"]] == [
        "DEQUANTIZE",
        "MEAN",
        "FULLY_CONNECTED",
        "SOFTMAX",
    ]
    assert [row["index"] for row in profile["operators"]] == [0, 1, 2, 3]
    assert all(row["low_ms"] <= row["ms"] <= row["high_ms"] for row in profile["operators"])
