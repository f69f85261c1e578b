"""Code of the user's own for a device, read and checked on this machine before anything is copied.

It is a program (my_app.py) or a folder. These parts of a folder stay here: whatever is hidden (.git, .env),
environments of Python, node_modules, and what Python itself has compiled.
"""

from __future__ import annotations

import ast
import os
import re
import stat
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgenet_device.foreign_text import printable

from edgenet.errors import EdgenetError, one_line
from edgenet.files import read_limited

MOST_FILES = 2000
MOST_BYTES = 100 << 20
_MOST_SOURCE = 4 << 20
CAMERA = "camera.py"
"""edgenet's own program, which a service runs unless it is told another one."""
# A program's own folder comes first where Python looks for modules, so a file of these names would hide the module.
_TAKEN = sys.stdlib_module_names | {"ai_edge_litert", "cv2", "edgenet_device", "numpy", "tflite_runtime"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class App:
    """Code of the user's own.

    Attributes:
        name: its name on the device: that of the folder, or of the program without .py.
        files: maps each path within the folder, with "/" between its parts, to the file on this machine.
        left_out: the hidden files, the environments and the like that are not copied.
    """

    name: str
    files: dict[str, Path]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Program:
    """A program of the user's own on a device.

    Attributes:
        app: the name of the code that it belongs to.
        path: its path within that code.
    """

    app: str
    path: str

    def __str__(self) -> str:
        return self.path if self.path == f"{self.app}.py" else f"{self.app}/{self.path}"


def read_app(path: Path) -> App:
    """Read and check a program, or a folder of programs.

    Raises:
        EdgenetError: it is missing, has no program, is too large, a file cannot be read or is no Python, or a name
            clashes with one that Python or edgenet needs.
    """
    if path.is_dir():
        name, (files, left_out) = path.resolve().name, _files_in(path)
    elif path.is_file():
        if path.suffix != ".py":
            raise EdgenetError(f"{path} is no Python program", "give a .py file, or a folder with one")
        name, files, left_out = path.stem, {path.name: path}, []
    else:
        raise EdgenetError(f"there is no file or folder {path}", "give your program, or its folder")
    if not _NAME.fullmatch(name) or f"{name}.py" == CAMERA:
        why = "is edgenet's own program" if f"{name}.py" == CAMERA else "is no name for code on a device"
        raise EdgenetError(
            f"{one_line(name)} {why}", "rename it: up to 64 letters, digits, dots, dashes and underscores"
        )
    programs = [place for place in files if place.endswith(".py")]
    if not programs:
        raise EdgenetError(f"there is no .py file in {path}", "give the folder of your program")
    _check_names(path, files, PurePosixPath("."))
    for place in programs:
        _check_source(files[place])
    return App(name, files, tuple(left_out))


def _files_in(folder: Path) -> tuple[dict[str, Path], list[str]]:
    files: dict[str, Path] = {}
    left_out: list[str] = []
    total = 0
    for path in _walk(folder, left_out):
        place = path.relative_to(folder).as_posix()
        if printable(place) != place or "\\" in place:
            raise EdgenetError(
                f"the name {one_line(place)!r} in {folder} has a character that a list of files cannot hold",
                "rename it",
            )
        files[place] = path
        total += _size(folder, path)
        if len(files) > MOST_FILES or total > MOST_BYTES:
            raise EdgenetError(
                f"{folder} has more than {MOST_FILES:,} files or {MOST_BYTES >> 20} MiB",
                "give a folder with the program alone, and bring large data to the device yourself",
            )
    return dict(sorted(files.items())), sorted(left_out)


def _walk(folder: Path, left_out: list[str]) -> Iterator[Path]:
    """Yield the files below a folder that belong to the code; add the others to `left_out`."""

    def unreadable(error: OSError) -> None:
        raise EdgenetError(f"cannot read {error.filename}: {error.strerror}", "check who may read it")

    for place, folders, names in os.walk(folder, onerror=unreadable):
        inside = []
        for name in sorted(folders):
            path = Path(place, name)
            if name.startswith(".") or name == "node_modules" or (path / "pyvenv.cfg").exists():
                left_out.append(f"{path.relative_to(folder).as_posix()}/")
            elif path.is_symlink():
                raise EdgenetError(f"{path} is a link to a folder", "put the folder itself there")
            elif name != "__pycache__":
                inside.append(name)
        folders[:] = inside
        for name in sorted(names):
            path = Path(place, name)
            if name.startswith("."):
                left_out.append(path.relative_to(folder).as_posix())
            elif path.suffix != ".pyc":
                yield path


def _size(folder: Path, path: Path) -> int:
    """Return the size of a file in bytes; of a link within the folder, the size of the file that it leads to."""
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(folder.resolve()):
            raise EdgenetError(
                f"{path} is a link to a place outside of {folder}", "put the file itself there"
            )
        facts = path.stat()
        if not os.access(path, os.R_OK):
            raise EdgenetError(f"cannot read {path}: permission denied", "check who may read it")
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise EdgenetError(
            f"{path} is a link to nothing" if path.is_symlink() else f"cannot read {path}: {error}",
            "remove it",
        ) from None
    if not stat.S_ISREG(facts.st_mode):
        raise EdgenetError(f"{path} is no file that can be copied", "remove it")
    return facts.st_size


def _check_names(app: Path, files: Iterable[str], folder: PurePosixPath) -> None:
    """Refuse a module in the program's own folder that would hide one of Python's, or one that edgenet needs."""
    for name in files:
        place = PurePosixPath(name)
        is_module = place.parent == folder and place.suffix == ".py"
        is_package = place.parent.parent == folder and place.name == "__init__.py" and place.parent != folder
        module = place.stem if is_module else place.parent.name
        if (is_module or is_package) and module in _TAKEN:
            raise EdgenetError(
                f"{name} of {app} has the name of a module that Python or edgenet needs, and would hide it",
                f"rename it, for example to my_{module}",
            )


def _check_source(path: Path) -> None:
    try:
        data = read_limited(path, _MOST_SOURCE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(data, str(path))
    except SyntaxError as error:
        raise EdgenetError(
            f"{path}, line {error.lineno}: {one_line(error.msg)}", "correct the program; nothing was copied"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise EdgenetError(f"{path} is no Python: {one_line(str(error))}", "correct the program") from None
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "check who may read it") from None


def read_program(text: str, given: Path | None, app: App | None) -> Program | None:
    """Return the program that `--run` names; None for edgenet's own camera.py.

    Args:
        text: the program: my_app.py, or FOLDER/main.py, or the path of either on this machine.
        given: what `--with` gives; None if it is not given.
        app: the code that was read from there.

    Raises:
        EdgenetError: the text names no program, or the code given has no such file.
    """
    if text == CAMERA:
        return None
    if app is not None and given is not None and Path(text) == given and given.is_file():
        return Program(app.name, given.name)
    place = PurePosixPath(text)
    if app is not None and given is not None and given.is_dir() and Path(text).is_relative_to(given):
        place = PurePosixPath(app.name, Path(text).relative_to(given).as_posix())
    if place.suffix != ".py" or place.is_absolute() or ".." in place.parts or printable(text) != text:
        raise EdgenetError(
            f"'{one_line(text)}' is no program to run",
            f"give the name of a .py file, such as my_app.py or my_folder/main.py, or {CAMERA} for edgenet's own",
        )
    alone = len(place.parts) == 1
    program = Program(place.stem, place.name) if alone else Program(place.parts[0], "/".join(place.parts[1:]))
    if app is not None and app.name == program.app:
        if program.path not in app.files:
            raise EdgenetError(f"{given} has no program {program.path}", _programs_of(app))
        _check_names(given or Path(app.name), app.files, PurePosixPath(program.path).parent)
    return program


def _programs_of(app: App) -> str:
    found = [str(Program(app.name, place)) for place in app.files if place.endswith(".py")]
    return f"it has {', '.join(found[:5])}{' and more' if len(found) > 5 else ''}"
