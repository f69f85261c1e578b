"""Options that several commands share, each defined once, so that it has the same help text everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import typer

from edgenet.commands.quick_imports import quick_imports
from edgenet.commands.typer_command import Alias, checked, usage_errors
from edgenet.errors import EdgenetError

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
        several: whether it takes several devices: by repeating it, with commas, and from a fleet file.
        more: further arguments of `typer.Option`.
    """
    *others, last = (form for kind in kinds for form in _FORMS[kind])
    listed = f"{', '.join(others)} or {last}"

    def check(text: str) -> None:
        from edgenet.devices.fleet_file import chosen_devices
        from edgenet.devices.targets import parse_target

        if several:
            targets = [device.address for device in chosen_devices([text])]
        else:
            parse_target(text)
            targets = [text]
        if "browser" in targets and "browser" not in kinds:
            raise EdgenetError("this command cannot use a browser", f"give {listed}")

    help = f"Device: {listed}, or FLEET.toml:NAME of a fleet file."
    if several:
        help = f"Devices: {listed}; several with commas or by repeating the option; FLEET.toml or FLEET.toml:GROUP."
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
    with quick_imports():
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


InputShape = Annotated[
    str | None,
    typer.Option(
        "--input-shape",
        metavar="N,C,H,W",
        help="Input shape for an .onnx or Keras file that leaves it open, such as 1,3,224,224 or 1,224,224,3.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="NAME",
        help="For an .onnx file with several outputs: the name of the output with the class scores.",
    ),
]


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """Return the shape that the text of --input-shape says.

    Raises:
        BadParameter: the text is not a shape of four sizes.
    """
    shape = None if text is None else numbers(text, int, "--input-shape")
    if shape is not None and (len(shape) != 4 or min(shape) < 1):
        raise typer.BadParameter(f"--input-shape is '{text}'; give it as 1,3,224,224")
    return shape


@dataclass(frozen=True)
class InputOptions:
    """Facts about a network's input and output that its file may lack.

    Raises:
        BadParameter: --input-shape is not a shape.
    """

    resolution: Resolution = None
    normalization: Normalization = None
    labels: Labels = None
    input_shape: InputShape = None
    output: Output = None
    architecture: Architecture = None

    def __post_init__(self) -> None:
        shape_of(self.input_shape)

    def arguments(self) -> dict[str, Any]:
        """Return the options as arguments of `edgenet.convert` and `edgenet.evaluate`."""
        return {
            "resolution": self.resolution,
            "normalization": self.normalization,
            "labels": self.labels,
            "input_shape": shape_of(self.input_shape),
            "output": self.output,
            "architecture": self.architecture,
        }
