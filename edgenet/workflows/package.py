"""The verbs `package` and `export_scripts`, and `load`: packing a bundle, opening one, the folder of scripts for it.

Importing torch takes a second. Only `package` needs it, to measure accuracy on photos, and imports it then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgenet_device.classifier import Classifier, labels_for
from edgenet_device.file_kind import BUNDLE, CONVERT, FLOAT_NETWORKS, file_kind, wrong_kind
from edgenet_device.model_file import ModelFile, verified
from edgenet_device.normalization import PixelNormalization, normalization_named
from edgenet_device.ports import read_ports
from edgenet_device.signature import key_name

from edgenet.assets import exported_files
from edgenet.bundle import read_contract, sign_bundle, write_bundle
from edgenet.errors import EdgenetError
from edgenet.files import check_output, make_folder, sha256, write_atomically
from edgenet.manifest import Accuracy, Facts, Manifest, Weights
from edgenet.progress import Progress, silent
from edgenet.signing import Signer, open_signer
from edgenet.tflite.metadata import read_facts, read_labels, read_source_info
from edgenet.workflows.arguments import checked
from edgenet.workflows.photo_arguments import BUILTIN, as_photo_set, label_names

if TYPE_CHECKING:
    from edgenet.workflows.evaluate import Evaluation


@dataclass(frozen=True)
class Packed:
    """The result of `package`.

    Attributes:
        out: path of the bundle.
        manifest: the bundle's manifest.
        skipped: (name, reason) of the accuracy photos that could not be read.
        warnings: what the user should know although the bundle was made.
        signed_by: name of the key that signed the bundle; None without a signature.
    """

    out: str
    manifest: Manifest
    skipped: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...] = ()
    signed_by: str | None = None


@checked
def package(
    model: str | Path,
    out: str | Path | None = None,
    *,
    labels: str | Path | Sequence[str] | None = None,
    normalization: str | None = None,
    data: str | Path | None = None,
    float_source: str | Path | None = None,
    sign: str | Path | None = None,
    progress: Progress = silent,
) -> Packed:
    """Pack a .tflite file into a bundle.

    >>> edgenet.package("small.tflite", "small.edgenet", data="labelled").manifest.accuracy.n
    12

    Args:
        model: a file from `convert`, or an image classifier of any maker; with `sign` also a finished bundle, of which
            a signed copy is made.
        out: path of the bundle; None for the model's path with the ending .edgenet (.signed.edgenet for a bundle).
        labels: class names in the order of the outputs, a list or a text file with one per line; needed if the
            model has none.
        normalization: what pixels go through before a network of another maker, if the file does not say it: a name or
            numbers as `convert` takes them. The bundle records it.
        data: labelled photos to measure the accuracy on, which is recorded in the manifest.
        float_source: the float network of a quantized model, to record its accuracy too; needs `data`.
        sign: the private key to sign the bundle with, from `new_key`; None for a bundle without a signature.
        progress: called with each stage's name, the amount done, and the total.

    Raises:
        EdgenetError: there are no labels, their number differs from the number of outputs, the model is not an image
            classifier, it takes float32 and nobody says which normalization, `float_source` is given without
            `data` or for a float model, or the key cannot be used.
        TypeError: an argument has the wrong type.
    """
    source = Path(model)
    signer = None if sign is None else open_signer(sign)
    if signer is not None and source.suffix == ".edgenet":
        return _sign_again(source, out, signer, labels or normalization or data)
    path = source.with_suffix(".edgenet") if out is None else Path(out)
    check_output(path, source)
    content = _read(source)
    stated = normalization_named(normalization) if normalization else None
    scores = read_ports(content, str(source)).scores
    given = _labels_of(content, source) if labels is None else label_names(labels)
    where = labels if isinstance(labels, str | os.PathLike) else "labels" if labels else source
    names = labels_for(scores, given, where)
    read_contract(content, stated)  # checked before the measuring, which takes long
    if data is None and float_source is not None:
        raise EdgenetError("there are no photos to measure the float source on", "give --data PHOTOS too")
    facts = read_facts(content, str(source))
    model_file = ModelFile(source, content, sha256(content), (), None)
    warnings = () if facts else _normalization_warnings(model_file, stated)
    facts = facts or _foreign_facts(content, source)
    skipped: tuple[tuple[str, str], ...] = ()
    if data is not None:
        measured = _measure(_Model(source, names, normalization), Path(data), float_source, progress)
        facts, skipped = replace(facts, accuracy=_accuracy(measured, Path(data))), measured.skipped
    return Packed(
        str(path), write_bundle(path, content, names, facts, stated, signer), skipped, warnings, _name(signer)
    )


def _sign_again(source: Path, out: str | Path | None, signer: Signer, more: object) -> Packed:
    """Write a signed copy of a bundle; `more` is anything that the user wants to add to it, which is refused."""
    if more:
        raise EdgenetError(f"{source} is a finished bundle, which is only signed", "give its .tflite file")
    path = source.with_suffix(".signed.edgenet") if out is None else Path(out)
    check_output(path, source)
    return Packed(str(path), sign_bundle(source, path, signer), (), (), _name(signer))


def _name(signer: Signer | None) -> str | None:
    return None if signer is None else key_name(signer.key)


def _read(model: Path) -> bytes:
    """Return the model's bytes, verified and repaired (see `edgenet_device.model_file.repaired`)."""
    try:
        data = model.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot read {model}: {error.strerror}", "give a .tflite file") from None
    if data[4:8] != b"TFL3":
        kind = file_kind(model)
        if kind is BUNDLE:
            raise EdgenetError(
                f"{model} is a finished bundle", "give its .tflite file, or --sign KEY for a signed copy"
            )
        remedy = CONVERT if kind.name in FLOAT_NETWORKS else "give a .tflite file"
        raise wrong_kind(model, kind, "a .tflite file", remedy)
    return verified(data, str(model))


