"""Misuse of the Python API: one sentence says what was given and what is wanted, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_network import LABELS, small_network
from torch import nn

import edgenet
from edgenet.errors import EdgenetError

PHOTO = np.zeros((8, 8, 3), np.uint8)
MODULE = small_network().module


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.mean((2, 3))
        return x if x.sum() > 0 else 2 * x


def convert(source: Any = "small.safetensors", out: Any = "x.tflite", **given: Any) -> Callable[[], object]:
    """A call of `convert` with calibration photos, unless other photos are given."""
    return lambda: edgenet.convert(source, out, **({"calibration": "photos", "recipe": "minmax"} | given))


def module(source: nn.Module = MODULE, **given: Any) -> Callable[[], object]:
    """A call of `convert` with a module."""
    return convert(source, **({"resolution": 64, "normalization": "-1..1"} | given))


def scored(photo: Any) -> Callable[[], object]:
    """A call of an opened model."""
    return lambda: edgenet.load("small.edgenet")(photo)


WRONG_TYPES: dict[str, tuple[Callable[[], Any], str]] = {
    "source": (
        convert(42),
        r"edgenet\.convert got source=42 \(int\), and source must be str, Path or Module",
    ),
    "source is None": (convert(None), r"got source=None \(NoneType\)"),
    "out": (convert(out=b"x.tflite"), r"got out=b'x.tflite' \(bytes\), and out must be str or Path"),
    "photos": (convert(photos="8"), r"got photos='8' \(str\), and photos must be int"),
    "photos as flag": (convert(photos=True), r"got photos=True \(bool\), and photos must be int"),
    "recipe": (convert(recipe=["fast"]), r"got recipe=\['fast'\] \(list\), and recipe must be str"),
    "calibration": (convert(calibration=7), r"got calibration=7 \(int\)"),
    "calibration of other things": (convert(calibration=[PHOTO, "b.jpg"]), r"got calibration=\["),
    "calibration of tensors": (convert(calibration=[torch.zeros(3, 8, 8)]), r"got calibration=\[tensor"),
    "labels": (
        convert(labels=5),
        r"got labels=5 \(int\), and labels must be str, Path, a list of str or None",
    ),
    "labels of other things": (convert(labels=[1, 2, 3, 4, 5]), r"got labels=\[1, 2, 3, 4, 5\] \(list\)"),
    "resolution": (
        module(resolution=64.5),
        r"got resolution=64\.5 \(float\), and resolution must be int or None",
    ),
    "normalization": (module(normalization=(0.5, 0.5)), r"got normalization=\(0\.5, 0\.5\) \(tuple\)"),
    "input_shape": (
        convert(input_shape="1,3,64,64"),
        r"got input_shape='1,3,64,64' \(str\), and .* a list of int",
    ),
    "progress": (convert(progress=3), r"got progress=3 \(int\), and progress must be a function"),
    "no out": (lambda: edgenet.convert("small.safetensors"), "missing 1 required positional argument: 'out'"),  # type: ignore[call-arg]
    "an unknown name": (convert(quality=3), "unexpected keyword argument 'quality'"),
    "evaluate": (lambda: edgenet.evaluate(3, "labelled"), r"edgenet\.evaluate got models=3 \(int\)"),  # type: ignore[arg-type]
    "evaluate, an array": (
        lambda: edgenet.evaluate(np.zeros((2, 2)), "labelled"),  # type: ignore[arg-type]
        r"got models=an array float64 \[2, 2\], and",
    ),
    "inspect": (lambda: edgenet.inspect("small.tflite", profile="yes"), r"got profile='yes' \(str\)"),  # type: ignore[arg-type]
    "package": (lambda: edgenet.package(None), r"edgenet\.package got model=None"),  # type: ignore[arg-type]
    "bench": (lambda: edgenet.bench("small.tflite", threads="2"), r"got threads='2' \(str\)"),  # type: ignore[arg-type]
    "train": (
        lambda: edgenet.train("mobilenet_v1_0.25_32", "labelled", "r", options={"epochs": 1}),  # type: ignore[arg-type]
        r"got options=\{'epochs': 1\} \(dict\), and options must be TrainingOptions",
    ),
    "training": (
        lambda: edgenet.TrainingOptions(epochs="5"),
        r"edgenet\.TrainingOptions got epochs='5' \(str\)",
    ),  # type: ignore[arg-type]
    "sweep": (
        lambda: edgenet.sweep("labelled", "g", widths=0.5),
        r"got widths=0\.5 \(float\), and .* a list of float",
    ),  # type: ignore[arg-type]
    "select": (lambda: edgenet.select("labelled", "g", budget_ms="5"), r"got budget_ms='5' \(str\)"),  # type: ignore[arg-type]
    "fetch": (lambda: edgenet.fetch([1]), r"edgenet\.fetch got names=\[1\] \(list\)"),  # type: ignore[list-item]
    "open_photos": (
        lambda: edgenet.open_photos(7),  # type: ignore[arg-type]
        r"edgenet\.open_photos got path of type int, and path must be str or Path",
    ),
    "a split": (
        lambda: edgenet.open_photos("labelled", split=7),  # type: ignore[arg-type]
        r"edgenet\.open_photos got split of type int, and split must be str or None",
    ),
    "status": (lambda: edgenet.status(5), r"edgenet\.status got on=5 \(int\), and on must be str"),  # type: ignore[arg-type]
    "load": (lambda: edgenet.load(5), r"edgenet\.load got model=5 \(int\), and model must be str or Path"),  # type: ignore[arg-type]
    "a photo": (scored(5), "a picture is .* but a int was given"),
}
WRONG_VALUES: dict[str, tuple[Callable[[], Any], str]] = {
    "neither photos nor float": (
        lambda: edgenet.convert("small.safetensors", "x.tflite"),
        r"neither calibration photos nor float were given; give calibration=PHOTOS",
    ),
    "both": (convert(float=True), "a float file needs no calibration photos"),
    "no such source": (convert("none.safetensors"), "none.safetensors"),
    "no such variant": (convert("mobilenet_v9"), "mobilenet_v9"),
    "no such photos": (convert(calibration="none"), "none does not exist; give a folder of photos"),
    "no arrays": (convert(calibration=[]), "calibration is an empty list; give at least one photo"),
    "a single photo": (
        convert(calibration=PHOTO),
        r"is a single photo, an array uint8 \[8, 8, 3\]; give a list",
    ),
    "float photos": (
        convert(calibration=[PHOTO, PHOTO.astype(np.float32)]),
        r"calibration\[1\] is an array float32 \[8, 8, 3\]; give each photo as a uint8 RGB array \[height, width, 3\]",
    ),
    "planes first": (convert(calibration=[PHOTO.transpose(2, 0, 1)]), r"\[0\] is an array uint8 \[3, 8, 8\]"),
    "grey photos": (convert(calibration=[PHOTO[..., 0]]), r"calibration\[0\] is an array uint8 \[8, 8\]"),
    "empty photos": (convert(calibration=[PHOTO[:0]]), r"calibration\[0\] is an array uint8 \[0, 8, 3\]"),
    "labels of another count": (
        convert(labels=["a", "b"]),
        "labels names 2 classes and the network has 5 outputs; give one label per line",
    ),
    "no labels": (convert(labels=[]), "labels is an empty list; give one name per class"),
    "an odd label": (convert(labels=[*LABELS[:4], "two\nlines"]), r"label 4 is 'two\\nlines'"),
    "no labels file": (convert(labels="none.txt"), "cannot read the labels none.txt"),
    "a module without a size": (
        module(resolution=None),
        r"the module MobileNetV1 does not say how large its input picture is; give resolution=PIXELS",
    ),
    "a module without a normalization": (
        module(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), normalization=None, resolution=2),
        "the module Sequential does not say what its pixels went through in training; give normalization=imagenet",
    ),
    "a module of another size": (module(resolution=0), "the resolution is 0; give at least 1 pixel"),
    "a module that branches": (
        module(Branching()),
        "the module Branching computes something else for another picture; give a module whose",
    ),
    "an unknown layer": (module(nn.Sequential(nn.PixelShuffle(2))), "cannot read '.*', PixelShuffle"),
    "a wrong normalization": (module(normalization="rgb"), "rgb is not a normalization; give imagenet"),
    "an input shape for a module": (
        module(input_shape=(1, 3, 64, 64)),
        "takes its input shape from resolution",
    ),
    "no networks": (
        lambda: edgenet.evaluate([], "labelled"),
        "models is an empty list; give at least one network",
    ),
    "against alone": (
        lambda: edgenet.inspect("small.tflite", against="small.safetensors"),
        "against is given alone; give against=FLOAT and data=PHOTOS together",
    ),
    "a plot of nothing": (
        lambda: edgenet.inspect("small.tflite", plot="x.png"),
        "nothing to compare and plot",
    ),
    "nothing to measure": (lambda: edgenet.bench([]), "there is nothing to measure"),
    "all of this machine": (
        lambda: edgenet.bench("small.tflite", all=True),
        "all is for phones, and on is local",
    ),
    "no variant": (
        lambda: edgenet.train(None, "labelled", "r"),
        "there is no variant to train; give its name",
    ),
    "too many epochs": (lambda: edgenet.TrainingOptions(epochs=0), "the number of epochs is 0"),
    "a recipe without qat": (lambda: edgenet.TrainingOptions(recipe="fast"), "--recipe needs --qat"),
    "a teacher's weight": (lambda: edgenet.TrainingOptions(temperature=3), "need --teacher"),
    "qat in a sweep": (
        lambda: edgenet.sweep(
            "labelled", "g", training=edgenet.TrainingOptions(qat=True, pretrained="a.safetensors")
        ),
        "each network is quantized after its training",
    ),
    "no architectures": (
        lambda: edgenet.select("labelled", "g", budget_ms=5, architectures=[]),
        "the grid is empty",
    ),
    "no model": (lambda: edgenet.load("none.tflite"), "the model none.tflite does not exist; check the path"),
    "no model file": (
        lambda: edgenet.load("photos/cat.jpg"),
        "photos/cat.jpg is a picture, not a .tflite or a bundle",
    ),
    "a zero byte": (
        lambda: edgenet.load("a\0b.tflite"),
        r"edgenet\.load got model='a\\x00b\.tflite' \(str\) with a zero byte; leave it out",
    ),
    "a zero byte in a list": (
        lambda: edgenet.bench(["small.tflite", "a\0b"]),
        r"edgenet\.bench got models=\[.* with a zero byte",
    ),
    "no path of a key": (lambda: edgenet.new_key(""), "the path of the new key has no name"),
    "no threads": (lambda: edgenet.load("small.tflite", threads=0), "0 threads requested; give at least 1"),
    "no photo": (scored("none.jpg"), "none.jpg"),
    "a photo of floats": (scored(PHOTO / 255), r"the array is float64 \[8, 8, 3\], expected uint8 RGB"),
    "several photos": (
        scored(np.stack([PHOTO, PHOTO])),
        r"the array is uint8 \[2, 8, 8, 3\], expected uint8 RGB",
    ),
}


def one_sentence(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("call", "message"), WRONG_TYPES.values(), ids=WRONG_TYPES.keys())
def test_a_wrong_type(here: Path, call: Callable[[], object], message: str) -> None:
    before = sorted(path.name for path in here.iterdir())
    with pytest.raises(TypeError, match=message) as raised:
        call()
    one_sentence(raised.value)
    assert sorted(path.name for path in here.iterdir()) == before


@pytest.mark.parametrize(("call", "message"), WRONG_VALUES.values(), ids=WRONG_VALUES.keys())
def test_a_wrong_value(here: Path, call: Callable[[], object], message: str) -> None:
    before = sorted(path.name for path in here.iterdir())
    with pytest.raises(EdgenetError, match=message) as raised:
        call()
    one_sentence(raised.value)
    assert raised.value.remedy or "\n" not in raised.value.found
    assert sorted(path.name for path in here.iterdir()) == before
