"""Times each operator: the difference between two runs, one that stops after it and one just before it.

The runtime's Python interface has no profiler, so growing prefixes of the network are timed. Single runs of a
prefix and of the next longer one alternate, so that both meet the same state of the machine. With one thread
we compare the thread's CPU time, which other programs hardly disturb; with more threads we compare wall time.
An operator's time is the median of the differences, with its 95 % interval median ± 1.57 IQR/√n (McGill,
Tukey and Larsen, Variations of Box Plots, 1978).

An operator's time may come out below zero: the runtime fuses some operators with the next one (a PAD with its
convolution), and a prefix that ends between the two has to do more work than the whole network does there.
The sum of the two times is right.

To stop the network after an operator, three numbers of the flatbuffer are overwritten in a copy: how many
operators the main subgraph has, which tensor is its output, and which tensor the signature names as its output.
Nothing moves.
"""

from __future__ import annotations

import math
import struct
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.flatbuffer import elements, forward, slot, u32, vector
from edgenet_device.latency.affinity import Setting, staying_on
from edgenet_device.latency.interleaved import Say
from edgenet_device.latency.samples import fill_input, percentile
from edgenet_device.model_file import ModelFile, open_model
from edgenet_device.runtime import Runtime, make_interpreter, read_operators

METHOD = "growing prefixes of the network, timed alternately"
RUNS = 31
LONGEST_PAIR_S = 1.0
FEWEST_RUNS = 7
# Field numbers of TFLite's schema.fbs.
_MODEL_SUBGRAPHS, _MODEL_SIGNATURES = 2, 7
_SUBGRAPH_OUTPUTS, _SUBGRAPH_OPERATORS = 2, 3
_OPERATOR_OUTPUTS = 2
_SIGNATURE_OUTPUTS = 1
_MAP_TENSOR = 1


def time_operators(path: Path, runtime: Runtime, setting: Setting, say: Say) -> dict[str, Any]:
    """Time every operator of a model; at most two interpreters are loaded at any time.

    Returns:
        for the report: the method, the clock, and a row for each operator of the main subgraph, in order: its
        kind, the name of its output, and `ms` with the interval `low_ms` to `high_ms`.

    Raises:
        EdgenetError: the model cannot be used, or it does not have exactly one output.
    """
    model = open_model(path)
    truncated = TruncatedModel(model.data, str(path))
    stage = f"operators of {path.name}"
    clock = time.thread_time_ns if setting.threads == 1 else time.perf_counter_ns
    before: Any = None
    rows: list[dict[str, Any]] = []
    with staying_on(setting.cpus):
        for count in range(1, truncated.count + 1):
            say(stage, count - 1, truncated.count)
            now = _loaded(replace(model, data=truncated.first(count)), runtime, setting.threads)
            rows.append({**_named(now, count - 1), **_difference(_paired(before, now, clock))})
            before = now
    say(stage, truncated.count, truncated.count)
    name = "CPU time" if setting.threads == 1 else "wall time"
    return {"method": METHOD, "clock": name, "threads": setting.threads, "operators": rows}


def _loaded(model: ModelFile, runtime: Runtime, threads: int) -> Any:
    interpreter = make_interpreter(runtime, model, threads)
    fill_input(interpreter)
    interpreter.invoke()
    return interpreter


def _named(interpreter: Any, index: int) -> dict[str, Any]:
    """Return an operator's index, kind and output name; None for what the runtime does not report."""
    own = [node for node in read_operators(interpreter) or () if node["op_name"] != "DELEGATE"]
    names = {detail["index"]: detail["name"] for detail in interpreter.get_output_details()}
    return {
        "index": index,
        "kind": own[index]["op_name"] if index < len(own) else None,
        "output": next(iter(names.values()), None),
    }


def _paired(before: Any, now: Any, clock: Callable[[], int]) -> np.ndarray:
    """Return the nanoseconds [n] that `now` takes longer than `before`, pair by pair.

    Where `before` is None, they are the whole times of `now`.
    """
    differences: list[int] = []
    began = time.monotonic()
    while len(differences) < FEWEST_RUNS or (
        len(differences) < RUNS and time.monotonic() - began < LONGEST_PAIR_S
    ):
        start = clock()
        if before is not None:
            before.invoke()
        between = clock()
        now.invoke()
        end = clock()
        differences.append(end - between - (between - start if before is not None else 0))
    return np.array(differences)


def _difference(nanoseconds: np.ndarray) -> dict[str, float]:
    ms = nanoseconds / 1e6
    middle = percentile(ms, 50)
    half = 1.57 * (percentile(ms, 75) - percentile(ms, 25)) / math.sqrt(ms.size)
    return {"ms": middle, "low_ms": middle - half, "high_ms": middle + half}


class TruncatedModel:
    """A network that can be cut after any of its operators.

    Args:
        data: a .tflite whose tables are sound (`check_tflite`).
        name: what error messages call the file.

    Attributes:
        count: number of operators in the main subgraph.

    Raises:
        EdgenetError: the network has no subgraph, or not exactly one output.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        model = forward(data, 0)
        subgraphs = elements(data, model, _MODEL_SUBGRAPHS)
        outputs = vector(data, subgraphs[0], _SUBGRAPH_OUTPUTS) if subgraphs else None
        operators = vector(data, subgraphs[0], _SUBGRAPH_OPERATORS) if subgraphs else None
        if outputs is None or operators is None or u32(data, outputs) != 1:
            raise EdgenetError(
                f"the network in {name} does not have exactly one output, so its operators cannot be timed"
            )
        self._outputs, self._operators = outputs, operators
        self.count = u32(data, operators)
        self._signature_places = [
            place
            for signature in elements(data, model, _MODEL_SIGNATURES)
            for one in elements(data, signature, _SIGNATURE_OUTPUTS)
            if (place := slot(data, one, _MAP_TENSOR)) is not None
        ]

    def first(self, count: int) -> bytes:
        """Return the network cut after its first `count` operators (at least 1), as the bytes of a .tflite.

        Its output is the output of the last of these operators.
        """
        tensor = self._output_of(count - 1)
        patched = bytearray(self._data)
        struct.pack_into("<I", patched, self._operators, count)
        struct.pack_into("<i", patched, self._outputs + 4, tensor)
        for place in self._signature_places:
            struct.pack_into("<I", patched, place, tensor)
        return bytes(patched)

    def _output_of(self, index: int) -> int:
        element = self._operators + 4 + 4 * index
        outputs = vector(self._data, forward(self._data, element), _OPERATOR_OUTPUTS)
        assert outputs is not None  # every operator that these networks use has an output tensor
        return int(struct.unpack_from("<i", self._data, outputs + 4)[0])
