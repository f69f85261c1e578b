"""Is 27 times fewer mult-adds 27 times less time? The comparison of the MobileNets paper, with int8 latency.

    .venv/bin/python -m benchmarks.paper --markdown docs/benchmarks.md --readme README.md
    .venv/bin/python -m benchmarks.paper --networks mobilenet_v1_1.0_224,vgg16_1.0_224 --on ssh:pi@raspberrypi.local

Every network gets random weights, becomes int8 by the cheapest recipe on four photos, and is timed on one device, in
turns with all others. Neither size nor speed depends on the weights. Mult-adds and parameters are counted from our
modules, as the papers count; top-1 is what the papers state. Three networks are timed in float32 too.

It writes docs/paper.png and prints a table, which `--markdown FILE` also puts between two marks in FILE; `--readme`
does the same with a short table.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

import edgenet
from benchmarks.comparing.tables import markdown, put_into
from edgenet.assets import calibration_photos
from edgenet.errors import EdgenetError
from edgenet.figures.style import COLOURS, INK, MARKERS, MUTED, figure_of, logarithmic_x, png, style_axes
from edgenet.files import write_atomically
from edgenet.progress import silent
from edgenet.workflows.models import VariantRow
from edgenet.workflows.select import untrained_int8
from edgenet.zoo.catalogue import imagenet_labels
from edgenet.zoo.registry import build, parse_variant

MARK = "<!-- benchmarks.paper writes from here -->"
README_MARK = "<!-- benchmarks.paper --readme writes from here -->"
IN_README = (
    "mobilenet_v1_0.25_224",
    "mobilenet_v1_0.5_224",
    "mobilenet_v1_1.0_224",
    "mobilenet_v2_1.0_224",
    "mobilenet_v3_small_1.0_224",
    "mobilenet_v3_large_1.0_224",
    "mobilenet_v4_conv_small_1.0_224",
)
"""Networks with ImageNet weights that README names."""
REFERENCE = "mobilenet_v1_1.0_224"
NETWORKS = (
    REFERENCE,
    "mobilenet_v1_0.75_224",
    "mobilenet_v1_0.5_224",
    "mobilenet_v1_0.25_224",
    "mobilenet_full_1.0_224",
    "mobilenet_shallow_1.0_224",
    "alexnet_1.0_227",
    "squeezenet_1.0_227",
    "googlenet_1.0_224",
    "vgg16_1.0_224",
    "inception_v3_1.0_299",
    "xception_1.0_299",
    "mobilenet_v2_1.0_224",
    "mobilenet_v3_large_1.0_224",
    "mobilenet_v3_small_1.0_224",
    "mobilenet_v4_conv_small_1.0_224",
    "mobilenet_v4_conv_medium_1.0_256",
)
ALSO_FLOAT = ("mobilenet_v1_1.0_224", "mobilenet_v1_0.25_224", "mobilenet_v2_1.0_224")
"""Networks that are timed in float32 too: a large, a small and a middle one."""
CORNERS = ((True, False), (False, True), (True, True), (False, False))
"""Where a name may stand beside its point, (to the right, above), in the order of preference."""
SETTLE_S = 900.0
"""Longest wait for an idle device, seconds: converting the networks is itself a load just before."""


@dataclass(frozen=True)
class Network:
    """One network of the comparison.

    Attributes:
        cost: its counts, and what its paper states.
        bytes: size of the int8 file.
        p50_ms: median of one inference of the int8 file, milliseconds.
        float_ms: the same of the float32 file; None if it was not measured.
        valid: whether the latency may be quoted.
    """

    cost: VariantRow
    bytes: int
    p50_ms: float
    float_ms: float | None
    valid: bool

    @property
    def short(self) -> str:
        """The name without its resolution, and without the width 1.0."""
        without_resolution = self.cost.variant.rpartition("_")[0]
        return without_resolution.removesuffix("_1.0").removeprefix("mobilenet_")


@dataclass(frozen=True)
class Measured:
    """All networks with the device on which they were timed, and the files whose latency must not be quoted."""

    device: str
    threads: int
    networks: tuple[Network, ...]
    not_valid: tuple[str, ...]

    def reference(self) -> Network | None:
        """Return MobileNetV1 1.0/224, of which the ratios are stated; None if it was left out."""
        return next((one for one in self.networks if one.cost.variant == REFERENCE), None)


def main() -> int:
    """Make the files, time them, and write the tables and the figure."""
    options = _options()
    tables = [(options.markdown, MARK, report), (options.readme, README_MARK, readme_table)]
    try:
        for path, mark, _ in tables:
            if path:
                put_into(
                    path.read_text(encoding="utf-8"), "", mark
                )  # reports a missing mark before measuring
        with tempfile.TemporaryDirectory() as temporary:
            work = options.work or Path(temporary)
            measured = measure(options.networks, work, options.on, options.threads, SETTLE_S)
        for path, mark, write in tables:
            if path:
                changed = put_into(path.read_text(encoding="utf-8"), write(measured), mark)
                write_atomically(path, changed.encode())
        write_atomically(options.figure, png(figure(measured)))
    except EdgenetError as error:
        print(f"benchmarks.paper: {error}", file=sys.stderr)
        return 1
    print(report(measured))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.paper", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--networks", type=lambda text: text.split(","), default=list(NETWORKS), metavar="NAME,NAME")
    add("--on", default="local", metavar="DEVICE", help="as `edgenet bench` takes it; default: local")
    add("--threads", type=int, default=1, metavar="N", help="default: 1")
    add(
        "--work",
        type=Path,
        metavar="FOLDER",
        help="keep files and reports there, and use the files that are there",
    )
    add("--markdown", type=Path, metavar="FILE", help="put the table between the two marks in FILE")
    add("--readme", type=Path, metavar="FILE", help="put a short table between the two marks in FILE")
    add("--figure", type=Path, default=Path("docs/paper.png"), metavar="FILE", help="default: docs/paper.png")
    return parser.parse_args()


def measure(names: Sequence[str], work: Path, on: str, threads: int, settle_s: float) -> Measured:
    """Make the file of each network in `work` and time all of them in turns, once the device is idle.

    Raises:
        EdgenetError: a network has no such name, a file cannot be made, or the device cannot be used.
    """
    costs = {row.variant: row for row in edgenet.models()}
    unknown = [name for name in names if name not in costs]
    if unknown:
        raise EdgenetError(f"there is no variant {unknown[0]}", "`edgenet models` lists them")
    files = {}
    for name in names:
        print(f"making {name}", file=sys.stderr, flush=True)
        files[name, "int8"] = int8_file(name, work / name)
        if name in ALSO_FLOAT:
            files[name, "float"] = float_file(name, work / name)
    print(f"timing {len(files)} files in turns", file=sys.stderr, flush=True)
    reports = edgenet.bench(
        list(files.values()), on=on, threads=threads, settle=settle_s, out=work / "latency"
    ).reports
    timed = dict(zip(files, reports, strict=True))
    networks = tuple(
        Network(
            costs[name],
            files[name, "int8"].stat().st_size,
            timed[name, "int8"]["steady_state"]["p50_ms"],
            timed[name, "float"]["steady_state"]["p50_ms"] if (name, "float") in timed else None,
            timed[name, "int8"]["valid"],
        )
        for name in names
    )
    device = reports[0]["device"]
    not_valid = tuple(
        f"{name} in {precision} ({', '.join(reason.partition(':')[0] for reason in one['reasons'])})"
        for (name, precision), one in timed.items()
        if not one["valid"]
    )
    return Measured(device["model"] or device["cpu"] or device["machine"], threads, networks, not_valid)


def int8_file(name: str, folder: Path) -> Path:
    """Return the int8 file of a network with random weights; make it if it is not in `folder`."""
    photos = edgenet.open_photos(calibration_photos())
    made = untrained_int8(parse_variant(name), imagenet_labels(), photos, folder, silent)
    named = folder / f"{name}.tflite"  # reports are named after their files
    if not named.exists():
        named.hardlink_to(made)
    return named


def float_file(name: str, folder: Path) -> Path:
    """Return the float32 file of a network with random weights; make it if it is not in `folder`."""
    path = folder / f"{name}-float32.tflite"
    if not path.exists():
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = build(parse_variant(name), classes=1000).eval()
        resolution = parse_variant(name).resolution
        edgenet.convert(module, path, precision="float32", normalization="-1..1", resolution=resolution)
    return path


def report(measured: Measured) -> str:
    """Return the conditions, the answer to the question, and the table, as Markdown."""
    threads = f"{measured.threads} thread{'s' * (measured.threads > 1)}"
    lines = [f"{date.today().isoformat()}, {measured.device}, {threads}, p50 of at least 50 runs.", ""]
    if measured.not_valid:
        lines += [f"**Not valid to quote**: {', '.join(measured.not_valid)}.", ""]
    lines += [*answers(measured), "", *markdown(_columns(measured), measured.networks), ""]
    lines += ["![Latency against mult-adds, and published top-1 against latency](paper.png)"]
    return "\n".join(lines)


def answers(measured: Measured) -> list[str]:
    """Return a line for each larger network: how many times the mult-adds of V1, and how many times its time."""
    reference = measured.reference()
    if reference is None:
        return []
    larger = [one for one in measured.networks if one.cost.mult_adds > 2 * reference.cost.mult_adds]
    lines = []
    for one in sorted(larger, key=lambda one: -one.cost.mult_adds):
        work = one.cost.mult_adds / reference.cost.mult_adds
        time = one.p50_ms / reference.p50_ms
        lines.append(
            f"- {one.short} has {work:.1f} times the mult-adds of {reference.short}, and takes {time:.1f} times as "
            "long."
        )
    return lines


def _columns(measured: Measured) -> tuple[tuple[str, Callable[[Network], str]], ...]:
    reference = measured.reference()

    def optional(form: str, value: float | None) -> str:
        return "-" if value is None else form.format(value)

    def times(one: Network) -> str:
        return "-" if reference is None else f"{one.p50_ms / reference.p50_ms:.2f}"

    return (
        ("network", lambda one: one.cost.variant),
        ("M mult-adds", lambda one: f"{one.cost.mult_adds / 1e6:,.0f}"),
        ("M parameters", lambda one: f"{one.cost.parameters / 1e6:.2f}"),
        ("int8 file, MB", lambda one: f"{one.bytes / 1e6:.2f}"),
        ("int8, ms", lambda one: f"{one.p50_ms:.2f}{'' if one.valid else ' (not valid)'}"),
        ("times V1's", times),
        ("G mult-adds a second", lambda one: f"{one.cost.mult_adds / one.p50_ms / 1e6:.0f}"),
        ("float32, ms", lambda one: optional("{:.2f}", one.float_ms)),
        ("published top-1, %", lambda one: optional("{:.1f}", one.cost.paper_top1)),
    )


def readme_table(measured: Measured) -> str:
    """Return a short table of the networks that have ImageNet weights, and where they were timed."""
    weights = {row.variant: row for row in edgenet.list_weights() if row.default}
    chosen = [one for one in measured.networks if one.cost.variant in IN_README]
    lines = ["| network | top-1, % | int8, MB | latency, ms |", "|---|--:|--:|--:|"]
    for one in sorted(chosen, key=lambda one: IN_README.index(one.cost.variant)):
        top1 = weights[one.cost.variant].top1
        lines.append(
            f"| `{one.cost.variant}` | {'-' if top1 is None else f'{top1:.1f}'} | {one.bytes / 1e6:.1f} "
            f"| {one.p50_ms:.2f}{'' if one.valid else ' (busy machine)'} |"
        )
    lines += ["", f"Top-1 as published, in float; latency on one core of {measured.device}."]
    return "\n".join(lines)


def figure(measured: Measured) -> Figure:
    """Draw latency against mult-adds, beside a line of V1's speed, and published top-1 against latency."""
    drawn = figure_of(11.0, 5.0)
    work, worth = drawn.subplots(1, 2)
    style_axes(work, "Is less work less time?", "million mult-adds, log axis", "int8 latency, ms, log axis")
    logarithmic_x(work)
    work.set_yscale("log")
    work.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    work.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    work.yaxis.set_minor_formatter(NullFormatter())
    style_axes(worth, "What it is worth", "int8 latency, ms, log axis", "published top-1, %")
    logarithmic_x(worth)
    work.margins(x=0.15, y=0.1)
    worth.margins(x=0.15, y=0.1)
    for index, family in enumerate(dict.fromkeys(one.cost.family for one in measured.networks)):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        work.plot([], [], marker, color=colour, label=family)
        for one in measured.networks:
            if one.cost.family != family:
                continue
            face = colour if one.valid else "white"
            work.plot(one.cost.mult_adds / 1e6, one.p50_ms, marker, mec=colour, mfc=face, ms=6)
            if one.cost.paper_top1 is not None:
                worth.plot(one.p50_ms, one.cost.paper_top1, marker, mec=colour, mfc=face, ms=6)
    reference = measured.reference()
    if reference is not None:
        ends = [f(one.cost.mult_adds / 1e6 for one in measured.networks) for f in (min, max)]
        slope = reference.p50_ms / (reference.cost.mult_adds / 1e6)
        work.plot(ends, [slope * end for end in ends], "--", color=INK, lw=1, label="as fast as V1 1.0")
    if not all(one.valid for one in measured.networks):
        work.plot([], [], "o", mfc="white", mec=INK, label="not valid to quote")
    work.legend(frameon=False, fontsize=8)
    judged = [(one.short, one.p50_ms, one.cost.paper_top1) for one in measured.networks]
    _write_names(work, [(one.short, one.cost.mult_adds / 1e6, one.p50_ms) for one in measured.networks])
    _write_names(worth, [(name, ms, top1) for name, ms, top1 in judged if top1 is not None])
    return drawn


def _write_names(axes: Axes, points: Sequence[tuple[str, float, float]]) -> None:
    """Write each (name, x, y) at the corner of its point where it covers the fewest other names and points."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # lays the axes out, so that places on the picture are known
    marks = [
        Bbox.from_extents(x - 4, y - 4, x + 4, y + 4)
        for x, y in axes.transData.transform([p[1:] for p in points])
    ]
    taken = list(marks)
    for (name, x, y), mark in zip(points, marks, strict=True):
        tried: list[tuple[int, int, Annotation, Bbox]] = []
        for right, up in CORNERS:
            text = axes.annotate(
                name,
                (x, y),
                xytext=(5 if right else -5, 3 if up else -3),
                textcoords="offset points",
                ha="left" if right else "right",
                va="bottom" if up else "top",
                fontsize=7,
                color=MUTED,
            )
            box = text.get_window_extent()
            tried.append(
                (sum(box.overlaps(other) for other in taken if other is not mark), len(tried), text, box)
            )
        best = min(tried, key=lambda one: one[:2])
        for one in tried:
            if one is not best:
                one[2].remove()
        taken.append(best[3])


if __name__ == "__main__":
    sys.exit(main())