def _foreign_facts(content: bytes, source: Path) -> Facts:
    """Return what another maker's file says about itself."""
    stated = read_source_info(content)
    return Facts(
        source.stem, Weights(source.name, stated.licence or "not stated by the file", sha256(source))
    )


def _labels_of(content: bytes, model: Path) -> tuple[str, ...]:
    names = read_labels(content)
    if names is None:
        raise EdgenetError(f"{model} has no labels", "give them with --labels FILE, one per line")
    return tuple(names)


def _normalization_warnings(model: ModelFile, stated: PixelNormalization | None) -> tuple[str, ...]:
    from edgenet.workflows.normalization_check import file_warnings

    return file_warnings(model, stated, as_photo_set(BUILTIN, "photos"))


@dataclass(frozen=True)
class _Model:
    """The model to measure: its path, the bundle's labels, and the normalization that the user gave."""

    path: Path
    labels: tuple[str, ...]
    normalization: str | None


def _measure(model: _Model, data: Path, float_source: str | Path | None, progress: Progress) -> Evaluation:
    """Evaluate the model, with the bundle's labels, and the float source on the same photos."""
    from edgenet.workflows.evaluate import EvaluationOptions, evaluate_scorers, open_labelled
    from edgenet.workflows.scoring import open_scorer
    from edgenet.workflows.sources import SourceOptions, sized_like

    options, defaults = SourceOptions(normalization=model.normalization), EvaluationOptions()
    photos = open_labelled(data)
    scorers = [replace(open_scorer(str(model.path), options, defaults.threads), labels=model.labels)]
    if float_source is not None:
        if scorers[0].precision == "float32":
            raise EdgenetError(f"{model.path} is already a float model", "leave out --float-source")
        with _only_packages_options():
            given = sized_like(float_source, options, scorers[0].size)
            scorers.append(open_scorer(str(float_source), given, defaults.threads, progress))
    return evaluate_scorers(scorers, photos, defaults, progress)


@contextmanager
def _only_packages_options() -> Iterator[None]:
    """Replace a remedy that names options of `convert`, which `package` has not, by one that works."""
    try:
        yield
    except EdgenetError as error:
        if not any(option in error.remedy for option in ("--input-shape", "--output", "--architecture")):
            raise
        remedy = "make a float .tflite of it with `edgenet convert --float`, and give that as --float-source"
        raise EdgenetError(error.found, remedy) from error


def _accuracy(measured: Evaluation, data: Path) -> Accuracy:
    model, *beside = measured.models
    name = data.resolve().name
    if model.precision == "float32":
        return Accuracy(model.top1, None, measured.n, name)
    return Accuracy(beside[0].top1 if beside else None, model.top1, measured.n, name)


