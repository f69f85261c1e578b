"""Writes docs/api.md, the reference of the Python API, from the docstrings of `edgenet` and `edgenet_device`.

    python -m tools.make_api_reference            # or: make api
    python -m tools.make_api_reference --check    # fails if the page is out of date

griffe reads the packages without importing them. The page holds every name of `__all__`; the examples in the docstrings
run in tests/api.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"
COMMAND = "python -m tools.make_api_reference"
WIDTH = 100
INTRODUCTION = f"""# Python API

<!-- Made from the docstrings by `{COMMAND}`; change the docstrings, not this page. -->

Every command of the command line is a function of the package `edgenet` with the same name, and its options are
arguments with the same words. A path may be a `str` or a `Path`. Mistakes raise `EdgenetError` or `TypeError` with one
sentence that says what was given and what is wanted.

```python
import edgenet

result = edgenet.convert("mobilenet_v2_1.0_224", "v2.tflite", calibration="photos")
model = edgenet.load("v2.tflite")
model.top("cat.jpg", 3)  # the three best labels with their scores
```

The examples below run in a folder with the photos `photos/` and `labelled/` (in class folders), the video `clip.mp4`,
the checkpoint `small.safetensors`, its files `small.tflite`, `small.edgenet` and `float.tflite`, a training in `run/`
and latency reports in `latency/`. The variable `module` is the checkpoint's torch module, `arrays` is a list of photos
as uint8 RGB arrays, and `array` is the first of them.
"""
CHAPTERS = (
    ("Networks and photos", "models compare_with_papers open_photos"),
    ("Training", "train resume_training sweep select TrainingOptions"),
    ("Making and judging a model", "convert evaluate inspect package load Classifier"),
    ("Measuring", "bench compare report"),
    ("Devices", "deploy rollback status camera capture export_scripts demo"),
)
REST = "Results and types"
DEVICE_INTRODUCTION = """The package `edgenet_device` runs on the Raspberry Pi or phone beside the scripts. It needs
numpy, OpenCV and a LiteRT runtime, not `edgenet`.
"""


def main() -> int:
    """Write the page, or check it."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--check", action="store_true", help="fail if the page is out of date")
    page = reference()
    if options.parse_args().check:
        current = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page
        if not current:
            print(f"{PAGE.relative_to(ROOT)} is out of date: run {COMMAND}", file=sys.stderr)
        return 0 if current else 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


def reference() -> str:
    """Return the whole page."""
    loader = griffe.GriffeLoader(
        search_paths=[ROOT, ROOT / "device_scripts"],
        docstring_parser="google",
        docstring_options={"warnings": False},  # several parameters may share a description
    )
    package, device = loader.load("edgenet"), loader.load("edgenet_device")
    names = {str(name) for name in package.exports or ()}
    chapters = [(title, listed.split()) for title, listed in CHAPTERS]
    chapters.append((REST, sorted(names - {name for _, listed in chapters for name in listed})))
    parts = [INTRODUCTION]
    for title, listed in chapters:
        parts.append(f"## {title}\n")
        parts += [_entry(f"edgenet.{name}", _target(package, name)) for name in listed]
    parts.append(f"## On the device: `edgenet_device`\n\n{DEVICE_INTRODUCTION}")
    shared = {_target(package, name).path for name in names}
    for name in sorted(str(name) for name in device.exports or ()):
        target = _target(device, name)
        title = f"edgenet_device.{name}"
        parts.append(
            f"### `{title}`\n\nThis is [`edgenet.{name}`](#{_anchor(f'edgenet.{name}')}).\n"
            if target.path in shared
            else _entry(title, target)
        )
    return "\n".join(parts)


def _target(package: griffe.Object | griffe.Alias, name: str) -> griffe.Object:
    member = package.members[name]
    return member.final_target if isinstance(member, griffe.Alias) else member


def _anchor(title: str) -> str:
    return re.sub(r"[^\w-]", "", title.lower())


def _entry(title: str, target: griffe.Object) -> str:
    """Return the section of one public name."""
    lines = [f"### `{title}`", ""]
    if isinstance(target, griffe.Function):
        lines += _code(_signature(title, target))
    elif isinstance(target, griffe.Class):
        lines += _code(_fields(title, target))
    else:
        assert isinstance(target, griffe.Attribute)
        lines += _code([f"{title} = {target.value}"])
    lines += _documentation(target)
    if isinstance(target, griffe.Class):
        for method in _methods(target):
            name = re.findall("[A-Z][a-z]*", title)[
                -1
            ].lower()  # a classifier for Classifier, options for TrainingOptions
            called = name if method.name == "__call__" else f"{name}.{method.name}"
            if "property" in method.labels:
                lines += [f"#### `{called}`", ""]
            else:
                lines += [f"#### `{called}()`", "", *_code(_signature(called, method))]
            lines += _documentation(method)
    return "\n".join(lines)


