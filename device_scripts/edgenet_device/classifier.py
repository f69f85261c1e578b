"""The classifier: a network that turns one picture at a time into scores and labels."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from edgenet_device.entry import default_threads
from edgenet_device.errors import EdgenetError, whole_number
from edgenet_device.frames import Frame
from edgenet_device.model_file import ModelFile, open_model
from edgenet_device.runtime import (
    REFUSALS,
    Runtime,
    find_delegate,
    load_runtime,
    make_interpreter,
    reason_of,
)

if TYPE_CHECKING:
    from edgenet_device.preprocess import CentreSquare

Picture = Union[Frame, np.ndarray, str, "os.PathLike[str]"]
NOTHING_KNOWN = "nothing I know"
"""What is shown instead of a label for something that the network does not know.

It is also the label of the output that some networks have for such things; see `edgenet.teaching.unknown`.
"""
Label = tuple[int, str, float]
"""A class: its index, its label and its score."""


class Classifier:
    """An image classifier: `classifier.top(picture)` gives its best labels, `classifier(picture)` all scores.

    A picture is one of these:

    - a frame of a `Camera`, which states its own channel order; give the frame itself, not its pixels;
    - an array, uint8 **RGB** [height, width, 3], values 0 to 255. OpenCV gives BGR: turn its arrays round
      with `array[..., ::-1]`;
    - the path of a photo, which is read as in training and calibration (`read_photo`).

    Every picture is preprocessed by the rule of `edgenet_device.preprocess`: its centred square is resized to
    the network's input. Normalization is part of the network, so no mean or scale is applied here.

    Args:
        model: path of a bundle (`.edgenet`) or `.tflite` file, or what `open_model` returned.
        threads: threads that run the network, at least 1; None takes the number of usable CPUs, at most 4.
        runtime: from `load_runtime`; None imports it.

    Attributes:
        size: side of the network's square input, pixels.
        labels: one label per output; "class N" where the model carries none.
        model: the verified model file.
        runtime: the runtime that runs it.
        threads: number of threads.
        delegate: which part of the network a delegate runs.

    Raises:
        EdgenetError: there is no runtime; the model is missing or damaged, its input is not uint8 RGB
            [1,H,H,3], its output is not float32 [1,N], or its labels and outputs differ in number; or
            `threads` is below 1.
        TypeError: an argument has a wrong type.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelFile,
        threads: int | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.threads = default_threads() if threads is None else whole_number(threads, "threads")
        self.model = _opened(model)
        self.runtime = runtime or load_runtime()
        self._interpreter = make_interpreter(self.runtime, self.model, self.threads)
        self._input, self.size = _input_contract(self._interpreter, self.model)
        self._output, classes = _output_contract(self._interpreter, self.model)
        if self.model.labels and len(self.model.labels) != classes:
            raise EdgenetError(
                f"{self.model.path} has {len(self.model.labels)} labels for {classes} outputs",
                "convert it with its own labels",
            )
        self.labels = self.model.labels or tuple(f"class {index}" for index in range(classes))
        self.delegate = find_delegate(self._interpreter)
        self._input_tensor = self._interpreter.tensor(self._input)
        self._rule: CentreSquare | None = None

    def __call__(self, picture: Picture) -> np.ndarray:
        """Return the scores of a picture, float32 [classes], in the order of `labels`.

        Raises:
            EdgenetError: an array is not uint8 [height, width, 3], or a photo cannot be read.
            TypeError: `picture` is not a picture.
        """
        if isinstance(picture, Frame):
            self.write(picture.for_network)
        elif isinstance(picture, np.ndarray):
            _check_array(picture)
            self._rule_for(picture).write_rgb(picture, self.input_view())
        elif isinstance(picture, (str, os.PathLike)):
            from edgenet_device.frames.photos import read_photo

            self.write(read_photo(picture))
        else:
            raise TypeError(
                "a picture is a frame of a Camera, a uint8 RGB array [height, width, 3] or the path of a "
                f"photo, but a {type(picture).__name__} was given"
            )
        self.invoke()
        return self.scores()

    def top(self, picture: Picture, k: int = 5) -> list[tuple[str, float]]:
        """Return the best `k` labels of a picture with their scores (0 to 1), best first.

        Raises:
            EdgenetError: `k` is below 1; see also `__call__`.
            TypeError: `k` is not a whole number, or `picture` is not a picture.
        """
        if whole_number(k, "k") < 1:
            raise EdgenetError(f"{k} labels requested", "give at least 1")
        return [(label, score) for _, label, score in self.best(self(picture), k)]

    # The steps of a call, which the live loop times one by one.

    def write(self, bgr: np.ndarray) -> None:
        """Preprocess a picture, uint8 BGR [height, width, 3], straight into the network's input tensor."""
        self._rule_for(bgr).write(bgr, self.input_view())

    def invoke(self) -> None:
        """Run the network on the input tensor.

        Raises:
            EdgenetError: the runtime cannot run the network.
        """
        try:
            self._interpreter.invoke()
        except REFUSALS as error:
            raise EdgenetError(
                f"{self.runtime.name} {self.runtime.version} cannot run {self.model.path}: {reason_of(error)}",
                "convert the model again",
            ) from error

    def scores(self) -> np.ndarray:
        """Return a copy of the scores of the last `invoke`, float32 [classes]."""
        return self._interpreter.get_tensor(self._output)[0]

    def best(self, scores: np.ndarray, k: int) -> tuple[Label, ...]:
        """Return (class index, label, score) of the best `k` classes; see `top_k`."""
        return tuple((index, self.labels[index], score) for index, score in top_k(scores, k))

    def input_view(self) -> np.ndarray:
        """Return the input tensor itself, uint8 [H, H, 3]; drop it before `invoke`, which may move it."""
        return self._input_tensor()[0]

    def score_prepared(self, rgb: np.ndarray) -> np.ndarray:
        """Return the scores, float32 [classes], of a picture that is already uint8 RGB [size, size, 3]."""
        np.copyto(self.input_view(), rgb)
        self.invoke()
        return self.scores()

    def _rule_for(self, picture: np.ndarray) -> CentreSquare:
        if self._rule is None or self._rule.frame_shape != picture.shape[:2]:
            from edgenet_device.preprocess import CentreSquare  # late: without OpenCV a model still runs

            self._rule = CentreSquare(picture.shape[:2], self.size)
        return self._rule


