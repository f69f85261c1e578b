"""Write and open bundles. A bundle is an uncompressed zip; the same inputs give the same bytes. It holds:

    manifest.json   facts about the model, and the checksums of the other members (see `manifest`)
    model.tflite    the network
    labels.txt      a name for each output
    CARD.md         the same facts for people, the model card (see `write_card`)

The manifest holds no checksum of itself; the zip's CRC-32 guards it. Checksums find damage, not malice:
anyone who can change a bundle can change its manifest too.
"""

from __future__ import annotations

import dataclasses
import io
import stat
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgenet_device.model_file import verified
from edgenet_device.normalization import ASK_NORMALIZATION, PixelNormalization, stated_normalization
from edgenet_device.ports import read_ports
from edgenet_device.preprocess import RECTANGLE_RULE, RULE, rule_for

from edgenet.data.labels import labels_text, parse_labels
from edgenet.errors import EdgenetError
from edgenet.files import UNREADABLE_ZIP, sha256, stored_zip, write_atomically
from edgenet.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Accuracy,
    Facts,
    InputContract,
    Manifest,
    Member,
    OutputContract,
    Quantization,
    UnknownAnswer,
    from_json,
    to_json,
)
from edgenet.tflite.metadata import read_labels

MODEL = "model.tflite"
LABELS = "labels.txt"
CARD = "CARD.md"
MEMBERS = (MODEL, LABELS, CARD)
TOOLS = ("edgenet", "torch", "numpy", "ai-edge-litert")
"""The packages whose versions the manifest records."""
_MAX_BYTES = 1 << 30
"""Far larger than any network for a phone; the limit keeps a wrong file from filling the memory."""
_ENCRYPTED = 0x1
_AGAIN = "fetch it again or make it again with `edgenet package`"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """The contents of a bundle whose checksums were all correct."""

    manifest: Manifest
    model: bytes
    labels: tuple[str, ...]
    card: str


def write_bundle(
    path: str | Path,
    model: bytes,
    labels: Sequence[str],
    facts: Facts,
    normalization: PixelNormalization | None = None,
) -> Manifest:
    """Pack a model into the bundle `path`, atomically (see `write_atomically`).

    Args:
        path: the file to write, usually `NAME.edgenet`.
        model: the contents of a .tflite file, an image classifier of any maker.
        labels: N names, in the order of the outputs.
        facts: facts that cannot be read from the model.
        normalization: what the pixels go through before the network; None for what the file states.

    Returns:
        The manifest that was written.

    Raises:
        EdgenetError: there are more or fewer labels than outputs; the labels differ from those inside the
            model; the model cannot be used (see `read_contract`); or the file cannot be written.
    """
    labels_file = labels_text(labels)
    contract = read_contract(model, normalization)
    draft = _draft(model, labels, facts, contract, {MODEL: model, LABELS: labels_file})
    card = write_card(draft).encode()
    manifest = dataclasses.replace(draft, members={**draft.members, CARD: _member(card)})
    members = {MANIFEST_FILE: to_json(manifest), MODEL: model, LABELS: labels_file, CARD: card}
    write_atomically(path, stored_zip(members))
    return manifest


def _draft(
    model: bytes,
    labels: Sequence[str],
    facts: Facts,
    contract: tuple[InputContract, OutputContract],
    members: dict[str, bytes],
) -> Manifest:
    """Return the manifest without the card's entry, because the card is made from this manifest."""
    source, target = contract
    _check_labels(model, labels, target.classes)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=facts.name,
        architecture=facts.architecture,
        width=facts.width,
        resolution=facts.resolution,
        classes=target.classes,
        input=source,
        output=target,
        quantization=facts.quantization,
        accuracy=facts.accuracy,
        weights=facts.weights,
        tools=_tool_versions(),
        members={name: _member(data) for name, data in members.items()},
        unknown=facts.unknown,
    )


