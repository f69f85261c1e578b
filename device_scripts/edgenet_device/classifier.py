"""The classifier: a network that turns one picture at a time into scores and labels."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from edgenet_device.entry import default_threads
from edgenet_device.errors import EdgenetError, whole_number
from edgenet_device.frames import Frame
from edgenet_device.model_file import NOTHING_KNOWN as NOTHING_KNOWN
from edgenet_device.model_file import ModelFile, open_model, read_labels
from edgenet_device.normalization import PixelNormalization, normalization_named, stated_normalization
from edgenet_device.ports import Ports, ScoresPort, read_ports
from edgenet_device.runtime import (
    REFUSALS,
    Runtime,
    find_delegate,
    load_runtime,
    make_interpreter,
    reason_of,
)

if TYPE_CHECKING:
    from edgenet_device.preprocess import CentreCrop, PixelEncoder

Picture = Union[Frame, np.ndarray, str, "os.PathLike[str]"]
Label = tuple[int, str, float]
"""A class: its index, its label and its score."""


@dataclass(frozen=True)
class ModelOptions:
    """What a user says about a model of another maker; None where the model says it itself.

    Attributes:
        labels: a text file of class names, one per line.
        normalization: what the pixels go through, as `normalization_named` takes it.
    """

    labels: Path | None = None
    normalization: str | None = None

    def open(self, model: Path, threads: int) -> Classifier:
        """Return the classifier.

        Raises:
            EdgenetError: the labels cannot be read, the normalization is none; see also `Classifier`.
        """
        named = normalization_named(self.normalization) if self.normalization else None
        labels = None if self.labels is None else read_labels(self.labels)
        return Classifier(model, threads, normalization=named, labels=labels)


class Classifier:
    """An image classifier: `classifier.top(picture)` gives its best labels, `classifier(picture)` all scores.

    A picture is one of these:

    - a frame of a `Camera`, which states its own channel order; give the frame itself, not its pixels;
    - an array, uint8 **RGB** [height, width, 3], values 0 to 255. OpenCV gives BGR: turn its arrays round
      with `array[..., ::-1]`;
    - the path of a photo, which is read as in training and calibration (`read_photo`).

    Every picture is preprocessed by the rule of `edgenet_device.preprocess`: its centred square (or rectangle, of a
    network that takes one) is resized to the network's input. In edgenet's own files the normalization is part of the
    network. Other people's networks get the values that they take: float32, uint8 or int8, RGB or grey.

    Args:
        model: path of a bundle (`.edgenet`) or `.tflite` file, or what `open_model` returned.
        threads: threads that run the network, at least 1; None takes the number of usable CPUs, at most 4.
        runtime: from `load_runtime`; None imports it.
        normalization: what the pixels go through before the network, for a file that does not say it; None for what
            the bundle or the metadata states, else what the scale of an integer input states.
        labels: one label per class, in their order; None for those that the model carries.

    Attributes:
        height, width: size of the network's input, pixels.
        labels: one label per class; "class N" where there are none.
        model: the verified model file.
        runtime: the runtime that runs it.
        threads: number of threads.
        delegate: which part of the network a delegate runs.

    Raises:
        EdgenetError: there is no runtime; the model is missing or damaged, is not an image classifier, or takes
            float32 without saying which normalization; its labels and outputs differ in number; or `threads` is
            below 1.
        TypeError: an argument has a wrong type.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | ModelFile,
        threads: int | None = None,
        runtime: Runtime | None = None,
        *,
        normalization: PixelNormalization | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        self.threads = default_threads() if threads is None else whole_number(threads, "threads")
        self.model = _opened(model)
        self.runtime = runtime or load_runtime()
        self.ports = read_ports(self.model.data, str(self.model.path))
        self.height, self.width = self.ports.picture.height, self.ports.picture.width
        self.labels = labels_for(
            self.ports.scores, self.model.labels if labels is None else labels, self.model.path
        )
        self._encoder, self._rgb = _encoder_for(self.model, self.ports, normalization)
        self._interpreter = make_interpreter(self.runtime, self.model, self.threads)
        self.delegate = find_delegate(self._interpreter)
        self._input_tensor = self._interpreter.tensor(self.ports.picture.port.tensor)
        self._rule: CentreCrop | None = None

    @property
    def size(self) -> int:
        """The longer side of the network's input, pixels."""
        return max(self.height, self.width)

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
            self._rule_for(picture).write_rgb(picture, self._rgb_view())
            self._encode()
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
        self._rule_for(bgr).write(bgr, self._rgb_view())
        self._encode()

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
        """Return the scores of the last `invoke`, float32 [classes], 0 to 1."""
        return scores_of(self.values(), self.ports.scores)

    def values(self) -> np.ndarray:
        """Return a copy of what the network gave in the last `invoke`, as real numbers, float32 [outputs].

        Raises:
            EdgenetError: the network gives more or fewer values than its file states.
        """
        port = self.ports.scores.port
        values = self._interpreter.get_tensor(port.tensor).reshape(-1).astype(np.float32)
        if values.size != math.prod(port.shape):
            raise EdgenetError(
                f"{self.model.path} gives {values.size} scores and states {math.prod(port.shape)}: it is damaged",
                "copy or convert it again",
            )
        with np.errstate(all="ignore"):  # as in `scores_of`
            return (values - np.float32(port.zero_point)) * np.float32(port.scale) if port.scale else values

    def best(self, scores: np.ndarray, k: int) -> tuple[Label, ...]:
        """Return (class index, label, score) of the best `k` classes; see `top_k`."""
        return tuple((index, self.labels[index], score) for index, score in top_k(scores, k))

    def input_view(self) -> np.ndarray:
        """Return the input tensor itself, without its first axis; drop it before `invoke`, which may move it."""
        return self._input_tensor()[0]

    def score_prepared(self, rgb: np.ndarray) -> np.ndarray:
        """Return the scores, float32 [classes], of a picture that is already uint8 RGB [height, width, 3]."""
        np.copyto(self._rgb_view(), rgb)
        self._encode()
        self.invoke()
        return self.scores()

    def _rgb_view(self) -> np.ndarray:
        """Return where a prepared picture belongs: the input tensor itself, unless it takes something else than RGB."""
        return self.input_view() if self._encoder is None else self._rgb

    def _encode(self) -> None:
        if self._encoder is not None:
            self._encoder.write(self._rgb, self.input_view())

    def _rule_for(self, picture: np.ndarray) -> CentreCrop:
        if self._rule is None or self._rule.frame_shape != picture.shape[:2]:
            from edgenet_device.preprocess import CentreCrop  # late: without OpenCV a model still runs

            self._rule = CentreCrop(picture.shape[:2], (self.height, self.width))
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


