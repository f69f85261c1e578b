"""Groups of options: a command may take frozen dataclasses, and each of their fields becomes an option."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from edgenet.latency.options import BenchOptions


def flatten_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with each group replaced by its fields, because typer does not know groups.

    A group's fields may be groups themselves.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        hint = hints[parameter.name]
        parameters += _options(hint) if _is_group(hint) else [parameter.replace(annotation=hint)]

    def flat(**given: Any) -> None:
        groups = {name: _build_group(hint, given) for name, hint in hints.items() if _is_group(hint)}
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


# ==== edgenet.cli.numbers
# Lists of numbers on the command line.

Number = TypeVar("Number", int, float)


def numbers(text: str, kind: Callable[[str], Number], option: str) -> tuple[Number, ...]:
    """Parse a list of numbers such as "1,2,4".

    Args:
        text: the numbers, separated by commas.
        kind: `int` or `float`.
        option: the option's name, for the error message.

    Raises:
        BadParameter: the text is not such a list.
    """
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} is '{text}'; give numbers with commas between them") from None


# ==== edgenet.cli.timing_options
# The options that `edgenet bench` and `edgenet compare` share, for how a model is timed.

ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol",
        help="Protocol: quick (at least 50 runs and 1 s), or standard (at least 1,024 runs and 60 s, as MLPerf).",
    ),
]
Threads = Annotated[
    str,
    typer.Option(
        "--threads", metavar="N,N,...", help="Thread counts to try; each model is measured with its fastest."
    ),
]
Affinity = Annotated[
    str | None,
    typer.Option(
        "--affinity",
        metavar="CPUS",
        show_default="all; big on a phone",
        help="CPUs to run on: all, big (all except the slowest cluster), auto (try every cluster), or lists such as "
        "0-3/4-7 to try.",
    ),
]
Settle = Annotated[
    float | None,
    typer.Option(
        "--settle",
        metavar="SECONDS",
        min=0,
        show_default="0; 120 with --protocol standard",
        help="Longest wait for the device to be cool and idle before the measurement.",
    ),
]


@dataclass(frozen=True)
class TimingOptions:
    """How long, on how many threads and which CPUs, and after what wait a model is timed."""

    protocol: ProtocolName = "quick"
    threads: Threads = "1"
    affinity: Affinity = None
    settle: Settle = None

    def with_more(self, **more: Any) -> BenchOptions:
        """Return the options as `edgenet.bench` and `edgenet.compare` take them.

        Args:
            more: further fields of `BenchOptions`.

        Raises:
            typer.BadParameter: --threads is not a list of integers.
        """
        counts = numbers(self.threads, int, "--threads")
        from edgenet.latency.options import BenchOptions

        return BenchOptions(self.protocol, counts, self.affinity, settle_s=self.settle, **more)
