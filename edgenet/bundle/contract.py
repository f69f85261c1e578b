"""What a .tflite file takes and gives, read from its schema without running it."""

from __future__ import annotations

import struct
from typing import Any

from device_scripts.flatbuffer_check import check_tflite
from edgenet.bundle.manifest import InputContract, OutputContract
from edgenet.errors import EdgenetError

SIGNATURE = "serving_default"

_REMEDY = "make the model with `edgenet convert`, which writes what every client takes"
# What flatbuffers' generated readers raise when offsets lead nowhere.
_DAMAGED = (struct.error, IndexError, ValueError, TypeError, AttributeError)


def read_contract(model: bytes) -> tuple[InputContract, OutputContract]:
    """The input and the output of an image classifier.

    Args:
        model: a .tflite file: input uint8 [1, H, W, 3], output float32 [1, N], signature `serving_default`.

    Raises:
        EdgenetError: it is no .tflite, it is damaged, or it takes or gives something else.
    """
    if model[4:8] != b"TFL3":
        raise EdgenetError("the model is not a .tflite file (no TFL3 at byte 4)", _REMEDY)
    check_tflite(model, "the model")
    try:
        (source, *_), (target, *_) = _ports(model)
    except _DAMAGED as error:
        raise EdgenetError("the .tflite model is damaged", "fetch or convert it again") from error
    name, dtype, shape = source
    if dtype != "UINT8" or len(shape) != 4 or shape[0] != 1 or shape[3] != 3 or min(shape) < 1:
        raise EdgenetError(f"the model's input is {dtype} {shape}, expected UINT8 [1, H, W, 3]", _REMEDY)
    out_name, out_dtype, out_shape = target
    if out_dtype != "FLOAT32" or len(out_shape) != 2 or out_shape[0] != 1 or out_shape[1] < 1:
        raise EdgenetError(f"the model's output is {out_dtype} {out_shape}, expected FLOAT32 [1, N]", _REMEDY)
    return InputContract(name, height=shape[1], width=shape[2]), OutputContract(out_name, out_shape[1])


_Port = tuple[str, str, list[int]]


def _ports(model: bytes) -> tuple[list[_Port], list[_Port]]:
    """Name in the signature, type and shape of all inputs, and of all outputs: one of each, or an error."""
    from ai_edge_litert import schema_py_generated as schema  # 20,000 lines: only when needed

    root = schema.Model.GetRootAs(model, 0)
    types = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
    signatures = [root.SignatureDefs(index) for index in range(root.SignatureDefsLength())]
    found = [item for item in signatures if item.SignatureKey() == SIGNATURE.encode()]
    if not found:
        raise EdgenetError(f"the model has no signature {SIGNATURE}", _REMEDY)
    signature = found[0]
    graph = root.Subgraphs(signature.SubgraphIndex())
    inputs = [signature.Inputs(index) for index in range(signature.InputsLength())]
    outputs = [signature.Outputs(index) for index in range(signature.OutputsLength())]
    if len(inputs) != 1 or len(outputs) != 1:
        raise EdgenetError(
            f"the model has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each", _REMEDY
        )
    return [_port(graph, item, types) for item in inputs], [_port(graph, item, types) for item in outputs]


def _port(graph: Any, port: Any, types: dict[int, str]) -> _Port:
    tensor = graph.Tensors(port.TensorIndex())
    shape = [int(tensor.Shape(index)) for index in range(tensor.ShapeLength())]
    return port.Name().decode(), types.get(tensor.Type(), "an unknown type"), shape