def labels_for(scores: ScoresPort, labels: Sequence[str], where: Any) -> tuple[str, ...]:
    """Return one label per class: those given, or "class N" where there are none.

    ImageNet's 1,000 labels get "background" in front for a network with 1,001 outputs, as TensorFlow's have.

    Args:
        where: what error messages call the labels' file.

    Raises:
        EdgenetError: the number of labels is another one.
    """
    if not labels:
        return tuple(f"class {index}" for index in range(scores.classes))
    if len(labels) == 1000 and scores.classes == 1001:
        return ("background", *labels)
    if len(labels) != scores.classes:
        outputs = "2 classes, as its one output has" if scores.single else f"{scores.classes} outputs"
        raise EdgenetError(
            f"{where} has {len(labels)} labels for {outputs}", "give one label per output, in their order"
        )
    return tuple(labels)


def scores_of(real: np.ndarray, port: ScoresPort) -> np.ndarray:
    """Return the scores, float32 [classes], 0 to 1, of what a network gives: see `ScoresPort.meaning`."""
    # A damaged network may give infinities. numpy would warn on stderr, in lines that are no part of our output.
    with np.errstate(all="ignore"):
        if port.single:
            second = real if port.meaning == "probability" else 1 / (1 + np.exp(-real))
            return np.concatenate([1 - second, second])
        if port.meaning == "probability":
            return real
        if port.meaning == "log probability":
            return np.exp(real)
        powers = np.exp(real - real.max())
        return powers / powers.sum()


def _encoder_for(
    model: ModelFile, ports: Ports, given: PixelNormalization | None
) -> tuple[PixelEncoder | None, np.ndarray]:
    """Return what turns prepared pictures into the input, with memory for one; None if it takes RGB bytes."""
    picture = ports.picture
    normalization = given or model.recorded_normalization()
    if normalization is None and picture.takes_bytes:
        return None, np.empty(0, np.uint8)
    from edgenet_device.preprocess import PixelEncoder, pixel_table  # late: without OpenCV a model still runs

    try:
        table = pixel_table(picture, normalization or _in_metadata(model, ports))
    except EdgenetError as error:
        raise EdgenetError(f"{model.path}: {error.found}", error.remedy) from None
    encoder = None if table is None else PixelEncoder(picture, table)
    return encoder, np.empty((picture.height, picture.width, 3), np.uint8)


def _in_metadata(model: ModelFile, ports: Ports) -> PixelNormalization | None:
    """Return the metadata's normalization for a float32 input; the scale of an integer input says the same exactly."""
    return stated_normalization(model.data) if ports.picture.port.dtype == "float32" else None