def _check_labels(model: bytes, labels: Sequence[str], outputs: int) -> None:
    if len(labels) != outputs:
        raise EdgenetError(
            f"there are {len(labels)} labels and the model has {outputs} outputs", "give one label per output"
        )
    # Phone clients read the labels inside the model, device scripts those beside it, so the two must agree.
    carried = read_labels(model) or []
    for number, (inside, beside) in enumerate(zip(carried, labels, strict=False)):
        if inside != beside and len(carried) == len(labels):
            raise EdgenetError(
                f"label {number} is {beside!r} but the model itself carries {inside!r}",
                "convert the model with these labels, or leave them out to use its own",
            )


def _member(data: bytes) -> Member:
    return Member(sha256(data), len(data))


def _tool_versions() -> dict[str, str | None]:
    """Return the version of each package, or None if it is not installed; no package is imported for this."""
    return {name: _version(name) for name in TOOLS}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def open_bundle(path: str | Path) -> Bundle:
    """Read a bundle and verify every byte of it.

    Raises:
        EdgenetError: the file cannot be read or is not a bundle; it is cut off or changed; a member is
            missing, unknown, or has a name that leads out of the bundle's folder; or the schema is newer than
            this edgenet.
    """
    path = Path(path)
    try:
        manifest, members = _verified_members(path)
        labels = parse_labels(members[LABELS], LABELS)
        if len(labels) != manifest.classes:
            raise EdgenetError(
                f"labels.txt names {len(labels)} classes and the manifest says {manifest.classes}",
                "make the bundle again",
            )
        card = members[CARD].decode()
    except UnicodeDecodeError as error:
        raise EdgenetError(f"{path}: CARD.md is not UTF-8 text", "make the bundle again") from error
    except EdgenetError as error:
        raise EdgenetError(f"{path}: {error.found}", error.remedy) from error
    return Bundle(manifest, members[MODEL], tuple(labels), card)


def _verified_members(path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest, and the contents of every other member with its size and checksum verified.

    Raises:
        EdgenetError: as for `open_bundle`, but the message does not contain the path.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(_read(path))) as archive:
            entries = _checked_entries(archive)
            manifest = from_json(archive.read(entries.pop(MANIFEST_FILE)))
            _check_names(entries, manifest)
            return manifest, {name: _checked(archive, entries[name], manifest) for name in MEMBERS}
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"the bundle is damaged or cut off ({error})", _AGAIN) from error


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise EdgenetError("this is a folder, not a bundle", "give a file made with `edgenet package`")
        if path.stat().st_size > _MAX_BYTES:
            raise EdgenetError("this is not a bundle: it is larger than 1 GiB", "give a .edgenet file")
        data = path.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot be read ({error.strerror})", "check the path") from error
    if data[:4] != b"PK\x03\x04":
        raise EdgenetError(
            "this is not a bundle (not a zip archive)", "give a file made with `edgenet package`"
        )
    return data


def _checked_entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's entries by name, after checking each entry by itself."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        # `orig_filename` is the name in the file; zipfile has already cleaned `filename`.
        name = entry.orig_filename
        _check_entry(entry, name)
        if name in entries:
            raise EdgenetError(f"the bundle holds {name!r} twice", _AGAIN)
        entries[name] = entry
    if MANIFEST_FILE not in entries:
        raise EdgenetError(f"the bundle has no {MANIFEST_FILE}", _AGAIN)
    return entries


def _check_entry(entry: zipfile.ZipInfo, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name:
        raise EdgenetError(f"the bundle's member {name!r} leads out of its folder", "do not use this file")
    if "/" in name or "\\" in name:
        raise EdgenetError(f"the bundle's member {name!r} lies in a folder; a bundle has none", _AGAIN)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise EdgenetError(f"the bundle's member {name!r} is a link or device", "do not use this file")
    if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & _ENCRYPTED:
        raise EdgenetError(f"the bundle's member {name!r} is compressed or encrypted", _AGAIN)
    if entry.file_size != entry.compress_size:
        raise EdgenetError(f"the bundle's member {name!r} gives two different sizes", _AGAIN)


def _check_names(entries: dict[str, zipfile.ZipInfo], manifest: Manifest) -> None:
    """Raise unless the archive and the manifest both have exactly the members of this schema."""
    for name in MEMBERS:
        if name not in entries:
            raise EdgenetError(f"the bundle has no {name}", _AGAIN)
        if name not in manifest.members:
            raise EdgenetError(f"{MANIFEST_FILE} does not list {name}", _AGAIN)
    for name in [*entries, *manifest.members]:
        if name not in MEMBERS:
            raise EdgenetError(f"the bundle has a member {name!r} that does not belong there", _AGAIN)


def _checked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, manifest: Manifest) -> bytes:
    name = entry.orig_filename
    expected = manifest.members[name]
    if entry.file_size != expected.size:
        raise EdgenetError(f"{name} has {entry.file_size} bytes, the manifest says {expected.size}", _AGAIN)
    data = archive.read(entry)
    if len(data) != expected.size or sha256(data) != expected.sha256:
        raise EdgenetError(f"{name} was changed: its checksum differs from the manifest's", _AGAIN)
    return data


