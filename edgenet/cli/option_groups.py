"""Groups of options: a command may take frozen dataclasses, and each of their fields becomes an option."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with each group replaced by its fields, because typer does not know groups.

    A group's fields may be groups themselves.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        hint = hints[parameter.name]
        parameters += _options(hint) if _is_group(hint) else [parameter.replace(annotation=hint)]

    def flat(**given: Any) -> None:
        groups = {name: _made(hint, given) for name, hint in hints.items() if _is_group(hint)}
        command(**groups, **given)

    flat.__doc__ = command.__doc__
    flat.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return flat


def _is_group(hint: object) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def _options(group: type[Any]) -> list[Parameter]:
    found: list[Parameter] = []
    for name, hint, default in _fields(group):
        if _is_group(hint):
            found += _options(hint)
        else:
            found.append(Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=hint))
    return found


def _made(group: type[Any], given: dict[str, Any]) -> Any:
    """Build the group from the values given for its options, and remove these values from `given`."""
    return group(
        **{
            name: _made(hint, given) if _is_group(hint) else given.pop(name)
            for name, hint, _ in _fields(group)
        }
    )


def _fields(group: type[Any]) -> list[tuple[str, Any, Any]]:
    """Return the name, type and default of each field."""
    hints = get_type_hints(group, include_extras=True)
    return [(field.name, hints[field.name], field.default) for field in fields(group)]
