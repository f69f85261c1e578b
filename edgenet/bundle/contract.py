"""Read the input and the output of a .tflite file from its schema, without running the model."""

from __future__ import annotations

import struct
from typing import Any

from device_scripts.flatbuffer_check import check_tflite
from edgenet.bundle.manifest import InputContract, OutputContract
from edgenet.errors import EdgenetError

SIGNATURE = "serving_default"

_REMEDY = "make the model with `edgenet convert`, whose models every client accepts"
# Exceptions that flatbuffers' generated readers raise when an offset in a damaged file is wrong.
_DAMAGED = (struct.error, IndexError, ValueError, TypeError, AttributeError)


def read_contract(model: bytes) -> tuple[InputContract, OutputContract]:
    """Return the input and the output of an image classifier.

    Args:
        model: the contents of a .tflite file with the signature `serving_default`, input uint8 [1, H, W, 3]
            and output float32 [1, N].

    Raises:
        EdgenetError: the model is not a .tflite file, is damaged, or has another signature, input or output.
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
    """Return (signature name, type, shape) of the inputs and of the outputs; there must be one of each."""
    from ai_edge_litert import schema_py_generated as schema  # 20,000 lines, so not imported above

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
