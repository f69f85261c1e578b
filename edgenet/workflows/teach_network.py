"""Which pretrained networks, at which resolutions, `teach` chooses from: those with weights that fit the budget."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgenet.assets import calibration_photos
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.latency.options import BenchOptions
from edgenet.latency.reading import read_report
from edgenet.progress import Log, Progress, in_stage
from edgenet.training.starting import IMAGENET, load_weights
from edgenet.workflows.measuring import measure_on
from edgenet.workflows.select import Budget, untrained_int8
from edgenet.zoo.catalogue import entries_of, entry_for_layers, find_entry, nearest_variants
from edgenet.zoo.checkpoint import LoadedNetwork, is_foreign_checkpoint
from edgenet.zoo.registry import ARCHITECTURES, Variant

DEFAULT_NETWORK = "mobilenet_v2_1.0_224"
"""The network that is taught unless the user says otherwise."""
FIRST = 160
"""The first classifier's resolution, pixels, unless the user or a budget says otherwise."""
RESOLUTIONS = (96, 160, 224)
"""The resolutions that are compared if neither the user nor a budget says which."""
BUDGET_RESOLUTIONS = (224, 192, 160, 128, 96)


@dataclass(frozen=True)
class NetworkChoice:
    """What the user says about the network.

    Attributes:
        pretrained: "imagenet", or the path of a file of weights.
        architecture: an architecture with ImageNet weights, or a variant's name with or without a tag; for a checkpoint
            of torchvision or timm what its network is (see `load_foreign`); None for the default.
        resolution: the resolution, pixels; None to choose.
        budget_ms: the largest median time of one inference, milliseconds; None for no limit.
        on: the device of the budget.
    """

    pretrained: str
    architecture: str | None
    resolution: int | None
    budget_ms: float | None
    on: str


def candidates(choice: NetworkChoice, classes: int, progress: Progress, log: Log) -> list[LoadedNetwork]:
    """Return the networks to choose from; the first makes the first classifier.

    Args:
        choice: what the user says.
        classes: the number of classes.
        progress: called with each stage's name, the amount done, and the total.
        log: called with a line for each measurement.

    Raises:
        EdgenetError: there are no weights for the architecture, or nothing fits the budget.
    """
    pretrained, architecture, resolution = choice.pretrained, choice.architecture, choice.resolution
    source = _with_weights(architecture) if pretrained == IMAGENET else pretrained
    said = architecture if is_foreign_checkpoint(Path(source)) else None
    network = load_weights(source, in_stage(progress, "downloading weights"), said)
    if architecture not in (None, said) and not network.variant.name.startswith(
        architecture.partition(":")[0]
    ):
        raise EdgenetError(f"{pretrained} holds {network.variant.name}", "leave out --architecture")
    if ARCHITECTURES[network.variant.architecture].one_resolution:
        resolution = resolution or network.variant.resolution
    sizes = [resolution] if resolution is not None else [FIRST, *(one for one in RESOLUTIONS if one != FIRST)]
    if choice.budget_ms is not None:
        tried = sizes if resolution is not None else list(BUDGET_RESOLUTIONS)
        fitting = _within_budget(network, tried, Budget(choice.budget_ms), choice.on, classes, progress, log)
        # A larger resolution is mostly better, so only the two largest that fit are compared.
        sizes = fitting[:2]
    return [replace(network, variant=_at(network, size)) for size in sizes]


def _at(network: LoadedNetwork, size: int) -> Variant:
    return Variant(network.variant.architecture, network.variant.width, size)


def _with_weights(architecture: str | None) -> str:
    """Return the name of the ImageNet weights that the user means by a variant or by an architecture of full width."""
    if architecture is None:
        return DEFAULT_NETWORK
    variant = architecture.partition(":")[0]
    if entries_of(variant):
        return find_entry(architecture).name
    found = entry_for_layers(architecture, 1.0)
    if found is None:
        raise EdgenetError(
            f"there are no ImageNet weights for {architecture}",
            f"choose a network that has them ({', '.join(nearest_variants(architecture))}; `edgenet models --weights`"
            " lists all), or train it from scratch: edgenet train VARIANT",
        )
    return found.name


def _within_budget(
    network: LoadedNetwork,
    sizes: Sequence[int],
    budget: Budget,
    on: str,
    classes: int,
    progress: Progress,
    log: Log,
) -> list[int]:
    """Return the resolutions whose int8 network is quick enough, largest first."""
    budget.check()
    labels = [f"class {number}" for number in range(classes)]
    photos = open_photos(calibration_photos())
    with tempfile.TemporaryDirectory() as folder:
        models = [
            untrained_int8(_at(network, size), labels, photos, Path(folder) / str(size), progress)
            for size in sizes
        ]
        reports = [
            read_report(report, on) for report in measure_on(on, models, BenchOptions(settle_s=0.0), progress)
        ]
    fitting = []
    for size, report in zip(sizes, reports, strict=True):
        if report.p50_ms is None:
            raise EdgenetError(f"the measurement on {on} has no p50", "measure with edgenet bench to see why")
        fits = budget.holds(report.p50_ms, report.size_bytes)
        log(f"{size} px: p50 {report.p50_ms:.3f} ms on {on}" + ("" if fits else ", over the budget"))
        if fits:
            fitting.append(size)
    if not fitting:
        raise EdgenetError(
            f"{network.variant.architecture} is slower than {budget.words()} on {on} at every resolution",
            "give a larger --budget-ms, or let edgenet select try smaller networks",
        )
    return sorted(fitting, reverse=True)