@checked
def load(
    model: str | Path,
    *,
    threads: int | None = None,
    normalization: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
) -> Classifier:
    """Open a bundle or a .tflite file of any maker as a function from a photo to scores.

    >>> model = edgenet.load("small.edgenet")
    >>> scores = model("photos/cat.jpg")  # float32 [classes], in the order of model.labels
    >>> label, score = model.top(array, 3)[0]  # the best label of a uint8 RGB array [height, width, 3]

    The returned `Classifier` is the one that runs on devices: a photo is preprocessed there, in training and in
    calibration by the same rule.

    Args:
        model: a file from `convert` or `package`, or another maker's .tflite.
        threads: threads of LiteRT; None for the number of usable CPUs, at most 4.
        normalization: what pixels go through before the network, for a file that does not say it: a name or numbers
            as `convert` takes them.
        labels: class names in the order of the outputs, for a file that carries none: a list, or a text file.

    Raises:
        EdgenetError: the file is missing or damaged, is not an image classifier, or takes float32 without saying which
            normalization.
        TypeError: an argument has the wrong type.
    """
    named = normalization_named(normalization) if normalization else None
    return Classifier(
        Path(model), threads, normalization=named, labels=None if labels is None else label_names(labels)
    )


SUMS = "SHA256SUMS"
"""The list of the exported files, as `sha256sum -c` reads it; it also shows that a folder holds an export."""


@dataclass(frozen=True)
class ExportedScripts:
    """The result of `export_scripts`. The files' paths are relative to the folder.

    Attributes:
        folder: the folder.
        files: every file of the export.
        written: the files among them that are new or were updated.
        removed: the files of an earlier export that edgenet no longer has and that were removed.
    """

    folder: str
    files: tuple[str, ...]
    written: tuple[str, ...]
    removed: tuple[str, ...]


@checked
def export_scripts(folder: str | Path) -> ExportedScripts:
    """Write the device scripts, the package `edgenet_device` and their licence into a folder, which runs by itself.

    >>> edgenet.export_scripts("scripts").folder
    'scripts'

    A folder with an earlier export is brought up to date. Files that are not part of the export stay as they are.

    Args:
        folder: a folder that does not exist yet, an empty one, or one that holds an earlier export.

    Raises:
        EdgenetError: the folder holds other files and no export; an exported file was changed there; or the
            folder cannot be written.
        TypeError: `folder` is not a path.
    """
    folder = Path(folder)
    sources = {name: path.read_bytes() for name, path in exported_files().items()}
    new = {name: sha256(data) for name, data in sources.items()}
    old = _earlier_export(folder)
    _check_unchanged(folder, old or {}, new)
    make_folder(folder)
    if old is None:
        # The list comes first, so that an export that was interrupted can be repeated.
        _write_sums(folder, new)
    written = tuple(name for name in sources if _sum_of(folder / name) != new[name])
    for name in written:
        make_folder((folder / name).parent)
        write_atomically(folder / name, sources[name])
    removed = tuple(name for name in sorted((old or {}).keys() - new.keys()) if _remove(folder / name))
    _write_sums(folder, new)
    return ExportedScripts(str(folder), tuple(sources), written, removed)


def _earlier_export(folder: Path) -> dict[str, str] | None:
    """Return the checksums of the export that the folder holds, by path; None for a new or empty folder."""
    try:
        if not os.path.lexists(folder) or not any(folder.iterdir()):
            return None
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except NotADirectoryError:
        raise EdgenetError(f"{folder} is a file", "give a folder") from None
    except FileNotFoundError:
        raise EdgenetError(
            f"the folder {folder} holds other files and no export of edgenet", "give a new or an empty folder"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise EdgenetError(
            f"cannot read {folder / SUMS}: {reason}", "give a new or an empty folder"
        ) from None
    sums = {name: checksum for checksum, _, name in (line.partition("  ") for line in lines)}
    # A list that someone else wrote must not make this remove a file elsewhere.
    return {
        name: sums[name]
        for name in sums
        if name and not Path(name).is_absolute() and ".." not in Path(name).parts
    }


def _check_unchanged(folder: Path, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Refuse to overwrite or remove a file that is neither as it was exported nor as it will be."""
    for name in sorted(old.keys() | new.keys()):
        found = _sum_of(folder / name)
        if found is not None and found not in (old.get(name), new.get(name)):
            raise EdgenetError(
                f"{folder / name} was changed since it was exported",
                "move it away, or export into a new folder",
            )


def _sum_of(path: Path) -> str | None:
    return sha256(path) if os.path.lexists(path) else None


def _remove(path: Path) -> bool:
    """Remove a file, and its folder if that is then empty; return whether there was such a file."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise EdgenetError(f"cannot remove {path}: {error.strerror}", "remove it yourself") from None
    if not any(path.parent.iterdir()):
        path.parent.rmdir()
    return True


def _write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    text = "".join(f"{checksum}  {name}\n" for name, checksum in sorted(sums.items()))
    write_atomically(folder / SUMS, text.encode())