def top_k(scores: np.ndarray, k: int) -> list[tuple[int, float]]:
    """Return the k highest scores with their classes.

    Equal scores are ordered by class index: about 1.4 % of photos tie on the best int8 logit, so their order
    must be fixed, not left to a sort.

    Args:
        scores: [classes], any real type; NaN ranks last.
        k: how many; all classes if there are fewer.

    Returns:
        (class index, score) from best to worst; equal scores by rising class index.
    """
    left = np.where(np.isnan(scores), -np.inf, scores)
    best: list[int] = []
    # argmax returns the first of equal scores; for a small k, a few argmax calls are faster than a sort.
    while len(best) < min(k, left.size):
        index = int(left.argmax())
        if left[index] == -np.inf:  # only NaN and -inf remain: they rank last, by rising index
            rest = (other for other in range(left.size) if other not in best)
            best.extend(itertools.islice(rest, min(k, left.size) - len(best)))
            break
        best.append(index)
        left[index] = -np.inf
    return [(index, float(scores[index])) for index in best]


def _opened(model: Any) -> ModelFile:
    if isinstance(model, ModelFile):
        return model
    if isinstance(model, (str, os.PathLike)):
        return open_model(Path(model))
    raise TypeError(
        f"a model is the path of a .edgenet or .tflite file, but a {type(model).__name__} was given"
    )


def _check_array(array: np.ndarray) -> None:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise EdgenetError(
            f"the array is {array.dtype} {list(array.shape)}, expected uint8 RGB [height, width, 3]",
            "give one picture with values 0 to 255",
        )


def _details(ask: Any, model: ModelFile) -> list[dict[str, Any]]:
    """Return the interpreter's description of its inputs or outputs; refuse names that it cannot decode."""
    try:
        return ask()
    except UnicodeDecodeError:
        raise EdgenetError(
            f"{model.path} has tensor names that are not UTF-8: it is damaged", "copy it again"
        ) from None


def _only(details: list[dict[str, Any]], what: str, model: ModelFile) -> dict[str, Any]:
    if len(details) != 1:
        raise EdgenetError(
            f"{model.path} has {len(details)} {what}s, expected one", "give an image classifier"
        )
    return details[0]


def _input_contract(interpreter: Any, model: ModelFile) -> tuple[int, int]:
    """Return (tensor index, side in pixels) of the input; refuse any other layout."""
    detail = _only(_details(interpreter.get_input_details, model), "input", model)
    shape, kind = [int(n) for n in detail["shape"]], np.dtype(detail["dtype"])
    fits = kind == np.uint8 and len(shape) == 4 and shape[0] == 1 and shape[1] == shape[2] and shape[3] == 3
    if not fits:
        raise EdgenetError(
            f"{model.path} takes {kind} {shape}, expected uint8 [1, H, H, 3]", "convert with edgenet"
        )
    return detail["index"], shape[1]


def _output_contract(interpreter: Any, model: ModelFile) -> tuple[int, int]:
    """Return (tensor index, number of classes) of the output; refuse any other layout."""
    detail = _only(_details(interpreter.get_output_details, model), "output", model)
    shape, kind = [int(n) for n in detail["shape"]], np.dtype(detail["dtype"])
    if kind != np.float32 or len(shape) != 2 or shape[0] != 1:
        raise EdgenetError(
            f"{model.path} gives {kind} {shape}, expected float32 [1, N]", "convert with edgenet"
        )
    return detail["index"], shape[1]
