"""What `convert` writes: the precision of the network, the types at its two ends, and the format of the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.manifest import Facts
from edgenet.tflite.forms import IO_TYPES, dynamic_program, float16_program, with_io
from edgenet.tflite.from_graph import write_model
from edgenet.tflite.program import Program

PRECISIONS = ("int8", "float16", "dynamic", "float32")
FORMATS = ("tflite", "onnx")


@dataclass(frozen=True)
class OutputForm:
    """The form of a file.

    Attributes:
        precision: one of PRECISIONS; only int8 needs calibration photos.
        io: the type of the input and output, one of IO_TYPES; None for uint8 pixels and float32 scores, which every
            client takes.
        format: one of FORMATS.

    Raises:
        EdgenetError: there is no such form.
    """

    precision: str
    io: str | None = None
    format: str = "tflite"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("precision", self.precision, PRECISIONS),
            ("io", self.io or "uint8", IO_TYPES),
            ("format", self.format, FORMATS),
        ):
            if value not in known:
                raise EdgenetError(f"there is no --{name} {value}", f"give one of {', '.join(known)}")
        if self.format == "onnx" and (self.io is not None or self.precision not in ("int8", "float32")):
            raise EdgenetError(
                "an .onnx takes float32 pixels and is int8 (QDQ) or float32",
                "leave out --io, and give --precision int8 or float32",
            )

    def program(self, made: Program) -> Program:
        """Return a client's program, float or int8, in this form."""
        if self.precision == "float16":
            made = float16_program(made)
        elif self.precision == "dynamic":
            made = dynamic_program(made)
        return made if self.io is None else with_io(made, self.io)

    def write(self, made: Program, facts: Facts, labels: tuple[str, ...] | None) -> bytes:
        """Return the bytes of the file of a client's program, float or int8."""
        if self.format == "onnx":
            from edgenet.to_onnx import onnx_file  # onnx takes 20 MB of memory: import it late

            return onnx_file(made, facts, labels)
        return write_model(self.program(made), facts, labels, made.tensors[made.input].quantization)


def output_form(out: Path, is_float: bool, precision: str | None, io: str | None) -> OutputForm:
    """Return the form that was asked for: int8 unless another precision is, and ONNX if `out` ends in .onnx.

    Raises:
        EdgenetError: the wishes contradict each other, or there is no such form.
    """
    if is_float and precision not in (None, "float32"):
        raise EdgenetError(f"float and precision {precision} were both asked for", "leave out one of them")
    file_format = "onnx" if out.suffix.lower() == ".onnx" else "tflite"
    return OutputForm(precision or ("float32" if is_float else "int8"), io, file_format)
