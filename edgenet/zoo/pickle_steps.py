"""Follows the instructions of a pickle on plain data only: it imports nothing, and calls nothing that a pickle names.

`pickletools` of the standard library takes the bytes apart; what each instruction does to the stack is done here.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class PickleError(ValueError):
    """The bytes are no pickle, or one with instructions that no checkpoint needs."""


@dataclass(frozen=True)
class Name:
    """The name of a Python class or function, which is never imported."""

    module: str
    name: str


@dataclass(eq=False)
class Call:
    """An object that a pickle would make by calling a class or function; the call is never made.

    Attributes:
        made_by: what would be called, usually a `Name`.
        arguments: with which arguments.
        state: what the object would be given as its attributes.
        items: what would be put into it as into a dict.
    """

    made_by: Any
    arguments: Any
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the file.

    Attributes:
        key: its name in the file.
        kind: the name of torch's class of storages, such as "FloatStorage".
        offset: the number with which a part of another storage begins.
    """

    key: str
    kind: str
    offset: int = 0


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in the file: a storage, the number with which it begins, its shape, strides, and type."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


def follow(data: bytes, start: int = 0) -> tuple[Any, int]:
    """Return the object that a pickle describes, as plain data, and the place where the pickle ends.

    Args:
        data: bytes with a pickle in them.
        start: where it begins.

    Raises:
        PickleError: the bytes are no complete pickle.
    """
    machine = _Machine()
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        for instruction, argument, _ in pickletools.genops(stream):
            if instruction.name == "STOP":
                return machine.stack.pop(), stream.tell()
            machine.step(instruction.name, argument)
    except PickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise PickleError(str(error) or type(error).__name__) from error
    raise PickleError("it ends too early")


_MARK = object()


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        if name in ("PROTO", "FRAME"):
            return
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name]())
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise PickleError(f"its instruction {name} is none that a checkpoint needs")

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark from the stack, and the mark."""
        place = max(index for index, value in enumerate(self.stack) if value is _MARK)
        taken = self.stack[place + 1 :]
        del self.stack[place:]
        return taken

    def pop(self, count: int) -> list[Any]:
        """Take the last values from the stack, in the order in which they came."""
        taken = self.stack[-count:]
        if len(taken) < count:
            raise PickleError("it takes more from its stack than is there")
        del self.stack[-count:]
        return taken


_CONSTANTS: dict[str, Callable[[], Any]] = {
    **{"NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "MARK": lambda: _MARK},
    **{"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": list},
}
_LITERALS = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(tuple(machine.pop(count)))


def _set_items(machine: _Machine, pairs: list[Any]) -> None:
    target = machine.stack[-1]
    items = target.items if isinstance(target, Call) else target
    if not isinstance(items, dict):
        raise PickleError("it puts items into what is no dict")
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        try:
            items[key] = value
        except TypeError:  # a key that plain data cannot have
            items[id(key)] = value


def _append(machine: _Machine, values: list[Any]) -> None:
    target = machine.stack[-1]
    if isinstance(target, list):
        target += values
    # What a list of another class would hold is of no use here.


def _pop_mark(machine: _Machine, _: Any) -> None:
    machine.since_mark()


def _append_one(machine: _Machine, _: Any) -> None:
    values = machine.pop(1)
    _append(machine, values)


def _set_item(machine: _Machine, _: Any) -> None:
    pair = machine.pop(2)
    _set_items(machine, pair)


def _dict(machine: _Machine, _: Any) -> None:
    pairs = machine.since_mark()
    machine.stack.append({})
    _set_items(machine, pairs)


def _global(machine: _Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(Name(module, name))


def _stack_global(machine: _Machine, _: Any) -> None:
    module, name = machine.pop(2)
    machine.stack.append(Name(str(module), str(name)))


def _reduce(machine: _Machine, _: Any) -> None:
    function, arguments = machine.pop(2)
    machine.stack.append(_called(function, arguments))


def _new_with_names(machine: _Machine, _: Any) -> None:
    kind, arguments, _names = machine.pop(3)
    machine.stack.append(_called(kind, arguments))


def _instance(machine: _Machine, argument: Any) -> None:
    """Carry out INST, which names the class, or OBJ, which has it on the stack."""
    values = machine.since_mark()
    if argument is None:
        machine.stack.append(_called(values[0], tuple(values[1:])))
        return
    module, _, name = argument.partition(" ")
    machine.stack.append(_called(Name(module, name), tuple(values)))


def _build(machine: _Machine, _: Any) -> None:
    (state,) = machine.pop(1)
    if isinstance(machine.stack[-1], Call):
        machine.stack[-1].state = state


def _persistent(machine: _Machine, _: Any) -> None:
    """Replace torch's name of a storage: ("storage", class, key, device, count), and in old files a part of it."""
    (named,) = machine.pop(1)
    what, kind, key, *rest = named
    if what != "storage" or not isinstance(kind, Name):
        raise PickleError("it names something outside that is no storage")
    part = rest[2] if len(rest) > 2 else None
    machine.stack.append(Storage(str(key), kind.name, int(part[1]) if part else 0))


def _called(function: Any, arguments: Any) -> Any:
    """Return what a call stands for: a dict or tensor if it makes one, else the call itself."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        return Call(function, arguments)
    match f"{function.module}.{function.name}":
        case "collections.OrderedDict" | "collections.defaultdict":
            pairs = arguments[0] if arguments and isinstance(arguments[0], list) else []
            return dict(pairs)
        case "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2":
            return _tensor(arguments, None)
        case "torch._utils._rebuild_tensor_v3":
            return _tensor(arguments, arguments[6])
        case "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state":
            return arguments[0]
        case "torch._tensor._rebuild_from_type_v2":
            return _called(arguments[0], arguments[2])
    return Call(function, arguments)


def _tensor(arguments: tuple[Any, ...], dtype: Name | None) -> StoredTensor:
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, Storage):
        raise PickleError("it has a tensor without a storage")
    numbers = (tuple(int(n) for n in shape), tuple(int(n) for n in strides))
    kind = storage.kind if dtype is None else dtype.name
    return StoredTensor(storage, storage.offset + int(offset), *numbers, kind)


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": _pop_mark,
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "FROZENSET": lambda machine, _: machine.stack.append(machine.since_mark()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    **{f"TUPLE{count}": _tuple(count) for count in (1, 2, 3)},
    "DICT": _dict,
    "APPEND": _append_one,
    **dict.fromkeys(("APPENDS", "ADDITEMS"), lambda machine, _: _append(machine, machine.since_mark())),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: _set_items(machine, machine.since_mark()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), _reduce),
    "NEWOBJ_EX": _new_with_names,
    **dict.fromkeys(("INST", "OBJ"), _instance),
    "BUILD": _build,
    "BINPERSID": _persistent,
}