def read_contract(
    model: bytes, normalization: PixelNormalization | None = None
) -> tuple[InputContract, OutputContract]:
    """Read the input and the output of an image classifier from its file, without running it.

    Args:
        model: the contents of a .tflite file of any maker.
        normalization: what the pixels go through before the network; None for what the file states.

    Raises:
        EdgenetError: the model is not a .tflite file, is damaged, is not an image classifier, or takes float32 while
            neither the file nor the caller states a normalization.
    """
    if model[4:8] != b"TFL3":
        raise EdgenetError("the model is not a .tflite file (no TFL3 at byte 4)", "give a .tflite file")
    ports = read_ports(verified(model, "the model"), "the model")
    picture, scores = ports.picture, ports.scores
    if normalization is None and picture.port.dtype == "float32":
        normalization = stated_normalization(model)
        if normalization is None:
            raise EdgenetError(
                "the model takes float32 and does not say what its pixels went through in training",
                ASK_NORMALIZATION,
            )
    source = InputContract(
        picture.port.name,
        picture.height,
        picture.width,
        "RGB" if picture.channels == 3 else "grey",
        picture.port.dtype,
        rule_for(picture.height, picture.width),
        normalization.mean if normalization else None,
        normalization.std if normalization else None,
    )
    return source, OutputContract(scores.port.name, scores.classes, scores.port.dtype, scores.meaning)


_RESIZE_RULES = {
    RULE: "the centred square of the photo, resized bilinearly (a square of three times the size "
    "or more is first halved until it is less than twice the size). Squashing or padding "
    "the photo instead costs accuracy.",
    RECTANGLE_RULE: "the largest centred rectangle of the photo with the aspect ratio of the input, resized "
    "bilinearly (a rectangle of three times the size or more is first halved until it is less than twice the size).",
}


def write_card(manifest: Manifest) -> str:
    """Return the text of `CARD.md`: only recorded facts, and the same text for the same manifest."""
    sections = [
        f"# {manifest.name}\n\n{_summary(manifest)}",
        f"## Input and output\n\n{_contract(manifest)}",
        f"## Use it\n\n{_use(manifest)}",
        f"## Accuracy\n\n{_accuracy(manifest.accuracy)}",
        *([f"## Unknown things\n\n{_unknown(manifest.unknown)}"] if manifest.unknown else []),
        f"## Quantization\n\n{_quantization(manifest.quantization)}",
        f"## Weights\n\n{_weights(manifest)}",
        f"## Made with\n\n{_tools(manifest)}",
    ]
    return "\n\n".join(sections) + "\n"


def _summary(manifest: Manifest) -> str:
    kind = "A float" if manifest.quantization is None else "An int8"
    known, more = (
        (manifest.classes - 1, " and unknown things") if manifest.unknown else (manifest.classes, "")
    )
    text = f"{kind} image classifier for {known:,} classes{more}, made by edgenet"
    if manifest.architecture is None:
        return f"{text}. Its architecture is not recorded: it came from a model file."
    details = [manifest.architecture]
    if manifest.width is not None:
        details.append(f"width multiplier {manifest.width:g}")
    if manifest.resolution is not None:
        details.append(f"resolution {manifest.resolution}")
    return f"{text}: {', '.join(details)}."


