"""The client for ExecuTorch's runtime with XNNPACK; see `benchmarks.peers.runtime_client`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from executorch.backends.xnnpack import serialization
from executorch.backends.xnnpack.serialization.xnnpack_graph_serialize import XNNHeader
from executorch.exir._serialize._flatbuffer import _flatc_decompile
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime as ExecuTorch

from benchmarks.peers.runtime_client import Inference, Runtime, serve


def load(file: Path) -> Runtime:
    """Return the file's only method, with one thread."""
    _unsafe_reset_threadpool(1)
    method = ExecuTorch.get().load_program(file).load_method("forward")

    def given(photo: np.ndarray) -> Inference:
        inputs = (torch.from_numpy(photo),)
        return lambda: method.execute(inputs)[0].numpy().copy()

    return Runtime(given, lambda: _operators(file))


def _operators(file: Path) -> Counter[str]:
    """Count the operators in the graphs that XNNPACK runs, and those that ExecuTorch runs itself."""
    program = deserialize_pte_binary(file.read_bytes()).program
    plan = program.execution_plan[0]
    counts: Counter[str] = Counter()
    for instruction in (one for chain in plan.chains for one in chain.instructions):
        if type(instruction.instr_args).__name__ == "KernelCall":
            counts[plan.operators[instruction.instr_args.op_index].name] += 1
    for delegate in plan.delegates:
        counts += _xnnpack_operators(bytes(program.backend_delegate_data[delegate.processed.index].data))
    return counts


def _xnnpack_operators(data: bytes) -> Counter[str]:
    header = XNNHeader.from_bytes(data[: XNNHeader.EXPECTED_LENGTH])
    graph = data[header.flatbuffer_offset :][: header.flatbuffer_size]
    with TemporaryDirectory() as folder:
        binary, schema = Path(folder) / "graph.bin", Path(folder) / "schema.fbs"
        binary.write_bytes(graph)
        schema.write_bytes((Path(serialization.__path__[0]) / "schema.fbs").read_bytes())
        _flatc_decompile(folder, str(schema), str(binary))
        nodes = json.loads(binary.with_suffix(".json").read_text())["xnodes"]
    return Counter(node["xnode_union_type"].removeprefix("XNN") for node in nodes)


if __name__ == "__main__":
    serve(load)
