"""Options in groups: a command may take frozen dataclasses, whose fields are options of its own on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command as typer takes it, which knows of no groups: flat, each group's fields in the group's place.

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
    """The group, of what was given for its options, which is taken out."""
    return group(
        **{
            name: _made(hint, given) if _is_group(hint) else given.pop(name)
            for name, hint, _ in _fields(group)
        }
    )


def _fields(group: type[Any]) -> list[tuple[str, Any, Any]]:
    """Name, type and default of each."""
    hints = get_type_hints(group, include_extras=True)
    return [(field.name, hints[field.name], field.default) for field in fields(group)]
