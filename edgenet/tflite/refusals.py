"""Error messages for .tflite files that edgenet does not take: what was found and what would help."""

from __future__ import annotations

from collections.abc import Sequence

from ai_edge_litert import schema_py_generated as schema

from edgenet.errors import EdgenetError
from edgenet.text import one_line
from edgenet.tflite.program import FileOperator, FileTensor, Program

CONTROL_FLOW = (
    *("IF", "WHILE", "CALL", "CALL_ONCE"),
    *("STABLEHLO_WHILE", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE"),
)
VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
FLOAT_FILE = "give the float file it was made from"
RELU6 = "train with ReLU or ReLU6, which int8 keeps best"
FLEX = "convert the network without SELECT_TF_OPS, with operators of TensorFlow Lite only"
NO_FLIP = "edgenet gives RGB; convert the network without the reversal of channels"
NO_RESIZE = "edgenet takes classifiers; resize photos before the network"

REMEDIES: dict[str, str] = {
    **dict.fromkeys(("LEAKY_RELU", "PRELU", "ELU", "GELU", "TANH"), RELU6),
    **dict.fromkeys(("RELU_N1_TO_1", "RELU_0_TO_1"), "use ReLU6 (0 to 6) or ReLU (0 and up)"),
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), NO_RESIZE),
    **dict.fromkeys(("REVERSE_V2", "REVERSE_SEQUENCE"), NO_FLIP),
    **dict.fromkeys(("SUM", "REDUCE_MAX"), "only height and width together are supported"),
    "DIV": "only division by a constant is supported",
    "CAST": "only a cast of uint8 pixels to float32, as the first operator, is supported",
    "MIRROR_PAD": "use padding with zeros",
    "TRANSPOSE_CONV": "edgenet takes classifiers, which do not upsample",
    "ARG_MAX": "convert the network without ArgMax, so that it ends in its scores",
    "LOG_SOFTMAX": "convert the network without LogSoftmax; edgenet adds the softmax itself",
}


def remedy_for(kind: str, supported: Sequence[str]) -> str:
    """Return the advice for an operator that edgenet does not take.

    Args:
        kind: the operator.
        supported: the operators that edgenet takes, named if there is no better advice.
    """
    if kind.startswith("CUSTOM 'Flex"):
        return FLEX
    if kind.startswith("CUSTOM"):
        return "convert the network with operators of TensorFlow Lite only"
    return REMEDIES.get(kind, f"edgenet takes {', '.join(sorted({*supported}))}")


def not_a_model(data: bytes, where: str) -> EdgenetError:
    """Return the error for data that does not begin as a .tflite file does."""
    if not data:
        return EdgenetError(f"{where} is empty (0 bytes)", "copy or convert it again")
    if data.startswith(b"PK"):
        return EdgenetError(
            f"{where} is a zip archive, perhaps a bundle of edgenet", "give the .tflite file itself"
        )
    return EdgenetError(f"{where} is not a .tflite file (no TFL3 at byte 4)", "give a .tflite model")


def check_subgraphs(model: schema.Model, where: str) -> None:
    """Refuse a file with several subgraphs: networks of several signatures, or branches of control flow."""
    if model.SubgraphsLength() == 1:
        return
    keys = [model.SignatureDefs(i).SignatureKey() for i in range(model.SignatureDefsLength())]
    names = one_line(", ".join((key or b"").decode(errors="replace") for key in keys))
    signatures = f" (signatures: {names})" if names else ""
    raise EdgenetError(
        f"{where} has {model.SubgraphsLength()} subgraphs{signatures}",
        "edgenet reads files with one subgraph and no control flow; convert a single signature",
    )


def check_control_flow(tensors: Sequence[FileTensor], operators: Sequence[FileOperator], where: str) -> None:
    """Refuse conditions, loops, calls and variables; the error names the operator and its output."""
    for operator in operators:
        at = (
            f"{operator.kind} at '{tensors[operator.outputs[0]].name}'" if operator.outputs else operator.kind
        )
        if operator.kind in CONTROL_FLOW:
            raise EdgenetError(
                f"{where} has control flow: {at}",
                "edgenet reads plain classifiers; convert the network for inference, without loops or conditions",
            )
        if operator.kind in VARIABLES:
            raise EdgenetError(
                f"{where} keeps its weights in variables: {at}",
                "convert it with frozen weights, as TFLiteConverter.from_keras_model does",
            )


def check_ports(
    tensors: Sequence[FileTensor], inputs: Sequence[int], outputs: Sequence[int], where: str
) -> None:
    """Refuse a file without exactly one input and one output; the error names them all."""
    if len(inputs) == len(outputs) == 1:
        return
    ports = (_ports("input", inputs, tensors), _ports("output", outputs, tensors))
    raise EdgenetError(
        f"{where} has {' and '.join(ports)}",
        "edgenet reads classifiers with one of each: one picture in, one vector of scores out",
    )


def _ports(kind: str, indices: Sequence[int], tensors: Sequence[FileTensor]) -> str:
    names = ", ".join(f"{tensors[i].name} {list(tensors[i].shape)}" for i in indices)
    return f"{len(indices)} {kind}{'s' * (len(indices) != 1)} ({names})"


def sparse(name: str) -> EdgenetError:
    """Return the error for pruned weights that are stored without their zeros."""
    return EdgenetError(
        f"the weights '{name}' are stored as sparse", "convert the network with dense weights"
    )


def check_float(program: Program) -> None:
    """Refuse a file that is quantized already; the error says how.

    Raises:
        EdgenetError: the file has 8 or 16 bit activations, or 8, 4 or 2 bit weights.
    """
    kind = _quantized_kind(program)
    if kind is not None:
        raise EdgenetError(f"the .tflite is quantized already: {kind}", FLOAT_FILE)


def _quantized_kind(program: Program) -> str | None:
    tensors = program.tensors
    computed = {tensors[i].dtype for operator in program.operators for i in operator.outputs}
    if "int16" in computed:
        return "it has 16 bit activations and integer weights"
    if "int8" in computed:
        return "it has int8 weights and activations"
    if "uint8" in computed:
        return "it has uint8 weights and activations, TensorFlow 1's older scheme"
    weights = {
        tensors[i].dtype
        for operator in program.operators
        for i in operator.inputs
        if i >= 0 and i != program.input and tensors[i].quantization is not None
    }
    few_bits = weights & {"int8", "uint8", "int4", "uint4", "int2"}
    if few_bits:
        return f"its weights are {' and '.join(sorted(few_bits))}, its activations float (dynamic range)"
    return None
