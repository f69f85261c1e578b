"""Converts ONNX to TensorFlow with onnx-tf, and then to an int8 .tflite with TFLiteConverter.

This is the old route, for users who need it. onnx-tf has had no release since 2022 and needs a TensorFlow of
that time: 2.4 GB, Python 3.11 at the latest. onnx-tf keeps ONNX's NCHW layout and puts a TRANSPOSE before and
after every convolution. The resulting file nevertheless has the same input and output as edgenet's own files:
uint8 pixels in, float32 probabilities out.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from edgenet_device.streams import quiet_native_stderr
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.from_graph import INPUT_NAME, OUTPUT_NAME
from edgenet.tflite.program import FileOperator, FileTensor, Program, Quantization
from edgenet.zoo.classifier import Normalization

if TYPE_CHECKING:
    import onnx


NAME = "onnx-tf"
OPSET = 13
"""The newest ONNX opset that onnx-tf 1.10 supports completely."""
STEPS = (
    "onnx-tf makes a TensorFlow graph of it, NCHW",
    "TFLiteConverter: full-integer post-training quantization, per-channel weights",
)
_PACKAGES = ("onnx_tf", "tensorflow")
_INSTALL = "install the extra onnx-tf (2.4 GB) in an environment of its own with Python 3.11 or 3.10"


@dataclass(frozen=True)
class OnnxNetwork:
    """A classifier in the form that onnx-tf takes.

    Attributes:
        model: takes one normalized RGB picture [1, 3, H, W] and returns logits [1, N].
        normalization: how pixels are turned into the model's input.
    """

    model: onnx.ModelProto
    normalization: Normalization


def check_installed() -> None:
    """Check that the needed packages are installed; otherwise the error would come only after minutes.

    Raises:
        EdgenetError: a package is not installed.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return
    running = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    found = f"--backend {NAME} needs {' and '.join(missing)}, which this {running} does not have"
    raise EdgenetError(found, _INSTALL)


def versions() -> dict[str, str]:
    """Return the versions of the packages that do the conversion."""
    return {name: version(name) for name in (NAME, "tensorflow", "onnx")}


def convert_int8(network: OnnxNetwork, images: NDArray[np.uint8]) -> Program:
    """Quantize a network to an int8 program in edgenet's layout.

    Args:
        network: the network as ONNX.
        images: calibration photos, uint8 RGB [n, H, W, 3].

    Raises:
        EdgenetError: onnx-tf or TFLiteConverter cannot convert the network; the message ends with their own
            error.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reads this only when it is imported
    try:
        with quiet_native_stderr():
            data = _tensorflow_int8(network, images)
    except Exception as error:  # onnx-tf and TensorFlow raise many kinds of errors
        words = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()[:300]
        raise EdgenetError(f"{NAME} cannot convert this network: {words}", "leave out --backend") from error
    return _with_softmax(read_tflite(data, f"what {NAME} made"))


def _tensorflow_int8(network: OnnxNetwork, images: NDArray[np.uint8]) -> bytes:
    """Return an int8 .tflite that turns uint8 pixels [1, H, W, 3] with scale 1 into float32 logits."""
    import tensorflow as tf
    from onnx_tf.backend import prepare

    converted = prepare(network.model)
    mean, std = (np.array(v, np.float32) for v in (network.normalization.mean, network.normalization.std))
    shape = (1, *images.shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name=INPUT_NAME)])
    def from_pixels(image: Any) -> Any:
        planes = tf.transpose((image - mean) / std, (0, 3, 1, 2))
        return converted.tf_module(**{converted.inputs[0]: planes})[converted.outputs[0]]

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [from_pixels.get_concrete_function()], converted.tf_module
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: _representative(images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    return bytes(converter.convert())


def _representative(images: NDArray[np.uint8]) -> Iterator[list[NDArray[np.float32]]]:
    """Yield the photos as float32, one at a time.

    Two pixels of the first photo are set to 0 and 255, so that the input's range is exactly 0 to 255 and one
    quantization step is one pixel value.
    """
    for number, image in enumerate(images):
        photo = image[None].astype(np.float32)
        if number == 0:
            photo[0, 0, :2] = ((0,), (255,))
        yield [photo]


def _with_softmax(program: Program) -> Program:
    """Rename the program's input and output as edgenet does, and add a float32 softmax at the end."""
    image, logits = program.tensors[program.input], program.tensors[program.output]
    if image.quantization != Quantization((1.0,), (0,)) or logits.dtype != "float32":
        raise EdgenetError(
            f"{NAME} made a file with an unexpected input: {image.dtype}, {image.quantization}",
            "leave out --backend",
        )
    tensors = list(program.tensors)
    tensors[program.input] = replace(image, name=INPUT_NAME)
    tensors[program.output] = replace(logits, name="logits/real")
    tensors.append(FileTensor(OUTPUT_NAME, logits.shape, "float32"))
    softmax = FileOperator("SOFTMAX", 1, (program.output,), (len(program.tensors),), {"beta": 1.0})
    return replace(
        program,
        tensors=tuple(tensors),
        operators=(*program.operators, softmax),
        output=len(program.tensors),
    )
