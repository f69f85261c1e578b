"""Options of commands: what typer lacks to declare them, and those that several commands share.

A command may take frozen dataclasses, and each of their fields becomes an option. An option's annotation may contain
an `Alias`, an older name that still works but that the help does not show. An option that several commands have is
defined here once, so that it has the same help text everywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from edgenet.errors import EdgenetError

_CONTEXT = "typer_context"


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
        if value is None:
            if self.required and given[self.option.name] is None:
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
    info = next((extra for extra in extras if isinstance(extra, OptionInfo)), None)
    return None if alias is None or info is None else _Aliased(parameter, info, alias)


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


JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of text.")]
RequireValid = Annotated[
    bool,
    typer.Option(
        "--require-valid",
        help="End with exit status 3 if a measurement is not valid. The results are written and printed all the same.",
    ),
]
NOT_VALID = 3
"""The exit status with --require-valid when a measurement is not valid."""

_FORMS = {
    "local": ("local (this machine)",),
    "browser": ("browser",),
    "ssh": ("ssh:USER@HOST[:PORT]",),
    "adb": ("adb", "adb:SERIAL"),
}
TARGETS = tuple(_FORMS)


def on_option(*kinds: str, several: bool = False, **more: Any) -> Any:
    """Return the option --on of a command for these kinds of device, or for several devices at once.

    Args:
        kinds: some of TARGETS.
        several: whether the option may be repeated.
        more: further arguments of `typer.Option`.
    """
    *others, last = (form for kind in kinds for form in _FORMS[kind])
    listed = f"{', '.join(others)} or {last}"

    def check(text: str) -> None:
        from edgenet.devices.targets import parse_target

        parse_target(text)
        if text == "browser" and "browser" not in kinds:
            raise EdgenetError("this command cannot use a browser", f"give {listed}")

    help = f"Device: {listed}." + (" Repeat the option for more devices." if several else "")
    return typer.Option("--on", metavar="TARGET", parser=checked(check), help=help, **more)


def output_file(*suffixes: str, help: str) -> Any:
    """Return the option --out of a command that writes a file whose name ends in one of the suffixes."""
    return typer.Option("--out", "-o", help=help, **file_ending_in(*suffixes))


def file_ending_in(*suffixes: str) -> dict[str, Any]:
    """Return the arguments with which `typer.Option` takes the path of a file to write, with one of the suffixes."""
    listed = " or ".join(suffixes)

    def parse(text: str | Path) -> Path:  # the option's default comes as a path
        if not str(text).lower().endswith(suffixes):
            raise typer.BadParameter(f"'{text}' does not end in {listed}; give the file such a name")
        return Path(text)

    return {"metavar": "|".join(f"FILE{suffix}" for suffix in suffixes), "parser": parse}


def _check_normalization(text: str) -> None:
    from edgenet.workflows.sources import parse_normalization

    parse_normalization(text)


ArchitectureName = Literal[
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v3_large_minimalistic",
    "mobilenet_v3_small",
    "mobilenet_v3_small_minimalistic",
    "mobilenet_v4_conv_small",
    "mobilenet_v4_conv_medium",
    "mobilenet_v4_conv_large",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "efficientnet_lite2",
    "efficientnet_lite3",
    "efficientnet_lite4",
    "mobilenet_full",
    "mobilenet_shallow",
    "alexnet",
    "squeezenet",
    "googlenet",
    "vgg16",
    "inception_v3",
    "xception",
]
ARCHITECTURES = get_args(ArchitectureName)
RecipeName = Literal["minmax", "fast", "balanced", "best"]
Recipe = Annotated[
    RecipeName | None,
    typer.Option(
        "--recipe",
        show_default="balanced",
        help="Quantization recipe of the int8 network, from the fastest to the most thorough.",
    ),
    Alias("--quantization"),
]
Normalization = Annotated[
    str | None,
    typer.Option(
        "--normalization",
        metavar="NAME|R,G,B/R,G,B",
        parser=checked(_check_normalization),
        help="Pixel normalization of an .onnx, Keras or float .tflite file: imagenet, -1..1, centred, 0..1, 0..255, "
        "or mean and standard deviation in 0..255 as R,G,B/R,G,B.",
    ),
    Alias("--normalize"),
]
Resolution = Annotated[
    int | None,
    typer.Option(
        "--resolution",
        min=1,
        help="Width and height of the network's input, in pixels, where the weights allow several.",
    ),
]
Architecture = Annotated[
    str | None,
    typer.Option(
        "--architecture",
        metavar="NAME",
        help="For a checkpoint of torchvision or timm: what the network is, if its tensors do not tell, such as "
        "tf_mobilenetv3_small_100.",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", help="Text file of class names, one per line, in the order of the outputs."),
]
LABELLED_PHOTOS = "Labelled photos: a folder or zip with class folders or a labels.csv."
CLASS_FOLDERS = (
    "Folder or zip of photos in class folders; these may be inside train and val (or test) folders."
)
Camera = Annotated[
    str,
    typer.Option(
        "--source",
        help="Camera (0, csi or /dev/video0), video, folder of photos or URL, as the device sees it; @FILE for what "
        "that file holds, such as a URL with a password.",
    ),
]


def _check_address(text: str) -> None:
    from edgenet_device.web.address import parse_address

    parse_address(text)


ServeAddress = Annotated[
    str | None,
    typer.Option(
        "--serve",
        metavar="ADDRESS",
        parser=checked(_check_address),
        help="Serve a live web page at PORT (0 for any free port), which only the machine with the camera can open, "
        "or at HOST:PORT.",
    ),
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Number of inference threads.")]
Profile = Annotated[bool, typer.Option("--profile", help="Also measure the time of every operator.")]
SETTLE = "Longest wait, in seconds, for the device to be cool and idle before the measurement."

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


def _check_affinity(text: str) -> None:
    from edgenet_device.latency.affinity import parse_cpu_list

    for part in text.split("/"):
        if part not in ("all", "big", "auto"):
            parse_cpu_list(part)


ProtocolName = Annotated[
    Literal["quick", "standard"],
    typer.Option(
        "--protocol",
        help="Protocol: quick (at least 50 runs and 1 s), or standard (at least 1,024 runs and 60 s, as MLPerf).",
    ),
]
ThreadCounts = Annotated[
    str,
    typer.Option(
        "--threads", metavar="N,N,...", help="Thread counts to try; each model is measured with its fastest."
    ),
]
Affinity = Annotated[
    str | None,
    typer.Option(
        "--affinity",
        metavar="all|big|auto|CPUS",
        parser=checked(_check_affinity),
        show_default="all; big on a phone",
        help="CPUs to run on: all, big (all except the slowest cluster), auto (try every cluster), or lists such as "
        "0-3/4-7 to try.",
    ),
]
Settle = Annotated[
    float | None,
    typer.Option(
        "--settle", metavar="SECONDS", min=0, show_default="0; 120 with --protocol standard", help=SETTLE
    ),
    Alias("--calm"),
]


@dataclass(frozen=True)
class TimingOptions:
    """How long, on how many threads and which CPUs, and after what wait a model is timed."""

    protocol: ProtocolName = "quick"
    threads: ThreadCounts = "1"
    affinity: Affinity = None
    settle: Settle = None

    def arguments(self, **more: Any) -> dict[str, Any]:
        """Return the options as arguments of `edgenet.bench` and `edgenet.compare`.

        Args:
            more: further arguments of `edgenet.bench`.

        Raises:
            typer.BadParameter: a value is wrong, or options contradict each other.
        """
        counts = numbers(self.threads, int, "--threads")
        from edgenet.latency.options import BenchOptions

        fields = {"sustained_s" if name == "sustained" else name: value for name, value in more.items()}
        with usage_errors():
            BenchOptions(self.protocol, counts, self.affinity, settle_s=self.settle, **fields).check()
        shared = {
            "protocol": self.protocol,
            "threads": counts,
            "affinity": self.affinity,
            "settle": self.settle,
        }
        return shared | more