def _methods(target: griffe.Class) -> Iterator[griffe.Function | griffe.Attribute]:
    """Yield the documented public methods and properties of a class, in the order of the source."""
    for name, member in target.members.items():
        public = not name.startswith("_") or name == "__call__"
        is_property = isinstance(member, griffe.Attribute) and "property" in member.labels
        if public and member.docstring and (is_property or isinstance(member, griffe.Function)):
            assert isinstance(member, griffe.Function | griffe.Attribute)
            yield member


def _signature(title: str, function: griffe.Function | griffe.Attribute) -> list[str]:
    """Return a call with all parameters, on one line or one parameter a line."""
    assert isinstance(function, griffe.Function)
    parameters: list[str] = []
    keyword_only = False
    for parameter in function.parameters:
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is griffe.ParameterKind.keyword_only and not keyword_only:
            keyword_only = True
            parameters.append("*")
        text = parameter.name + (f": {parameter.annotation}" if parameter.annotation else "")
        if parameter.default is not None:
            text += f" = {_default(str(parameter.default), function)}"
        parameters.append(text)
    returns = f" -> {function.returns}" if function.returns else ""
    whole = f"{title}({', '.join(parameters)}){returns}"
    if len(whole) <= WIDTH:
        return [whole]
    return [f"{title}(", *(f"    {parameter}," for parameter in parameters), f"){returns}"]


def _default(text: str, function: griffe.Function) -> str:
    """Return a default as a reader needs it: a constant's value, and dots for a function that does nothing."""
    constant = function.module.members.get(text)
    if text.isupper() and constant is not None:
        value = constant.final_target if isinstance(constant, griffe.Alias) else constant
        assert isinstance(value, griffe.Attribute)
        text = str(value.value)
    if text.startswith("lambda"):
        return "..."
    return text.replace("'", '"')


def _fields(title: str, target: griffe.Class) -> list[str]:
    """Return the constructor of a class, or for a dataclass its public fields with their types."""
    if "dataclass" not in target.labels:
        initializer = target.members.get("__init__")
        return _signature(title, initializer) if isinstance(initializer, griffe.Function) else [title]
    lines = []
    for kind in (*reversed(target.mro()), target):
        for name, member in kind.members.items():
            if not isinstance(member, griffe.Attribute) or "property" in member.labels:
                continue
            if member.annotation and not name.startswith("_"):
                default = f" = {member.value}" if member.value is not None else ""
                lines.append(f"    {name}: {member.annotation}{default}")
    return ["@dataclass(frozen=True)", f"class {title.rsplit('.', 1)[-1]}:", *lines]


def _code(lines: Iterable[str]) -> list[str]:
    return ["```python", *lines, "```", ""]


def _documentation(target: griffe.Object) -> list[str]:
    """Return the docstring as Markdown."""
    lines: list[str] = []
    for section in target.docstring.parsed if target.docstring else ():
        if isinstance(section, griffe.DocstringSectionText):
            lines += [*_text(section.value), ""]
        elif isinstance(section, griffe.DocstringSectionParameters | griffe.DocstringSectionAttributes):
            lines += [f"- `{item.name}`: {_flow(item.description)}" for item in section.value] + [""]
        elif isinstance(section, griffe.DocstringSectionReturns):
            lines += [f"**Returns** {_flow(item.description)}" for item in section.value] + [""]
        elif isinstance(section, griffe.DocstringSectionRaises):
            lines += ["Raises:", ""]
            lines += [f"- `{item.annotation}`: {_flow(item.description)}" for item in section.value] + [""]
        else:
            raise ValueError(f"{target.path}: there is no rule for a section of the kind {section.kind}")
    return lines


def _text(text: str) -> list[str]:
    """Return paragraphs; an example that starts with `>>>`, up to the next empty line, becomes a code block."""
    parts: list[str] = []
    for paragraph in text.replace("  # doctest: +SKIP", "").split("\n\n"):
        example = paragraph.lstrip().startswith(">>>")
        parts.append(f"```pycon\n{paragraph}\n```" if example else paragraph)
    return "\n\n".join(parts).split("\n")


def _flow(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
