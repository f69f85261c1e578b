"""Write and open bundles. A bundle is an uncompressed zip; the same inputs give the same bytes. It holds:

    manifest.json   facts about the model, and the checksums of the other members (see `manifest`)
    model.tflite    the network
    labels.txt      a name for each output
    CARD.md         the same facts for people, the model card (see `edgenet.card`)
    signature.json  optional: the signature of manifest.json (see `edgenet_device.signature`)

The manifest holds no checksum of itself; the zip's CRC-32 guards it. Checksums find damage, not malice:
anyone who can change a bundle can change its manifest too. Against malice a bundle is signed.
"""

from __future__ import annotations

import dataclasses
import io
import stat
import zipfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgenet_device.file_kind import CONVERT, FLOAT_NETWORKS, file_kind
from edgenet_device.model_file import verified
from edgenet_device.normalization import ASK_NORMALIZATION, PixelNormalization, stated_normalization
from edgenet_device.ports import read_ports, rule_for
from edgenet_device.signature import SIGNATURE_FILE, check_signature, read_signature, write_signature

from edgenet.card import write_card
from edgenet.data.labels import labels_text, parse_labels
from edgenet.errors import EdgenetError
from edgenet.files import UNREADABLE_ZIP, sha256, stored_zip, write_atomically
from edgenet.manifest import (
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Facts,
    InputContract,
    Manifest,
    Member,
    OutputContract,
    from_json,
    to_json,
)
from edgenet.signing import Signer
from edgenet.tflite.flatbuffer import read_tflite
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
    """The contents of a bundle whose checksums were all correct.

    `signed_by` is the public key of its signature, 32 bytes, which was verified; None for a bundle without one. Anybody
    can sign with a key of their own, so the key still has to be compared with one that is trusted.
    """

    manifest: Manifest
    model: bytes
    labels: tuple[str, ...]
    card: str
    signed_by: bytes | None = None


def write_bundle(
    path: str | Path,
    model: bytes,
    labels: Sequence[str],
    facts: Facts,
    normalization: PixelNormalization | None = None,
    signer: Signer | None = None,
) -> Manifest:
    """Pack a model into the bundle `path`, atomically (see `write_atomically`).

    Args:
        path: the file to write, usually `NAME.edgenet`.
        model: the contents of a .tflite file, an image classifier of any maker.
        labels: N names, in the order of the outputs.
        facts: facts that cannot be read from the model.
        normalization: what the pixels go through before the network; None for what the file states.
        signer: who signs the bundle; None for no signature.

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
    return _write(path, manifest, {MODEL: model, LABELS: labels_file, CARD: card}, signer)


def sign_bundle(source: str | Path, out: str | Path, signer: Signer) -> Manifest:
    """Write a signed copy of a bundle, which may be signed already; return its manifest.

    Raises:
        EdgenetError: the bundle is damaged, or the copy cannot be written.
    """
    bundle = open_bundle(source)
    members = {MODEL: bundle.model, LABELS: labels_text(bundle.labels), CARD: bundle.card.encode()}
    manifest = dataclasses.replace(
        bundle.manifest, members={name: _member(data) for name, data in members.items()}
    )
    return _write(out, manifest, members, signer)


def _write(
    path: str | Path, manifest: Manifest, members: dict[str, bytes], signer: Signer | None
) -> Manifest:
    """Write the bundle, signed if there is a signer, and return its manifest."""
    if signer is None:
        write_atomically(path, stored_zip({MANIFEST_FILE: to_json(manifest), **members}))
        return manifest
    manifest = dataclasses.replace(manifest, signed_at=signer.signed_at)
    text = to_json(manifest)
    signature = write_signature(signer.sign(text))
    write_atomically(path, stored_zip({MANIFEST_FILE: text, **members, SIGNATURE_FILE: signature}))
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
        precision=_precision(model, facts),
    )


def _precision(model: bytes, facts: Facts) -> str | None:
    """Return what another maker's model computes with; None for float32, and for edgenet's own int8 models."""
    kind = None if facts.quantization else read_tflite(model, "the model").precision()
    return None if kind == "float32" else kind


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
        manifest, members, signed_by = _verified_members(path)
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
    return Bundle(manifest, members[MODEL], tuple(labels), card, signed_by)


def _verified_members(path: Path) -> tuple[Manifest, dict[str, bytes], bytes | None]:
    """Return the manifest, the contents of every other member, all verified, and the public key that signed them.

    Raises:
        EdgenetError: as for `open_bundle`, but the message does not contain the path.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(_read(path))) as archive:
            entries = _checked_entries(archive)
            text = archive.read(entries.pop(MANIFEST_FILE))
            signature = entries.pop(SIGNATURE_FILE, None)
            manifest = from_json(text)
            _check_names(entries, manifest)
            signed_by = _signed_by(manifest, text, archive.read(signature) if signature else None)
            members = {name: _checked(archive, entries[name], manifest) for name in MEMBERS}
            return manifest, members, signed_by
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"the bundle is damaged or cut off ({error})", _AGAIN) from error


def _signed_by(manifest: Manifest, text: bytes, signature: bytes | None) -> bytes | None:
    if signature is None:
        if manifest.signed_at is not None:
            raise EdgenetError("the bundle was signed, and its signature is missing", _AGAIN)
        return None
    found = read_signature(signature)
    check_signature(found, text, manifest.signed_at)
    return found.key


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise EdgenetError("this is a folder, not a bundle", "give a file made with `edgenet package`")
        if path.stat().st_size > _MAX_BYTES:
            raise EdgenetError("this is not a bundle: it is larger than 1 GiB", "give a .edgenet file")
        data = path.read_bytes()
    except OSError as error:
        raise EdgenetError(f"cannot be read ({error.strerror})", "check the path") from error
    kind = file_kind(path)
    if data[:4] != b"PK\x03\x04":
        raise EdgenetError(
            f"this is {kind.words}, not a bundle (not a zip archive)",
            "give a file made with `edgenet package`",
        )
    if kind.name in FLOAT_NETWORKS:
        raise EdgenetError(f"this is {kind.words}, not a bundle", CONVERT)
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
