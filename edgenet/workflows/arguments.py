"""Checks of the arguments of edgenet's Python functions.

A wrong argument raises an error of one sentence, which says what was given and what is wanted. numpy is not imported
here, because commands that compute nothing start more quickly without it.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache, wraps
from inspect import signature
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from edgenet_device.foreign_text import one_line

from edgenet.errors import EdgenetError

Given = ParamSpec("Given")
Result = TypeVar("Result")


def checked(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return the function with a check of its arguments' types, made from its annotations, before each call.

    The returned function raises a TypeError that names the argument, what was given, and what it takes. A path with a
    zero byte, or with a name that is too long for the file system, becomes an EdgenetError.
    """

    @wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            arguments = signature(function).bind(*args, **kwargs).arguments
        except TypeError:  # too few or too many arguments: Python's own error is better
            return function(*args, **kwargs)
        hints = _hints(function)
        for name, value in arguments.items():
            _check(f"edgenet.{function.__name__}", name, value, hints[name])
            _refuse_zero_bytes(f"edgenet.{function.__name__}", name, value)
        try:
            return function(*args, **kwargs)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise EdgenetError(
                f"the name {one_line(str(error.filename))[:60]}... is too long for a file", "check the path"
            ) from error

    return call


def check_fields(options: Any) -> None:
    """Check the types of all fields of a dataclass of options.

    Raises:
        TypeError: a field has another type than its annotation; the message names it.
    """
    kind: Callable[..., Any] = type(options)
    for item in fields(options):
        _check(f"edgenet.{kind.__name__}", item.name, getattr(options, item.name), _hints(kind)[item.name])


@cache
def _hints(where: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(where)


def _check(where: str, name: str, value: object, hint: Any) -> None:
    if not _fits(value, hint):
        raise TypeError(f"{where} got {name}={describe(value)}, and {name} must be {_words(hint)}")


def _refuse_zero_bytes(where: str, name: str, value: object) -> None:
    """Raise an EdgenetError if a text, or one in a list, has a zero byte: no file, option or address can have one."""
    for text in value if isinstance(value, list | tuple) else (value,):
        if isinstance(text, str | os.PathLike) and "\0" in os.fsdecode(text):
            raise EdgenetError(f"{where} got {name}={describe(value)} with a zero byte", "leave it out")


def _fits(value: object, hint: Any) -> bool:
    """Return whether a value has the annotated type, with numpy's numbers as numbers and any path as a Path."""
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    if origin is Sequence or origin is tuple:
        item = get_args(hint)[0]
        return isinstance(value, list | tuple) and all(_fits(one, item) for one in value)
    if origin is not None:  # a callable, or an array
        return callable(value) if origin is Callable else isinstance(value, origin)
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    return isinstance(value, os.PathLike if hint is Path else hint)


def _words(hint: Any) -> str:
    """Describe an annotated type, such as "str, Path or None"."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        *most, last = dict.fromkeys(_words(choice) for choice in get_args(hint))
        return f"{', '.join(most)} or {last}"
    if origin is Sequence or origin is tuple:
        return f"a list of {_words(get_args(hint)[0])}"
    if origin is Callable:
        return "a function"
    if hint is NoneType:
        return "None"
    name = getattr(origin or hint, "__name__", str(hint))
    return "a numpy array" if name == "ndarray" else name


def describe(value: object) -> str:
    """Describe a wrong value shortly, for an error: an array by its type and shape, others by how they print."""
    numpy = sys.modules.get("numpy")  # without it, nothing is an array
    if numpy is not None and isinstance(value, numpy.ndarray):
        return f"an array {value.dtype} {list(value.shape)}"
    text = " ".join(repr(value).split())
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return f"{short} ({type(value).__name__})"