def _contract(manifest: Manifest) -> str:
    source, target = manifest.input, manifest.output
    channels = 1 if source.colour_order == "grey" else 3
    return (
        f"- Input `{source.name}`: {source.dtype} [1, {source.height}, {source.width}, {channels}], "
        f"{source.colour_order}, {_values(source)}.\n"
        f"- Resize rule `{source.resize_rule}`: {_RESIZE_RULES.get(source.resize_rule, 'see edgenet')}\n"
        f"- Output `{target.name}`: {target.dtype} [1, {target.classes}], a {target.meaning} for each line "
        "of `labels.txt`."
    )


def _values(source: InputContract) -> str:
    """Return what becomes of the pixels before the network."""
    if source.mean is not None and source.std is not None:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (source.mean, source.std))
        return f"pixels 0 to 255 go through (pixel - mean) / std with mean {mean} and std {std}"
    if source.dtype == "int8":
        return "values 0 to 255 as decoded, minus 128; the scale of the input is the normalization"
    return "values 0 to 255 as decoded; the network does the normalization itself"


def _use(manifest: Manifest) -> str:
    source, target = manifest.input, manifest.output
    script = (
        "On a device, with the folder that `edgenet export-scripts device_scripts` writes:\n\n"
        f"```sh\npython3 device_scripts/classify.py {manifest.name}.edgenet photo.jpg\n```\n\n"
    )
    if source.dtype != "uint8" or source.mean is not None or source.colour_order != "RGB":
        return (
            f"{script}In Python:\n\n```python\n"
            f'import edgenet\nprint(edgenet.load("{manifest.name}.edgenet").top("photo.jpg"))\n```'
        )
    return (
        f"{script}In Python, where `photo` is a {source.dtype} array [1, {source.height}, {source.width}, 3]:\n\n"
        "```python\n"
        'classify = ai_edge_litert.interpreter.Interpreter("model.tflite").get_signature_runner()\n'
        f'scores = classify({source.name}=photo)["{target.name}"][0]\n'
        'print(open("labels.txt").read().split("\\n")[scores.argmax()], scores.max())\n'
        "```"
    )


def _accuracy(accuracy: Accuracy | None) -> str:
    if accuracy is None:
        return "Not measured."
    rows = (("float", accuracy.float_top1), ("int8", accuracy.int8_top1))
    lines = [f"| {name} | {_percent(value)} |" for name, value in rows]
    table = "\n".join(["| | top-1 |", "|---|---|", *lines])
    return f"{table}\n\nOver {accuracy.n:,} photos: {accuracy.data}."


def _unknown(unknown: UnknownAnswer) -> str:
    kept = (
        f"The output `{unknown.label}` answers for other things. {unknown.kept:.1f} % of the user's photos stay "
        "known."
    )
    if unknown.false_alarms is None or unknown.auroc is None:
        return f"{kept} It was not judged on photos of other things."
    return (
        f"{kept} {unknown.false_alarms:.1f} % of photos of other things are called a known class; the area under "
        f"the ROC curve is {unknown.auroc:.3f}. Judged on photos held out: {unknown.background}. Things that look "
        "like a class are called known more often."
    )


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.1f} %"


def _quantization(quantization: Quantization | None) -> str:
    if quantization is None:
        return "None: weights and arithmetic are float32."
    steps = ", ".join(quantization.steps) or "no further steps"
    return (
        f"Recipe `{quantization.recipe}`: {steps}. Calibrated on {quantization.calibration_count:,} photos "
        f"(SHA-256 {quantization.calibration_sha256})."
    )


def _weights(manifest: Manifest) -> str:
    weights = manifest.weights
    lines = [f"- Origin: {weights.origin}", f"- Licence: {weights.licence}"]
    if weights.sha256 is not None:
        lines.append(f"- SHA-256 of the weights' original file: {weights.sha256}")
    lines.append(f"- SHA-256 of `model.tflite`: {manifest.members['model.tflite'].sha256}")
    return "\n".join(lines)


def _tools(manifest: Manifest) -> str:
    known = [f"{name} {version}" for name, version in sorted(manifest.tools.items()) if version is not None]
    return ", ".join(known) + "." if known else "Not recorded."
