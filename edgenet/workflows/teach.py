"""The verb `train` without a network's name: the best classifier that a set of photos can give, and how good it is.

Each stage replaces the classifier of the one before only if photos that were held out say that it is better:

1. a linear head on the frozen features of a pretrained network, within seconds;
2. the resolution at which that head is best;
3. fine-tuning from the head, as far as the time allows and as far as it helps;
4. the output "nothing I know", the int8 file, and the page that shows what was found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from edgenet_device.output_files import write_atomically

from edgenet.data.file_account import FileAccount
from edgenet.data.groups import Groups, group_photos, leaks
from edgenet.data.photos import PhotoSet, alike_warning, same_photo_warnings, two_labels_warning
from edgenet.data.splits import few_groups_warnings, leak_warning, one_scene_classes
from edgenet.errors import EdgenetError
from edgenet.files import locked_folder, make_folder
from edgenet.manifest import UnknownAnswer
from edgenet.progress import Log, Progress, no_log, silent
from edgenet.teaching.features import PhotoFeatures, extract_features
from edgenet.teaching.finetuning import features_and_logits
from edgenet.teaching.mixture import CrossFit
from edgenet.teaching.unknown import background_class
from edgenet.training.machine import local_device
from edgenet.training.photos import UNEQUAL, check_counts, open_training_data, photo_counts
from edgenet.training.processes import stop_on_signals
from edgenet.training.state import STATE_FILE
from edgenet.workflows.arguments import checked
from edgenet.workflows.teach_files import REPORT_FILE, Int8File, Judged, Taught, judged_by, write_files
from edgenet.workflows.teach_network import NetworkChoice, candidates
from edgenet.workflows.teach_stages import (
    Course,
    Head,
    Options,
    best_resolution,
    familiarity_of,
    features_at,
    fine_tuning,
    head_words,
    judge_head,
    tuned,
)
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint

MINUTES = 10.0
_MARK = ".edgenet-teaching.json"
MOST_PHOTOS = 5000
"""Of more photos, this many are taken, evenly from every class: heads on more gain little and take minutes."""


@dataclass(frozen=True)
class Teaching:
    """What `teach` made and found.

    Attributes:
        out: path of the bundle with the int8 file.
        checkpoint: path of the float network.
        report: path of the page.
        variant: name of the network.
        classes: the class names, without the answer for unknown things.
        method: "linear head" or "fine-tuned".
        choices: what was chosen and why, one sentence each.
        training_photos: number of photos it was trained with.
        judged: the accuracy, and the photos behind it.
        int8: the int8 file beside the float network.
        unknown: how well unknown things are recognized; None if the network has no answer for them.
        first_seconds: time until the first classifier was written, seconds.
        seconds: time of everything, seconds.
        account: what became of every file.
        warnings: what the user should know, one sentence each without a full stop.
    """

    out: str
    checkpoint: str
    report: str
    variant: str
    classes: tuple[str, ...]
    method: str
    choices: tuple[str, ...]
    training_photos: int
    judged: Judged
    int8: Int8File
    unknown: UnknownAnswer | None
    first_seconds: float
    seconds: float
    account: FileAccount
    warnings: tuple[str, ...]


@checked
def teach(
    data: str | Path,
    out: str | Path,
    *,
    pretrained: str | Path = "imagenet",
    architecture: str | None = None,
    resolution: int | None = None,
    budget_ms: float | None = None,
    on: str = "local",
    minutes: float = MINUTES,
    finetune: bool = True,
    unknown: bool = True,
    no_flip: bool = False,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = silent,
    log: Log = no_log,
) -> Teaching:
    """Teach a pretrained network the classes of a set of photos; everything is chosen by the photos.

    Photos of one scene (bursts, frames of one video, copies) are never both trained with and judged by. The accuracy is
    that of photos that were held out: those of a val or test folder, or all photos in turns.

    >>> result = edgenet.teach("labelled", "taught", pretrained="small.safetensors", resolution=32, minutes=0.1)
    >>> result.method, result.classes
    ('linear head', ('daisy', 'rose', 'tulip'))

    Args:
        data: a folder or zip of class folders, as `train` takes it. A folder named none, background, unknown or nothing
            holds photos of other things. Of more than 5,000 photos, 5,000 are taken, evenly from every class.
        out: the folder for the bundle, the checkpoint and the page; made if missing.
        pretrained: the weights to start from: "imagenet", or a checkpoint.
        architecture: a network with ImageNet weights, such as "mobilenet_v2"; None for the default.
        resolution: side of the network's input, pixels; None to choose.
        budget_ms: largest median (p50) time of one inference on `on`, milliseconds; None for no limit.
        on: the device of the budget, as `bench` takes it.
        minutes: about how long everything may take; fine-tuning has what the other stages leave.
        finetune: whether to fine-tune the network if that helps.
        unknown: whether the network shall have the answer "nothing I know".
        no_flip: never mirror photos; for letters and signs.
        seed: seed of all random choices.
        device: the device to train on, as `train` takes it.
        progress: called with each stage's name, the amount done, and the total.
        log: called with a line for each finding.

    Raises:
        EdgenetError: photos or options are not usable, or no network fits the budget.
        TrainingStopped: SIGINT or SIGTERM came; the best classifier so far is in `out`.
        TypeError: an argument has the wrong type.
    """
    began = time.perf_counter()
    if not minutes > 0:
        raise EdgenetError(f"the time is {minutes:g} minutes", "give more than 0")
    options = Options(finetune, unknown, no_flip, seed, local_device(device), began, began + 60 * minutes)
    choice = NetworkChoice(str(pretrained), architecture, resolution, budget_ms, on)
    return _start(Path(data), Path(out), choice, options, progress, log)


def _start(
    data: Path, out: Path, choice: NetworkChoice, options: Options, progress: Progress, log: Log
) -> Teaching:
    make_folder(out)
    with locked_folder(out, log), stop_on_signals() as request:
        _claim(out, choice.pretrained)
        course = Course(out, options, request, progress, log)
        material = _open(data)
        if len(material.training) > MOST_PHOTOS:
            log(f"taking {MOST_PHOTOS} of {len(material.training)} photos; to train with all, name a network")
            material = replace(material, training=_some_of_each(material.training, MOST_PHOTOS))
        return _teach(course, material, candidates(choice, len(material.classes), course.progress, log))


def _claim(out: Path, pretrained: str) -> None:
    """Check that the folder holds no files that this run could overwrite but did not make, and mark it as edgenet's.

    Raises:
        EdgenetError: the folder holds a training with a named network, the checkpoint to start from, or files of the
            kinds that this run writes and no mark of an earlier run.
    """
    if (out / STATE_FILE).exists():
        raise EdgenetError(f"{out} holds the training of a named network", "give another --out")
    if Path(pretrained).is_file() and Path(pretrained).resolve().parent == out.resolve():
        raise EdgenetError(f"{pretrained} lies in the folder for the results", "give another --out")
    if (out / _MARK).exists():
        return
    for path in sorted(out.iterdir()):
        if path.name == REPORT_FILE or path.suffix in (".safetensors", ".edgenet"):
            raise EdgenetError(
                f"{out} holds {path.name}, which no run of this kind made", "give another --out"
            )
    about = "edgenet train --data writes into this folder, and replaces what its earlier runs wrote here."
    write_atomically(
        out / _MARK, json.dumps({"format": "edgenet.teaching.v1", "about": about}).encode() + b"\n"
    )


@dataclass(frozen=True)
class _Material:
    """The photos as the user gave them.

    Attributes:
        data: their path.
        training: the photos of the classes.
        background: the user's photos of other things; None if there are none.
        validation: the user's own photos to judge with; None if there are none.
    """

    data: Path
    training: PhotoSet
    background: PhotoSet | None
    validation: PhotoSet | None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.training.class_names


def _open(data: Path) -> _Material:
    split = open_training_data(data)
    name = background_class(split.training.class_names)
    if name is None or len(split.training.class_names) < 3:  # without it there would be one class only
        return _Material(data, split.training, None, split.validation)
    training, background = _without_class(split.training, name)
    validation = None if split.validation is None else _without_class(split.validation, name)[0]
    return _Material(data, training, background, validation)


def _some_of_each(photos: PhotoSet, most: int) -> PhotoSet:
    """Return at most this many photos, evenly spaced within each class; small classes keep all of theirs."""
    labels = np.array(photos.labels)
    members = [np.flatnonzero(labels == label) for label in range(len(photos.class_names))]
    share, left = most // len(members), most
    for place, own in enumerate(sorted(members, key=len)):
        share = left // (len(members) - place)
        left -= min(len(own), share)
    taken = [
        own[np.linspace(0, len(own) - 1, min(len(own), share)).astype(int)] for own in members if len(own)
    ]
    return photos.take(np.sort(np.concatenate(taken)).tolist())


def _without_class(photos: PhotoSet, name: str) -> tuple[PhotoSet, PhotoSet]:
    """Return the photos of the other classes, and those of this class."""
    gone = photos.class_names.index(name)
    kept = [index for index, label in enumerate(photos.labels) if label != gone]
    others = photos.take([index for index, label in enumerate(photos.labels) if label == gone])
    rest = photos.take(kept)
    moved = tuple(None if label is None else label - (label > gone) for label in rest.labels)
    names = tuple(one for one in photos.class_names if one != name)
    return replace(rest, labels=moved, class_names=names), others


def _teach(course: Course, material: _Material, networks: Sequence[LoadedNetwork]) -> Teaching:
    """Go through the stages; `networks` are the candidates, the first of which makes the first classifier."""
    log, options, classes = course.log, course.options, material.classes
    features = features_at(course, material.training, networks[0])
    groups = group_photos(
        features.plain, features.thumbnails, features.labels, features.photos.names, features.contents
    )
    warnings = _warnings(features, groups)
    for line in warnings:
        log(f"warning: {line}")
    origin = f"trained by edgenet on {material.data.name}, from {networks[0].origin}"
    head = judge_head(networks[0], features, groups, classes, options.seed)
    network = head.taught(classes, origin)
    save_checkpoint(_checkpoint(course, network), network)
    course.holds = f"the first classifier, {_checkpoint(course, network).name}"
    first_seconds = time.perf_counter() - options.began
    log(f"first classifier after {first_seconds:.0f} s: {head_words(head, groups)}")
    choices: list[str] = []
    course.check_stop("comparing resolutions")
    if len(networks) > 1:
        head, sentence = best_resolution(course, networks, head, groups)
        choices.append(sentence)
        if head.network is not networks[0]:
            network = _replace_checkpoint(course, network, head.taught(classes, origin))
    asked = options.finetune or options.unknown  # else nothing depends on how familiar the photos are
    familiar = familiarity_of(course, head) if asked else 1.0
    fit, sentence = fine_tuning(course, head, groups, classes, familiar)
    choices.append(sentence)
    if fit is not None and fit.share:
        network = _replace_checkpoint(course, network, tuned(course, head, network, fit))
    for sentence in choices:
        log(sentence)
    taught = _taught(head, fit, groups, familiar, network, material.validation, warnings)
    files = write_files(
        taught, course.out, material.background, options.unknown, options.deadline - time.perf_counter(),
        choices, warnings, course.progress, log,
    )  # fmt: skip
    return Teaching(
        out=str(files.bundle),
        checkpoint=str(_checkpoint(course, network)),
        report=str(files.report),
        variant=network.variant.name,
        classes=classes,
        method="fine-tuned" if fit is not None and fit.share else "linear head",
        choices=tuple(choices),
        training_photos=len(head.features),
        judged=taught.judged,
        int8=files.int8,
        unknown=files.unknown,
        first_seconds=first_seconds,
        seconds=time.perf_counter() - options.began,
        account=material.training.account(len(head.features), head.features.skipped),
        warnings=tuple(warnings),
    )


def _checkpoint(course: Course, network: LoadedNetwork) -> Path:
    return course.out / f"{network.variant.name}.safetensors"


def _replace_checkpoint(course: Course, old: LoadedNetwork, new: LoadedNetwork) -> LoadedNetwork:
    """Write the better network, remove the one before if it has another name, and return the better one."""
    save_checkpoint(_checkpoint(course, new), new)
    course.holds = f"the best classifier so far, {_checkpoint(course, new).name}"
    if _checkpoint(course, old) != _checkpoint(course, new):
        _checkpoint(course, old).unlink(missing_ok=True)
    return new


def _warnings(features: PhotoFeatures, groups: Groups) -> list[str]:
    """Return what the user should know about the photos before anything is learnt from them.

    Raises:
        EdgenetError: a class has no photo that can be read.
    """
    names, labels, classes = features.photos.names, features.labels, features.photos.class_names
    counts = photo_counts(labels, len(classes))
    check_counts(counts, classes, [name for name, _ in features.skipped], 1)
    alone = [classes[label] for label in one_scene_classes(labels, groups.ids) if counts[label] == 1]
    single = f"{_listed(alone)} has one photo only, so nothing judges it: take more" if alone else None
    found = [
        single,
        *features.photos.found.warnings,
        two_labels_warning(names, labels.tolist(), features.contents, classes),
        *same_photo_warnings(labels.tolist(), features.contents, classes),
        alike_warning(features.thumbnails),
        _unequal(counts, classes),
        *few_groups_warnings(labels, groups.ids, classes),
    ]
    return [sentence for sentence in found if sentence]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"each of {shown} and {len(names) - 3} more classes" if len(names) > 3 else shown


def _unequal(counts: Sequence[int], classes: Sequence[str]) -> str | None:
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[most] < UNEQUAL * counts[least]:
        return None
    return (
        f"the classes are unequal: {counts[most]} photos of {classes[most]}, {counts[least]} of {classes[least]}; "
        "take more of the small ones"
    )


def _taught(
    head: Head,
    fit: CrossFit | None,
    groups: Groups,
    familiar: float,
    network: LoadedNetwork,
    validation: PhotoSet | None,
    warnings: list[str],
) -> Taught:
    """Put together what was held out, and judge by photos that had no part in training or choosing."""
    features, kept = head.features, fit if fit is not None and fit.share else None
    logits, folds = (head.found.logits, head.folds) if kept is None else (kept.logits, kept.folds)
    rows = folds >= 0
    if validation is None:
        parts = int(folds.max()) + 1
        how = f"each held out in one of {parts} parts"
        if not head.by_scene:
            how += ", while others of its scene were trained with, so that other scenes may do far worse"
        judged = judged_by(logits[rows], features.labels[rows], groups.ids[rows], how, 1 - 1 / parts)
    else:
        validation, judged = _judge_validation(head, network, validation, warnings)
    return Taught(
        network=network,
        features=features,
        groups=groups,
        held_out_logits=logits,
        folds=folds,
        strength=head.found.strength,
        pretrained=head.network,
        familiar=familiar,
        networks=(head.without_first_fold(),) if kept is None else kept.networks,
        fine_tuned=kept is not None,
        validation=validation,
        judged=judged,
    )


def _judge_validation(
    head: Head, network: LoadedNetwork, validation: PhotoSet, warnings: list[str]
) -> tuple[PhotoSet, Judged]:
    """Return the user's own photos to judge with, without those that show scenes to train with, and the accuracy."""
    seen, own = extract_features(validation, head.network), head.features
    both = group_photos(
        np.concatenate([own.plain, seen.plain]),
        np.concatenate([own.thumbnails, seen.thumbnails]),
        np.concatenate([own.labels, seen.labels]),
        (*(f"train/{name}" for name in own.photos.names), *(f"val/{name}" for name in seen.photos.names)),
        (*own.contents, *seen.contents),
    )
    held_out = np.arange(len(both.ids)) >= len(own)
    pairs = leaks(both.ids, held_out)
    names = (*own.photos.names, *seen.photos.names)
    part, training = validation.split or "val", head.features.photos.split or "train"
    if sentence := leak_warning(pairs, names, len(seen), training, part):
        warnings.append(sentence)
    leaked = {index - len(own) for index, _ in pairs}
    rows = np.array([row for row in range(len(seen)) if row not in leaked], np.int64)
    if not len(rows):
        raise EdgenetError(
            f"every photo in {part} shows a scene that is in {training} too",
            f"put other photos into {part}, or remove it: photos are then held out in turns",
        )
    judged = seen.take(rows)
    logits = features_and_logits(network, judged.photos)[1]
    return judged.photos, judged_by(logits, judged.labels, both.ids[held_out][rows], f"in {part}")
