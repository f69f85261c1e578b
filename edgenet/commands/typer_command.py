"""The form in which typer takes a command: frozen dataclasses as groups of options, and older names of options.

A command may take frozen dataclasses, and each of their fields becomes an option. An option's annotation may contain
an `Alias`, an older name that still works but that the help does not show.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, cast, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from edgenet.errors import EdgenetError

_CONTEXT = "typer_context"
_OPTION = re.compile(r"--[a-z][a-z-]*")


@dataclass(frozen=True)
class Alias:
    """An older name of an option, such as "--quantization"; it stands in the option's annotation."""

    name: str


def typer_command(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command in the form that typer takes: every group as its fields, every alias as a hidden option.

    A group's fields may be groups themselves. An option and its alias together are a usage error.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        hint = hints[parameter.name]
        if _is_group(hint):
            parameters += _options(hint)
        else:
            # Keyword-only parameters may stand in any order, whether they have defaults or not.
            parameters.append(parameter.replace(annotation=hint, kind=Parameter.KEYWORD_ONLY))
    parameters = _with_own_defaults(parameters)
    aliases = [found for parameter in parameters if (found := _aliased(parameter))]

    def flat(**given: Any) -> None:
        context = given.pop(_CONTEXT, None)
        for aliased in aliases:
            aliased.resolve(context, given)
        groups = {name: _build_group(hint, given) for name, hint in hints.items() if _is_group(hint)}
        command(**groups, **given)

    replaced = {aliased.option.name: aliased.optional() for aliased in aliases}
    shown = [replaced.get(parameter.name, parameter) for parameter in parameters]
    flat.__doc__ = command.__doc__
    flat.__signature__ = Signature([*shown, *_hidden(aliases)])  # type: ignore[attr-defined]
    return flat


def _with_own_defaults(parameters: list[Parameter]) -> list[Parameter]:
    """Return the parameters without the parts of defaults that are for options which the command lacks.

    An option that commands share may show the default "30; 4 with --qat", and not every one of them has --qat.
    """
    infos = {one.name: info for one in parameters if (info := _info(one)) is not None}
    names = {str(info.default) for info in infos.values()}
    changed = []
    for one in parameters:
        info = infos.get(one.name)
        if info is not None and isinstance(info.show_default, str):
            parts = re.split("(?=[;,] )", info.show_default)
            own = copy.copy(info)
            own.show_default = "".join(part for part in parts if names.issuperset(_OPTION.findall(part)))
            hint = cast(Any, Annotated)[tuple(own if it is info else it for it in get_args(one.annotation))]
            one = one.replace(annotation=hint)
        changed.append(one)
    return changed


def checked(check: Callable[[str], object]) -> Callable[[str], str]:
    """Return a parser for `typer.Option` that keeps the text, and makes an error of `check` a usage error."""

    def parse(text: str) -> str:
        with usage_errors():
            check(text)
        return text

    return parse


@contextmanager
def usage_errors() -> Iterator[None]:
    """Make an `EdgenetError` in the block a usage error (exit status 2): the block checks values of options.

    Raises:
        typer.BadParameter: the block raised an EdgenetError.
    """
    try:
        yield
    except EdgenetError as error:
        raise typer.BadParameter(str(error)) from None


@dataclass(frozen=True)
class _Aliased:
    """An option with an alias.

    Attributes:
        option: the parameter of the option.
        info: what typer knows of the option.
        alias: the alias's name, such as "--quantization".
    """

    option: Parameter
    info: OptionInfo
    alias: str

    @property
    def required(self) -> bool:
        return self.option.default is Parameter.empty

    @property
    def name(self) -> str:
        # In an annotation, typer keeps the first positional argument of `typer.Option`, a name, as the default.
        return str(self.info.default)

    @property
    def hidden_name(self) -> str:
        return f"{self.option.name}_as_{self.alias.strip('-').replace('-', '_')}"

    def optional(self) -> Parameter:
        """Return the option's parameter; if required, typer sees it as optional, because the alias may replace it."""
        if not self.required:
            return self.option
        info = copy.copy(self.info)
        info.help = f"{info.help}  [required]"
        return self._parameter(self.option.name, info)

    def hidden(self) -> Parameter:
        """Return the parameter of the hidden option."""
        info = copy.copy(self.info)
        info.default, info.param_decls, info.hidden, info.show_default = self.alias, (), True, False
        return self._parameter(self.hidden_name, info)

    def resolve(self, context: typer.Context, given: dict[str, Any]) -> None:
        """Put the alias's value in place of the option's, and remove the alias from the values given."""
        value = given.pop(self.hidden_name)
        source = context.get_parameter_source(self.option.name)
        if value in (None, []):  # an option that may be repeated is an empty list when it is not given
            if self.required and given[self.option.name] in (None, []):
                raise typer.BadParameter(f"give {self.name} {self.info.metavar or ''}".rstrip())
            return
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"{self.name} and {self.alias} are the same option; give it once")
        given[self.option.name] = value

    def _parameter(self, name: str, info: OptionInfo) -> Parameter:
        kind = get_args(self.option.annotation)[0]
        annotation = cast(Any, Annotated)[kind | None, info]
        return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _aliased(parameter: Parameter) -> _Aliased | None:
    """Return the option with its alias, or None if the parameter has no alias."""
    extras = get_args(parameter.annotation)[1:]
    alias = next((extra.name for extra in extras if isinstance(extra, Alias)), None)
    info = _info(parameter)
    return None if alias is None or info is None else _Aliased(parameter, info, alias)


def _info(parameter: Parameter) -> OptionInfo | None:
    return next((one for one in get_args(parameter.annotation)[1:] if isinstance(one, OptionInfo)), None)


def _hidden(aliases: list[_Aliased]) -> list[Parameter]:
    """Return the hidden options, and the parameter in which typer gives its context, if there are any aliases."""
    if not aliases:
        return []
    context = Parameter(_CONTEXT, Parameter.KEYWORD_ONLY, annotation=typer.Context)
    return [*(aliased.hidden() for aliased in aliases), context]


def _is_group(hint: object) -> bool:
    return isinstance(hint, type) and is_dataclass(hint)


def _options(group: type[Any]) -> list[Parameter]:
    found: list[Parameter] = []
    for name, hint, default in _fields(group):
        if _is_group(hint):
            found += _options(hint)
        else:
            found.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=hint))
    return found


def _build_group(group: type[Any], given: dict[str, Any]) -> Any:
    """Build the group from the values given for its options, and remove these values from `given`."""
    return group(
        **{
            name: _build_group(hint, given) if _is_group(hint) else given.pop(name)
            for name, hint, _ in _fields(group)
        }
    )


def _fields(group: type[Any]) -> list[tuple[str, Any, Any]]:
    """Return the name, type and default of each field."""
    hints = get_type_hints(group, include_extras=True)
    return [(field.name, hints[field.name], field.default) for field in fields(group)]
