"""How the variants of `sweep` and `select` start, and which combinations are refused before anything is measured.

A variant whose layers have ImageNet weights on this machine starts from them, because that is what a user would deploy;
the others train from scratch. Nothing is downloaded unasked, except the weights that setup installs, because a sweep
could need hundreds of megabytes, and must work without a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgenet.data.labels import matching_outputs
from edgenet.errors import EdgenetError
from edgenet.progress import Log, Progress, in_stage
from edgenet.training.job import TrainingData
from edgenet.training.machine import bfloat16_on, local_device
from edgenet.training.recipe import resolution_in
from edgenet.training.starting import IMAGENET, load_weights
from edgenet.workflows.sweep_plan import SweepOptions
from edgenet.workflows.train import TrainingOptions
from edgenet.zoo.catalogue import INSTALLED, PretrainedWeights, entry_for_layers
from edgenet.zoo.pretrained import starting_weights
from edgenet.zoo.registry import ARCHITECTURES, Variant
from edgenet.zoo.weights import find_weights, local_file

MOST_NAMED = 3
"""The most variants that a message names; it counts the others."""


def starting_options(variant: Variant, options: SweepOptions) -> TrainingOptions:
    """Return how to train a variant: from ImageNet weights where they exist, unless the options say otherwise."""
    training = options.training
    if training.pretrained is None and not options.from_scratch and _has_weights(variant):
        return replace(training, pretrained=IMAGENET)
    return training


def _has_weights(variant: Variant) -> bool:
    """Return whether there are weights of this width that a sweep takes unasked."""
    entry = entry_for_layers(variant.architecture, variant.width)
    if entry is None:
        return False
    return entry.tag == INSTALLED.get(entry.variant) or local_file(entry) is not None


def starting_line(variants: Sequence[Variant], options: SweepOptions) -> str:
    """Return a line that says which variants start from which weights."""
    given = options.training.pretrained
    if given is not None:
        return f"all networks start from {given}"
    if options.from_scratch:
        return "all networks train from scratch"
    with_weights = [variant for variant in variants if _has_weights(variant)]
    without = [variant for variant in variants if not _has_weights(variant)]
    if not without:
        return "all networks start from ImageNet weights (--from-scratch does without)"
    lacking = f"there are no ImageNet weights on this machine for {_names(without)}"
    fetch = f" ({hint})" if (hint := _fetching(without)) else ""
    if not with_weights:
        return f"all networks train from scratch, because {lacking}{fetch}"
    return (
        f"{_names(with_weights)} start{'s' * (len(with_weights) == 1)} from ImageNet weights; {lacking}, which "
        f"train{'s' * (len(without) == 1)} from scratch{fetch}"
    )


def _fetching(variants: Sequence[Variant]) -> str:
    """Return the command that fetches the weights which exist for these variants; "" if there are none."""
    entries = (entry_for_layers(variant.architecture, variant.width) for variant in variants)
    names = list(dict.fromkeys(entry.name for entry in entries if entry is not None))
    more = " ..." if len(names) > MOST_NAMED else ""
    return f"edgenet fetch {' '.join(names[:MOST_NAMED])}{more}" if names else ""


def _names(variants: Sequence[Variant]) -> str:
    named = [variant.name for variant in variants[:MOST_NAMED]]
    others = len(variants) - len(named)
    if others:
        return f"{', '.join(named)} and {others} more"
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def check_combinations(variants: Sequence[Variant], options: SweepOptions) -> None:
    """Refuse options that some of the variants cannot have, before photos are read and anything is measured.

    Raises:
        EdgenetError: weights that a variant lacks or that have other layers, frozen epochs of random weights, smaller
            pictures in early epochs than a variant can take, or a device that is not there.
    """
    training = options.training
    if options.from_scratch and training.pretrained is not None:
        raise EdgenetError("--from-scratch and --pretrained contradict each other", "leave out one of them")
    _check_given_weights(variants, training)
    scratch = [one for one in variants if starting_options(one, options).pretrained is None]
    if training.freeze_epochs and scratch:
        raise EdgenetError(
            f"--freeze-epochs would freeze random weights: {_names(scratch)} would start from scratch",
            "leave it out, or choose networks that have ImageNet weights",
        )
    for variant in variants:
        _check_progressive(variant, starting_options(variant, options))
    if options.ray is None:  # else the machines of the cluster train
        bfloat16_on(local_device(training.device), training.training_recipe().precision)


def _check_given_weights(variants: Sequence[Variant], training: TrainingOptions) -> None:
    if training.pretrained is None:
        return
    if str(training.pretrained) == IMAGENET:
        lacking = [variant for variant in variants if starting_weights(variant) is None]
        if lacking:
            raise EdgenetError(
                f"there are no ImageNet weights for {_names(lacking)}",
                "leave out --pretrained; then only those start from such weights that have them"
                " (`edgenet models --weights`)",
            )
        return
    found = load_weights(str(training.pretrained)).variant
    others = [one for one in variants if (one.architecture, one.width) != (found.architecture, found.width)]
    if others:
        raise EdgenetError(
            f"{training.pretrained} holds {found.name}, whose layers differ from those of {_names(others)}",
            f"try only resolutions of {found.architecture} with the width {found.width:g}, or other weights",
        )


def _check_progressive(variant: Variant, training: TrainingOptions) -> None:
    if not training.progressive:
        return
    architecture = ARCHITECTURES[variant.architecture]
    least = resolution_in(training.training_recipe(), 0, variant.resolution)
    if least < architecture.smallest or (architecture.one_resolution and least != variant.resolution):
        raise EdgenetError(
            f"--progressive would train {variant.name} at {least} pixels first, which it cannot take",
            "leave out --progressive, or give larger --resolutions",
        )


def check_photos(material: TrainingData, options: SweepOptions) -> None:
    """Refuse options that do not go with the photos, before anything is measured.

    Raises:
        EdgenetError: the batch that was asked for has more photos than there are to train with, or the teacher lacks a
            class.
    """
    batch, photos = options.training.batch, len(material.photos)
    if batch is not None and batch > photos:
        raise EdgenetError(
            f"the batch is {batch}, but there are only {photos} photos to train with",
            f"give --batch {photos} or less",
        )
    if options.training.teacher is None:
        return
    teacher = str(options.training.teacher)
    outputs = matching_outputs(material.labels, load_weights(teacher).labels)
    lacking = [label for label, output in zip(material.labels, outputs, strict=True) if output is None]
    if lacking:
        raise EdgenetError(
            f"the teacher {teacher} does not know {', '.join(lacking[:MOST_NAMED])}",
            "train the teacher on the same class folders first",
        )


def announce(variants: Sequence[Variant], options: SweepOptions, progress: Progress, log: Log) -> None:
    """Say from which weights the variants start, and fetch those that are needed, so that nothing fails later.

    Raises:
        EdgenetError: the weights cannot be obtained.
    """
    log(starting_line(variants, options))
    if options.ray is not None:  # each machine of the cluster fetches its own
        return
    for entry in _needed(variants, options):
        try:
            find_weights(entry, in_stage(progress, "downloading weights"))
        except EdgenetError as error:
            raise EdgenetError(error.found, f"{error.remedy}, or give --from-scratch") from None


def _needed(variants: Sequence[Variant], options: SweepOptions) -> list[PretrainedWeights]:
    starting = [v for v in variants if starting_options(v, options).pretrained == IMAGENET]
    entries = [entry for variant in starting if (entry := starting_weights(variant)) is not None]
    return sorted(set(entries), key=lambda entry: entry.name)
